//! The files for browsers: the web client, the JavaScript module, and the reference of the API. They come from the folder
//! `web/` or from a library, and are embedded in the program.
//!
//! The Content Security Policy (W3C) lets a page load only files of this service, and run no inline script.

mod asset;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};
use utoipa_swagger_ui::Config as SwaggerConfig;

use self::asset::Asset;
use super::problem::{Problem, nothing_here};
use super::state::Shared;

/// The folder `web/`. A debug build reads the files from the folder at each request.
#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "app/*"]
#[include = "docs/*"]
#[include = "index.html"]
#[include = "parlour.d.ts"]
#[include = "parlour.js"]
#[include = "parlour/*.js"]
struct Files;

/// The Content Security Policy of every page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The policy to add for the web client: its scripts make no elements of text. Those of Swagger UI do.
const TRUSTED_TYPES_POLICY: &str = "; require-trusted-types-for 'script'";

/// The header that separates a page from the windows of other origins (HTML §7.1.3).
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The routes that are not part of the API. Without `web_client`, the web client has none.
pub(super) fn router(web_client: bool) -> Router<Shared> {
    let router = Router::new()
        // Browsers request it for every page that names no icon.
        .route("/favicon.ico", get(async |headers: HeaderMap| file("app/icon.svg", &headers)))
        .route("/parlour.js", get(async |headers: HeaderMap| file("parlour.js", &headers)))
        .route("/parlour.d.ts", get(async |headers: HeaderMap| file("parlour.d.ts", &headers)))
        .route("/parlour/{*path}", get(module))
        .route("/docs", get(async |headers: HeaderMap| file("docs/index.html", &headers)))
        .route("/docs/", get(async || Redirect::permanent("/docs")))
        .route("/docs/{*path}", get(reference));
    if web_client { router.route("/app/{*path}", get(client)) } else { router }
}

/// The web client if the request accepts HTML, as browsers do; `None` otherwise.
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

/// The reference of the API: our page with the scripts and styles of Swagger UI.
async fn reference(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    if !["swagger-ui-bundle.js", "swagger-ui.css"].contains(&path.as_str()) {
        return file(&format!("docs/{path}"), &headers);
    }
    let found = utoipa_swagger_ui::serve(&path, Arc::new(SwaggerConfig::default())).ok().flatten();
    let found = found.ok_or_else(nothing_here)?;
    let hash = Sha256::digest(&found.bytes).into();
    Asset { kind: &found.content_type, bytes: found.bytes, gzipped: found.gzpipped, hash }.respond(&headers)
}

fn file(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    // Only the exact names in the list: a debug build reads from the folder, where other paths, such as those with `..`,
    // lead to files as well.
    let listed = Files::iter().any(|name| name == path);
    let file = listed.then(|| Files::get(path)).flatten().ok_or_else(nothing_here)?;
    let kind = file.metadata.mimetype();
    let hash = file.metadata.sha256_hash();
    let mut response = Asset { kind, bytes: file.data, gzipped: false, hash }.respond(headers)?;
    if path.ends_with(".html") {
        let more = if path == "index.html" { TRUSTED_TYPES_POLICY } else { "" };
        if let Ok(policy) = HeaderValue::try_from(format!("{POLICY}{more}")) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }
    Ok(response)
}
