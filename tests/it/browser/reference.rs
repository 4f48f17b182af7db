//! The reference of the API at `/docs`, and the pages of the README, of `docs/browser.md` and of the examples.

use std::time::Duration;

use serde_json::json;

use crate::support::{Chromium, Screen, TestApp, tools};

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_loads_from_here_alone_and_calls_can_be_tried() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    tab.go_to(&format!("{}/docs", app.base())).await;
    tab.until_element("#operations-sessions-open_session").await;
    tab.click("#operations-sessions-open_session .opblock-summary-control").await;
    let body = json!({"device_id": "0123456789abcdef-docs", "username": "Docs"}).to_string();
    let field = "#operations-sessions-open_session textarea.body-param__text";
    tab.until_element(field).await;
    tab.write(field, &body).await;
    tab.click("#operations-sessions-open_session .execute").await;
    tab.until("document.querySelector('#operations-sessions-open_session .live-responses-table tbody .response-col_status')?.innerText.includes('201')").await;
    let elsewhere = "return performance.getEntriesByType('resource').map(({ name }) => name) \
                     .filter((name) => !name.startsWith(location.origin) && !name.startsWith('data:'))";
    assert_eq!(tab.run(elsewhere).await, json!([]));
    tab.save_screenshot("docs").await;
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_thirty_lines_chats() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join("room:lobby").await;
    let tab = chromium.open(Screen::Desktop).await;
    tab.go_to(&format!("file://{}?base={}", tools::file("examples/page.html").display(), app.base())).await;
    tab.until_element("input").await;
    bot.send("room:lobby", json!({"text": "<i>hello</i>"})).await;
    tab.until_text("<i>hello</i>").await;
    tab.write("input", "hello yourself").await;
    tab.press(thirtyfour::Key::Enter + "").await;
    tab.until_text("Guest: hello yourself").await;
    assert_eq!(bot.history("room:lobby", "limit=1").await.messages[0]["content"], json!({"text": "hello yourself"}));
    tab.expect_clean_console(&[]).await;
}

/// Returns the code blocks of a document in one language, in their order, with the address of this service.
fn blocks(document: &str, language: &str, base: &str) -> Vec<String> {
    let text = std::fs::read_to_string(tools::file(document)).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0);
    blocks.map(|block| block.replace("http://127.0.0.1:8080", base)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_readme_has_eight_lines_and_chats() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join("room:lobby").await;
    let [page] = blocks("README.md", "html", app.base()).try_into().expect("one page");
    assert_eq!(page.lines().count(), 8, "{page}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.html");
    std::fs::write(&file, page).unwrap();
    let tab = chromium.open(Screen::Desktop).await;
    tab.go_to(&format!("file://{}", file.display())).await;
    tab.until_element("#line").await;
    let joined = async {
        while bot.present("room:lobby").await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), joined).await.expect("the page joins the room");
    bot.send("room:lobby", json!({"text": "<i>hello</i>"})).await;
    tab.until_text("<i>hello</i>").await;
    tab.write("#line", "hello yourself").await;
    tab.press(thirtyfour::Key::Enter + "").await;
    tab.until_text("Bea: hello yourself").await;
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documentation_shows_of_pages_works() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join("room:lobby").await;
    let [module, by_hand, listening] = blocks("docs/browser.md", "js", app.base()).try_into().expect("three scripts");
    // The third script replaces the two lines about events of the second one.
    let kept: Vec<_> = by_hand.lines().filter(|line| !line.contains("events")).collect();
    assert_eq!(kept.len() + 2, by_hand.lines().count(), "two lines are replaced");
    let (last, before) = kept.split_last().unwrap();
    let by_hand_with_resume = [&before.join("\n"), listening.as_str(), last].join("\n");
    for (nth, script) in [module, by_hand, by_hand_with_resume].iter().enumerate() {
        let tab = chromium.open(Screen::Desktop).await;
        tab.go_to(&format!("{}/openapi.json", app.base())).await;
        let setup = "window.logged = []; const { log } = console; \
                     console.log = (...values) => (logged.push(JSON.stringify(values)), log(...values)); \
                     const script = Object.assign(document.createElement('script'), { type: 'module' });";
        tab.run(&format!("{setup} script.textContent = {}; document.body.append(script); return null", json!(script)))
            .await;
        tab.until("logged.some((line) => line.includes('hello from a page'))").await;
        assert_eq!(bot.history("room:lobby", "").await.messages.len(), nth + 1);
        tab.expect_clean_console(&[]).await;
    }
}
