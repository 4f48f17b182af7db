//! The service dies, the network goes, a tab sleeps: nothing is lost, nothing comes twice.

use serde_json::json;

use super::{CUT, come, said, until_said};
use crate::support::{Chromium, Look, ServerProcess, TestApp};

const ROOM: &str = "room:lobby";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_while_people_chat_loses_and_doubles_nothing() {
    let (mut server, chromium) = (ServerProcess::start(&[]).await, Chromium::start().await);
    let ana = come(&chromium, &server, "Ana", Look::Desktop).await;
    let phone = come(&chromium, &server, "Cleo", Look::Phone).await;
    let bot = server.session("bot").await;
    bot.join(ROOM).await;
    for round in 0..3 {
        ana.say(&format!("ana {round}")).await;
        bot.send(ROOM, json!({"text": format!("bot {round}")})).await;
        server.kill9();
        ana.until_seen("No connection").await;
        phone.say(&format!("phone {round}, into the void")).await;
        phone.until_there(".sending").await;
        server.restart().await;
        bot.send(ROOM, json!({"text": format!("bot {round} again")})).await;
        phone
            .until("document.documentElement.dataset.state === 'live' && !document.querySelector('.sending, .failed')")
            .await;
        ana.until_seen(&format!("phone {round}, into the void")).await;
        ana.until_seen(&format!("bot {round} again")).await;
    }
    let stored = bot.history(ROOM, "direction=forward&limit=100").await.messages;
    let stored: Vec<_> = stored.iter().map(|message| message["content"]["text"].as_str().unwrap()).collect();
    assert_eq!(stored.len(), 12, "each once: {stored:?}");
    for tab in [&ana, &phone] {
        tab.until("document.querySelectorAll('.message .bubble').length >= 12").await;
        until_said(tab, &stored).await;
        tab.expect_quiet(&CUT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_slept_or_had_no_network_catches_up() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;

    ana.sleep(true).await;
    bot.send(ROOM, json!({"text": "while you slept"})).await;
    ana.sleep(false).await;
    ana.until_seen("while you slept").await;

    ana.offline(true).await;
    bot.send(ROOM, json!({"text": "while you were cut off"})).await;
    ana.say("written offline").await;
    ana.until_there(".sending").await;
    ana.offline(false).await;
    ana.until_seen("while you were cut off").await;
    ana.until("!document.querySelector('.sending, .failed')").await;
    ana.until("document.querySelectorAll('.message .bubble').length === 3").await;
    let mut texts = said(&ana).await;
    texts.sort_unstable();
    assert_eq!(texts, ["while you slept", "while you were cut off", "written offline"]);
    ana.expect_quiet(&CUT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_says_so_and_can_be_sent_again() {
    let (mut server, chromium) = (ServerProcess::start(&[]).await, Chromium::start().await);
    let ana = come(&chromium, &server, "Ana", Look::Desktop).await;
    ana.say("first").await;
    ana.until("document.querySelector('.message') && !document.querySelector('.sending')").await;
    server.kill9();
    ana.say("second").await;
    ana.until_seen("Not sent.").await;
    ana.picture("failed").await;
    server.restart().await;
    ana.click_text("Try again").await;
    ana.until("!document.querySelector('.sending, .failed') && document.querySelectorAll('.message').length === 2")
        .await;
    let bot = server.session("bot").await;
    assert_eq!(bot.history(ROOM, "").await.messages.len(), 2);
    ana.expect_quiet(&CUT).await;
}
