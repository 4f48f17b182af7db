//! The Prometheus page. The `metrics` crate has one recorder per process, so this is the one thing that `App` cannot
//! own: it is installed when the first app of the process asks for it, and later apps (tests run many) share it.

use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics::{Unit, describe_counter, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Counts requests by `method`, `route` and `status`.
pub(super) const REQUESTS_TOTAL: &str = "parlour_http_requests_total";
/// Seconds from a request's head to its response's head, by `route`.
pub(super) const REQUEST_SECONDS: &str = "parlour_http_request_seconds";

/// Bounds of everything that is measured in seconds, from an answer out of memory to a long poll.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Makes the process keep metrics, from now on. A second call does nothing.
pub(crate) fn install() {
    handle();
}

/// Moves what histograms have gathered into their buckets. Until then each sample is held, so a periodic task calls
/// this every few seconds, whether anybody scrapes or not.
pub(crate) fn upkeep() {
    handle().run_upkeep();
}

/// `GET /metrics`, in Prometheus' text format 0.0.4.
pub(crate) fn page() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle().render())
}

fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        // Buckets, not summaries: quantiles of several instances cannot be added up.
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new();
        // It refuses only an empty list.
        let builder = builder.set_buckets_for_metric(seconds, &SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is in place: /metrics stays empty");
        }
        describe_counter!(REQUESTS_TOTAL, Unit::Count, "HTTP requests answered");
        describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time from a request's head to its response's head");
        handle
    })
}
