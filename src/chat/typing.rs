//! Typing: told to those who listen at that moment, and stored nowhere.

use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Chat, ChatError, Claims};
use crate::live::events;
use crate::model::message::to_json;
use crate::model::{EphemeralEvent, SessionId, TopicId};

/// A session tells at most once in so long that its user is typing; what comes sooner is dropped.
const SPACING: Duration = Duration::from_secs(2);

/// Who has told lately.
#[derive(Debug)]
pub(super) struct Typing {
    told: DefaultKeyedRateLimiter<SessionId>,
}

impl Default for Typing {
    fn default() -> Self {
        let quota = Quota::with_period(SPACING).unwrap_or(Quota::per_second(std::num::NonZeroU32::MIN));
        Self { told: RateLimiter::keyed(quota) }
    }
}

impl Typing {
    /// Forgets who may tell again.
    pub(super) fn forget_old(&self) {
        self.told.retain_recent();
        self.told.shrink_to_fit();
    }
}

impl Chat {
    /// Tells those present that the caller is typing. The session must have joined; a hidden one shows itself by this.
    pub async fn tell_typing(&self, claims: &Claims, topic: &TopicId) -> Result<(), ChatError> {
        let caller = self.caller(claims).await?;
        let row = self.joined_topic(claims, topic).await?;
        // What is refused counts for nothing: whoever joins next may tell at once.
        if self.inner.typing.told.check_key(&claims.session).is_ok() {
            let (user_id, username) = (&caller.user.user_id, &*caller.user.username);
            let json = to_json(&events::Typing { topic, user_id, username });
            self.inner.hub.send_ephemeral(row.key, row.last_seq, EphemeralEvent::Typing(json));
        }
        Ok(())
    }
}
