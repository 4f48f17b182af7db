//! What browsers are served: the web client, the module, the reference; each from here alone, and asked for again only
//! where it has changed.

use reqwest::Method;

use crate::support::{Api, Reply, TestApp};

const PAGES: [&str; 2] = ["/", "/docs"];

async fn page(api: &Api, path: &str) -> Reply {
    api.get(path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8").send().await
}

/// What a page loads at once, by its `src` and `href`.
fn loads(html: &str) -> Vec<String> {
    let after = |mark: &'static str| {
        html.split(mark).skip(1).filter_map(|rest| rest.split_once('"')).map(|(path, _)| path.to_owned())
    };
    after("src=\"").chain(after("href=\"")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_what_is_served_here_and_nothing_else() {
    let app = TestApp::start().await;
    for path in PAGES {
        let html = page(&app, path).await;
        assert_eq!((html.status, html.header("content-type")), (200, "text/html; charset=utf-8"));
        let loads = loads(html.text());
        assert!(loads.len() > 3, "{loads:?}");
        for path in loads {
            assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
            assert_eq!(app.get(&path).send().await.status, 200, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_run_no_script_but_ours_and_are_in_no_frame() {
    let app = TestApp::start().await;
    for path in PAGES {
        let answer = page(&app, path).await;
        let policy = answer.header("content-security-policy").to_owned();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    }
    assert!(page(&app, "/").await.header("content-security-policy").contains("require-trusted-types-for 'script'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_text_at_the_root_and_browsers_the_page() {
    let app = TestApp::start().await;
    let text = app.get("/").send().await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert!(text.text().contains("/docs") && text.text().contains("/parlour.js"), "{}", text.text());
    let html = page(&app, "/").await;
    assert!(html.text().starts_with("<!doctype html>"), "{}", html.text());
    assert_eq!((text.header("vary"), html.header("vary")), ("accept", "accept"), "a cache must not mix them up");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_web_client_there_is_no_page_but_all_the_rest() {
    let app = TestApp::with(&["--web-client", "false"]).await;
    assert_eq!(page(&app, "/").await.header("content-type"), "text/plain; charset=utf-8");
    app.get("/app/main.js").send().await.refused(404);
    for path in ["/docs", "/parlour.js"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_not_sent_again() {
    let app = TestApp::start().await;
    for path in ["/parlour.js", "/app/main.js", "/docs", "/docs/swagger-ui.css"] {
        let first = app.get(path).send().await;
        assert_eq!((first.status, first.header("cache-control")), (200, "no-cache"), "{path}");
        let tag = first.header("etag");
        let again = app.get(path).header("if-none-match", &format!("\"other\", W/{tag}")).send().await;
        assert_eq!((again.status, again.text(), again.header("etag")), (304, "", tag), "{path}");
        let changed = app.get(path).header("if-none-match", "\"other\"").send().await;
        assert_eq!(changed.status, 200, "{path}");
        let head = app.call(Method::HEAD, path).send().await;
        assert_eq!((head.status, head.header("etag"), head.text()), (200, tag, ""), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_origin_may_import_the_module() {
    let app = TestApp::start().await;
    let served = [
        ("/parlour.js", "text/javascript; charset=utf-8"),
        ("/parlour/client.js", "text/javascript; charset=utf-8"),
        ("/parlour.d.ts", "text/plain; charset=utf-8"),
    ];
    for (path, kind) in served {
        let answer = app.get(path).header("origin", "https://a.example").send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_served() {
    let app = TestApp::start().await;
    let paths = [
        "/package.json",
        "/app/",
        "/app/nothing.js",
        "/app/../package.json",
        "/app/%2e%2e/package.json",
        "/app/..%2fpackage.json",
        "/app/%2e%2e%2fparlour.js",
        "/parlour/../Cargo.toml",
        "/parlour//etc/passwd",
        "/docs/../../Cargo.toml",
        "/docs/oauth2-redirect.html",
        "/docs/swagger-initializer.js",
    ];
    for path in paths {
        assert_eq!(app.get(path).send().await.refused_as(&[400, 404]), "no_such_route", "{path}");
    }
}
