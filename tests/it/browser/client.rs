//! People chat: in a room, in a group, and two by two.

use serde_json::json;

use super::{choose, come, until_said};
use crate::support::{Chromium, Look, SECRET, Tab, TestApp, claims, user_token};

#[tokio::test(flavor = "multi_thread")]
async fn three_people_chat_in_a_room_and_see_who_is_there() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    let bea = come(&chromium, &app, "Bea", Look::Desktop).await;
    let phone = come(&chromium, &app, "Cleo", Look::Phone).await;
    ana.until("document.querySelectorAll('.people .present').length === 3").await;

    ana.say("Has anybody watered the tomatoes?").await;
    bea.until_seen("tomatoes").await;
    bea.say("I did, around seven").await;
    phone.until_seen("around seven").await;
    phone.say("Thank you!").await;
    for tab in [&ana, &bea, &phone] {
        tab.until_seen("Thank you!").await;
        until_said(tab, &["Has anybody watered the tomatoes?", "I did, around seven", "Thank you!"]).await;
        tab.until("!document.querySelector('.sending')").await;
    }

    until_typing(&ana, &bea).await;
    bea.go_to("about:blank").await;
    ana.until("document.querySelectorAll('.people .present').length === 2").await;
    phone.picture("phone").await;
    for tab in [&ana, &bea, &phone] {
        tab.expect_quiet(&[]).await;
    }
}

