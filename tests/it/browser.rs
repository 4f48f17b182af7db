//! In Chromium: the web client at `/`, the module `/parlour.js` that it stands on, and the reference at `/docs`.

use serde_json::json;

use crate::support::{Api, Chromium, Look, Tab};

mod access;
mod client;
mod history;
mod module;
mod outages;
mod reference;
mod tabs;

/// What the browser itself says of calls that do not get through.
const CUT: [&str; 1] = ["net::ERR_"];

/// Somebody comes to the web client for the first time, in a browser of their own.
async fn come(chromium: &Chromium, api: &Api, name: &str, look: Look) -> Tab {
    let tab = chromium.open(look).await;
    tab.go_to(&format!("{}/#room:lobby", api.base())).await;
    tab.dark(false).await;
    tab.write("input[name=username]", name).await;
    tab.click("button[type=submit]").await;
    tab.until("document.documentElement.dataset.state === 'live'").await;
    tab.until_there("#composer").await;
    tab
}

/// What the messages of a conversation say, from top to bottom.
async fn said(tab: &Tab) -> Vec<String> {
    let texts =
        tab.run("return [...document.querySelectorAll('.message .bubble')].map((bubble) => bubble.innerText)").await;
    serde_json::from_value(texts).unwrap()
}

/// Waits until that is what the messages of a conversation say: they are announced before they are drawn.
async fn until_said(tab: &Tab, expected: &[impl serde::Serialize]) {
    let bubbles = "[...document.querySelectorAll('.message .bubble')].map((bubble) => bubble.innerText)";
    let expected = json!(json!(expected).to_string());
    tab.until(&format!("JSON.stringify({bubbles}) === JSON.stringify(JSON.parse({expected}))")).await;
}

/// Chooses an entry of the menu of a conversation, or of a person, that a selector opens.
async fn choose(tab: &Tab, opener: &str, entry: &str) {
    tab.click(opener).await;
    let path = format!(
        "[...document.querySelectorAll('[role=menuitem]')].find((item) => item.textContent === {})",
        json!(entry)
    );
    tab.until(&path).await;
    tab.run(&format!("{path}.click()")).await;
}
