//! The outermost layer: it gives each request an id, writes its log line and records its metrics. Both are bounded and
//! hold no secret: they name the matched route, never the path or the query, which may hold a stream token.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};
use tracing::Instrument as _;

use super::extract::visible_ascii;
use super::metrics::{REQUEST_SECONDS, REQUESTS_TOTAL};
use super::problem::InternalCause;
use crate::model::Clock;

/// `x-request-id`: a valid id from the client is kept, so that one id follows a request through every service.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware, as `axum::middleware::from_fn_with_state(clock, request_id::track)`. It must be outside of all other
/// layers, so that every response has an id, also the responses of those layers.
///
/// A request is logged at debug; with a status of 500 or more at info; an internal error is logged at error with its
/// cause, which is logged nowhere else. The time of a stream ends when its head is sent.
pub(crate) async fn track(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request.headers().get(&X_REQUEST_ID).filter(|id| visible_ascii(id).is_some()).cloned();
    // A UUID is always a valid header value, so the dash is never used.
    let id = id.unwrap_or_else(|| {
        HeaderValue::try_from(clock.uuid().to_string()).unwrap_or_else(|_| HeaderValue::from_static("-"))
    });
    let method = label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);

    // Below the level debug this is no span: no fields are formatted, and polling the future costs nothing more.
    let span = tracing::debug_span!("request", id = text(&id), method, route);
    let mut response = next.run(request).instrument(span).await;

    let status = response.status().as_u16();
    let record = RequestRecord { id: text(&id), method, route, status, elapsed: started.elapsed() };
    record.log(response.extensions_mut().remove::<InternalCause>().as_ref());
    record.count();
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// The facts about a finished request that are logged and counted.
struct RequestRecord<'a> {
    id: &'a str,
    method: &'static str,
    route: &'a str,
    status: u16,
    elapsed: Duration,
}

impl RequestRecord<'_> {
    fn log(&self, cause: Option<&InternalCause>) {
        let Self { id, method, route, status, elapsed } = *self;
        let latency_ms = elapsed.as_secs_f64() * 1000.0;
        if let Some(InternalCause(cause)) = cause {
            tracing::error!(id, method, route, status, latency_ms, %cause, "request failed");
        } else if status >= 500 {
            tracing::info!(id, method, route, status, latency_ms, "request");
        } else {
            tracing::debug!(id, method, route, status, latency_ms, "request");
        }
    }

    /// The labels have few values: the known methods, the routes of the router, the statuses of the contract.
    fn count(&self) {
        let route = self.route.to_owned();
        let status = self.status.to_string();
        counter!(REQUESTS_TOTAL, "method" => self.method, "route" => route.clone(), "status" => status).increment(1);
        histogram!(REQUEST_SECONDS, "route" => route).record(self.elapsed);
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or("-")
}

/// The metrics label of a method. Unknown methods share one, as clients can send any number of them.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use axum::{Router, body};
    use parking_lot::Mutex;
    use tower::ServiceExt as _;
    use tracing::Level;
    use tracing::instrument::WithSubscriber as _;
    use tracing_subscriber::fmt::MakeWriter;
    use uuid::Uuid;

    use super::*;
    use crate::http::problem::{Problem, catch_panic, no_such_route};

    /// A log writer that keeps the bytes in memory.
    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl LogBuffer {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock());
            String::from_utf8(bytes).expect("UTF-8")
        }
    }

    impl io::Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for LogBuffer {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn app() -> Router {
        Router::new()
            .route("/fine/{what}", get(async || "fine"))
            .route("/broken", get(async || Problem::internal("the disk is full")))
            .route(
                "/panic",
                get(async || {
                    if true {
                        panic!("on purpose")
                    }
                }),
            )
            .route("/metrics", get(async || crate::http::metrics::page()))
            .fallback(no_such_route)
            .layer(catch_panic())
            .layer(from_fn_with_state(Clock::default(), track))
    }

    /// Calls with a request id. Returns the status, the id of the response, the body and the log.
    async fn call(level: Level, method: &str, path: &str, id: &str) -> (u16, String, String, String) {
        let log = LogBuffer::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(log.clone());
        let request = Request::builder().method(method).uri(path).header(X_REQUEST_ID, id).body(Body::empty());
        let sent = app().oneshot(request.expect("a request")).with_subscriber(subscriber.finish());
        let response = sent.await.expect("infallible").into_response();
        let status = response.status().as_u16();
        let id = text(&response.headers()[X_REQUEST_ID]).to_owned();
        let bytes = body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, id, String::from_utf8(bytes.to_vec()).expect("UTF-8"), log.take())
    }

    #[tokio::test]
    async fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(call(Level::INFO, "GET", "/fine/a", "abc-1").await.1, "abc-1");
        assert_eq!(call(Level::INFO, "GET", "/nowhere", "abc-2").await.1, "abc-2");
        for id in ["", "a b", &"x".repeat(129)] {
            let made = call(Level::INFO, "GET", "/fine/a", id).await.1;
            assert_eq!(Uuid::parse_str(&made).map(|id| id.get_version_num()), Ok(7));
        }
    }

    #[tokio::test]
    async fn the_log_shows_the_route_and_never_the_path_or_the_query() {
        let (.., log) = call(Level::DEBUG, "GET", "/fine/secret?access_token=secret", "abc").await;
        assert!(log.contains("/fine/{what}") && log.contains("abc") && !log.contains("secret"), "{log}");
        assert_eq!(log.lines().filter(|line| line.contains("latency_ms")).count(), 1, "{log}");
        assert_eq!(call(Level::INFO, "GET", "/fine/a", "abc").await.3, "");
    }

    #[tokio::test]
    async fn our_own_fault_is_logged_once_with_its_cause_and_the_id_that_the_client_sees() {
        for (path, cause) in [("/broken", "the disk is full"), ("/panic", "panic: on purpose")] {
            let (status, id, body, log) = call(Level::INFO, "GET", path, "abc").await;
            assert_eq!((status, &*id), (500, "abc"));
            assert!(!body.contains(cause), "{body}");
            assert_eq!(log.matches(cause).count(), 1, "{log}");
            assert!(log.contains("ERROR") && log.contains("id=\"abc\""), "{log}");
        }
    }

    #[tokio::test]
    async fn requests_are_counted_under_labels_that_no_client_can_multiply() {
        crate::http::metrics::install();
        call(Level::INFO, "GET", "/fine/1", "abc").await;
        call(Level::INFO, "BREW", "/invented/2", "abc").await;
        crate::http::metrics::upkeep();
        let (.., page, _) = call(Level::INFO, "GET", "/metrics", "abc").await;
        let has = |line: &str| assert!(page.contains(line), "{line} is missing in {page}");
        has(r#"parlour_http_requests_total{method="GET",route="/fine/{what}",status="200"}"#);
        has(r#"parlour_http_requests_total{method="OTHER",route="other",status="404"}"#);
        has(r#"parlour_http_request_seconds_bucket{route="/fine/{what}",le="0.0005"}"#);
        assert!(!page.contains("invented"), "{page}");
    }
}
