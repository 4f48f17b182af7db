//! The command line: help, wrong settings, and the commands beside `serve`.

use crate::support::{SECRET, Session, TestApp, TestDatabase, run_command};

const SETTINGS: [&str; 27] = [
    "LISTEN",
    "DATABASE_URL",
    "DATABASE_POOL",
    "AUTO_MIGRATE",
    "BUS",
    "DEVICE_ACCOUNTS",
    "JWT_SECRET",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "TOKEN_KEY",
    "SESSION_TTL",
    "PRESENCE_INTERVAL",
    "PRESENCE_GRACE",
    "PRESENCE_LIST",
    "LEASE",
    "STREAM_KEEPALIVE",
    "STREAM_MAX_AGE",
    "STREAM_REPLAY",
    "MAX_CONTENT_BYTES",
    "MAX_JOINS",
    "RATE_SENDS",
    "RATE_CALLS",
    "RATE_SESSIONS",
    "TRUSTED_PROXIES",
    "CORS_ORIGINS",
    "WEB_CLIENT",
    "LOG_FORMAT",
];

#[test]
fn help_names_every_command_and_every_setting_with_its_variable() {
    let mut help = String::new();
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let output = run_command(arguments, &[]);
        assert!(output.status.success(), "{output:?}");
        help.push_str(std::str::from_utf8(&output.stdout).unwrap());
    }
    for command in ["serve", "migrate", "token", "openapi"] {
        assert!(help.contains(command), "{command} is missing in {help}");
    }
    for setting in SETTINGS {
        assert!(help.contains(&format!("PARLOUR_{setting}")), "PARLOUR_{setting} is missing in {help}");
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        assert!(help.contains(&flag), "{flag} is missing in {help}");
    }
}

#[test]
fn a_wrong_setting_stops_the_start_with_a_sentence_that_names_it() {
    for (setting, value) in [
        ("LISTEN", "everywhere"),
        ("DATABASE_URL", "mysql://somewhere"),
        ("DATABASE_POOL", "many"),
        ("PRESENCE_GRACE", "soon"),
        ("STREAM_MAX_AGE", "1 fortnight"),
        ("STREAM_REPLAY", "-1"),
        ("JWT_SECRET", "too short"),
        ("RATE_SENDS", "fast"),
        ("LOG_FORMAT", "xml"),
        ("BUS", "pigeon"),
    ] {
        let variable = format!("PARLOUR_{setting}");
        let output = run_command(&["serve"], &[(&variable, value)]);
        assert!(!output.status.success(), "{variable}={value}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        assert!(said.contains(&variable) || said.contains(&flag), "{variable}={value} is not named: {said}");
        assert!(!said.contains("panicked"), "{said}");
        if setting == "JWT_SECRET" {
            assert!(!said.contains(value), "a secret is not shown: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_prints_what_is_served_and_what_is_committed() {
    let app = TestApp::start().await;
    let output = run_command(&["openapi"], &[]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let committed = std::fs::read_to_string(committed).expect("openapi.yaml is committed");
    assert!(printed == committed, "openapi.yaml is not what the code says: parlour openapi > openapi.yaml");
    assert!(app.get("/openapi.yaml").send().await.text() == committed, "what is served is what is committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_mints_a_user_token_where_a_secret_is_configured() {
    let app = TestApp::with(&["--jwt-secret", SECRET]).await;
    let output = run_command(&["token", "--user", "ana"], &[("PARLOUR_JWT_SECRET", SECRET)]);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(Session::of_token(&app, token.trim()).await.user_id, "ana");

    let without = run_command(&["token", "--user", "ana"], &[]);
    assert!(!without.status.success(), "{without:?}");
    let malformed = run_command(&["token", "--user", "a b"], &[("PARLOUR_JWT_SECRET", SECRET)]);
    assert!(!malformed.status.success(), "{malformed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_instances_may_migrate_one_empty_database_at_once() {
    let database = TestDatabase::create().await;
    // SQLite allows one process only.
    let at_once = if database.url().starts_with("sqlite") { 1 } else { 4 };
    for _ in 0..2 {
        let migrations = (0..at_once).map(|_| {
            let url = database.url();
            tokio::task::spawn_blocking(move || run_command(&["migrate"], &[("PARLOUR_DATABASE_URL", url.as_str())]))
        });
        for output in futures_util::future::join_all(migrations).await {
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_migrating_is_a_step_of_its_own_an_instance_must_not_change_tables() {
    let Some(database) = TestDatabase::shared().await else { return };
    let url = database.url();
    let role = format!("clerk_of_{}", url.rsplit('/').next().unwrap());
    let as_clerk = url.replace("parlour@", &format!("{role}@"));
    database.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    let flags = [("PARLOUR_DATABASE_URL", as_clerk.as_str()), ("PARLOUR_AUTO_MIGRATE", "false")];
    let early = run_command(&[], &flags);
    assert!(String::from_utf8_lossy(&early.stderr).contains("parlour migrate"), "{early:?}");
    assert!(run_command(&["migrate"], &[("PARLOUR_DATABASE_URL", url.as_str())]).status.success());
    for sql in [
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO",
    ] {
        database.execute(&format!("{sql} {role}")).await;
    }
    let app = TestApp::on(database.clone(), &["--database-url", &as_clerk, "--auto-migrate", "false"]).await;
    let ana = app.session("Ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", serde_json::json!("hello")).await;
    drop(app);
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
