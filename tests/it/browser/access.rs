//! Accessibility: keyboard only, screen readers, light and dark.

use serde_json::json;
use thirtyfour::Key;

use super::{choose_from_menu, sign_in, until_messages};
use crate::support::{Chromium, Screen, Tab, TestApp};

/// Checks a screen in light and in dark mode.
async fn check_screen(tab: &Tab, screen: &str) {
    for dark in [false, true] {
        tab.set_dark(dark).await;
        let name = format!("{screen}-{}", if dark { "dark" } else { "light" });
        tab.save_screenshot(&name).await;
        tab.expect_accessible(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_screen_has_a_serious_obstacle_in_light_or_dark() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bea = app.session("Bea").await;
    let tab = chromium.open(Screen::Desktop).await;
    tab.go_to(app.base()).await;
    tab.until_text("Welcome to Parlour").await;
    check_screen(&tab, "welcome").await;

    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    bea.join("room:lobby").await;
    for content in [json!({"text": "Good morning! See https://example.org"}), json!({"temperature": 21.5})] {
        bea.send("room:lobby", content).await;
    }
    ana.until_text("temperature").await;
    ana.send_text("Good morning, Bea").await;
    ana.until_text("Good morning, Bea").await;
    check_screen(&ana, "room").await;
    ana.click("[aria-label='New conversation']").await;
    ana.until_element("[role=menu]").await;
    check_screen(&ana, "menu").await;
    ana.press(Key::Escape + "").await;
    for (opener, entry, screen) in [
        ("[aria-label='New conversation']", "Join a room", "join-a-room"),
        ("[aria-label='New conversation']", "New group", "new-group"),
        ("[aria-label='New conversation']", "Find a group", "find-a-group"),
    ] {
        choose_from_menu(&ana, opener, entry).await;
        ana.until_element("dialog").await;
        check_screen(&ana, screen).await;
        ana.press(Key::Escape + "").await;
        ana.until("!document.querySelector('dialog')").await;
    }
    ana.click(".me").await;
    ana.until_text("Where you are signed in").await;
    check_screen(&ana, "account").await;

    let phone = sign_in(&chromium, &app, "Cleo", Screen::Phone).await;
    phone.until_text("Good morning, Bea").await;
    check_screen(&phone, "phone").await;
    phone.click("[aria-label='Back to the list']").await;
    phone.until("document.documentElement.dataset.view === 'list'").await;
    check_screen(&phone, "phone-list").await;
    for tab in [&tab, &ana, &phone] {
        tab.expect_clean_console(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_can_be_done_by_keyboard() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    tab.go_to(app.base()).await;
    tab.until("document.activeElement?.name === 'username'").await;
    tab.press("Ana" + Key::Enter).await;
    tab.until("document.activeElement?.id === 'composer'").await;
    tab.press("a first mesage" + Key::Enter).await;
    tab.until("document.querySelector('.message') && !document.querySelector('.sending')").await;
    tab.press(Key::Up + "").await;
    tab.until_text("Editing a message").await;
    tab.press(Key::Control + "a").await;
    tab.press("a first message" + Key::Enter).await;
    tab.until_text("edited").await;
    until_messages(&tab, &["a first message"]).await;

    // The last entry of the menu of a message removes it.
    tab.run("document.querySelector('.message [aria-label=More]').focus()").await;
    tab.press(Key::Enter + "").await;
    tab.until(
        "document.activeElement?.role === 'menuitem' || document.activeElement?.getAttribute('role') === 'menuitem'",
    )
    .await;
    tab.press(Key::Down + Key::Down).await;
    tab.press(Key::Enter + "").await;
    tab.until_element("dialog[open]").await;
    tab.run("document.querySelector('dialog button.danger').focus()").await;
    tab.press(Key::Enter + "").await;
    tab.until_text("Message removed").await;
    tab.expect_clean_console(&[]).await;
}
