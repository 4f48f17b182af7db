//! The web client: rooms, groups, direct messages, and signing in.

use serde_json::json;

use super::{choose_from_menu, sign_in, until_messages};
use crate::support::{Chromium, SECRET, Screen, Tab, TestApp, claims, user_token};

#[tokio::test(flavor = "multi_thread")]
async fn three_people_chat_in_a_room_and_see_who_is_there() {
    // A page that was left counts as present for the grace period: the service's own, not the longer one of the tests.
    let app = TestApp::with(&["--presence-grace", "15s"]).await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let bea = sign_in(&chromium, &app, "Bea", Screen::Desktop).await;
    let phone = sign_in(&chromium, &app, "Cleo", Screen::Phone).await;
    ana.until("document.querySelectorAll('.people .present').length === 3").await;

    ana.send_text("Has anybody watered the tomatoes?").await;
    bea.until_text("tomatoes").await;
    bea.send_text("I did, around seven").await;
    phone.until_text("around seven").await;
    phone.send_text("Thank you!").await;
    for tab in [&ana, &bea, &phone] {
        tab.until_text("Thank you!").await;
        until_messages(tab, &["Has anybody watered the tomatoes?", "I did, around seven", "Thank you!"]).await;
        tab.until("!document.querySelector('.sending')").await;
    }

    until_typing(&ana, &bea).await;
    bea.go_to("about:blank").await;
    ana.until("document.querySelectorAll('.people .present').length === 2").await;
    phone.save_screenshot("phone").await;
    for tab in [&ana, &bea, &phone] {
        tab.expect_clean_console(&[]).await;
    }
}

