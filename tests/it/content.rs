//! Content is returned as it was sent, character for character, without white space outside strings.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::{Reply, Session, TestApp, messages_of};

async fn send_raw(session: &Session, content: &str) -> Reply {
    send_body(session, format!("{{\"content\":{content}}}")).await
}

async fn send_body(session: &Session, body: impl Into<Vec<u8>>) -> Reply {
    session.call(Method::POST, &messages_of("room:lobby")).body(body.into()).send().await
}

/// Returns a message's id, and its content as the characters of the message's text.
fn id_and_content(message: &str) -> (String, String) {
    #[derive(Deserialize)]
    struct Message<'a> {
        id: String,
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let message: Message = serde_json::from_str(message).unwrap();
    (message.id, message.content.get().to_owned())
}

/// Sends a content and returns it as the service does, which must be the same in every place.
async fn round_trip(session: &Session, content: &str) -> String {
    let mut stream = session.stream_with("from=now").await;
    stream.ready().await;
    let reply = send_raw(session, content).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let (id, acknowledged) = id_and_content(reply.text());
    let history = messages_of("room:lobby");
    let one = session.get(&format!("{history}/{id}")).await;
    assert_eq!(id_and_content(one.text()).1, acknowledged, "read by its id");
    let page = session.get(&format!("{history}?limit=1")).await;
    let shown = format!("\"content\":{acknowledged}");
    assert!(page.text().contains(&shown), "in history: {page:?}");
    let event = stream.next_of("message").await;
    assert_eq!(id_and_content(&event.text).1, acknowledged, "on the stream");
    acknowledged
}

async fn app_and_session() -> (TestApp, Session) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    (app, ana)
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_any_json_value() {
    let (_app, ana) = app_and_session().await;
    for content in ["null", "true", "false", "\"text\"", "\"\"", "0", "-1", "1.5", "[]", "{}", "[1,\"a\",null]"] {
        assert_eq!(round_trip(&ana, content).await, content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_keeps_the_order_of_keys_and_doubled_keys() {
    let (_app, ana) = app_and_session().await;
    for content in [r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#, r#"{"a":1,"a":2}"#, r#"{"":0,"content":{"content":1}}"#] {
        assert_eq!(round_trip(&ana, content).await, content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_keeps_the_digits_of_numbers() {
    let (_app, ana) = app_and_session().await;
    let content = "[1.0,1.10,1e400,-1E+2,12345678901234567890,-0,-0.0,0.1e-7,3.141592653589793238462643383279]";
    assert_eq!(round_trip(&ana, content).await, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_keeps_escapes_and_every_character() {
    let (_app, ana) = app_and_session().await;
    let content = r#"["A\u0041\/\\\"\b\f\n\r\t","\u0000","\ud83d\ude00😀","é e\u0301","  ","\u001f"]"#;
    assert_eq!(round_trip(&ana, content).await, content);
    let separators = "\"line\u{2028}paragraph\u{2029}next\u{85}delete\u{7f}bom\u{feff}\"";
    assert_eq!(round_trip(&ana, separators).await, separators);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_white_space_outside_strings_is_dropped() {
    let (_app, ana) = app_and_session().await;
    let content = "\r\n { \"a b\" :\t[ 1 ,\n 2.0 ] , \"c\\\" d\" : \" e \\\\\" , \"f\":\"g : h , i\" }\n ";
    assert_eq!(round_trip(&ana, content).await, r#"{"a b":[1,2.0],"c\" d":" e \\","f":"g : h , i"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_nested_at_most_64_deep() {
    let (_app, ana) = app_and_session().await;
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for content in [lists(64), objects(64)] {
        assert_eq!(round_trip(&ana, &content).await, content);
    }
    for content in [lists(65), objects(65), lists(127), lists(129), lists(5_000)] {
        send_raw(&ana, &content).await.refused(422);
    }
    // Brackets in a string do not count as nesting.
    let text = format!("\"{}\"", "[{".repeat(200));
    assert_eq!(round_trip(&ana, &text).await, text);
    assert_eq!(ana.last_seq("room:lobby").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_has_at_most_16_kib() {
    let (_app, ana) = app_and_session().await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(round_trip(&ana, &text(16_384)).await.len(), 16_384);
    let multi_byte = format!("\"{}\"", "é".repeat(8_191));
    assert_eq!(round_trip(&ana, &multi_byte).await, multi_byte);
    send_raw(&ana, &text(16_385)).await.refused(413);
    send_raw(&ana, &format!("\"{}\"", "é".repeat(8_192))).await.refused(413);
    send_raw(&ana, &text(1_000_000)).await.refused(413);
    assert_eq!(ana.last_seq("room:lobby").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_large_content_may_be_is_a_setting() {
    let app = TestApp::with(&["--max-content-bytes", "100"]).await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!("x".repeat(98))).await;
    ana.try_send("room:lobby", json!("x".repeat(99))).await.refused(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_400() {
    let (_app, ana) = app_and_session().await;
    for content in ["", "tru", "01", "1.", "'a'", "\"a", "[1,]", "{a:1}", "NaN", "\"a\nb\"", "\"\\x\"", "1}{", "+1"] {
        assert_eq!(send_raw(&ana, content).await.status, 400, "{content:?}");
    }
    send_body(&ana, "").await.refused(400);
    send_body(&ana, "{\"content\":1").await.refused(400);
    send_body(&ana, "{\"content\":1} x").await.refused(400);
    send_body(&ana, *b"{\"content\":\"\xff\"}").await.refused(400);
    assert_eq!(ana.last_seq("room:lobby").await, 0);
    round_trip(&ana, "\"and the next one works\"").await;
}
