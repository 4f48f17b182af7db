//! The README keeps its word: its walk-through is pasted into `bash` as it stands, line by line, and its table of settings
//! is what `parlour --help` says.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{TestApp, list, number, run_command, seqs, text};

const WALK: &str = "## A first chat, with curl";
const GROUP_WALK: &str = "## Two users and a group, with curl";
const BASE: &str = "BASE=http://127.0.0.1:8080";
/// How long a line may take; the slowest listens for three seconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_works_when_pasted_line_by_line() {
    let app = TestApp::start().await;
    let base = app.base().to_owned();
    tokio::task::spawn_blocking(move || walk(&base)).await.unwrap();
}

fn walk(base: &str) {
    let mut walk = Walk::new(WALK, base);

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

    let poll = walk.step("Poll, where streaming is impossible").last_json();
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
    let app = TestApp::start().await;
    let base = app.base().to_owned();
    tokio::task::spawn_blocking(move || group_walk(&base)).await.unwrap();
}

fn group_walk(base: &str) {
    let mut walk = Walk::new(GROUP_WALK, base);
    walk.step("Open two sessions");
    let made = walk.step("Make a group, and let somebody in").jsons();
    let [found, asked, requests, accepted] = made.as_slice() else { panic!("four answers: {made:?}") };
    assert_eq!(list(found, "groups")[0]["name"], "Gardeners", "{found}");
    assert_eq!(*asked, json!({"state": "requested"}));
    assert_eq!(list(requests, "members")[0]["user"]["username"], "Bea", "{requests}");
    assert_eq!((&accepted["state"], &accepted["role"]), (&json!("member"), &json!("member")), "{accepted}");

    let chat = walk.step("Chat in it").jsons();
    let [_, joined, inbox, read] = chat.as_slice() else { panic!("four answers: {chat:?}") };
    assert_eq!((number(joined, "position"), &joined["topic"]["name"]), (1, &json!("Gardeners")), "{joined}");
    let item = &list(inbox, "topics")[0];
    assert_eq!((&item["last_message"]["content"], number(item, "last_seq")), (&json!("The tomatos are ripe"), 2));
    assert!(number(item, "unread") > 0, "{item}");
    assert_eq!((number(read, "read_seq"), number(read, "unread")), (2, 0), "{read}");

    let changed = walk.step("Change a message, and remove it");
    let [edited, history] = &changed.jsons()[..] else { panic!("two answers: {changed:?}") };
    assert_eq!(edited["content"], "The tomatoes are ripe", "{edited}");
    let tombstone = &list(history, "messages")[0];
    assert_eq!((number(tombstone, "seq"), &tombstone["content"]), (2, &Value::Null), "{history}");
    assert!(tombstone["removed_at"].is_string(), "{tombstone}");

    let parted = walk.step("Part");
    let says = |step: usize, line: &str| parted.outputs[step].lines().any(|printed| printed == line);
    assert!(says(0, "204") && says(1, "404") && says(2, "204") && says(3, "403"), "{parted:?}");
    assert!(walk.blocks.is_empty(), "these were not tested: {:#?}", walk.blocks);
}

#[test]
fn the_table_of_settings_is_what_help_says() {
    let output = run_command(&["--help"], &[]);
    assert!(output.status.success(), "{output:?}");
    let help = settings_of_help(std::str::from_utf8(&output.stdout).unwrap());
    assert!(!help.is_empty());
    assert_eq!(settings_of_readme(), help, "the README on the left, --help on the right");
}

/// A setting: its variable, its flag, its default.
type Setting = [String; 3];

fn settings_of_readme() -> Vec<Setting> {
    let readme = readme();
    let rows = section(&readme, "## Settings").lines().filter(|line| line.starts_with("| `PARLOUR_"));
    let settings = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a variable, a flag, a default, a text: {row}");
        assert!(!cells[3].is_empty(), "{row}");
        [0, 1, 2].map(|cell| cells[cell].replace('`', ""))
    });
    settings.collect()
}

