//! What browsers get: the web client, the JavaScript module, and the reference of the API. All of it stands in the folder
//! `web/` or comes with a library, and is part of the program.
//!
//! A page may load nothing but what this service serves, and runs no script that stands in it (CSP, W3C).

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
    let found = utoipa_swagger_ui::serve(&path, Arc::new(SwaggerConfig::default())).ok().flatten();
    let found = found.ok_or_else(nothing_here)?;
    let hash = Sha256::digest(&found.bytes).into();
    Asset { kind: &found.content_type, bytes: found.bytes, gzipped: found.gzpipped, hash }.answer(&headers)
}

fn file(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    // By its one name: where files are read from the folder, others would lead to one as well, and out of what is listed.
    let listed = Files::iter().any(|name| name == path);
    let file = listed.then(|| Files::get(path)).flatten().ok_or_else(nothing_here)?;
    let (kind, hash) = (file.metadata.mimetype(), file.metadata.sha256_hash());
    let mut response = Asset { kind, bytes: file.data, gzipped: false, hash }.answer(headers)?;
    if path.ends_with(".html") {
        let ours = if path == "index.html" { OUR_POLICY } else { "" };
        if let Ok(policy) = HeaderValue::try_from(format!("{POLICY}{ours}")) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }
    Ok(response)
}
