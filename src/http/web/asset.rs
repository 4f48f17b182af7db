//! A file as it is sent: whole, as gzip to whoever takes that, or not at all where the client has it already.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::http::problem::Problem;

pub(super) struct Asset<'a> {
    /// The media type, as a file's name tells it.
    pub(super) kind: &'a str,
    pub(super) bytes: Cow<'static, [u8]>,
    /// Whether the bytes are compressed already.
    pub(super) gzipped: bool,
    /// A hash of the bytes.
    pub(super) hash: [u8; 32],
}

impl Asset<'_> {
    /// Asked for each time, sent only where it has changed (RFC 9110 §13.1.2): a page and its scripts are of one version.
    pub(super) fn answer(self, headers: &HeaderMap) -> Result<Response, Problem> {
        let gzip = takes_gzip(headers);
        // Each coding has a tag of its own (RFC 9110 §8.8.3.3).
        let suffix = if gzip { "-gzip" } else { "" };
        let tag = format!("\"{}{suffix}\"", BASE64_URL_SAFE_NO_PAD.encode(&self.hash[..12]));
        let marks = [
            (header::ETAG, tag.clone()),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
            (header::VARY, "accept-encoding".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        if has(headers, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, marks).into_response());
        }
        let kind = [(header::CONTENT_TYPE, with_charset(self.kind))];
        let bytes = self.coded(gzip).map_err(|error| Problem::internal(&format!("a file's coding: {error}")))?;
        let mut response = (marks, kind, bytes).into_response();
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    /// The bytes, compressed or not. What is large comes compressed; compressing the rest costs less than a query.
    fn coded(self, gzip: bool) -> io::Result<Cow<'static, [u8]>> {
        match (self.gzipped, gzip) {
            (false, true) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&self.bytes)?;
                Ok(encoder.finish()?.into())
            }
            (true, false) => {
                let mut plain = Vec::new();
                GzDecoder::new(&*self.bytes).read_to_end(&mut plain)?;
                Ok(plain.into())
            }
            _ => Ok(self.bytes),
        }
    }
}

fn with_charset(kind: &str) -> String {
    match kind {
        "text/javascript" | "text/css" | "text/html" => format!("{kind}; charset=utf-8"),
        // a `.d.ts`, which is taken for a film
        "video/vnd.dlna.mpeg-tts" | "application/typescript" => "text/plain; charset=utf-8".to_owned(),
        _ => kind.to_owned(),
    }
}

/// Whether `Accept-Encoding` names gzip, and does not refuse it by a weight of 0 (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
    })
}

/// Whether the client has what this tag names. A proxy may have made a tag weak; for this, it counts all the same.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
