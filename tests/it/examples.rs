//! The examples do what they say, as programs of their own: over restarts of the service and of themselves.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::{ServerProcess, Session, number, seqs, tools};

const ROOM: &str = "room:lobby";

/// The longest wait for what is bound to come: pauses between attempts grow to some seconds.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// An example that runs, in a process group of its own, with what it prints and complains about in files.
struct Example {
    child: Child,
    folder: TempDir,
}

impl Example {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        command.stdout(file("printed")).stderr(file("complaints")).process_group(0);
        Self { child: command.spawn().unwrap(), folder }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn printed(&self) -> String {
        self.read("printed")
    }

    /// All that it has to say, for a test that fails.
    fn told(&self) -> String {
        [self.printed(), self.read("complaints")].concat()
    }

    /// Sends a signal to the process, as `kill` does.
    fn signal(&self, name: &str) {
        assert!(tools::program("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < RUN_TIMEOUT, "it still runs:\n{}", self.told());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The processes of its group that still run.
    fn left(&self) -> String {
        let group = self.child.id().to_string();
        let output = tools::program("ps").args(["-e", "-o", "pgid=,stat=,args="]).output().unwrap();
        let processes = String::from_utf8_lossy(&output.stdout).into_owned();
        let of_group = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some(&group) && words.next().is_some_and(|state| !state.starts_with('Z'))
        };
        processes.lines().filter(of_group).collect()
    }

    /// Waits until this holds.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let since = Instant::now();
        while !holds().await {
            assert!(since.elapsed() < RUN_TIMEOUT, "{what}, it does not come about:\n{}", self.told());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(std::process::Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn bot(server: &ServerProcess) -> Example {
    tools::program("jq");
    // Whoever runs the tests in the background may have them started with SIGINT ignored.
    let mut command = tools::program("env");
    command.args(["--default-signal=INT", "bash"]).arg(tools::file("examples/bot.sh")).arg(ROOM);
    command.env("BASE", server.base());
    Example::start(command)
}

/// Asks for a roll whose answer no other one has.
async fn ask(session: &Session, number: u64) {
    session.send(ROOM, json!({"text": format!("!roll {number}d1")})).await;
}

/// The replies of the bot, in order: the sum of each roll.
async fn answers(session: &Session) -> Vec<u64> {
    let history = session.whole_history(ROOM).await;
    let said = history.iter().filter(|message| message["sender"]["username"] == "Bot");
    let texts = said.filter_map(|message| message["content"]["text"].as_str());
    texts.filter_map(|text| text.split_once(" makes ")?.1.trim_end_matches('.').parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_answers_each_command_once_whatever_happens_to_the_service() {
    let mut server = ServerProcess::start(&[]).await;
    let ana = server.session("ana").await;
    ana.join(ROOM).await;
    let mut bot = bot(&server);
    bot.until("it joins", async || ana.present(ROOM).await.len() == 2).await;

    for asked in 1..=3 {
        ask(&ana, asked).await;
    }
    bot.until("it answers", async || answers(&ana).await.len() == 3).await;
    for asked in 4..=8 {
        ask(&ana, asked).await;
    }
    server.kill9(); // while it answers
    server.restart().await;
    ask(&ana, 9).await;
    bot.until("it answers after a crash", async || answers(&ana).await.len() >= 9).await;
    assert!(server.terminate().await.success());
    server.restart().await;
    ask(&ana, 10).await;
    bot.until("it answers after a restart", async || answers(&ana).await.contains(&10)).await;
    assert_eq!(answers(&ana).await, (1..=10).collect::<Vec<_>>());

    bot.signal("-INT");
    assert!(bot.ended().await.success(), "{}", bot.told());
    assert_eq!(bot.left(), "", "no process is left");
    assert_eq!(ana.present(ROOM).await, [ana.id.clone()], "it has signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_is_moved_by_nothing_but_its_commands() {
    let server = ServerProcess::start(&[]).await;
    let ana = server.session("ana").await;
    ana.join(ROOM).await;
    let bot = bot(&server);
    bot.until("it joins", async || ana.present(ROOM).await.len() == 2).await;
    let hostile = [
        json!(null),
        json!("$(exit 7)"),
        json!("!time; id"),
        json!("!roll 0d6"),
        json!("!roll 100d6"),
        json!({"text": ["!time"]}),
        json!("\u{0}!time"),
        json!("!help\n!time"),
        json!("!roll `id`d6"),
        json!({"text": "!time", "nested": [[[[1e300]]]]}),
        json!("!help"),
        json!("!roll 99d1"),
    ];
    for content in hostile {
        ana.send(ROOM, content).await;
    }
    bot.until("it answers", async || answers(&ana).await == [99]).await;
    let said = ana.whole_history(ROOM).await;
    let said: Vec<&Value> = said.iter().filter(|message| message["sender"]["username"] == "Bot").collect();
    assert_eq!(said.len(), 3, "the time, the help and the dice: {said:?}\n{}", bot.told());
}

fn listener(server: &ServerProcess, position: &Path) -> Example {
    let mut command = tools::program("python3");
    command.arg(tools::file("examples/listener.py")).args([ROOM, "--base", server.base(), "--position"]).arg(position);
    Example::start(command)
}

/// The messages among the lines that listeners have printed.
fn messages(printed: &str) -> Vec<Value> {
    let lines =
        printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    lines.filter(|line| line["event"] == "message").map(|line| line["data"].clone()).collect()
}

/// The number of the last message that the listener has printed and put down in its file.
fn read_so_far(position: &Path) -> u64 {
    let text = std::fs::read_to_string(position).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map_or(0, |position| position["seq"].as_u64().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_prints_each_message_once_over_restarts_of_either() {
    let mut server = ServerProcess::start(&["--stream-replay", "20"]).await;
    let ana = server.session("ana").await;
    ana.join(ROOM).await;
    let folder = tempfile::tempdir().unwrap();
    let position = folder.path().join("position.json");

    let first = listener(&server, &position);
    first.until("it joins", async || ana.present(ROOM).await.len() == 2).await;
    ana.send_numbers(ROOM, 1..=5).await;
    first.until("it reads", async || read_so_far(&position) == 5).await;
    server.kill9();
    server.restart().await;
    ana.send_numbers(ROOM, 6..=10).await;
    first.until("it reads after a crash", async || read_so_far(&position) == 10).await;
    first.signal("-KILL");
    let mut printed = first.printed();

    // More than a stream replays, and a service that was down meanwhile.
    ana.send_numbers(ROOM, 11..=60).await;
    assert!(server.terminate().await.success());
    let second = listener(&server, &position);
    server.restart().await;
    ana.send_numbers(ROOM, 61..=65).await;
    second.until("it reads what was a gap", async || read_so_far(&position) == 65).await;

    // Signed out by somebody else, with its own token.
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&position).unwrap()).unwrap();
    let token = kept["token"].as_str().unwrap();
    server.call(Method::DELETE, "/v1/session").bearer(token).send().await.expect(204);
    ana.send_numbers(ROOM, 66..=70).await;
    second.until("it reads in a new session", async || read_so_far(&position) == 70).await;
    printed.push_str(&second.printed());

    let messages = messages(&printed);
    assert_eq!(seqs(&messages), (1..=70).collect::<Vec<_>>());
    assert!(messages.iter().all(|message| number(message, "content") == number(message, "seq")), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_prints_a_content_as_it_was_sent_whether_streamed_or_read_as_history() {
    let server = ServerProcess::start(&["--stream-replay", "1"]).await;
    let ana = server.session("ana").await;
    ana.join(ROOM).await;
    let folder = tempfile::tempdir().unwrap();
    let position = folder.path().join("position.json");
    let contents = ["1.10", "1e400", "123456789012345678901234567890", "\"\\u0000\\n]},{\"", "{\"a\":[\"\u{202e}\"]}"];
    let send = async || {
        for content in contents {
            let call = ana.call(Method::POST, "/v1/topics/room:lobby/messages");
            let reply = call.body(format!("{{\"content\": {content}}}")).send().await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
    };
    let first = listener(&server, &position);
    first.until("it joins", async || ana.present(ROOM).await.len() == 2).await;
    send().await;
    first.until("it reads", async || read_so_far(&position) == 5).await;
    first.signal("-KILL");
    send().await;
    let second = listener(&server, &position);
    second.until("it reads what was a gap", async || read_so_far(&position) == 10).await;
    for printed in [first.printed(), second.printed()] {
        for content in contents {
            assert!(printed.contains(&format!("\"content\":{content},")), "{content} in {printed}");
        }
    }
}

#[test]
fn the_page_has_30_lines_and_needs_nothing_else() {
    let page = std::fs::read_to_string(tools::file("examples/page.html")).unwrap();
    assert!(page.lines().count() <= 30, "{} lines", page.lines().count());
    for foreign in ["src=", "href=", "import ", "innerHTML", "insertAdjacentHTML", "document.write"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
