//! Presence of a topic on this instance: views of who is online, and what its listeners have been sent of them.
//!
//! A view is read from the database when something may have changed, and shared by every stream that shows it. Once per
//! interval the latest view is *published*; only then a difference leads to it: the new list less the one published
//! before. A stream that needs the whole list gets the latest view at any time. Where no other instance can change
//! anything, a session that joins is added to the latest view: a crowd that joins does not cause a query for each of it.

mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(super) use self::view::Difference;
pub(crate) use self::view::PresenceView;
use crate::model::{Millis, Presence, TopicId};
use crate::store::Present;

/// The number of intervals without a change after which JSON and differences are freed that were kept for many streams to
/// share: the streams that the change woke have sent it by then, however many there are.
const QUIET_INTERVALS: u32 = 8;

/// The presence of a topic.
#[derive(Debug, Default)]
pub(super) struct TopicPresence {
    // Not an async mutex: nothing is awaited while it is held.
    state: Mutex<State>,
    /// Held by the refresh that runs. There is one at a time; callers that come meanwhile share the next one.
    refreshing: tokio::sync::Mutex<()>,
    /// The number of refreshes that have begun.
    refreshes: AtomicU64,
    /// True while the end of an interval is being handled.
    publishing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    latest: Option<Arc<PresenceView>>,
    published: Option<Published>,
    /// When the first session of `latest` goes offline if nothing keeps it online.
    next_expiry: Option<Millis>,
    /// The number of times that something may have changed.
    changes: u64,
    /// The number of `changes` before `latest` was read: it includes them.
    included_changes: u64,
    /// The number of the refresh that read `latest`.
    refresh: u64,
    /// When that refresh began.
    refreshed_at: Option<Instant>,
    /// The number of consecutive intervals without a change.
    quiet_intervals: u32,
}

/// The work at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Refresh the view, then publish it.
    Refresh,
    /// Publish the latest view.
    Publish,
}

/// A refresh, as of its beginning.
#[derive(Debug)]
struct Refresh {
    number: u64,
    began: Instant,
    /// The number of changes before it.
    changes: u64,
}

impl State {
    /// The latest view if nothing is known to have changed since it was read.
    fn current(&self, now: Millis) -> Option<&Arc<PresenceView>> {
        let is_current = self.included_changes == self.changes && self.next_expiry.is_none_or(|at| at > now);
        self.latest.as_ref().filter(|_| is_current)
    }

    fn set_latest(&mut self, view: &Arc<PresenceView>) {
        if let Some(old) = self.latest.replace(view.clone()) {
            old.supersede_by(view);
        }
    }

    /// Counts an interval without a change, and frees what was kept for many streams after enough of them.
    fn count_quiet_interval(&mut self) {
        self.quiet_intervals += 1;
        if self.quiet_intervals < QUIET_INTERVALS {
            return;
        }
        self.quiet_intervals = 0;
        if let Some(latest) = &self.latest {
            latest.free_json();
        }
        if let Some(published) = &mut self.published {
            published.before = None;
        }
    }
}

/// A published view, and the difference to it from the one published before, encoded once for all streams.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) view: Arc<PresenceView>,
    before: Option<(u64, Difference)>,
}

impl Published {
    /// The difference from `last`, which a stream has shown, to this view.
    pub(super) fn since(&self, last: &PresenceView, topic: &TopicId) -> Difference {
        match &self.before {
            _ if last.version() >= self.view.version() => Difference::Nothing,
            Some((version, difference)) if *version == last.version() => difference.clone(),
            _ => last.difference(&self.view, topic),
        }
    }
}

impl TopicPresence {
    /// Records that something may have changed: the view is refreshed at the end of the interval.
    pub(super) fn invalidate(&self) {
        self.state.lock().changes += 1;
    }

    /// Adds a session to the latest view. It came online in a transaction that began at `since`, and stays online until
    /// `until` at least. Returns false, and adds nothing, where anything else may have changed: then a refresh is needed.
    pub(super) fn add(&self, session: &Presence, until: Millis, since: Instant, now: Millis, limit: usize) -> bool {
        // A refresh that runs, or began after the transaction, may have read a later state of this session.
        let Ok(_no_refresh) = self.refreshing.try_lock() else { return false };
        let mut state = self.state.lock();
        if state.refreshed_at.is_none_or(|at| at >= since) {
            return false;
        }
        let Some(next) = state.current(now).map(|view| Arc::new(view.with(session, limit))) else { return false };
        state.next_expiry = Some(state.next_expiry.map_or(until, |at| at.min(until)));
        state.set_latest(&next);
        true
    }

