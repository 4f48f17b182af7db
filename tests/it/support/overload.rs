//! Retries of a client that an overloaded service refuses for now, as the contract tells it to.
//!
//! A test retries only such a refusal, so that a slow machine fails no test and a retry hides no fault: the service
//! refuses for overload only after it has waited 2 s for its database. A refusal that comes sooner fails the test.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The time for which a client retries.
pub(crate) const OVERLOAD_DEADLINE: Duration = Duration::from_secs(90);

/// Less than the 2 s that the service waits, by what clocks and timers may differ.
const OVERLOAD_WAIT: Duration = Duration::from_millis(1_500);

/// The refusals of one call or stream so far.
pub(crate) struct Overload {
    since: Instant,
    asked: Instant,
}

impl Overload {
    /// Call it when the first request is sent.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { since: now, asked: now }
    }

    /// True if the service waited before it refused, and the client should retry.
    pub(crate) fn is_one(&self) -> bool {
        self.asked.elapsed() > OVERLOAD_WAIT && self.since.elapsed() < OVERLOAD_DEADLINE
    }

    /// Waits for as long as the refusal says, after which the client sends the request again.
    pub(crate) async fn wait(&mut self, retry_after: Duration) {
        sleep(retry_after).await;
        self.asked = Instant::now();
    }

    /// Takes the whole body of a refused stream: a `retry:` and nothing else. Waits for as long as it says.
    pub(crate) async fn wait_for_stream(&mut self, body: &str) {
        let (asked, since) = (self.asked.elapsed(), self.since.elapsed());
        assert!(self.is_one(), "the stream was refused after {asked:?}, and for {since:?} in all: {body}");
        let millis = body.strip_prefix("retry: ").and_then(|body| body.strip_suffix("\n\n"));
        let millis = millis.unwrap_or_else(|| panic!("a refused stream is a `retry:` and nothing else: {body}"));
        self.wait(Duration::from_millis(millis.parse().expect("a `retry:` is a number"))).await;
    }
}
