//! What browsers get: the web client, the JavaScript module, and the reference of the API. All of it stands in the folder
//! `web/` or comes with a library, and is part of the program.
//!
//! A page may load nothing but what this service serves, and runs no script that stands in it (CSP, W3C).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rust_embed::RustEmbed;
use utoipa_swagger_ui::Config as SwaggerConfig;

use super::problem::{Problem, nothing_here};
use super::state::Shared;

/// The folder `web/`. While the service is developed, files are read from there as they are asked for.
#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "app/*"]
#[include = "docs/*"]
#[include = "index.html"]
#[include = "parlour.d.ts"]
#[include = "parlour.js"]
#[include = "parlour/*.js"]
struct Files;

/// Of every page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Of a page whose scripts are ours: none of them makes elements out of text.
const OUR_POLICY: &str = "; require-trusted-types-for 'script'";

/// Who may have this page's window in theirs (HTML §7.1.3).
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The routes that belong to no API. What is off is not there.
pub(super) fn router(web_client: bool) -> Router<Shared> {
    let router = Router::new()
        // Browsers ask for it on every page that names no other one.
        .route("/favicon.ico", get(async |headers: HeaderMap| file("app/icon.svg", &headers)))
        .route("/parlour.js", get(async |headers: HeaderMap| file("parlour.js", &headers)))
        .route("/parlour.d.ts", get(async |headers: HeaderMap| file("parlour.d.ts", &headers)))
        .route("/parlour/{*path}", get(module))
        .route("/docs", get(async |headers: HeaderMap| file("docs/index.html", &headers)))
        .route("/docs/", get(async || Redirect::permanent("/docs")))
        .route("/docs/{*path}", get(reference));
    if web_client { router.route("/app/{*path}", get(client)) } else { router }
}

/// The web client, for a browser; `None` where a program asks, that reads no pages.
pub(super) fn page(headers: &HeaderMap) -> Option<Response> {
    let mut accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts.any(|accept| accept.contains("text/html")).then(|| file("index.html", headers).into_response())
}

async fn module(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    file(&format!("parlour/{path}"), &headers)
}

async fn client(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    file(&format!("app/{path}"), &headers)
}

/// The page is ours, what it consists of is Swagger UI's.
async fn reference(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    if !["swagger-ui-bundle.js", "swagger-ui.css"].contains(&path.as_str()) {
        return file(&format!("docs/{path}"), &headers);
    }
    let asset = utoipa_swagger_ui::serve(&path, Arc::new(SwaggerConfig::default())).ok().flatten();
    let asset = asset.ok_or_else(nothing_here)?;
    let tag = format!("{}-{}", env!("CARGO_PKG_VERSION"), asset.bytes.len());
    let mut response = answer(&asset.content_type, asset.bytes, &tag, &headers);
    if asset.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn file(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    // What is read from the disk while the service is developed must not be found on ways that are none.
    let is_plain = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    let file = Files::get(path).filter(|_| is_plain).ok_or_else(nothing_here)?;
    let tag = BASE64_URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]);
    let mut response = answer(file.metadata.mimetype(), file.data, &tag, headers);
    if path.ends_with(".html") {
        let ours = if path == "index.html" { OUR_POLICY } else { "" };
        if let Ok(policy) = HeaderValue::try_from(format!("{POLICY}{ours}")) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }
    Ok(response)
}

/// Asked for each time, sent only where it has changed (RFC 9110 §13.1.2): a page and its scripts are of one version.
fn answer(kind: &str, bytes: Cow<'static, [u8]>, tag: &str, headers: &HeaderMap) -> Response {
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let kind = match kind {
        "text/javascript" | "text/css" | "text/html" => format!("{kind}; charset=utf-8"),
        // a `.d.ts`, which is taken for a film
        "video/vnd.dlna.mpeg-tts" | "application/typescript" => "text/plain; charset=utf-8".to_owned(),
        _ => kind.to_owned(),
    };
    let marks = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, marks).into_response();
    }
    (marks, [(header::CONTENT_TYPE, kind)], bytes).into_response()
}
