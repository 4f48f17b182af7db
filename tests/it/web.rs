//! The files for browsers: the web client, the client module and the reference of the API; their caching, compression and
//! security headers.

use std::io::Read as _;

use reqwest::Method;

use crate::support::{Reply, TestApp};

const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Files with a stable path, and their content types.
const FILES: [(&str, &str); 9] = [
    ("/app/main.js", "text/javascript; charset=utf-8"),
    ("/app/icon.svg", "image/svg+xml"),
    ("/favicon.ico", "image/svg+xml"),
    ("/parlour.js", "text/javascript; charset=utf-8"),
    ("/parlour.d.ts", "text/plain; charset=utf-8"),
    ("/docs", "text/html; charset=utf-8"),
    ("/docs/docs.css", "text/css; charset=utf-8"),
    ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
    ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];

async fn load(app: &TestApp, path: &str) -> Reply {
    let reply = app.get(path).header("accept", HTML).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_at_the_root_and_a_program_a_few_lines() {
    let app = TestApp::start().await;
    let page = load(&app, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text().starts_with("<!doctype html>"), "{page:?}");
    for accept in ["*/*", "application/json", "text/plain"] {
        let lines = app.get("/").header("accept", accept).send().await;
        assert_eq!(lines.header("content-type"), "text/plain; charset=utf-8", "{lines:?}");
        for path in ["/docs", "/openapi.yaml", "/parlour.js", "/healthz", "/readyz", "/metrics"] {
            assert!(lines.text().contains(path), "{path} is missing in {lines:?}");
            assert_eq!(app.get(path).send().await.status, 200, "the path that is named exists: {path}");
        }
    }
    for reply in [page, app.get("/").send().await] {
        let varies = reply.headers.get_all("vary").iter().any(|by| by == "accept");
        assert!(varies, "a cache must keep the two apart: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_client_can_be_switched_off_and_the_rest_stays() {
    let app = TestApp::with(&["--web-client", "false"]).await;
    assert_eq!(load(&app, "/").await.header("content-type"), "text/plain; charset=utf-8");
    for path in ["/app/main.js", "/app/icon.svg"] {
        assert_eq!(app.get(path).send().await.refused(404), "no_such_route");
    }
    for path in ["/parlour.js", "/docs"] {
        load(&app, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_says_what_it_is_and_is_not_taken_for_anything_else() {
    let app = TestApp::start().await;
    for (path, kind) in FILES {
        let reply = load(&app, path).await;
        assert_eq!(reply.header("content-type"), kind, "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let head = app.call(Method::HEAD, path).send().await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(name), reply.header(name), "{name} of {path}");
        }
        let refused = app.call(Method::POST, path).send().await;
        assert_eq!(refused.refused(405), "method_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_asked_for_each_time_and_sent_only_where_it_has_changed() {
    let app = TestApp::start().await;
    for path in FILES.map(|(path, _)| path).into_iter().chain(["/"]) {
        let first = load(&app, path).await;
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        let tag = first.header("etag");
        assert!(tag.starts_with('"') && tag.len() > 8, "a strong validator: {first:?}");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = app.get(path).header("accept", HTML).header("if-none-match", &known).send().await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} with if-none-match {known}: {again:?}");
            assert_eq!(again.header("etag"), tag);
        }
        let changed = app.get(path).header("accept", HTML).header("if-none-match", "\"other\"").send().await;
        assert_eq!((changed.status, &changed.body), (200, &first.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_accepts_gzip_gets_it_and_no_other() {
    let app = TestApp::start().await;
    for (path, _) in FILES {
        let plain = load(&app, path).await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        assert!(std::str::from_utf8(&plain.body).is_ok(), "{path} is text");
        for accepted in ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.5"] {
            let coded = app.get(path).header("accept-encoding", accepted).send().await;
            assert_eq!(coded.header("content-encoding"), "gzip", "{path}");
            assert_eq!(coded.header("vary"), "accept-encoding", "{path}");
            assert_ne!(coded.header("etag"), plain.header("etag"), "each coding has its own tag: {path}");
            let mut decoded = Vec::new();
            flate2::read::GzDecoder::new(&coded.body[..]).read_to_end(&mut decoded).unwrap();
            assert!(decoded == plain.body, "{path} is the same in both codings");
        }
        for refused in ["identity", "br", "gzip;q=0", "gzip; q=0.0"] {
            let reply = app.get(path).header("accept-encoding", refused).send().await;
            assert!(reply.body == plain.body, "{path} for {refused}");
        }
    }
    // The API is not compressed: compression would buffer the events of a stream.
    for path in ["/healthz", "/openapi.json"] {
        assert_eq!(app.get(path).header("accept-encoding", "gzip").send().await.header("content-encoding"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_load_nothing_from_elsewhere_run_nothing_that_stands_in_it_and_be_framed_by_nobody() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let page = load(&app, path).await;
        let policy: Vec<&str> = page.header("content-security-policy").split(';').map(str::trim).collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(&rule), "{rule} is missing in {policy:?}");
        }
        assert_eq!(policy.contains(&"require-trusted-types-for 'script'"), path == "/", "{policy:?}");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_loads_all_that_it_names_and_names_no_other_host() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let page = load(&app, path).await;
        let named = references(page.text());
        assert!(!named.is_empty(), "{page:?}");
        for address in named {
            assert!(address.starts_with('/') && !address.starts_with("//"), "{address} is on another host");
            load(&app, address).await;
        }
    }
}

/// Returns the values of all `src` and `href` attributes.
fn references(page: &str) -> Vec<&str> {
    let values = ["src=\"", "href=\""].map(|attribute| page.split(attribute).skip(1));
    values.into_iter().flatten().filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_origin_may_import_the_module() {
    let app = TestApp::start().await;
    let module = app.get("/parlour.js").header("origin", "https://page.example").send().await;
    assert_eq!((module.status, module.header("access-control-allow-origin")), (200, "*"));
    // The files that the module imports.
    let parts = module.text().split(['"', '\'']).filter(|part| part.starts_with("./parlour/"));
    for part in parts {
        let reply = app.get(&part[1..]).header("origin", "https://page.example").send().await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, "*"), "{reply:?}");
        assert_eq!(reply.header("content-type"), "text/javascript; charset=utf-8");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_what_is_meant_to_be_loaded_is_served() {
    let app = TestApp::start().await;
    for path in [
        "/app",
        "/app/",
        "/app/nothing.js",
        "/docs/nothing.js",
        "/docs/swagger-ui.js",
        "/docs/oauth2-redirect.html",
        "/parlour/nothing.js",
        "/index.html",
        "/package.json",
        "/web/package.json",
        "/parlour/package.json",
        "/app/..%2fpackage.json",
        "/app/..%2findex.html",
        "/app/%2e%2e%2f%2e%2e%2fCargo.toml",
        "/docs/..%2f..%2fCargo.toml",
        "/parlour/..%2f..%2f..%2fetc%2fpasswd",
        "/parlour/%2fetc%2fpasswd",
        "/app/..%5cpackage.json",
        "/app/main.js%00",
    ] {
        assert_eq!(app.get(path).send().await.refused(404), "no_such_route", "{path}");
    }
}