    /// The latest view, where nothing is known to have changed since. That is enough where every change is reported to this
    /// instance.
    pub(super) fn current(&self, now: Millis) -> Option<Arc<PresenceView>> {
        self.state.lock().current(now).cloned()
    }

    /// Returns the work at the end of an interval, unless it is being done already. The caller does it and then calls
    /// [`Self::end_interval`].
    pub(super) fn begin_interval(&self, now: Millis) -> Option<Due> {
        if self.publishing.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        // A topic whose presence was never read has nothing to compare with.
        let latest = state.latest.as_ref()?;
        let due = if state.current(now).is_none() {
            Some(Due::Refresh)
        } else {
            let published = state.published.as_ref().map(|published| published.view.version());
            (published != Some(latest.version())).then_some(Due::Publish)
        };
        match due {
            None => state.count_quiet_interval(),
            Some(_) => state.quiet_intervals = 0,
        }
        self.publishing.store(due.is_some(), Ordering::Release);
        due
    }

    /// Ends the work that began with [`Self::begin_interval`].
    pub(super) fn end_interval(&self) {
        self.publishing.store(false, Ordering::Release);
    }

    /// The latest view.
    pub(super) fn latest(&self) -> Option<Arc<PresenceView>> {
        self.state.lock().latest.clone()
    }

    /// The latest view if its list is truncated and it was read within `age`. A truncated list shows only the first
    /// sessions, and the count of the others is sent once per interval. So a session that joins a crowd needs no count of
    /// its own; otherwise each of many would count all.
    pub(super) fn recent_truncated(&self, age: Duration) -> Option<Arc<PresenceView>> {
        let state = self.state.lock();
        let is_recent = state.refreshed_at.is_some_and(|at| at.elapsed() < age);
        state.latest.clone().filter(|view| is_recent && view.is_truncated())
    }

    /// Returns a view that is no older than this call. `read` queries the database.
    pub(super) async fn refresh<E>(
        &self,
        read: impl AsyncFnOnce() -> Result<Present, E>,
    ) -> Result<Arc<PresenceView>, E> {
        let before = self.refreshes.load(Ordering::Acquire);
        let _only_one = self.refreshing.lock().await;
        // A refresh that began after this call, and succeeded, serves this call as well.
        if let Some(view) = self.refreshed_after(before) {
            return Ok(view);
        }
        let refresh = Refresh {
            number: self.refreshes.fetch_add(1, Ordering::AcqRel) + 1,
            began: Instant::now(),
            changes: self.state.lock().changes,
        };
        let present = read().await?;
        Ok(self.finish(&refresh, present))
    }

    fn refreshed_after(&self, number: u64) -> Option<Arc<PresenceView>> {
        let state = self.state.lock();
        state.latest.clone().filter(|_| state.refresh > number)
    }

    fn finish(&self, refresh: &Refresh, present: Present) -> Arc<PresenceView> {
        let mut state = self.state.lock();
        state.refresh = refresh.number;
        state.refreshed_at = Some(refresh.began);
        state.included_changes = refresh.changes;
        state.next_expiry = present.next_expiry;
        match &state.latest {
            Some(view) if view.equals(&present) => view.clone(),
            old => {
                let view = Arc::new(PresenceView::new(old.as_ref().map_or(1, |view| view.version() + 1), present));
                state.set_latest(&view);
                view
            }
        }
    }

    /// Publishes the latest view: differences lead to it. Returns true if it was not published before.
    pub(super) fn publish(&self, topic: &TopicId) -> bool {
        let mut state = self.state.lock();
        let Some(latest) = state.latest.clone() else { return false };
        let before = match &state.published {
            Some(old) if old.view.version() == latest.version() => return false,
            Some(old) => Some((old.view.version(), old.view.difference(&latest, topic))),
            None => None,
        };
        state.published = Some(Published { view: latest, before });
        true
    }

    /// The view that was published last.
    pub(super) fn published(&self) -> Option<Published> {
        self.state.lock().published.clone()
    }
}

#[cfg(test)]
mod tests;
