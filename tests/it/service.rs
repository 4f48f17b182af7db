//! The service itself: its probes, its description, cross-origin requests, slow and silent peers, its log.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Connection, ServerProcess, Session, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn it_reports_that_it_is_alive_and_ready() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/healthz").send().await.status, 200);
    assert_eq!(app.get("/readyz").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_metrics_are_in_the_format_of_prometheus() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!("counted")).await;
    let reply = app.get("/metrics").send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.header("content-type").starts_with("text/plain"), "{reply:?}");
    let samples: Vec<&str> = reply.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(!samples.is_empty(), "{reply:?}");
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        assert!(!name.contains("room:lobby"), "a label for each topic would never end: {sample}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_description_is_served_as_json_and_as_yaml_and_names_every_call() {
    let app = TestApp::start().await;
    let description = app.get("/openapi.json").send().await.expect(200);
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{description}");
    let yaml = app.get("/openapi.yaml").send().await;
    assert_eq!(yaml.status, 200);
    assert!(yaml.header("content-type").contains("yaml"), "{yaml:?}");
    for (path, methods) in [
        ("/v1/sessions", &["post"][..]),
        ("/v1/session", &["get", "delete"]),
        ("/v1/session/refresh", &["post"]),
        ("/v1/session/events", &["get"]),
        ("/v1/session/topics", &["get"]),
        ("/v1/session/topics/{topic}", &["put", "delete"]),
        ("/v1/me", &["get", "patch"]),
        ("/v1/me/sessions", &["get"]),
        ("/v1/me/sessions/{session_id}", &["delete"]),
        ("/v1/me/blocks", &["get"]),
        ("/v1/me/blocks/{user_id}", &["put", "delete"]),
        ("/v1/users/{user_id}", &["get"]),
        ("/v1/topics/{topic}", &["get"]),
        ("/v1/topics/{topic}/presences", &["get"]),
        ("/v1/topics/{topic}/messages", &["get", "post"]),
        ("/v1/topics/{topic}/messages/{message_id}", &["get", "patch", "delete"]),
        ("/v1/topics/{topic}/read", &["put"]),
        ("/v1/topics/{topic}/typing", &["post"]),
        ("/v1/me/topics", &["get"]),
        ("/v1/me/groups", &["get"]),
        ("/v1/groups", &["get", "post"]),
        ("/v1/groups/{group_id}", &["get", "patch", "delete"]),
        ("/v1/groups/{group_id}/join", &["post"]),
        ("/v1/groups/{group_id}/leave", &["post"]),
        ("/v1/groups/{group_id}/members", &["get"]),
        ("/v1/groups/{group_id}/members/{user_id}", &["put", "delete"]),
        ("/v1/groups/{group_id}/members/{user_id}/promote", &["post"]),
        ("/v1/groups/{group_id}/members/{user_id}/demote", &["post"]),
        ("/v1/groups/{group_id}/members/{user_id}/ban", &["post"]),
        ("/v1/groups/{group_id}/bans/{user_id}", &["delete"]),
        ("/healthz", &["get"]),
        ("/readyz", &["get"]),
    ] {
        assert!(yaml.text().contains(path), "{path} is missing in the YAML");
        for method in methods {
            assert!(description["paths"][path][method].is_object(), "{method} {path} is missing");
        }
    }
}

