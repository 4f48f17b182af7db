//! The client module in pages without other scripts: its events of a topic are complete and in order.

use std::time::Duration;

use serde_json::{Value, json};

use super::NETWORK_ERRORS;
use crate::support::{Api, Chromium, Screen, ServerProcess, Session, Tab, TestApp, number, tools};

const ROOM: &str = "room:lobby";

/// Opens a page without scripts, from the service or elsewhere, and starts a client in it that joins the room and records
/// its events: `events` has `[kind, seq]` of each. `options` are JavaScript.
async fn open_client(tab: &Tab, page: &Api, service: &Api, options: &str) {
    tab.go_to(&format!("{}/openapi.json", page.base())).await;
    start_client(tab, service, options).await;
}

async fn start_client(tab: &Tab, service: &Api, options: &str) {
    let script = format!(
        "const {{ Parlour }} = await import('{base}/parlour.js'); \
         window.events = []; window.states = []; \
         window.parlour = new Parlour({{ url: '{base}', username: 'Page', ...{options} }}); \
         for (const kind of ['message', 'edit', 'removal']) \
             parlour.addEventListener(kind, ({{ detail }}) => events.push([kind, detail.seq])); \
         parlour.addEventListener('gap', ({{ detail }}) => events.push(['gap', detail.from_seq, detail.to_seq, detail.pruned])); \
         parlour.addEventListener('left', ({{ detail }}) => events.push(['left', detail.reason])); \
         parlour.addEventListener('state', ({{ detail }}) => states.push(detail.state)); \
         await parlour.open(); \
         window.room = await parlour.join('{ROOM}'); return null",
        base = service.base()
    );
    tab.run(&script).await;
    tab.until("parlour.state === 'live'").await;
}

async fn events(tab: &Tab) -> Value {
    tab.run("return events").await
}

fn messages(seqs: impl IntoIterator<Item = u64>) -> Value {
    seqs.into_iter().map(|seq| json!(["message", seq])).collect()
}