/// Types in one tab until the other one shows it. A `typing` call is sent at most every two seconds, and one was sent
/// before the last message.
async fn until_typing(observer: &Tab, typist: &Tab) {
    let is_shown = "return / is typing/.test(document.querySelector('.typing').textContent)";
    for _ in 0..200 {
        typist.write("#composer", "and the beans").await;
        if observer.run(is_shown).await == json!(true) {
            return;
        }
    }
    panic!("the other tab does not show that the user is typing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_write_edit_and_remove_direct_messages() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let bea = sign_in(&chromium, &app, "Bea", Screen::Desktop).await;
    choose_from_menu(&ana, ".people button.person", "Write a message").await;
    ana.until("location.hash.startsWith('#dm:') && document.querySelector('#composer')").await;
    ana.until_text("Nothing has been said here yet").await;
    ana.send_text("just us two").await;

    bea.until_element("[data-topic^='dm:'] .badge").await;
    bea.until("document.title.startsWith('(1)')").await;
    bea.click("[data-topic^='dm:']").await;
    bea.until_text("just us two").await;
    bea.until("!document.querySelector('[data-topic^=\"dm:\"] .badge') && !document.title.startsWith('(')").await;

    bea.send_text("helo").await;
    ana.until_text("helo").await;
    bea.press(thirtyfour::Key::Up + "").await;
    bea.until_text("Editing a message").await;
    bea.send_text("hello").await;
    ana.until_text("edited").await;
    until_messages(&ana, &["just us two", "hello"]).await;

    choose_from_menu(&bea, ".message.mine [aria-label=More]", "Remove…").await;
    bea.click("dialog button.danger").await;
    ana.until_text("Message removed").await;
    until_messages(&ana, &["just us two", "Message removed"]).await;
    ana.expect_clean_console(&[]).await;
    bea.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_blocks_another_gets_no_messages_until_the_block_is_lifted() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let bea = sign_in(&chromium, &app, "Bea", Screen::Desktop).await;
    choose_from_menu(&ana, ".people button.person", "Write a message").await;
    ana.until("location.hash.startsWith('#dm:') && document.querySelector('#composer')").await;
    ana.send_text("before").await;
    bea.click("[data-topic^='dm:']").await;
    bea.until_text("before").await;

    choose_from_menu(&ana, "[aria-label='More about this conversation']", "Block Bea…").await;
    ana.click("dialog button.danger").await;
    ana.until_text("You have blocked Bea.").await;
    bea.until_text("One of you has blocked the other").await;
    until_messages(&bea, &["before"]).await;

    ana.click(".over button").await;
    ana.until_element("#composer").await;
    bea.click("[data-topic='room:lobby']").await;
    bea.until(
        "document.querySelector('[data-topic=\"room:lobby\"][aria-current]') && document.querySelector('#composer')",
    )
    .await;
    bea.click("[data-topic^='dm:']").await;
    bea.until("document.querySelector('[data-topic^=\"dm:\"][aria-current]') && document.querySelector('#composer')")
        .await;
    bea.send_text("after").await;
    ana.until_text("after").await;
    ana.expect_clean_console(&[]).await;
    bea.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_found_entered_ruled_and_left() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    let bea = sign_in(&chromium, &app, "Bea", Screen::Desktop).await;
    let phone = sign_in(&chromium, &app, "Cleo", Screen::Phone).await;
    choose_from_menu(&ana, "[aria-label='New conversation']", "New group").await;
    ana.write("dialog [name=name]", "Gardeners").await;
    ana.click("dialog [name=open]").await;
    ana.click("dialog button[type=submit]").await;
    ana.until("location.hash.startsWith('#group:') && !document.querySelector('dialog')").await;

    for tab in [&bea, &phone] {
        tab.run("location.hash = ''").await;
        choose_from_menu(tab, "[aria-label='New conversation']", "Find a group").await;
        tab.click_text("Ask to join").await;
        tab.until_text("Requested").await;
        tab.press(thirtyfour::Key::Escape + "").await;
    }
    choose_from_menu(&ana, "[aria-label='More about this conversation']", "About the group").await;
    let asking = "[...document.querySelectorAll('dialog button')].filter((button) => button.textContent === 'Accept')";
    for left in [1, 0] {
        ana.until(&format!("{asking}.length === {}", left + 1)).await;
        ana.run(&format!("const [button] = {asking}; button.click(); button.click()")).await; // the second click must do nothing
        ana.until(&format!("{asking}.length === {left}")).await;
    }
    let accepted = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/members/'))";
    ana.until(&format!("{accepted}.length === 2")).await;
    ana.press(thirtyfour::Key::Escape + "").await;
    ana.until_text("Bea was added by you").await;
    for tab in [&bea, &phone] {
        tab.click("[data-topic^='group:']").await;
        tab.until_text("You were added by Ana").await;
    }
    phone.send_text("Thanks for having me").await;
    ana.until_text("Thanks for having me").await;
    bea.until_text("Thanks for having me").await;

    choose_from_menu(&ana, ".people-list li:nth-child(2) button", "Make an admin").await;
    bea.until_text("Ana made you an admin").await;
    choose_from_menu(&ana, ".people-list li:nth-child(3) button", "Remove from the group…").await;
    ana.click("dialog button.danger").await;
    phone.until_text("You were removed from this group.").await;
    phone.run("location.hash = ''").await;
    phone.until("!document.querySelector('[data-topic^=\"group:\"]')").await;
    ana.save_screenshot("group").await;
    for tab in [&ana, &bea, &phone] {
        tab.expect_clean_console(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_login_of_ones_own_its_token_opens_the_page() {
    let app = TestApp::with(&["--jwt-secret", SECRET]).await;
    let chromium = Chromium::start().await;
    let ana = chromium.open(Screen::Desktop).await;
    ana.go_to(app.base()).await;
    ana.write("[name=username]", "Ana").await;
    ana.click("button[type=submit]").await;
    ana.write("[name=token]", &user_token(&claims("ana"))).await;
    ana.click("button[type=submit]").await;
    ana.until_element("#composer").await;
    ana.until_text("Name of ana").await;
    ana.expect_clean_console(&["403"]).await;

    let bea = chromium.open(Screen::Desktop).await;
    bea.go_to(&format!("{}/#token={}", app.base(), user_token(&claims("bea")))).await;
    bea.until_element("#composer").await;
    bea.until("!location.href.includes('token')").await;
    bea.send_text("hello").await;
    ana.until_text("hello").await;

    // The page shows that the user is signed out.
    bea.click(".me").await;
    bea.click_text("Sign out").await;
    bea.until_text("You are signed out.").await;
    bea.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_roles_are_there_again_after_a_reload_and_a_sign_out() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    ana.run("location.hash = '#room:attic'").await;
    ana.until_element("[data-topic='room:attic'][aria-current]").await;
    choose_from_menu(&ana, "[aria-label='New conversation']", "New group").await;
    ana.write("dialog [name=name]", "Gardeners").await;
    ana.click("dialog button[type=submit]").await;
    ana.until("location.hash.startsWith('#group:') && !document.querySelector('dialog')").await;
    ana.click(".me").await;
    ana.click_text("Sign out").await;
    ana.until_text("You are signed out.").await;
    ana.click_text("Sign in again").await;
    ana.write("[name=username]", "Ana").await;
    ana.click("button[type=submit]").await;
    for topic in ["room:lobby", "room:attic", "group:"] {
        ana.until_element(&format!("[data-topic^='{topic}']")).await;
    }
    choose_from_menu(&ana, "[aria-label='More about this conversation']", "About the group").await;
    ana.until_text("Delete the group").await;
    ana.expect_clean_console(&[]).await;
}