/// Client generators fail on these: openapi-typescript takes a member with a default for one that is always present,
/// and openapi-python-client drops a schema that combines a choice with another schema.
#[tokio::test(flavor = "multi_thread")]
async fn its_description_holds_nothing_that_trips_generators_of_clients() {
    let app = TestApp::start().await;
    let description = app.get("/openapi.json").send().await.expect(200);
    let schemas = description["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema.get("default").is_none(), "{name}.{member} has a default: say it in its description");
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let part = part["$ref"].as_str().map_or(part, |path| &schemas[path.rsplit('/').next().unwrap()]);
            assert_eq!(part["type"], "object", "{name} joins what is not an object");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_of_its_own() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let mut ids = Vec::new();
    for path in ["/v1/me", "/v1/me", "/v1/nothing", "/healthz", "/readyz", "/metrics", "/openapi.yaml"] {
        ids.push(ana.get(path).await.header("x-request-id").to_owned());
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_origin_may_call_it() {
    let app = TestApp::start().await;
    let preflight =
        app.call(Method::OPTIONS, "/v1/topics/room:lobby/messages").header("origin", "https://page.example");
    let headers = "authorization,content-type,idempotency-key,last-event-id";
    let preflight = preflight.header("access-control-request-method", "POST");
    let reply = preflight.header("access-control-request-headers", headers).send().await;
    assert!([200, 204].contains(&reply.status), "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    let allowed = reply.header("access-control-allow-headers").to_lowercase();
    for header in headers.split(',') {
        assert!(allowed.contains(header), "{header} is missing in {allowed}");
    }
    let methods = reply.header("access-control-allow-methods");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method) || methods == "*", "{method} is missing in {methods}");
    }

    // Errors, too: a page that cannot read a 401 takes it for a network failure.
    for path in ["/v1/me", "/healthz", "/v1/nothing"] {
        let reply = app.get(path).header("origin", "https://page.example").send().await;
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{reply:?}");
        let exposed = reply.header("access-control-expose-headers").to_lowercase();
        for header in ["link", "retry-after", "x-request-id"] {
            assert!(exposed.contains(header), "{header} is missing in {exposed}");
        }
        assert_eq!(reply.header("access-control-allow-credentials"), "", "no cookie is ever used");
    }
    let ana = app.session("ana").await;
    let stream = app.get(&ana.events_url).header("origin", "https://page.example").open().await;
    assert_eq!(stream.headers()["access-control-allow-origin"], "*");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_origins_are_listed_only_they_may_call_it() {
    let app = TestApp::with(&["--cors-origins", "https://a.example,https://b.example"]).await;
    let allowed = async |origin: &str| {
        app.get("/healthz").header("origin", origin).send().await.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(allowed("https://a.example").await, "https://a.example");
    assert_eq!(allowed("https://b.example").await, "https://b.example");
    assert_ne!(allowed("https://evil.example").await, "https://evil.example");
    assert_ne!(allowed("https://evil.example").await, "*");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_hold_no_connection() {
    let app = TestApp::start().await;
    let mut connection = Connection::open(&app).await;
    let since = Instant::now();
    connection.write(b"GET /healthz HTTP/1.1\r\nhost: parlour\r\nx-slow: ").await;
    let answer = connection.read_to_end(Duration::from_secs(60)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(since.elapsed() > Duration::from_secs(5), "a slow network is no attack: {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_device_ids_never_appear_in_its_log() {
    let server = ServerProcess::start(&["--log", "debug"]).await;
    let device_id = "a device id that is a password";
    let opened = server.post("/v1/sessions").json(&json!({"device_id": device_id, "username": "ana"})).send().await;
    let ana = Session::of_answer(&server, &opened.expect(201));
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.send("room:lobby", json!("a secret between friends")).await;
    stream.messages(1).await;
    let refreshed = ana.call(Method::POST, "/v1/session/refresh").send().await.expect(200);
    server.get("/v1/session?access_token=a-token-in-the-wrong-place").send().await.refused(401);
    server.get("/v1/me").bearer("a-bearer-that-is-no-token").send().await.refused(401);
    drop(stream);
    ana.sign_out().await;
    let log = server.log();
    assert!(!log.is_empty(), "a log that says nothing shows nothing");
    let refreshed = ["token", "stream_token"].map(|name| refreshed[name].as_str().unwrap().to_owned());
    let secrets = [&ana.token, &ana.stream_token, &refreshed[0], &refreshed[1]].map(String::as_str);
    let others = [device_id, "a-token-in-the-wrong-place", "a-bearer-that-is-no-token", "a secret between friends"];
    for secret in secrets.into_iter().chain(others) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_has_made_the_next_one_finds() {
    let mut app = TestApp::start().await;
    let ana = app.session("ana").await;
    for _ in 0..3 {
        app.restart().await;
        assert_eq!(ana.get("/v1/me").await.expect(200), ana.user());
    }
}