/// Opens a session that has joined the room, to send to it.
async fn sender(api: &Api) -> Session {
    let session = Session::of_device(api, "bot").await;
    session.join(ROOM).await;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_receives_all_events_in_order() {
    let app = TestApp::start().await;
    let elsewhere = TestApp::start().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &elsewhere, &app, "{}").await;
    let bot = sender(&app).await;
    tab.until("room.presenceCount === 2 && [...room.presences.values()].some(({ username }) => username === 'bot')")
        .await;
    let sent = bot.send(ROOM, json!("one")).await;
    let path = format!("/v1/topics/{ROOM}/messages/{}", sent["id"].as_str().unwrap());
    bot.patch(&path, &json!({"content": "uno"})).await.expect(200);
    bot.delete(&path).await.expect(204);
    // Sends are stored in the order of the calls, although no call waits for the one before it.
    let own = tab.run("return (await Promise.all([4, 5, 6, 7].map((seq) => room.send(seq)))).map(({ seq, content }) => seq === content)").await;
    assert_eq!(own, json!([true, true, true, true]));
    tab.until("events.length === 7").await;
    let expected = json!([
        ["message", 1],
        ["edit", 2],
        ["removal", 3],
        ["message", 4],
        ["message", 5],
        ["message", 6],
        ["message", 7]
    ]);
    assert_eq!(events(&tab).await, expected);
    bot.leave(ROOM).await;
    tab.until("room.presenceCount === 1").await;
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_leaves_out_is_read_from_history_and_what_is_too_much_is_a_gap() {
    let app = TestApp::with(&["--stream-replay", "5"]).await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &app, &app, "{ fill: 250 }").await;
    let bot = sender(&app).await;
    let away = async |count: u64| {
        tab.run("parlour.close(); return null").await;
        for number in 0..count {
            bot.send(ROOM, json!(number)).await;
        }
        tab.run("await parlour.open(); return null").await;
    };
    away(220).await;
    tab.until("events.length === 220").await;
    assert_eq!(events(&tab).await, messages(1..=220));
    tab.run("events.length = 0; return null").await;
    away(300).await;
    tab.until("events.length === 256").await;
    let events = events(&tab).await;
    assert_eq!(
        events[0],
        json!(["gap", 221, 265, false]),
        "all but the last 250 before what the stream has, which is 5"
    );
    assert_eq!(json!(events.as_array().unwrap()[1..]), messages(266..=520));
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_goes_on_where_the_page_was() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &app, &app, "{ share: false }").await;
    let bot = sender(&app).await;
    bot.send(ROOM, json!("before")).await;
    tab.until("events.length === 1").await;
    let session = tab.run("return parlour.session.id").await;
    tab.go_to("about:blank").await;
    for number in 0..3 {
        bot.send(ROOM, json!(number)).await;
    }
    open_client(&tab, &app, &app, "{ share: false }").await;
    tab.until("events.length === 3").await;
    assert_eq!(events(&tab).await, messages(2..=4));
    assert_eq!(tab.run("return parlour.session.id").await, session);
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_expired_is_followed_by_a_new_one_and_nothing_is_missed() {
    let server = ServerProcess::start(&["--session-ttl", "10s"]).await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &server, &server, "{}").await;
    // Only a refresh makes a session live longer than its 10 s. On a busy machine the first session may expire before.
    tab.until("Date.parse(parlour.session.expires_at) - Date.parse(parlour.session.created_at) > 12_000").await;
    let first = tab.run("return parlour.session.id").await;
    tab.set_frozen(true).await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    let bot = sender(&server).await;
    bot.send(ROOM, json!("while it slept")).await;
    tab.set_frozen(false).await;
    tab.until("events.length === 1 && parlour.state === 'live'").await;
    assert_ne!(tab.run("return parlour.session.id").await, first);
    bot.send(ROOM, json!("and live again")).await;
    tab.until("events.length === 2").await;
    assert_eq!(events(&tab).await, messages(1..=2));
    tab.expect_clean_console(&["401", NETWORK_ERRORS[0]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_meets_no_service_is_stored_once_when_there_is_one() {
    let mut server = ServerProcess::start(&[]).await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &server, &server, "{}").await;
    server.kill9();
    tab.run("window.sent = Promise.all(['a', 'b', 'c'].map((text) => room.send(text))); return null").await;
    tab.until("parlour.state === 'waiting'").await;
    server.restart().await;
    assert_eq!(tab.run("return (await sent).map(({ seq }) => seq)").await, json!([1, 2, 3]));
    tab.until("events.length === 3").await;
    assert_eq!(events(&tab).await, messages(1..=3));
    let bot = sender(&server).await;
    assert_eq!(bot.history(ROOM, "").await.messages.len(), 3);
    tab.expect_clean_console(&NETWORK_ERRORS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_why_a_topic_or_its_session_is_over() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &app, &app, "{}").await;
    let bot = sender(&app).await;
    let group = bot.post("/v1/groups", &json!({"name": "Gardeners"})).await.expect(201);
    let topic = group["topic"].as_str().unwrap();
    let me = tab.run("return parlour.user.user_id").await;
    bot.put(&format!("/v1/groups/{}/members/{}", group["id"].as_str().unwrap(), me.as_str().unwrap()), &Value::Null)
        .await;
    tab.run(&format!("await parlour.join('{topic}'); return null")).await;
    bot.delete(&format!("/v1/groups/{}", group["id"].as_str().unwrap())).await.expect(204);
    tab.until("events.some(([kind, reason]) => kind === 'left' && reason === 'group_deleted')").await;
    assert_eq!(tab.run("return [...parlour.topics.keys()]").await, json!([ROOM]));

    // Another stream of the same session replaces this one.
    let token = tab.run("return JSON.parse(localStorage[Object.keys(localStorage).find((key) => localStorage[key].includes('token'))]).token").await;
    let poll = app.call(reqwest::Method::GET, "/v1/session/events").bearer(token.as_str().unwrap());
    poll.header("accept", "application/json").send().await.expect(200);
    tab.until("parlour.state === 'ended' && parlour.reason === 'replaced'").await;
    tab.run("await parlour.open(); return null").await;
    tab.until("parlour.state === 'live'").await;
    tab.run("await parlour.signOut(); return null").await;
    tab.until("parlour.state === 'ended' && parlour.reason === 'signed_out'").await;
    assert_eq!(tab.run("return room.send('x').then(() => 'sent', ({ code }) => code)").await, json!("ended"));
    tab.expect_clean_console(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_is_a_window_that_moves_both_ways() {
    let app = TestApp::start().await;
    let chromium = Chromium::start().await;
    let bot = sender(&app).await;
    let mut ids = Vec::new();
    for number in 1..=100u64 {
        ids.push(bot.send(ROOM, json!(number)).await["id"].as_str().unwrap().to_owned());
    }
    let tab = chromium.open(Screen::Desktop).await;
    open_client(&tab, &app, &app, "{}").await;
    let ends = "return [line.messages[0].seq, line.messages.at(-1).seq, line.atStart, line.atEnd]";
    tab.run("window.line = room.timeline({ page: 20, keep: 60 }); await line.open(); return null").await;
    assert_eq!(tab.run(ends).await, json!([81, 100, false, true]));
    for _ in 0..4 {
        tab.run("await line.older(); return null").await;
    }
    assert_eq!(tab.run(ends).await, json!([1, 60, false, false]), "the newest were dropped for the oldest");
    tab.run("await line.older(); return null").await;
    assert_eq!(tab.run("return line.atStart").await, json!(true));
    bot.send(ROOM, json!("new")).await;
    tab.until("line.newerCount === 1").await;
    for _ in 0..3 {
        tab.run("await line.newer(); return null").await;
    }
    assert_eq!(tab.run(ends).await, json!([42, 101, false, true]));
    tab.run("await line.open({ seq: 30 }); return null").await;
    assert_eq!(tab.run(ends).await, json!([10, 49, false, false]));

    tab.run("await line.open(); return null").await;
    bot.patch(&format!("/v1/topics/{ROOM}/messages/{}", ids[99]), &json!({"content": "edited"})).await.expect(200);
    bot.delete(&format!("/v1/topics/{ROOM}/messages/{}", ids[98])).await.expect(204);
    tab.until("line.messages.some(({ content }) => content === 'edited') && line.messages.some(({ removed_at }) => removed_at)").await;
    tab.run("window.maxShown = 0; line.addEventListener('change', () => \
             (maxShown = Math.max(maxShown, [...line.messages, ...line.pending].filter(({ content }) => content === 'mine').length))); \
             await line.send('mine'); return null").await;
    tab.until("line.pending.length === 0 && line.messages.at(-1).content === 'mine'").await;
    assert_eq!(tab.run("return maxShown").await, json!(1), "never shown twice");
    tab.run("await parlour.leave(room.id); await line.send('too late'); return null").await;
    assert_eq!(
        tab.run("return line.pending.map(({ state, error }) => [state, error.code])").await,
        json!([["failed", "not_joined"]])
    );
    tab.run("line.discard(line.pending[0].key); return null").await;
    assert_eq!(tab.run("return line.pending").await, json!([]));
    tab.expect_clean_console(&["409"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_runs_in_node_as_well() {
    let app = TestApp::start().await;
    let script = format!(
        "import {{ Parlour }} from {:?}; \
         const parlour = new Parlour({{ url: '{}', username: 'Node' }}); \
         await parlour.open(); \
         const room = await parlour.join('{ROOM}'); \
         const received = new Promise((resolve) => room.addEventListener('message', ({{ detail }}) => resolve(detail))); \
         const sent = await room.send('from node'); \
         if ((await received).id !== sent.id) process.exit(1); \
         await parlour.signOut();",
        tools::file("web/parlour.js"),
        app.base()
    );
    let mut command = tools::program("node");
    command.args(["--input-type=module", "--eval", &script]);
    tools::run(command).await;
    let bot = sender(&app).await;
    assert_eq!(number(&bot.history(ROOM, "").await.messages[0], "seq"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_are_those_of_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let program = "import { Parlour, ParlourError, Timeline, Topic, type Message } from 'parlour';\n\
                   const parlour = new Parlour({ username: 'Ana', fill: 10 });\n\
                   parlour.addEventListener('state', ({ detail }) => { const state: 'connecting' | 'live' | 'waiting' | 'ended' = detail.state; void state; });\n\
                   const topic: Topic = await parlour.join('room:lobby');\n\
                   topic.addEventListener('message', ({ detail }) => { const message: Message = detail; void message.seq; });\n\
                   // @ts-expect-error no such event\n\
                   topic.addEventListener('nothing', ({ detail }) => { void detail; });\n\
                   const line: Timeline = topic.timeline({ page: 10 });\n\
                   await line.open({ seq: 3 });\n\
                   try { await topic.send({ text: 'x' }); } catch (error) { if (error instanceof ParlourError) void error.code; }\n";
    let path = folder.path().join("program.ts");
    std::fs::write(&path, program).unwrap();
    let config = json!({"compilerOptions": {"noEmit": true, "strict": true, "target": "es2022", "module": "esnext",
        "moduleResolution": "bundler", "lib": ["es2022", "dom"], "types": [],
        "paths": {"parlour": [tools::file("web/parlour.d.ts")]}}, "files": ["program.ts"]});
    std::fs::write(folder.path().join("tsconfig.json"), config.to_string()).unwrap();
    let mut tsc = tools::npm_tool("tsc");
    tsc.arg("--project").arg(folder.path());
    tools::run(tsc).await;

    // The module has every member that the types declare.
    let types = std::fs::read_to_string(tools::file("web/parlour.d.ts")).unwrap();
    let members = |class: &str| -> Vec<String> {
        let body = types.split(&format!("export class {class} ")).nth(1).unwrap().split("\n}\n").next().unwrap();
        let names = body.lines().filter_map(|line| {
            let line = line.strip_prefix("  ")?.trim_start_matches("readonly ");
            let end = line.find(['(', ':', '<', '?'])?;
            line[..end].chars().all(|sign| sign.is_ascii_alphanumeric()).then(|| line[..end].to_owned())
        });
        names.filter(|name| name != "constructor" && !name.is_empty()).collect()
    };
    let classes: Value = ["Parlour", "Topic", "Timeline"].iter().map(|class| json!([class, members(class)])).collect();
    let script = format!(
        "import * as all from {:?}; \
         const topic = new all.Topic('room:x', new EventTarget()); \
         const made = {{ Parlour: new all.Parlour({{ url: 'http://x' }}), Topic: topic, Timeline: topic.timeline() }}; \
         for (const [name, members] of {classes}) {{ \
             if (members.length < 8) throw new Error(`too few: ${{members}}`); \
             for (const member of members) if (!(member in made[name])) throw new Error(`${{name}}.${{member}}`); }} \
         if (!(new all.ParlourError(0, 'network', 'x').retryable)) throw new Error('retryable');",
        tools::file("web/parlour.js")
    );
    let mut node = tools::program("node");
    node.args(["--input-type=module", "--eval", &script]);
    tools::run(node).await;
}
