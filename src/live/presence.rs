//! Who is present on a topic, as its listeners have been told: a difference is the new list less the last one.
//!
//! A view is read from the database when something may have changed, and shared by every stream that shows it. Views
//! are *published* once an interval, and only then become differences; a stream that needs the whole list gets the
//! freshest view in between. Where no other instance can change anything, who joins is added to the view at hand: a crowd
//! that comes is not read from the database anew for each of it.

mod view;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub(super) use self::view::Difference;
pub use self::view::PresenceView;
use super::hub::lock;
use crate::model::{Millis, Presence, TopicId};
use crate::store::Present;

/// After so many intervals in which nobody has come or gone, hardly anybody asks for what led there: streams that were
/// woken by it have shown it, however many there are.
const QUIET: u32 = 8;

/// A topic's views on this instance.
#[derive(Debug, Default)]
pub(super) struct Track {
    state: Mutex<State>,
    /// One look at a time; whoever comes meanwhile shares the next one.
    looking: tokio::sync::Mutex<()>,
    /// Counts looks as they begin.
    looks: AtomicU64,
    /// The end of an interval is being looked at.
    publishing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    fresh: Option<Arc<PresenceView>>,
    published: Option<Published>,
    next_expiry: Option<Millis>,
    /// How often something may have changed.
    changes: u64,
    /// How many of these `fresh` has been read after.
    known: u64,
    /// The number of the look that `fresh` is of.
    seen: u64,
    /// When that began.
    seen_at: Option<Instant>,
    /// In how many intervals nobody has come or gone.
    quiet: u32,
}

/// What is to be done at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// To look, and to publish what is seen.
    Look,
    /// To publish the view that is at hand.
    Publish,
}

/// A look, as it began.
#[derive(Debug)]
struct Look {
    number: u64,
    began: Instant,
    /// How many changes had been told by then.
    changes: u64,
}

impl State {
    /// The freshest view, if nothing is known to have changed since.
    fn current(&self, now: Millis) -> Option<&Arc<PresenceView>> {
        let holds = self.known == self.changes && self.next_expiry.is_none_or(|at| at > now);
        self.fresh.as_ref().filter(|_| holds)
    }

    fn refresh(&mut self, view: &Arc<PresenceView>) {
        if let Some(old) = self.fresh.replace(view.clone()) {
            old.give_way(view);
        }
    }

    /// Nobody has come or gone in an interval: lets go of what was written for many to share, once that is a while.
    fn rest(&mut self) {
        self.quiet += 1;
        if self.quiet < QUIET {
            return;
        }
        self.quiet = 0;
        if let Some(fresh) = &self.fresh {
            fresh.rest();
        }
        if let Some(published) = &mut self.published {
            published.before = None;
        }
    }
}

/// The view of an interval, and the difference to it from the interval before, rendered once for all.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) view: Arc<PresenceView>,
    before: Option<(u64, Difference)>,
}

impl Published {
    /// What takes a stream that has shown `last` to this view.
    pub(super) fn since(&self, last: &PresenceView, topic: &TopicId) -> Difference {
        match &self.before {
            _ if last.version() >= self.view.version() => Difference::Nothing,
            Some((version, difference)) if *version == last.version() => difference.clone(),
            _ => last.difference(&self.view, topic),
        }
    }
}

impl Track {
    /// Something may have changed: look when the interval ends.
    pub(super) fn touch(&self) {
        self.lock().changes += 1;
    }

    /// Somebody has come, in a change that began at `since`, and will be there until `until` at least. Where nothing else
    /// may have changed, the freshest view with them is the next one. Answers whether it is; otherwise, it takes a look.
    pub(super) fn add(&self, newcomer: &Presence, until: Millis, since: Instant, now: Millis, limit: usize) -> bool {
        // A look that is under way, or began after the change, may know what has become of them meanwhile.
        let Ok(_no_look) = self.looking.try_lock() else { return false };
        let mut state = self.lock();
        if state.seen_at.is_none_or(|at| at >= since) {
            return false;
        }
        let Some(next) = state.current(now).map(|view| Arc::new(view.with(newcomer, limit))) else { return false };
        state.next_expiry = Some(state.next_expiry.map_or(until, |at| at.min(until)));
        state.refresh(&next);
        true
    }

