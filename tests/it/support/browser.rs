//! Chromium, driven over WebDriver: `Chromium::start()` for a test, `open(Look::Desktop)` for each person in it. A page
//! whose test ends with [`Tab::expect_quiet`] has shown that nothing went wrong in its console.

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

/// How long a page may take for what is bound to come.
const PATIENCE: Duration = Duration::from_secs(40);

/// What keeps Chromium to itself, and lets it run as root.
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

/// A chromedriver with its browsers. All of them end with it.
pub(crate) struct Chromium {
    driver: Child,
    url: String,
    /// Named by each browser on its command line, by which it is found.
    folder: TempDir,
}

/// What a browser runs on.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Desktop,
    Phone,
}

/// A tab. Tabs of one browser share what it stores.
pub(crate) struct Tab {
    browser: Arc<Browser>,
    window: WindowHandle,
}

struct Browser {
    driver: WebDriver,
    /// Whichever tab is spoken to has to be chosen first, and stay chosen until it has answered.
    one_at_a_time: Mutex<()>,
    /// What the console has said so far.
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
            assert!(since.elapsed() < PATIENCE, "chromedriver does not answer");
            sleep(Duration::from_millis(20)).await;
        }
        chromium
    }

    /// A browser that has never been used.
    pub(crate) async fn open(&self, look: Look) -> Tab {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
        match look {
            Look::Desktop => capabilities.add_arg("--window-size=1200,800").unwrap(),
            Look::Phone => {
                let metrics = json!({"width": 390, "height": 844, "pixelRatio": 2.0, "touch": true});
                capabilities.add_experimental_option("mobileEmulation", json!({"deviceMetrics": metrics})).unwrap();
            }
        }
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::new(&self.url, capabilities).await.expect("a browser");
        let window = driver.window().await.unwrap();
        let browser = Browser { driver, one_at_a_time: Mutex::default(), console: Mutex::default() };
        Tab { browser: Arc::new(browser), window }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // A browser outlives its driver.
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
    /// Another tab of the same browser.
    pub(crate) async fn another_tab(&self) -> Self {
        let _turn = self.turn().await;
        let window = self.browser.driver.new_tab().await.unwrap();
        Self { browser: self.browser.clone(), window }
    }

    pub(crate) async fn close_tab(self) {
        let _turn = self.turn().await;
        self.browser.driver.close_window().await.unwrap();
    }

    pub(crate) async fn go_to(&self, url: &str) {
        let _turn = self.turn().await;
        self.browser.driver.goto(url).await.unwrap();
    }

    /// What a script returns, which may wait for it: `return document.title`.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let _turn = self.turn().await;
        let script = format!("return (async () => {{ {script} }})()");
        let answer = self.browser.driver.execute(script.clone(), Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until an expression holds.
    pub(crate) async fn until(&self, expression: &str) {
        let since = Instant::now();
        loop {
            if self.run(&format!("return Boolean({expression})")).await == json!(true) {
                return;
            }
            if since.elapsed() > PATIENCE {
                let text = self.run("return document.body.innerText").await;
                panic!("not so: {expression}\non a page that says: {text}\nconsole: {:#?}", self.console().await);
            }
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until there is an element.
    pub(crate) async fn until_there(&self, css: &str) {
        self.until(&format!("document.querySelector({})", json!(css))).await;
    }

    /// Waits until a text is seen.
    pub(crate) async fn until_seen(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Clicks what can be clicked there, as soon as there is something.
    pub(crate) async fn click(&self, css: &str) {
        self.until_there(css).await;
        self.act(By::Css(css), |element| async move { element.click().await }).await;
    }

    /// Clicks the button or link with a text.
    pub(crate) async fn click_text(&self, text: &str) {
        let path = format!("//*[self::button or self::a or self::label][contains(., \"{text}\")]");
        self.until_seen(text).await;
        self.act(By::XPath(path.as_str()), |element| async move { element.click().await }).await;
    }

    /// Writes into a field, over what was in it.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        self.until_there(css).await;
        let clear = format!("const field = document.querySelector({}); field.focus(); field.select?.()", json!(css));
        self.run(&clear).await;
        let text = text.to_owned();
        self.act(By::Css(css), |element| {
            let text = text.clone();
            async move { element.send_keys(text).await }
        })
        .await;
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        let _turn = self.turn().await;
        let focused = self.browser.driver.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Writes a message and sends it.
    pub(crate) async fn say(&self, text: &str) {
        self.write("#composer", text).await;
        self.press(Key::Enter + "").await;
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) {
        let _turn = self.turn().await;
        self.browser.driver.cdp().send_raw(method, parameters).await.unwrap();
    }

    /// Puts the page to sleep, as a browser does with a tab in the background, or wakes it.
    pub(crate) async fn sleep(&self, asleep: bool) {
        let state = if asleep { "frozen" } else { "active" };
        self.devtools("Page.setWebLifecycleState", json!({"state": state})).await;
    }

    /// Takes the network away, or gives it back.
    pub(crate) async fn offline(&self, offline: bool) {
        self.devtools("Network.enable", json!({})).await;
        let parameters = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", parameters).await;
    }

    pub(crate) async fn dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
                              {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Keeps a picture for people, where `PARLOUR_TEST_PICTURES` names a folder.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("PARLOUR_TEST_PICTURES") else { return };
        let _turn = self.turn().await;
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        self.browser.driver.screenshot(&path).await.unwrap();
    }

    /// Whoever cannot see, or cannot use a mouse, finds no serious obstacle (axe-core).
    pub(crate) async fn expect_accessible(&self, screen: &str) {
        let axe = std::fs::read_to_string(tools::npm_packages().join("axe-core/axe.min.js")).unwrap();
        {
            let _turn = self.turn().await;
            self.browser.driver.execute(axe, Vec::new()).await.unwrap();
        }
        let serious = self
            .run(
                "const { violations } = await axe.run(); \
                 return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)) \
                     .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, any }) => `${target} ${any[0]?.message ?? ''}`).join(', ')}`)",
            )
            .await;
        assert_eq!(serious, json!([]), "{screen}");
    }

    /// Nothing has gone wrong in any tab of this browser but what the test expects, by a part of its text.
    pub(crate) async fn expect_quiet(&self, expected: &[&str]) {
        let console = self.console().await;
        let bad = |entry: &&BrowserLogEntry| {
            ["SEVERE", "WARNING"].contains(&entry.level.as_str())
                && !expected.iter().any(|text| entry.message.contains(text))
        };
        let bad: Vec<_> = console.iter().filter(bad).map(|entry| &entry.message).collect();
        assert!(bad.is_empty(), "the console says: {bad:#?}");
    }

    async fn console(&self) -> Vec<BrowserLogEntry> {
        let mut console = self.browser.console.lock().await;
        let _turn = self.turn().await;
        console.extend(self.browser.driver.browser_log().await.unwrap());
        console.clone()
    }

    /// Waits for this tab's turn to be spoken to.
    async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = self.browser.one_at_a_time.lock().await;
        self.browser.driver.switch_to_window(self.window.clone()).await.unwrap();
        turn
    }

    /// Does something with the first such element that takes it; until it is there, and nothing lies above it.
    async fn act<F: Future<Output = thirtyfour::error::WebDriverResult<()>>>(
        &self,
        by: By,
        act: impl Fn(thirtyfour::WebElement) -> F,
    ) {
        let since = Instant::now();
        loop {
            let last = {
                let _turn = self.turn().await;
                let mut last = None;
                for element in self.browser.driver.find_all(by.clone()).await.unwrap() {
                    match act(element).await {
                        Ok(()) => return,
                        Err(error) => last = Some(error),
                    }
                }
                last
            };
            assert!(since.elapsed() < PATIENCE, "{by:?}: {last:?}");
            sleep(Duration::from_millis(40)).await;
        }
    }
}
