//! The service is killed, the network fails, a tab is frozen: no message is lost, and none is shown twice.

use serde_json::json;

use super::{NETWORK_ERRORS, message_texts, sign_in, until_messages};
use crate::support::{Chromium, Screen, ServerProcess, TestApp};

const ROOM: &str = "room:lobby";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_while_people_chat_loses_and_doubles_nothing() {
    let mut server = ServerProcess::start(&[]).await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &server, "Ana", Screen::Desktop).await;
    let phone = sign_in(&chromium, &server, "Cleo", Screen::Phone).await;
    let bot = server.session("bot").await;
    bot.join(ROOM).await;
    for round in 0..3 {
        ana.send_text(&format!("ana {round}")).await;
        bot.send(ROOM, json!({"text": format!("bot {round}")})).await;
        server.kill9();
        ana.until_text("No connection").await;
        phone.send_text(&format!("phone {round}, into the void")).await;
        phone.until_element(".sending").await;
        server.restart().await;
        bot.send(ROOM, json!({"text": format!("bot {round} again")})).await;
        phone
            .until("document.documentElement.dataset.state === 'live' && !document.querySelector('.sending, .failed')")
            .await;
        ana.until_text(&format!("phone {round}, into the void")).await;
        ana.until_text(&format!("bot {round} again")).await;
    }
    let stored = bot.history(ROOM, "direction=forward&limit=100").await.messages;
    let stored: Vec<_> = stored.iter().map(|message| message["content"]["text"].as_str().unwrap()).collect();
    assert_eq!(stored.len(), 12, "each once: {stored:?}");
    for tab in [&ana, &phone] {
        tab.until("document.querySelectorAll('.message .bubble').length >= 12").await;
        until_messages(tab, &stored).await;
        tab.expect_clean_console(&NETWORK_ERRORS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_slept_or_had_no_network_catches_up() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;

    ana.set_frozen(true).await;
    bot.send(ROOM, json!({"text": "while you slept"})).await;
    ana.set_frozen(false).await;
    ana.until_text("while you slept").await;

    ana.set_offline(true).await;
    bot.send(ROOM, json!({"text": "while you were cut off"})).await;
    ana.send_text("written offline").await;
    ana.until_element(".sending").await;
    ana.set_offline(false).await;
    ana.until_text("while you were cut off").await;
    ana.until("!document.querySelector('.sending, .failed')").await;
    ana.until("document.querySelectorAll('.message .bubble').length === 3").await;
    let mut texts = message_texts(&ana).await;
    texts.sort_unstable();
    assert_eq!(texts, ["while you slept", "while you were cut off", "written offline"]);
    ana.expect_clean_console(&NETWORK_ERRORS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_says_so_and_can_be_sent_again() {
    let mut server = ServerProcess::start(&[]).await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &server, "Ana", Screen::Desktop).await;
    ana.send_text("first").await;
    ana.until("document.querySelector('.message') && !document.querySelector('.sending')").await;
    server.kill9();
    ana.send_text("second").await;
    ana.until_text("Not sent.").await;
    ana.save_screenshot("failed").await;
    server.restart().await;
    ana.click_text("Try again").await;
    ana.until("!document.querySelector('.sending, .failed') && document.querySelectorAll('.message').length === 2")
        .await;
    let bot = server.session("bot").await;
    assert_eq!(bot.history(ROOM, "").await.messages.len(), 2);
    ana.expect_clean_console(&NETWORK_ERRORS).await;
}
