//! The web client with a long history and with hostile messages.

use serde_json::json;

use super::{message_texts, sign_in};
use crate::support::{Chromium, Screen, TestApp};

const ROOM: &str = "room:lobby";

/// Returns a script that scrolls until an element exists, and returns whether it does.
fn scroll_until(css: &str, step: i32) -> String {
    format!(
        "const scroll = document.querySelector('.scroll'); \
         for (let i = 0; i < 400 && !document.querySelector({css}); i += 1) {{ \
             scroll.scrollBy(0, {step}); await new Promise((resolve) => setTimeout(resolve, 30)); }} \
         return Boolean(document.querySelector({css}))",
        css = json!(css)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn history_scrolls_to_its_beginning_and_back_to_its_end() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    for number in 1..=450 {
        bot.send(ROOM, json!({"text": format!("message {number}")})).await;
    }
    let ana = sign_in(&chromium, &app, "Ana", Screen::Desktop).await;
    ana.until_element("[data-seq='450']").await;
    let in_order = "const seqs = [...document.querySelectorAll('[data-seq]')].map((row) => Number(row.dataset.seq)); \
                    return seqs.length > 50 && seqs.every((seq, index) => index === 0 || seq === seqs[index - 1] + 1)";
    for (css, step) in [("[data-seq='1']", -900), ("[data-seq='450']", 900)] {
        assert_eq!(ana.run(&scroll_until(css, step)).await, json!(true), "{css}");
        assert_eq!(ana.run(in_order).await, json!(true), "each once, none missing");
    }

    // While the user reads old messages, a new one does not move them, and is counted.
    ana.run("document.querySelector('.scroll').scrollBy(0, -3000)").await;
    ana.until_text("To the newest").await;
    let first_visible = "const top = document.querySelector('.scroll').getBoundingClientRect().top; \
                 return [...document.querySelectorAll('[data-seq]')].find((row) => row.getBoundingClientRect().bottom > top).dataset.seq";
    let before = ana.run(first_visible).await;
    bot.send(ROOM, json!({"text": "news"})).await;
    ana.until_text("1 new message").await;
    assert_eq!(ana.run(first_visible).await, before);
    ana.click(".jump").await;
    ana.until("document.querySelector('[data-seq=\"451\"]')?.getBoundingClientRect().bottom <= innerHeight").await;
    ana.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_stay_text() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let ana = sign_in(&chromium, &app, "<b>Ana</b>", Screen::Desktop).await;
    let phone = sign_in(&chromium, &app, "\u{202e}ruelliB", Screen::Phone).await;
    let bot = app.session("bot").await;
    bot.join(ROOM).await;
    let hostile = [
        "<img src=x onerror=\"document.title='owned'\">".to_owned(),
        "<script>document.title='owned'</script>".to_owned(),
        "javascript:alert(1) https://example.org/\"onmouseover=alert(1)".to_owned(),
        "\u{202e}txet sdrawkcab\u{2066} \u{200f}שלום".to_owned(),
        "w".repeat(16 * 1024 - 20),
    ];
    for text in &hostile {
        bot.send(ROOM, json!({"text": text})).await;
    }
    bot.send(ROOM, json!({"html": "<b>bold</b>", "__proto__": {"text": "no"}})).await;
    bot.send(ROOM, json!(null)).await;
    for tab in [&ana, &phone] {
        tab.until("document.querySelectorAll('.message').length >= 7").await;
        let texts = message_texts(tab).await;
        assert_eq!(texts[..5], hostile);
        assert!(texts[5].contains("<b>bold</b>"), "{texts:?}");
        assert_eq!(texts[6], "null");
        let injected = "return document.querySelectorAll('.messages img, .messages script, .messages b, [onerror], [onmouseover]').length";
        assert_eq!(tab.run(injected).await, json!(0), "no element was made of a message");
        let fits = "return [document.documentElement, document.querySelector('.scroll')].every((box) => box.scrollWidth <= box.clientWidth)";
        assert_eq!(tab.run(fits).await, json!(true), "nothing is wider than the screen");
        let links = "return [...document.querySelectorAll('.messages a')].map((link) => link.href)";
        assert_eq!(tab.run(links).await, json!(["https://example.org/"]));
        tab.until("!document.title.includes('owned')").await;
        tab.expect_clean_console(&[]).await;
    }
}
