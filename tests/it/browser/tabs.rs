//! Several tabs of one browser: one session and one stream, whichever of them listens.

use serde_json::json;

use super::come;
use crate::support::{Api, Chromium, Look, Session, Tab, TestApp};

const ROOM: &str = "room:lobby";

/// One more tab of a browser that is signed in.
async fn open(tab: &Tab, app: &TestApp) -> Tab {
    let another = tab.another_tab().await;
    another.go_to(&format!("{}/#room:lobby", app.base())).await;
    another.until("document.documentElement.dataset.state === 'live' && document.querySelector('#composer')").await;
    another
}

async fn streams(api: &Api) -> String {
    let metrics = api.get("/metrics").send().await;
    metrics.text().lines().find_map(|line| line.strip_prefix("parlour_streams ")).unwrap().to_owned()
}

/// Sends a text, which each of the tabs shows once.
async fn everybody_hears(bot: &Session, text: &str, tabs: &[&Tab]) {
    bot.send(ROOM, json!({"text": text})).await;
    let bubbles =
        format!("[...document.querySelectorAll('.bubble')].filter((one) => one.innerText === {})", json!(text));
    for tab in tabs {
        // It is announced before it is drawn.
        tab.until(&format!("{bubbles}.length > 0")).await;
        assert_eq!(tab.run(&format!("return {bubbles}.length")).await, json!(1), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_share_one_stream_and_another_takes_over() {
    let (app, chromium) = (TestApp::alone(&[]).await, Chromium::start().await);
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let first = come(&chromium, &app, "Ana", Look::Desktop).await;
    let (second, third) = (open(&first, &app).await, open(&first, &app).await);
    everybody_hears(&bot, "to all three", &[&first, &second, &third]).await;
    assert_eq!(streams(&app).await, "1");
    second.say("from the second").await;
    first.until_seen("from the second").await;
    third.until_seen("from the second").await;

    // What one tab joins, all have.
    third.run("location.hash = '#room:attic'").await;
    first.until_there("[data-topic='room:attic']").await;
    third.run("location.hash = '#room:lobby'").await;

    first.close_tab().await;
    everybody_hears(&bot, "to the two", &[&second, &third]).await;
    assert_eq!(streams(&app).await, "1");

    // Whoever signs out does so everywhere.
    second.click(".me").await;
    second.click_text("Sign out").await;
    second.until_seen("You are signed out.").await;
    third.until_seen("You are signed out.").await;
    third.expect_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_leads_and_sleeps_is_replaced_and_catches_up_when_it_wakes() {
    let (app, chromium) = (TestApp::alone(&[]).await, Chromium::start().await);
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let first = come(&chromium, &app, "Ana", Look::Desktop).await;
    let second = open(&first, &app).await;
    first.sleep(true).await;
    everybody_hears(&bot, "while the first sleeps", &[&second]).await;
    first.sleep(false).await;
    everybody_hears(&bot, "when it is awake", &[&first, &second]).await;
    first.until_seen("while the first sleeps").await;
    first.expect_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_leads_and_does_not_answer_is_replaced() {
    let (app, chromium) = (TestApp::alone(&[]).await, Chromium::start().await);
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let mute = chromium.open(Look::Desktop).await;
    mute.go_to(&format!("{}/openapi.json", app.base())).await;
    let hold = "navigator.locks.request(`parlour ${location.origin}`, () => new Promise(() => {})).catch(() => (window.lost = true)); return null";
    mute.run(hold).await;
    let tab = mute.another_tab().await;
    tab.go_to(&format!("{}/#room:lobby", app.base())).await;
    tab.write("input[name=username]", "Ana").await;
    tab.click("button[type=submit]").await;
    tab.until("document.documentElement.dataset.state === 'live' && document.querySelector('#composer')").await;
    everybody_hears(&bot, "at last", &[&tab]).await;
    mute.until("window.lost").await;
    tab.expect_quiet(&[]).await;
}
