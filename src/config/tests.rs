use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config(flags: &[&str]) -> Config {
    Config::from_flags(flags).expect("these flags are right")
}

fn refusal(flags: &[&str]) -> String {
    Config::from_flags(flags).expect_err("these flags are wrong").to_string()
}

#[test]
fn without_a_setting_the_defaults_of_the_contract_hold() {
    let config = config(&[]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url.expose_secret(), "sqlite://parlour.db?mode=rwc");
    assert!(matches!(config.bus, BusSetting::Local));
    assert!(config.auto_migrate && config.device_accounts && config.web_client);
    assert_eq!(config.session_ttl, DAY);
    assert_eq!(config.stream_replay, 1000);
    assert_eq!(config.max_content_bytes, 16_384);
    assert_eq!(config.rate_sends.map(|rate| (rate.count.get(), rate.per)), Some((20, Duration::from_secs(1))));
    assert_eq!(config.cors_origins, CorsOrigins::Any);
    assert_eq!((config.history_ttl, config.log_format), (None, LogFormat::Text));
}

#[test]
fn a_port_alone_opens_every_address_and_listen_goes_before_it() {
    assert_eq!(config(&["--port", "9000"]).listen.to_string(), "0.0.0.0:9000");
    // Old container links set PORT to a URL. It is ignored if the address is given.
    assert_eq!(config(&["--port", "tcp://x", "--listen", "[::1]:1"]).listen.to_string(), "[::1]:1");
    assert!(refusal(&["--port", "tcp://x"]).starts_with("PORT "));
}

#[test]
fn each_wrong_value_is_refused_by_the_name_of_its_setting() {
    let wrong = [
        ("listen", "localhost"),
        ("database-url", "mysql://x"),
        ("database-url", "sqlite::memory:"),
        ("database-pool", "1"),
        ("auto-migrate", "perhaps"),
        ("bus", "kafka://x"),
        ("bus", "nats://h:4222"),
        ("bus", "postgres://h/d"),
        ("bus", "postgres"),
        ("device-accounts", "maybe"),
        ("device-accounts", "off"),
        ("jwt-secret", "short"),
        ("jwt-secret", ""),
        ("jwt-jwks", " "),
        ("jwt-issuer", "https://login"),
        ("jwt-audience", "chat"),
        ("token-key", "short"),
        ("session-ttl", "24"),
        ("presence-interval", "0s"),
        ("presence-grace", "99ms"),
        ("presence-list", "10001"),
        ("lease", "999ms"),
        ("stream-keepalive", "-1s"),
        ("stream-max-age", "8d"),
        ("stream-replay", "0"),
        ("max-content-bytes", "1048577"),
        ("max-joins", "many"),
        ("rate-sends", "0/s"),
        ("rate-calls", "20"),
        ("rate-sessions", "20/d"),
        ("trusted-proxies", "10.0.0.0/33"),
        ("cors-origins", "https://a.example/path"),
        ("cors-origins", ""),
        ("web-client", "maybe"),
        ("history-ttl", "never"),
        ("log", "parlour=loud"),
        ("log-format", "xml"),
    ];
    for (flag, value) in wrong {
        let sentence = refusal(&[&format!("--{flag}={value}")]);
        let name = format!("PARLOUR_{}", flag.to_uppercase().replace('-', "_"));
        assert!(sentence.starts_with(&name), "--{flag}={value} says: {sentence}");
        assert!(!sentence.contains('\n'), "one sentence: {sentence}");
    }
    assert!(refusal(&["--colour", "red"]).contains("--colour"));
}

#[test]
fn an_issuer_turns_device_accounts_off_unless_they_are_asked_for() {
    assert!(!config(&["--jwt-secret", SECRET]).device_accounts);
    assert!(config(&["--jwt-secret", SECRET, "--device-accounts", "true"]).device_accounts);
    assert!(!config(&["--jwt-jwks", "https://login.example/jwks", "--jwt-audience", "chat"]).device_accounts);
    assert!(refusal(&["--jwt-secret", SECRET, "--jwt-jwks", "keys.json"]).contains("exclude each other"));
}

#[test]
fn the_bus_follows_the_database() {
    let url = "postgres://parlour:hidden@localhost/parlour";
    let bus = |bus| config(&["--database-url", url, "--bus", bus]).bus;
    let is = |bus: BusSetting, expected: &str| match bus {
        BusSetting::Postgres(url) | BusSetting::Nats(url) => assert_eq!(url.expose_secret(), expected),
        BusSetting::Local => assert_eq!(expected, "local"),
    };
    is(config(&["--database-url", url]).bus, url);
    is(bus("postgres"), url);
    is(bus("local"), "local");
    is(bus("postgres://direct:5432/parlour"), "postgres://direct:5432/parlour");
    is(bus("nats://one:4222,nats://two:4222"), "nats://one:4222,nats://two:4222");
    is(bus("tls://one:4222"), "tls://one:4222");
    for of_many in ["postgres", "postgres://h/d", "nats://h:4222"] {
        assert!(refusal(&["--bus", of_many]).contains("SQLite"));
    }
    assert!(refusal(&["--database-url", url, "--bus", "nats://"]).contains("takes"));
}

#[test]
fn lists_and_rates_are_read_whole() {
    let proxies = config(&["--trusted-proxies", "10.0.0.0/8, ::1"]).trusted_proxies;
    assert_eq!(proxies, ["10.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")]);
    let origins = config(&["--cors-origins", "https://A.example,http://localhost:5173"]).cors_origins;
    let expected = ["https://a.example", "http://localhost:5173"].map(axum::http::HeaderValue::from_static);
    assert_eq!(origins, CorsOrigins::List(expected.to_vec()));
    let rate = config(&["--rate-calls", "600/m", "--rate-sends", "off"]);
    assert_eq!(rate.rate_calls.map(|rate| rate.per), Some(Duration::from_mins(1)));
    assert_eq!(rate.rate_sends, None);
    assert_eq!(config(&["--history-ttl", "30d"]).history_ttl, Some(DAY * 30));
}

#[test]
fn secrets_are_neither_shown_nor_repeated_in_refusals() {
    let flags = ["--database-url", "postgres://u:hidden@h/d", "--jwt-secret", SECRET, "--token-key", SECRET];
    let shown = format!("{:?}", config(&flags));
    assert!(!shown.contains("hidden") && !shown.contains(SECRET));
    assert!(!refusal(&["--jwt-secret", "hidden"]).contains("hidden"));
    assert!(!refusal(&["--database-url", "mysql://u:hidden@h/d"]).contains("hidden"));
    assert!(!refusal(&["--bus", "nats://u:hidden@h:1"]).contains("hidden"));
}
