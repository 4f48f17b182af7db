//! The Prometheus page. The `metrics` crate has one recorder per process, so it is global: the first
//! [`run`](crate::app::run) in the process installs it, and later ones (tests run many) share it.

use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics::{Unit, describe_counter, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Counts requests by `method`, `route` and `status`.
pub(super) const REQUESTS_TOTAL: &str = "parlour_http_requests_total";
/// Seconds from a request's head to its response's head, by `route`.
pub(super) const REQUEST_SECONDS: &str = "parlour_http_request_seconds";

/// The bucket bounds of all histograms in seconds, from a response out of memory to a long poll.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Installs the recorder. A second call does nothing.
pub(crate) fn install() {
    handle();
}

/// Moves the samples of the histograms into their buckets. Samples take memory until then, so a periodic task calls this
/// every few seconds, even if nobody scrapes the metrics.
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
        // Buckets, not summaries: the quantiles of several instances cannot be combined.
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new();
        // The only possible error is an empty list.
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
