//! Chromium, controlled over WebDriver: a test calls `Chromium::start()`, and `open(Screen::Desktop)` for each user in it.
//! A test that ends with [`Tab::expect_clean_console`] shows that the pages have reported no errors.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::prelude::{By, DesiredCapabilities, WebDriver};
use thirtyfour::{BrowserLogEntry, Key, LoggingPrefsLogLevel, TypingData, WindowHandle};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::postgres::free_port;
use super::tools;

/// The longest time until a page shows what a test waits for.
const PAGE_TIMEOUT: Duration = Duration::from_secs(40);

/// Flags that keep Chromium from calling other services and let it run as root.
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A chromedriver with its browsers. Dropping it ends all of them.
pub(crate) struct Chromium {
    driver: Child,
    url: String,
    /// The folder of the profiles. Each browser has it on its command line, by which `drop` finds the browser.
    folder: TempDir,
}

/// The kind of screen that a browser has.
#[derive(Clone, Copy)]
pub(crate) enum Screen {
    Desktop,
    Phone,
}

/// A tab. Tabs of one browser share its storage.
pub(crate) struct Tab {
    browser: Arc<Browser>,
    window: WindowHandle,
}

struct Browser {
    driver: WebDriver,
    /// A WebDriver command goes to the tab that is selected, so that the selection must not change until it has returned.
    selection: Mutex<()>,
    /// The messages of the console so far.
    console: Mutex<Vec<BrowserLogEntry>>,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let mut command = tools::program("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().unwrap();
        let chromium = Self { driver, url: format!("http://127.0.0.1:{port}"), folder: tempfile::tempdir().unwrap() };
        let since = Instant::now();
        while reqwest::get(format!("{}/status", chromium.url)).await.is_err() {
            assert!(since.elapsed() < PAGE_TIMEOUT, "chromedriver does not answer");
            sleep(Duration::from_millis(20)).await;
        }
        chromium
    }

    /// Opens a browser with a new profile.
    pub(crate) async fn open(&self, screen: Screen) -> Tab {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
        match screen {
            Screen::Desktop => capabilities.add_arg("--window-size=1200,800").unwrap(),
            Screen::Phone => {
                let metrics = json!({"width": 390, "height": 844, "pixelRatio": 2.0, "touch": true});
                capabilities.add_experimental_option("mobileEmulation", json!({"deviceMetrics": metrics})).unwrap();
            }
        }
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::new(&self.url, capabilities).await.expect("a browser");
        let window = driver.window().await.unwrap();
        let browser = Browser { driver, selection: Mutex::default(), console: Mutex::default() };
        Tab { browser: Arc::new(browser), window }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // A browser does not end with its driver.
        let marker = self.folder.path().to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(&marker) {
                let _ = tools::program("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
        }
    }
}

impl Tab {
    /// Opens another tab of the same browser.
    pub(crate) async fn another_tab(&self) -> Self {
        let _selected = self.select().await;
        let window = self.browser.driver.new_tab().await.unwrap();
        Self { browser: self.browser.clone(), window }
    }

    pub(crate) async fn close_tab(self) {
        let _selected = self.select().await;
        self.browser.driver.close_window().await.unwrap();
    }

    pub(crate) async fn go_to(&self, url: &str) {
        let _selected = self.select().await;
        self.browser.driver.goto(url).await.unwrap();
    }

    /// Runs a script, which may `await`, and returns what it returns: `return document.title`.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let _selected = self.select().await;
        let script = format!("return (async () => {{ {script} }})()");
        let result = self.browser.driver.execute(script.clone(), Vec::new()).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until a JavaScript expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let since = Instant::now();
        loop {
            if self.run(&format!("return Boolean({expression})")).await == json!(true) {
                return;
            }
            if since.elapsed() > PAGE_TIMEOUT {
                let text = self.run("return document.body.innerText").await;
                panic!("not true: {expression}\ntext of the page: {text}\nconsole: {:#?}", self.console().await);
            }
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until an element exists.
    pub(crate) async fn until_element(&self, css: &str) {
        self.until(&format!("document.querySelector({})", json!(css))).await;
    }

    /// Waits until the page shows a text.
    pub(crate) async fn until_text(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Waits for an element and clicks it.
    pub(crate) async fn click(&self, css: &str) {
        self.until_element(css).await;
        self.act(By::Css(css), |element| async move { element.click().await }).await;
    }

    /// Waits for the button, link or label with a text and clicks it.
    pub(crate) async fn click_text(&self, text: &str) {
        let path = format!("//*[self::button or self::a or self::label][contains(., \"{text}\")]");
        self.until_text(text).await;
        self.act(By::XPath(path.as_str()), |element| async move { element.click().await }).await;
    }

    /// Writes into a field, in place of its content.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        self.until_element(css).await;
        let clear = format!("const field = document.querySelector({}); field.focus(); field.select?.()", json!(css));
        self.run(&clear).await;
        let text = text.to_owned();
        self.act(By::Css(css), |element| {
            let text = text.clone();
            async move { element.send_keys(text).await }
        })
        .await;
    }

    /// Presses keys in the element that has the focus.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        let _selected = self.select().await;
        let focused = self.browser.driver.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Writes a message and sends it.
    pub(crate) async fn send_text(&self, text: &str) {
        self.write("#composer", text).await;
        self.press(Key::Enter + "").await;
    }

    /// Runs a command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) {
        let _selected = self.select().await;
        self.browser.driver.cdp().send_raw(method, parameters).await.unwrap();
    }

