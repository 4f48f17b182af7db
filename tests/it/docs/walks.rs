//! The commands of the README and of the tutorial, pasted into `bash` as they are written, line by line.

use serde_json::{Value, json};

use super::shell::Shell;
use super::{README, page, section};
use crate::support::{TestApp, list, number, seqs, text};

const TUTORIAL: &str = "docs/tutorial.md";
/// The address that the documents use.
const BASE: &str = "http://127.0.0.1:8080";

/// Runs this against a service of its own, in a thread where it may wait.
async fn with_service(walk: fn(&str)) {
    let app = TestApp::start().await;
    let base = app.base().to_owned();
    tokio::task::spawn_blocking(move || walk(&base)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_lines_of_the_readme_are_a_first_chat() {
    with_service(first_chat).await;
}

fn first_chat(base: &str) {
    const HEADING: &str = "A first chat with curl";
    let mut walk = Walk::new(README, HEADING, base);
    let step = walk.step(HEADING);
    assert_eq!(step.outputs.len(), 5, "{step:?}");
    let jsons = step.jsons();
    let [joined, sent] = jsons.as_slice() else { panic!("a join and a message: {jsons:?}") };
    assert_eq!(joined["topic"]["id"], "room:lobby", "{joined}");
    assert_eq!((number(sent, "seq"), &sent["content"]), (1, &json!({"text": "hello"})), "{sent}");
    walk.shell.until("event: ready\n");
    walk.shell.until(&format!("event: message\ndata: {sent}\n"));
    assert!(walk.blocks.is_empty(), "these were not tested: {:#?}", walk.blocks);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_works_when_pasted_line_by_line() {
    with_service(walk).await;
}

fn walk(base: &str) {
    let mut walk = Walk::new(TUTORIAL, "A first chat", base);

    let opened = walk.step("Open a session").last_json();
    let session = text(&opened["session"], "id").to_owned();
    assert_eq!(opened["session"]["user"]["username"], "Ana", "{opened}");

    let joined = walk.step("Join a room").last_json();
    assert_eq!(joined["topic"]["id"], "room:lobby", "{joined}");
    assert_eq!(joined["self"]["session_id"], session.as_str(), "{joined}");
    assert_eq!(number(&joined, "position"), 0, "{joined}");

    walk.step("Listen");
    walk.shell.until(&format!("event: ready\ndata: {{\"session_id\":\"{session}\""));
    walk.shell.until("event: presence_state\n");

    let sent = walk.step("Send");
    let contents = [json!({"text": "hello"}), json!("any JSON will do")];
    for ((output, content), seq) in sent.outputs.iter().zip(contents).zip(1u64..) {
        let message = json_lines(output).next().expect("the acknowledgement");
        let parsed: Value = serde_json::from_str(message).unwrap();
        assert_eq!((number(&parsed, "seq"), &parsed["content"]), (seq, &content), "{parsed}");
        assert!(output.lines().any(|line| line == "201"), "{output}");
        walk.shell.until(&format!("event: message\ndata: {message}\n"));
    }
    assert_eq!(sent.outputs.len(), 2, "{sent:?}");

    let pages = walk.step("Read history").jsons();
    let pages: Vec<_> = pages.iter().map(|page| seqs(list(page, "messages"))).collect();
    assert_eq!(pages, [[2], [1], [2]], "backward from the end, and two pages forward");

    let back = walk.step("Come back where you were");
    let missed = back.outputs.iter().flat_map(|output| json_lines(output)).next().expect("the acknowledgement");
    let resumed = back.outputs.last().expect("the new stream");
    assert!(resumed.contains("event: ready\n"), "{resumed}");
    let event = format!("event: message\ndata: {missed}\n");
    assert!(resumed.contains(&event), "what was missed comes: {resumed}");
    assert_eq!(resumed.matches("event: message\n").count(), 1, "nothing comes twice: {resumed}");

    let poll = walk.step("Poll where streaming is impossible").last_json();
    let messages = list(&poll, "events").iter().filter(|event| event["event"] == "message");
    let messages: Vec<_> = messages.map(|event| &event["data"]).collect();
    let missed: Value = serde_json::from_str(missed).unwrap();
    assert_eq!(messages, [&missed], "{poll}");
    assert!(!text(&poll, "last_event_id").is_empty(), "{poll}");

    let out = walk.step("Sign out");
    assert!(out.outputs[0].lines().any(|line| line == "204"), "{out:?}");
    let dead = walk.shell.paste(r#"curl -sSw '\n%{http_code}\n' -H "$AUTH" "$BASE/v1/session""#);
    assert!(dead.lines().any(|line| line == "401"), "{dead}");

    assert!(walk.blocks.is_empty(), "these were not tested: {:#?}", walk.blocks);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_with_two_users_and_a_group_works_when_pasted_line_by_line() {
    with_service(group_walk).await;
}

fn group_walk(base: &str) {
    let mut walk = Walk::new(TUTORIAL, "Two users and a group", base);
    walk.step("Open two sessions");
    let made = walk.step("Create a group and accept a member").jsons();
    let [found, asked, requests, accepted] = made.as_slice() else { panic!("four answers: {made:?}") };
    assert_eq!(list(found, "groups")[0]["name"], "Gardeners", "{found}");
    assert_eq!(*asked, json!({"state": "requested"}));
    assert_eq!(list(requests, "members")[0]["user"]["username"], "Bea", "{requests}");
    assert_eq!((&accepted["state"], &accepted["role"]), (&json!("member"), &json!("member")), "{accepted}");

    let chat = walk.step("Chat in the group").jsons();
    let [_, joined, inbox, read] = chat.as_slice() else { panic!("four answers: {chat:?}") };
    assert_eq!((number(joined, "position"), &joined["topic"]["name"]), (1, &json!("Gardeners")), "{joined}");
    let item = &list(inbox, "topics")[0];
    assert_eq!((&item["last_message"]["content"], number(item, "last_seq")), (&json!("The tomatos are ripe"), 2));
    assert!(number(item, "unread") > 0, "{item}");
    assert_eq!((number(read, "read_seq"), number(read, "unread")), (2, 0), "{read}");

    let changed = walk.step("Edit a message and remove it");
    let [edited, history] = &changed.jsons()[..] else { panic!("two answers: {changed:?}") };
    assert_eq!(edited["content"], "The tomatoes are ripe", "{edited}");
    let tombstone = &list(history, "messages")[0];
    assert_eq!((number(tombstone, "seq"), &tombstone["content"]), (2, &Value::Null), "{history}");
    assert!(tombstone["removed_at"].is_string(), "{tombstone}");

    let parted = walk.step("Remove a member and block a user");
    let printed = |step: usize, line: &str| parted.outputs[step].lines().any(|found| found == line);
    assert!(printed(0, "204") && printed(1, "404") && printed(2, "204") && printed(3, "403"), "{parted:?}");
    assert!(walk.blocks.is_empty(), "these were not tested: {:#?}", walk.blocks);
}

/// A section of a document: the shell, and the blocks that are still to be pasted, each with its heading.
struct Walk {
    shell: Shell,
    blocks: Vec<Block>,
}

/// The lines of one block of shell, and the nearest heading above it.
type Block = (String, Vec<String>);

/// The output of each line of a step. The listener's output may be between.
#[derive(Debug)]
struct Step {
    outputs: Vec<String>,
}

impl Walk {
    fn new(document: &str, heading: &str, base: &str) -> Self {
        let mut blocks = blocks(heading, section(&page(document), heading));
        let first = blocks.first_mut().unwrap_or_else(|| panic!("{heading:?} has no block of shell"));
        let line = first.1.iter_mut().find(|line| line.contains(BASE));
        let line = line.unwrap_or_else(|| panic!("{:?} does not name {BASE}", first.0));
        *line = line.replace(BASE, base);
        Self { shell: Shell::start(), blocks }
    }

    /// Pastes the next block, whose heading must be this one.
    fn step(&mut self, heading: &str) -> Step {
        assert!(!self.blocks.is_empty(), "no block is left for {heading:?}");
        let (found, lines) = self.blocks.remove(0);
        assert_eq!(found, heading, "the next step");
        let outputs = lines.iter().map(|line| self.shell.paste(line)).collect();
        Step { outputs }
    }
}

impl Step {
    fn jsons(&self) -> Vec<Value> {
        let lines = self.outputs.iter().flat_map(|output| json_lines(output));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn last_json(&self) -> Value {
        let last = self.jsons().pop();
        last.unwrap_or_else(|| panic!("no JSON in {self:#?}"))
    }
}

/// The blocks of shell of a section.
fn blocks(heading: &str, text: &str) -> Vec<Block> {
    let mut heading = heading;
    let mut blocks: Vec<Block> = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if in_block && line == "```" {
            in_block = false;
        } else if in_block && let Some((_, lines)) = blocks.last_mut() {
            lines.push(line.to_owned());
        } else if line == "```sh" {
            blocks.push((heading.to_owned(), Vec::new()));
            in_block = true;
        } else if let Some(found) = line.strip_prefix("### ") {
            heading = found;
        }
    }
    blocks
}

/// The JSON objects at the beginning of a line, as they were printed: bodies of responses. A stream's output may follow on
/// the same line, because `curl` prints the line break only afterwards.
fn json_lines(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter(|line| line.starts_with('{')).map(|line| {
        let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
        assert!(values.next().is_some_and(|value| value.is_ok()), "no JSON: {line}");
        &line[..values.byte_offset()]
    })
}