    /// The freshest view, where nothing is known to have changed since: enough where whatever changes is told here.
    pub(super) fn current(&self, now: Millis) -> Option<Arc<PresenceView>> {
        self.lock().current(now).cloned()
    }

    /// What is to be done at the end of an interval, if somebody does not do it already. Then somebody does, until
    /// [`Self::end`].
    pub(super) fn begin(&self, now: Millis) -> Option<Due> {
        if self.publishing.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        // A topic whose presence nobody has asked for has nothing to compare with.
        let fresh = state.fresh.as_ref()?;
        let due = if state.current(now).is_none() {
            Some(Due::Look)
        } else {
            let behind = state.published.as_ref().is_none_or(|published| published.view.version() != fresh.version());
            behind.then_some(Due::Publish)
        };
        match due {
            None => state.rest(),
            Some(_) => state.quiet = 0,
        }
        self.publishing.store(due.is_some(), Ordering::Release);
        due
    }

    /// The look that began with [`Self::begin`] has ended.
    pub(super) fn end(&self) {
        self.publishing.store(false, Ordering::Release);
    }

    /// The freshest view there is.
    pub(super) fn latest(&self) -> Option<Arc<PresenceView>> {
        self.lock().fresh.clone()
    }

    /// The view of a crowd that is no older than this. Of a crowd only the first are listed, and the number of the rest
    /// is told once an interval: who comes to it need not have it counted anew, or each of many would count all.
    pub(super) fn crowd(&self, age: Duration) -> Option<Arc<PresenceView>> {
        let state = self.lock();
        let recent = state.seen_at.is_some_and(|at| at.elapsed() < age);
        state.fresh.clone().filter(|view| recent && view.is_truncated())
    }

    /// A view no older than this call. `read` asks the database.
    pub(super) async fn look<E>(&self, read: impl AsyncFnOnce() -> Result<Present, E>) -> Result<Arc<PresenceView>, E> {
        let before = self.looks.load(Ordering::Acquire);
        let _alone = self.looking.lock().await;
        // A look that began after this call, and did not fail, is as good as one of our own.
        if let Some(view) = self.seen_after(before) {
            return Ok(view);
        }
        let look = Look {
            number: self.looks.fetch_add(1, Ordering::AcqRel) + 1,
            began: Instant::now(),
            changes: self.lock().changes,
        };
        let present = read().await?;
        Ok(self.renew(&look, present))
    }

    fn seen_after(&self, look: u64) -> Option<Arc<PresenceView>> {
        let state = self.lock();
        state.fresh.clone().filter(|_| state.seen > look)
    }

    fn renew(&self, look: &Look, present: Present) -> Arc<PresenceView> {
        let mut state = self.lock();
        (state.seen, state.seen_at, state.known) = (look.number, Some(look.began), look.changes);
        state.next_expiry = present.next_expiry;
        match &state.fresh {
            Some(view) if view.same(&present) => view.clone(),
            old => {
                let view = Arc::new(PresenceView::new(old.as_ref().map_or(1, |view| view.version() + 1), present));
                state.refresh(&view);
                view
            }
        }
    }

    /// The interval has ended: the freshest view becomes what differences lead to. Answers whether it is a new one.
    pub(super) fn publish(&self, topic: &TopicId) -> bool {
        let mut state = self.lock();
        let Some(fresh) = state.fresh.clone() else { return false };
        let before = match &state.published {
            Some(old) if old.view.version() == fresh.version() => return false,
            Some(old) => Some((old.view.version(), old.view.difference(&fresh, topic))),
            None => None,
        };
        state.published = Some(Published { view: fresh, before });
        true
    }

    /// The view of the last interval.
    pub(super) fn published(&self) -> Option<Published> {
        self.lock().published.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests;
