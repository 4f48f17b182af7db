//! What a stream waits for: news, or something that is due. One timer serves all of it.

use std::future::{Future as _, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Stream;
use crate::store::StoreError;

/// How long a stream believes what it knows of its session's time: a machine's clock may be set, and machines be paused.
const CHECK: Duration = Duration::from_secs(30);
/// How long a stream waits before it asks a database again that has not answered.
const AGAIN: Duration = Duration::from_secs(1);

impl Stream {
    /// When the stream's age and its session's time are worth a look again.
    pub(super) fn next_check(&self) -> Instant {
        let expiry = self.now + self.expires_at.since(self.hub.inner.store.now());
        // Where the database does not answer, `again_at` says when it is asked again.
        let expiry = self.again_at.map_or(expiry, |again| expiry.max(again));
        expiry.min(self.opened_at + self.max_age).min(self.now + CHECK)
    }

    /// Whether the session's time has run out; it may have been refreshed, here or elsewhere.
    pub(super) async fn expired(&mut self) -> bool {
        if self.hub.inner.store.now() < self.expires_at || !self.may_ask() {
            return false;
        }
        match self.hub.inner.store.session(self.session).await {
            Ok(Some(session)) if !session.ended && session.expires_at > self.expires_at => {
                self.expires_at = session.expires_at;
                false
            }
            Ok(_) => true,
            Err(error) => {
                self.ask_later(&error);
                false
            }
        }
    }

    /// Waits until something happens, or something is due; at most until `until`.
    pub(super) async fn wait(&mut self, until: Option<Instant>) {
        poll_fn(|cx| self.poll_due(cx, until)).await;
    }

    /// Whether something has happened, or is due.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> Poll<()> {
        if self.wake.poll_rung(cx).is_ready() || self.poll_stored(cx).is_ready() {
            return Poll::Ready(());
        }
        let keepalive = self.written_at + self.hub.inner.settings.keepalive;
        let sometimes = [self.again_at, self.checkpoint_due(), self.activity_due(), until];
        let due = sometimes.into_iter().flatten().fold(keepalive.min(self.check_at), Instant::min);
        if self.timer.is_elapsed() || due < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(due.into());
        }
        ready!(self.timer.as_mut().poll(cx));
        self.now = Instant::now();
        if self.now >= keepalive {
            self.frames.comment();
            self.written_at = self.now;
        }
        Poll::Ready(())
    }

    /// Whether the database may be asked: it has answered last time, or some time has passed.
    pub(super) fn may_ask(&mut self) -> bool {
        self.again_at = self.again_at.filter(|at| *at > Instant::now());
        self.again_at.is_none()
    }

    pub(super) fn ask_later(&mut self, error: &StoreError) {
        tracing::debug!(%error, "a stream waits for the database");
        self.again_at = Some(Instant::now() + AGAIN);
    }
}
