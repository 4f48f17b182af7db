//! For everybody: without a mouse, without sight, in the dark.

use serde_json::json;
use thirtyfour::Key;

use super::{choose, come, until_said};
use crate::support::{Chromium, Look, Tab, TestApp};

/// Both ways of looking at a screen, and a picture of each.
async fn look(tab: &Tab, screen: &str) {
    for dark in [false, true] {
        tab.dark(dark).await;
        let name = format!("{screen}-{}", if dark { "dark" } else { "light" });
        tab.picture(&name).await;
        tab.expect_accessible(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_screen_has_a_serious_obstacle_in_light_or_dark() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let bea = app.session("Bea").await;
    let tab = chromium.open(Look::Desktop).await;
    tab.go_to(app.base()).await;
    tab.until_seen("Welcome to Parlour").await;
    look(&tab, "welcome").await;

    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    bea.join("room:lobby").await;
    for content in [json!({"text": "Good morning! See https://example.org"}), json!({"temperature": 21.5})] {
        bea.send("room:lobby", content).await;
    }
    ana.until_seen("temperature").await;
    ana.say("Good morning, Bea").await;
    ana.until_seen("Good morning, Bea").await;
    look(&ana, "room").await;
    ana.click("[aria-label='New conversation']").await;
    ana.until_there("[role=menu]").await;
    look(&ana, "menu").await;
    ana.press(Key::Escape + "").await;
    for (opener, entry, screen) in [
        ("[aria-label='New conversation']", "Join a room", "join-a-room"),
        ("[aria-label='New conversation']", "New group", "new-group"),
        ("[aria-label='New conversation']", "Find a group", "find-a-group"),
    ] {
        choose(&ana, opener, entry).await;
        ana.until_there("dialog").await;
        look(&ana, screen).await;
        ana.press(Key::Escape + "").await;
        ana.until("!document.querySelector('dialog')").await;
    }
    ana.click(".me").await;
    ana.until_seen("Where you are signed in").await;
    look(&ana, "account").await;

    let phone = come(&chromium, &app, "Cleo", Look::Phone).await;
    phone.until_seen("Good morning, Bea").await;
    look(&phone, "phone").await;
    phone.click("[aria-label='Back to the list']").await;
    phone.until("document.documentElement.dataset.view === 'list'").await;
    look(&phone, "phone-list").await;
    for tab in [&tab, &ana, &phone] {
        tab.expect_quiet(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_can_be_done_by_keyboard() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let tab = chromium.open(Look::Desktop).await;
    tab.go_to(app.base()).await;
    tab.until("document.activeElement?.name === 'username'").await;
    tab.press("Ana" + Key::Enter).await;
    tab.until("document.activeElement?.id === 'composer'").await;
    tab.press("a first mesage" + Key::Enter).await;
    tab.until("document.querySelector('.message') && !document.querySelector('.sending')").await;
    tab.press(Key::Up + "").await;
    tab.until_seen("Editing a message").await;
    tab.press(Key::Control + "a").await;
    tab.press("a first message" + Key::Enter).await;
    tab.until_seen("edited").await;
    until_said(&tab, &["a first message"]).await;

    // Back over the message's own menu, which takes the message away.
    tab.run("document.querySelector('.message [aria-label=More]').focus()").await;
    tab.press(Key::Enter + "").await;
    tab.until(
        "document.activeElement?.role === 'menuitem' || document.activeElement?.getAttribute('role') === 'menuitem'",
    )
    .await;
    tab.press(Key::Down + Key::Down).await;
    tab.press(Key::Enter + "").await;
    tab.until_there("dialog[open]").await;
    tab.run("document.querySelector('dialog button.danger').focus()").await;
    tab.press(Key::Enter + "").await;
    tab.until_seen("Message removed").await;
    tab.expect_quiet(&[]).await;
}
