//! Tests in Chromium: the web client at `/`, the client module `/parlour.js`, and the reference of the API at `/docs`.

use serde_json::json;

use crate::support::{Api, Chromium, Screen, Tab};

mod access;
mod client;
mod history;
mod module;
mod outages;
mod reference;
mod tabs;

/// The part of the console messages by which Chromium reports calls that do not reach the service.
const NETWORK_ERRORS: [&str; 1] = ["net::ERR_"];

/// Opens the web client in a new browser and signs in as a new user.
async fn sign_in(chromium: &Chromium, api: &Api, name: &str, screen: Screen) -> Tab {
    let tab = chromium.open(screen).await;
    tab.go_to(&format!("{}/#room:lobby", api.base())).await;
    tab.set_dark(false).await;
    tab.write("input[name=username]", name).await;
    tab.click("button[type=submit]").await;
    tab.until("document.documentElement.dataset.state === 'live'").await;
    tab.until_element("#composer").await;
    tab
}

/// A JavaScript expression for the texts of a conversation's messages, from top to bottom.
const MESSAGE_TEXTS: &str = "[...document.querySelectorAll('.message .bubble')].map((bubble) => bubble.innerText)";

/// Returns the texts of a conversation's messages, from top to bottom.
async fn message_texts(tab: &Tab) -> Vec<String> {
    serde_json::from_value(tab.run(&format!("return {MESSAGE_TEXTS}")).await).unwrap()
}

/// Waits until the messages of a conversation have these texts. Screen readers get a message before it is drawn, so that
/// [`Tab::until_text`] may return too early.
async fn until_messages(tab: &Tab, expected: &[impl serde::Serialize]) {
    let expected = json!(json!(expected).to_string());
    tab.until(&format!("JSON.stringify({MESSAGE_TEXTS}) === JSON.stringify(JSON.parse({expected}))")).await;
}

/// Opens a menu by a click on `opener`, a CSS selector, and clicks its entry.
async fn choose_from_menu(tab: &Tab, opener: &str, entry: &str) {
    tab.click(opener).await;
    let item = format!(
        "[...document.querySelectorAll('[role=menuitem]')].find((item) => item.textContent === {})",
        json!(entry)
    );
    tab.until(&item).await;
    tab.run(&format!("{item}.click()")).await;
}
