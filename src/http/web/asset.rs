//! A file as a response: plain, compressed with gzip if the client accepts it, or 304 if the client has it already.

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

/// A file to send.
pub(super) struct Asset<'a> {
    /// The media type, guessed from the file's name.
    pub(super) kind: &'a str,
    pub(super) bytes: Cow<'static, [u8]>,
    /// True if the bytes are compressed with gzip already.
    pub(super) gzipped: bool,
    /// A hash of the bytes, for the entity tag.
    pub(super) hash: [u8; 32],
}

impl Asset<'_> {
    /// The response. Clients revalidate the file each time and get it only if it has changed (RFC 9110 §13.1.2), so a page
    /// and its scripts are always of the same version.
    ///
    /// # Errors
    /// 500 where the bytes cannot be compressed or decompressed.
    pub(super) fn respond(self, headers: &HeaderMap) -> Result<Response, Problem> {
        let gzip = accepts_gzip(headers);
        // Each content coding has its own tag (RFC 9110 §8.8.3.3).
        let suffix = if gzip { "-gzip" } else { "" };
        let tag = format!("\"{}{suffix}\"", BASE64_URL_SAFE_NO_PAD.encode(&self.hash[..12]));
        let file_headers = [
            (header::ETAG, tag.clone()),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
            (header::VARY, "accept-encoding".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        if has_current(headers, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, file_headers).into_response());
        }
        let kind = [(header::CONTENT_TYPE, with_charset(self.kind))];
        let bytes = self.encode(gzip).map_err(|error| Problem::internal(&format!("a file's coding: {error}")))?;
        let mut response = (file_headers, kind, bytes).into_response();
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    /// The bytes, compressed or not. Large files are compressed already; compressing the others costs less than a database
    /// query.
    fn encode(self, gzip: bool) -> io::Result<Cow<'static, [u8]>> {
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
        // The guess for a `.d.ts`, whose ending is also that of a video format.
        "video/vnd.dlna.mpeg-tts" | "application/typescript" => "text/plain; charset=utf-8".to_owned(),
        _ => kind.to_owned(),
    }
}

/// Reports whether `Accept-Encoding` names gzip with a weight other than 0 (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
    })
}

/// Reports whether the client has the version with this tag. A tag that a proxy has made weak counts, too.
fn has_current(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