    /// Freezes the page, as a browser does with a tab in the background, or resumes it.
    pub(crate) async fn set_frozen(&self, frozen: bool) {
        let state = if frozen { "frozen" } else { "active" };
        self.devtools("Page.setWebLifecycleState", json!({"state": state})).await;
    }

    /// Switches the network of the page off or on.
    pub(crate) async fn set_offline(&self, offline: bool) {
        self.devtools("Network.enable", json!({})).await;
        let parameters = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", parameters).await;
    }

    /// Sets the colour scheme that the page is to use. Animations are always off.
    pub(crate) async fn set_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
                              {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Saves a screenshot, if `PARLOUR_TEST_PICTURES` names a folder.
    pub(crate) async fn save_screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("PARLOUR_TEST_PICTURES") else { return };
        let _selected = self.select().await;
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        self.browser.driver.screenshot(&path).await.unwrap();
    }

    /// Checks with axe-core that the page has no serious accessibility violation.
    pub(crate) async fn expect_accessible(&self, screen: &str) {
        let axe = std::fs::read_to_string(tools::npm_packages().join("axe-core/axe.min.js")).unwrap();
        {
            let _selected = self.select().await;
            self.browser.driver.execute(axe, Vec::new()).await.unwrap();
        }
        let violations = self
            .run(
                "const { violations } = await axe.run(); \
                 return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)) \
                     .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, any }) => `${target} ${any[0]?.message ?? ''}`).join(', ')}`)",
            )
            .await;
        assert_eq!(violations, json!([]), "{screen}");
    }

    /// Checks that the console of this browser has no errors or warnings, except those that contain one of `expected`.
    pub(crate) async fn expect_clean_console(&self, expected: &[&str]) {
        let console = self.console().await;
        let bad = |entry: &&BrowserLogEntry| {
            ["SEVERE", "WARNING"].contains(&entry.level.as_str())
                && !expected.iter().any(|text| entry.message.contains(text))
        };
        let bad: Vec<_> = console.iter().filter(bad).map(|entry| &entry.message).collect();
        assert!(bad.is_empty(), "the console has: {bad:#?}");
    }

    async fn console(&self) -> Vec<BrowserLogEntry> {
        let mut console = self.browser.console.lock().await;
        let _selected = self.select().await;
        console.extend(self.browser.driver.browser_log().await.unwrap());
        console.clone()
    }

    /// Selects this tab, until the guard is dropped.
    async fn select(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let selection = self.browser.selection.lock().await;
        self.browser.driver.switch_to_window(self.window.clone()).await.unwrap();
        selection
    }

    /// Runs `act` on the elements until it succeeds for one of them: an element may be missing at first, or covered.
    async fn act<F: Future<Output = thirtyfour::error::WebDriverResult<()>>>(
        &self,
        by: By,
        act: impl Fn(thirtyfour::WebElement) -> F,
    ) {
        let since = Instant::now();
        loop {
            let last = {
                let _selected = self.select().await;
                let mut last = None;
                for element in self.browser.driver.find_all(by.clone()).await.unwrap() {
                    match act(element).await {
                        Ok(()) => return,
                        Err(error) => last = Some(error),
                    }
                }
                last
            };
            assert!(since.elapsed() < PAGE_TIMEOUT, "{by:?}: {last:?}");
            sleep(Duration::from_millis(40)).await;
        }
    }
}