/// Where help names no default, the README says none.
fn settings_of_help(help: &str) -> Vec<Setting> {
    let options = help.split("\n      --").skip(1);
    let settings = options.map(|option| {
        let option = option.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = |label: &str| {
            let (_, rest) = option.split_once(&format!("[{label}: "))?;
            rest.split(']').next()
        };
        let variable = told("env").unwrap_or_else(|| panic!("no variable: {option}"));
        let flag = option.split(' ').next().unwrap_or_default();
        let default = told("default").unwrap_or("none");
        [variable.trim_end_matches('=').to_owned(), format!("--{flag}"), default.to_owned()]
    });
    settings.collect()
}

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between this heading of the second level and the next one.
fn section<'a>(readme: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        readme.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("the README has no section {heading:?}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The walk-through on its way: the shell, and the blocks of it that are still to come, each with its heading.
struct Walk {
    shell: Shell,
    blocks: Vec<(String, Vec<String>)>,
}

/// What each line of a step has printed. The listener's output may stand between.
#[derive(Debug)]
struct Step {
    outputs: Vec<String>,
}

impl Walk {
    fn new(heading: &str, base: &str) -> Self {
        let readme = readme();
        let steps = section(&readme, heading).split("\n### ").skip(1);
        let mut blocks: Vec<_> = steps.map(block).collect();
        let first = blocks.first_mut().unwrap_or_else(|| panic!("{heading} has no steps"));
        let line = first.1.iter_mut().find(|line| *line == BASE);
        *line.unwrap_or_else(|| panic!("{:?} does not say {BASE}", first.0)) = format!("BASE={base}");
        Self { shell: Shell::start(), blocks }
    }

    /// Pastes the next block, which must stand under this heading.
    fn step(&mut self, heading: &str) -> Step {
        assert!(!self.blocks.is_empty(), "the README has no step {heading:?}");
        let (found, lines) = self.blocks.remove(0);
        assert_eq!(found, heading, "the README's next step");
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

/// A step's heading and the lines of its one block of shell.
fn block(step: &str) -> (String, Vec<String>) {
    let heading = step.lines().next().unwrap_or_default().to_owned();
    let mut fenced = step.split("\n```sh\n").skip(1);
    let block = fenced.next().and_then(|block| block.split_once("\n```"));
    let (block, _) = block.unwrap_or_else(|| panic!("{heading:?} has no block of shell"));
    assert_eq!(fenced.count(), 0, "{heading:?} has more than one block of shell");
    (heading, block.lines().map(str::to_owned).collect())
}

/// The JSON objects that begin a line, as they were printed: answers' bodies, and nothing of a stream, which may follow
/// on the same line, as `curl` ends it only afterwards.
fn json_lines(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter(|line| line.starts_with('{')).map(|line| {
        let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
        assert!(values.next().is_some_and(|value| value.is_ok()), "no JSON: {line}");
        &line[..values.byte_offset()]
    })
}

/// One `bash`, whose children write to the same pipe as itself.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    chunks: Receiver<Vec<u8>>,
    seen: String,
    pasted: usize,
    /// Home and temporary files.
    _folder: TempDir,
}

impl Shell {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .env("HOME", folder.path())
            .env("CURL_HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the walk-through needs bash: {error}"));
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, chunks) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut shell = Self { child, stdin, chunks, seen: String::new(), pasted: 0, _folder: folder };
        // What an interactive shell has and this one lacks: jobs, and `!` as history's sign.
        shell.paste("exec 2>&1; set -o monitor -o history -o histexpand");
        shell
    }

    /// Runs a line to its end, and answers what has been printed meanwhile. A line that fails fails the test, except a
    /// `curl` that was told how long to listen.
    fn paste(&mut self, line: &str) -> String {
        self.pasted += 1;
        let (number, from) = (self.pasted, self.seen.len());
        writeln!(self.stdin, "{line}\nprintf '\\n<line {number} ended: %s>\\n' $?").unwrap();
        let mark = format!("\n<line {number} ended: ");
        let end = self.until_after(&mark, from);
        self.until_after(">\n", end);
        let status = self.seen[end + mark.len()..].split('>').next();
        let fine = if line.contains("--max-time") { "28" } else { "0" };
        assert_eq!(status, Some(fine), "the exit code of {line}\n{}", self.seen);
        self.seen[from..end].to_owned()
    }

    /// Waits for this to be printed, unless it has been already.
    fn until(&mut self, text: &str) {
        self.until_after(text, 0);
    }

    /// Waits for this to be printed at or behind a place, and answers where it begins.
    fn until_after(&mut self, text: &str, from: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[from..].find(text) {
                return from + at;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(chunk) = self.chunks.recv_timeout(left) else {
                panic!("{text:?} is not printed within {PATIENCE:?}, only:\n{}", self.seen);
            };
            // A walk-through in ASCII: no character is cut by a chunk's end.
            self.seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
