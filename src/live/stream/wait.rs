//! Waiting: for a notification, or for what is due. One timer serves everything that is due.

use std::future::{Future as _, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::state::Stream;

impl Stream {
    /// Waits until the stream is notified or something is due; at most until `until`.
    pub(super) async fn wait(&mut self, until: Option<Instant>) {
        poll_fn(|cx| self.poll_due(cx, until)).await;
    }

    /// Is ready if the stream was notified or something is due. A keep-alive comment that is due is written.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> Poll<()> {
        if self.signal.poll_notified(cx).is_ready() || self.poll_checkpoint(cx).is_ready() {
            return Poll::Ready(());
        }
        let keepalive = self.written_at + self.hub.inner.settings.keepalive;
        let optional = [self.retry_at, self.checkpoint_due(), self.activity_due(), until];
        let due = optional.into_iter().flatten().fold(keepalive.min(self.check_at), Instant::min);
        if self.timer.is_elapsed() || due < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(due.into());
        }
        ready!(self.timer.as_mut().poll(cx));
        self.now = Instant::now();
        if self.now >= keepalive {
            self.encoder.comment();
            self.written_at = self.now;
        }
        Poll::Ready(())
    }
}