/// One types until the other sees it: it is told at most every two seconds, and was told before the last message.
async fn until_typing(who: &Tab, whom: &Tab) {
    let seen = "return / is typing/.test(document.querySelector('.typing').textContent)";
    for _ in 0..200 {
        whom.write("#composer", "and the beans").await;
        if who.run(seen).await == json!(true) {
            return;
        }
    }
    panic!("nobody sees that somebody is typing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_write_edit_and_remove_direct_messages() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    let bea = come(&chromium, &app, "Bea", Look::Desktop).await;
    choose(&ana, ".people button.person", "Write a message").await;
    ana.until("location.hash.startsWith('#dm:') && document.querySelector('#composer')").await;
    ana.until_seen("Nothing has been said here yet").await;
    ana.say("just us two").await;

    bea.until_there("[data-topic^='dm:'] .badge").await;
    bea.until("document.title.startsWith('(1)')").await;
    bea.click("[data-topic^='dm:']").await;
    bea.until_seen("just us two").await;
    bea.until("!document.querySelector('[data-topic^=\"dm:\"] .badge') && !document.title.startsWith('(')").await;

    bea.say("helo").await;
    ana.until_seen("helo").await;
    bea.press(thirtyfour::Key::Up + "").await;
    bea.until_seen("Editing a message").await;
    bea.say("hello").await;
    ana.until_seen("edited").await;
    until_said(&ana, &["just us two", "hello"]).await;

    choose(&bea, ".message.mine [aria-label=More]", "Remove…").await;
    bea.click("dialog button.danger").await;
    ana.until_seen("Message removed").await;
    until_said(&ana, &["just us two", "Message removed"]).await;
    ana.expect_quiet(&[]).await;
    bea.expect_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_blocks_hears_nothing_until_they_lift_it() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    let bea = come(&chromium, &app, "Bea", Look::Desktop).await;
    choose(&ana, ".people button.person", "Write a message").await;
    ana.until("location.hash.startsWith('#dm:') && document.querySelector('#composer')").await;
    ana.say("before").await;
    bea.click("[data-topic^='dm:']").await;
    bea.until_seen("before").await;

    choose(&ana, "[aria-label='More about this conversation']", "Block Bea…").await;
    ana.click("dialog button.danger").await;
    ana.until_seen("You have blocked Bea.").await;
    bea.until_seen("One of you has blocked the other").await;
    until_said(&bea, &["before"]).await;

    ana.click(".over button").await;
    ana.until_there("#composer").await;
    bea.click("[data-topic='room:lobby']").await;
    bea.until(
        "document.querySelector('[data-topic=\"room:lobby\"][aria-current]') && document.querySelector('#composer')",
    )
    .await;
    bea.click("[data-topic^='dm:']").await;
    bea.until("document.querySelector('[data-topic^=\"dm:\"][aria-current]') && document.querySelector('#composer')")
        .await;
    bea.say("after").await;
    ana.until_seen("after").await;
    ana.expect_quiet(&[]).await;
    bea.expect_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_found_entered_ruled_and_left() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    let bea = come(&chromium, &app, "Bea", Look::Desktop).await;
    let phone = come(&chromium, &app, "Cleo", Look::Phone).await;
    choose(&ana, "[aria-label='New conversation']", "New group").await;
    ana.write("dialog [name=name]", "Gardeners").await;
    ana.click("dialog [name=open]").await;
    ana.click("dialog button[type=submit]").await;
    ana.until("location.hash.startsWith('#group:') && !document.querySelector('dialog')").await;

    for tab in [&bea, &phone] {
        tab.run("location.hash = ''").await;
        choose(tab, "[aria-label='New conversation']", "Find a group").await;
        tab.click_text("Ask to join").await;
        tab.until_seen("Requested").await;
        tab.press(thirtyfour::Key::Escape + "").await;
    }
    choose(&ana, "[aria-label='More about this conversation']", "About the group").await;
    let asking = "[...document.querySelectorAll('dialog button')].filter((button) => button.textContent === 'Accept')";
    for left in [1, 0] {
        ana.until(&format!("{asking}.length === {}", left + 1)).await;
        ana.run(&format!("const [button] = {asking}; button.click(); button.click()")).await; // as in a hurry
        ana.until(&format!("{asking}.length === {left}")).await;
    }
    let accepted = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/members/'))";
    ana.until(&format!("{accepted}.length === 2")).await;
    ana.press(thirtyfour::Key::Escape + "").await;
    ana.until_seen("Bea was added by you").await;
    for tab in [&bea, &phone] {
        tab.click("[data-topic^='group:']").await;
        tab.until_seen("You were added by Ana").await;
    }
    phone.say("Thanks for having me").await;
    ana.until_seen("Thanks for having me").await;
    bea.until_seen("Thanks for having me").await;

    choose(&ana, ".people-list li:nth-child(2) button", "Make an admin").await;
    bea.until_seen("Ana made you an admin").await;
    choose(&ana, ".people-list li:nth-child(3) button", "Remove from the group…").await;
    ana.click("dialog button.danger").await;
    phone.until_seen("You were removed from this group.").await;
    phone.run("location.hash = ''").await;
    phone.until("!document.querySelector('[data-topic^=\"group:\"]')").await;
    ana.picture("group").await;
    for tab in [&ana, &bea, &phone] {
        tab.expect_quiet(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_login_of_ones_own_its_token_opens_the_page() {
    let (app, chromium) = (TestApp::with(&["--jwt-secret", SECRET]).await, Chromium::start().await);
    let ana = chromium.open(Look::Desktop).await;
    ana.go_to(app.base()).await;
    ana.write("[name=username]", "Ana").await;
    ana.click("button[type=submit]").await;
    ana.write("[name=token]", &user_token(&claims("ana"))).await;
    ana.click("button[type=submit]").await;
    ana.until_there("#composer").await;
    ana.until_seen("Name of ana").await;
    ana.expect_quiet(&["403"]).await;

    let bea = chromium.open(Look::Desktop).await;
    bea.go_to(&format!("{}/#token={}", app.base(), user_token(&claims("bea")))).await;
    bea.until_there("#composer").await;
    bea.until("!location.href.includes('token')").await;
    bea.say("hello").await;
    ana.until_seen("hello").await;

    // Signed out means signed out, and the way back is shown.
    bea.click(".me").await;
    bea.click_text("Sign out").await;
    bea.until_seen("You are signed out.").await;
    bea.expect_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_roles_are_there_again_after_a_reload_and_a_sign_out() {
    let (app, chromium) = (TestApp::start().await, Chromium::start().await);
    let ana = come(&chromium, &app, "Ana", Look::Desktop).await;
    ana.run("location.hash = '#room:attic'").await;
    ana.until_there("[data-topic='room:attic'][aria-current]").await;
    choose(&ana, "[aria-label='New conversation']", "New group").await;
    ana.write("dialog [name=name]", "Gardeners").await;
    ana.click("dialog button[type=submit]").await;
    ana.until("location.hash.startsWith('#group:') && !document.querySelector('dialog')").await;
    ana.click(".me").await;
    ana.click_text("Sign out").await;
    ana.until_seen("You are signed out.").await;
    ana.click_text("Sign in again").await;
    ana.write("[name=username]", "Ana").await;
    ana.click("button[type=submit]").await;
    for topic in ["room:lobby", "room:attic", "group:"] {
        ana.until_there(&format!("[data-topic^='{topic}']")).await;
    }
    choose(&ana, "[aria-label='More about this conversation']", "About the group").await;
    ana.until_seen("Delete the group").await;
    ana.expect_quiet(&[]).await;
}
