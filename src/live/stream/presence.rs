//! Showing the presence of a topic: the whole list first, then differences.

use super::state::Stream;
use crate::live::presence::{Difference, PresenceView};
use crate::model::event_id::JoinNumber;
use crate::store::StoreError;

impl Stream {
    /// Shows the whole list: at once if the latest view lists this session, otherwise from a refreshed view. Returns false
    /// if the joins have to be read first.
    pub(super) async fn show_presence(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get(&join_number) else {
            return Ok(true);
        };
        let active = topic.active.clone();
        let listing = active.presence.latest().filter(|view| !self.is_poll() && view.lists(self.session));
        let interval = self.hub.inner.settings.presence_interval;
        let view = match listing.or_else(|| active.presence.recent_truncated(interval)) {
            Some(view) => view,
            None => self.hub.refresh_presence(&active).await?,
        };
        if !self.access().may_show_view(&active, &view).await? {
            self.reload = true;
            return Ok(false);
        }
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(true);
        };
        let is_known = topic.known_digest.take() == Some(view.digest());
        topic.shown = Some(view.clone());
        if !is_known {
            self.write_event("presence_state", false, &view.state(&active.id));
        }
        Ok(true)
    }

    /// Shows what has changed since the view that the client has. Returns false if the joins have to be read first.
    pub(super) async fn show_difference(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(true);
        };
        let Some(shown) = topic.shown.clone() else {
            return Ok(true);
        };
        let Some(published) = topic.active.presence.published() else {
            return Ok(true);
        };
        let active = topic.active.clone();
        let listener = topic.listener.clone();
        let difference = published.since(&shown, &active.id);
        if !matches!(difference, Difference::Nothing) {
            let allowed = self.access().may_show_view(&active, &published.view).await;
            if !matches!(allowed, Ok(true)) {
                listener.notify_presence(); // the difference is still to be shown
                self.reload |= allowed.is_ok();
                return allowed;
            }
        }
        if PresenceView::is_newer(&published.view, &shown)
            && let Some(topic) = self.topics.get_mut(&join_number)
        {
            topic.shown = Some(published.view.clone());
        }
        match difference {
            Difference::Nothing => {}
            Difference::Changes(data) => self.write_event("presence", false, &data),
            Difference::WholeList => self.write_event("presence_state", false, &published.view.state(&active.id)),
        }
        Ok(true)
    }
}
