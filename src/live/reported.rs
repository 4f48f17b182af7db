//! The activity that was reported to the streams of this instance, so that nothing is reported twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::model::Seq;
use crate::store::TopicKey;

/// How far the regular query for direct messages looks back: at least three such queries see each entry.
pub(super) const ACTIVITY_LOOKBACK: Duration = Duration::from_secs(60);

/// The newest entry of each direct message that was reported to the streams here, kept for longer than a query looks back.
// Not an async mutex: nothing is awaited while it is held.
#[derive(Debug, Default)]
pub(super) struct ReportedActivity(Mutex<HashMap<TopicKey, (Seq, Instant)>>);

impl ReportedActivity {
    /// Records that `last` is reported. Returns true if it is newer than what was reported before.
    pub(super) fn record(&self, key: TopicKey, last: Seq) -> bool {
        let mut reported = self.0.lock();
        let (newest, at) = reported.entry(key).or_insert((Seq(0), Instant::now()));
        *at = Instant::now();
        let news = last > *newest;
        *newest = last.max(*newest);
        news
    }

    /// Forgets what no query finds any more.
    pub(super) fn forget_old(&self) {
        self.0.lock().retain(|_, (_, at)| at.elapsed() < 2 * ACTIVITY_LOOKBACK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_entry_is_news() {
        let reported = ReportedActivity::default();
        assert!(reported.record(1, Seq(3)));
        assert!(!reported.record(1, Seq(3)));
        assert!(!reported.record(1, Seq(2)));
        assert!(reported.record(1, Seq(4)));
        assert!(reported.record(2, Seq(1)));
        reported.forget_old();
        assert!(!reported.record(2, Seq(1)), "it is kept for a while");
    }
}
