//! Several tabs of one browser share one session and one stream.

use serde_json::json;

use super::sign_in;
use crate::support::{Api, Chromium, Screen, Session, Tab, TestApp};

const ROOM: &str = "room:lobby";

/// Opens one more tab of a browser that is signed in.
async fn open_another(tab: &Tab, app: &TestApp) -> Tab {
    let another = tab.another_tab().await;
    another.go_to(&format!("{}/#room:lobby", app.base())).await;
    another.until("document.documentElement.dataset.state === 'live' && document.querySelector('#composer')").await;
    another
}

/// Returns the number of open streams.
async fn streams(api: &Api) -> String {
    let metrics = api.get("/metrics").send().await;
    metrics.text().lines().find_map(|line| line.strip_prefix("parlour_streams ")).unwrap().to_owned()
}

/// Sends a message and checks that each of the tabs shows it once.
async fn send_and_expect(bot: &Session, text: &str, tabs: &[&Tab]) {
    bot.send(ROOM, json!({"text": text})).await;
    let bubbles =
        format!("[...document.querySelectorAll('.bubble')].filter((one) => one.innerText === {})", json!(text));
    for tab in tabs {
        // A screen reader gets the message before it is drawn.
        tab.until(&format!("{bubbles}.length > 0")).await;
        assert_eq!(tab.run(&format!("return {bubbles}.length")).await, json!(1), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_share_one_stream_and_another_takes_over() {
    let app = TestApp::alone(&[]).await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let first = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let second = open_another(&first, &app).await;
    let third = open_another(&first, &app).await;
    send_and_expect(&bot, "to all three", &[&first, &second, &third]).await;
    assert_eq!(streams(&app).await, "1");
    second.send_text("from the second").await;
    first.until_text("from the second").await;
    third.until_text("from the second").await;

    // All tabs have a topic that one of them has joined.
    third.run("location.hash = '#room:attic'").await;
    first.until_element("[data-topic='room:attic']").await;
    third.run("location.hash = '#room:lobby'").await;

    first.close_tab().await;
    send_and_expect(&bot, "to the two", &[&second, &third]).await;
    assert_eq!(streams(&app).await, "1");

    // Signing out in one tab signs out all of them.
    second.click(".me").await;
    second.click_text("Sign out").await;
    second.until_text("You are signed out.").await;
    third.until_text("You are signed out.").await;
    third.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_leads_and_sleeps_is_replaced_and_catches_up_when_it_wakes() {
    let app = TestApp::alone(&[]).await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let first = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let second = open_another(&first, &app).await;
    first.set_frozen(true).await;
    send_and_expect(&bot, "while the first sleeps", &[&second]).await;
    first.set_frozen(false).await;
    send_and_expect(&bot, "when it is awake", &[&first, &second]).await;
    first.until_text("while the first sleeps").await;
    first.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_leads_and_does_not_answer_is_replaced() {
    let app = TestApp::alone(&[]).await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let silent = chromium.open(Screen::Desktop).await;
    silent.go_to(&format!("{}/openapi.json", app.base())).await;
    let hold = "navigator.locks.request(`parlour ${location.origin}`, () => new Promise(() => {})).catch(() => (window.lost = true)); return null";
    silent.run(hold).await;
    let tab = silent.another_tab().await;
    tab.go_to(&format!("{}/#room:lobby", app.base())).await;
    tab.write("input[name=username]", "Ana").await;
    tab.click("button[type=submit]").await;
    tab.until("document.documentElement.dataset.state === 'live' && document.querySelector('#composer')").await;
    send_and_expect(&bot, "at last", &[&tab]).await;
    silent.until("window.lost").await;
    tab.expect_clean_console(&[]).await;
}
