//! Topics: who may see which, joining and leaving, who is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::sessions::ENDED;
use super::{Caller, Chat, ChatError, Claims};
use crate::live::PresenceView;
use crate::model::cursor::IdCursor;
use crate::model::{Millis, Presence, Seq, SessionId, TopicId, TopicKind, UserId};
use crate::store::{Join, JoinOutcome, JoinRefusal, JoinRequest, LeaveReason, TopicRow};

/// What a join answers.
#[derive(Clone, Debug)]
pub struct JoinedTopic {
    /// The join.
    pub join: Join,
    /// The caller's own presence, shown or not.
    pub own: Presence,
    /// The topic's name.
    pub name: Option<String>,
    /// Who is there, the caller included.
    pub present: Arc<PresenceView>,
}

/// A topic, for those who may see it.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// The newest entry; 0 where there is none yet.
    pub last_seq: Seq,
    /// A room's or a group's name.
    pub name: Option<String>,
    /// How many are present.
    pub presence_count: usize,
    /// When it was made; `None` for a direct message that nobody has joined or blocked yet.
    pub created_at: Option<Millis>,
}

impl Chat {
    /// The row of a topic that `user` may see; `None` for a direct message that has none yet: it exists before its first
    /// join. A topic that they may not see is refused as one that does not exist.
    pub(super) async fn visible(&self, id: &TopicId, user: &UserId) -> Result<Option<TopicRow>, ChatError> {
        self.check_member(id, user).await?;
        let row = self.store().topic(id).await?;
        if row.is_none() {
            self.check_unmade(id, user).await?;
        }
        Ok(row)
    }

    /// A group's chat exists for its members only. Whoever reads asks after reading as well: what was stored after they
    /// lost the group is then not shown, however the two fell together.
    pub(super) async fn check_member(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        match id.group_id() {
            Some(group) if !self.store().standing(group, user).await?.is_member() => Err(ChatError::NotFound("topic")),
            _ => Ok(()),
        }
    }

    /// A topic without a row may be a direct message of two known users, and otherwise does not exist.
    async fn check_unmade(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        let (a, b) = id.dm_users().ok_or(ChatError::NotFound("topic"))?;
        let other = if a == *user { b } else { a };
        self.store().user(&other).await?.map(drop).ok_or(ChatError::NotFound("topic"))
    }

    /// Refuses a topic that `user` may neither join nor leave. A room need not exist yet, unlike in [`Self::visible`].
    async fn check_joinable(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        self.check_member(id, user).await?;
        if id.kind() == TopicKind::Dm && self.store().topic(id).await?.is_none() {
            self.check_unmade(id, user).await?;
        }
        Ok(())
    }

    /// What a sender hears who has not joined: to join first, that a block forbids it, or that there is nothing to join.
    pub(super) async fn why_not_joined(&self, id: &TopicId, user: &UserId) -> ChatError {
        let seen = async {
            self.check_member(id, user).await?;
            match self.store().topic(id).await? {
                None if id.kind() == TopicKind::Dm => self.check_unmade(id, user).await,
                _ => self.check_not_blocked(id).await,
            }
        };
        seen.await.err().unwrap_or(ChatError::NotJoined)
    }

    /// Joins; a repeat moves nothing.
    pub async fn join(&self, claims: &Claims, topic: TopicId, hidden: Option<bool>) -> Result<JoinedTopic, ChatError> {
        // Any user may join a room, and the join itself checks that the session is alive.
        if topic.kind() != TopicKind::Room {
            self.caller(claims).await?;
            self.check_joinable(&topic, &claims.user).await?;
        }
        let (session, max, grace) = (claims.session, self.inner.rules.max_joins, self.inner.hub.grace());
        let joining = JoinRequest { session, topic, hidden, max, grace };
        let (join, own) = self.to_the_end(|chat| async move { chat.join_and_tell(joining).await }).await?;
        let present = self.inner.hub.present(join.topic.key).await?;
        let name = self.names_of([&join.topic.id]).await?.pop().flatten();
        Ok(JoinedTopic { join, own, name, present })
    }

    async fn join_and_tell(&self, joining: JoinRequest) -> Result<(Join, Presence), ChatError> {
        let (session, max, since) = (joining.session, joining.max, Instant::now());
        let made = self.store().join(joining).await?;
        let JoinOutcome { join, own, fresh, until, appeared } = made.map_err(|refused| match refused {
            JoinRefusal::SessionEnded => ChatError::Unauthenticated(ENDED),
            JoinRefusal::NoTopic => ChatError::NotFound("topic"),
            JoinRefusal::TooMany => ChatError::TooManyJoins { max },
            JoinRefusal::Blocked => ChatError::Blocked,
        })?;
        self.inner.hub.joins_changed(session);
        if fresh && !join.hidden {
            self.inner.hub.came(join.topic.key, &own, until, since);
        } else {
            self.inner.hub.presence_changed(&[join.topic.key]);
        }
        self.inner.hub.presence_changed(&appeared);
        Ok((join, own))
    }

    /// Leaves; where nothing was joined, nothing happens.
    pub async fn leave(&self, caller: &Caller, topic: TopicId) -> Result<(), ChatError> {
        self.check_joinable(&topic, &caller.user.user_id).await?;
        let session = caller.session;
        self.to_the_end(|chat| async move {
            if let Some(key) = chat.store().leave(session, &topic, LeaveReason::Left).await? {
                chat.inner.hub.joins_changed(session);
                chat.inner.hub.presence_changed(&[key]);
            }
            Ok(())
        })
        .await
    }

    /// What a session has joined, in the order of joining, with the names of the topics.
    pub async fn joins(&self, session: SessionId) -> Result<Vec<(Join, Option<String>)>, ChatError> {
        let joins = self.store().joins_of(session).await?;
        let names = self.names_of(joins.iter().map(|join| &join.topic.id)).await?;
        Ok(joins.into_iter().zip(names).collect())
    }

    /// How topics are called, in their order: rooms and groups have names.
    pub(super) async fn names_of(
        &self,
        topics: impl IntoIterator<Item = &TopicId> + Clone,
    ) -> Result<Vec<Option<String>>, ChatError> {
        let groups: Vec<_> = topics.clone().into_iter().filter_map(TopicId::group_id).collect();
        let names: HashMap<_, _> = self.store().group_names(&groups).await?.into_iter().collect();
        let name = |topic: &TopicId| match topic.group_id() {
            Some(group) => names.get(&group).cloned(),
            None => topic.name().map(str::to_owned),
        };
        Ok(topics.into_iter().map(name).collect())
    }

    /// A topic.
    pub async fn topic(&self, caller: &Caller, id: &TopicId) -> Result<TopicInfo, ChatError> {
        let row = self.visible(id, &caller.user.user_id).await?;
        let presence_count = match &row {
            Some(row) => self.store().count_present(row.key, self.inner.hub.grace()).await?,
            None => 0,
        };
        let last_seq = row.as_ref().map(|row| row.last_seq).unwrap_or_default();
        let name = self.names_of([id]).await?.pop().flatten();
        self.check_member(id, &caller.user.user_id).await?;
        Ok(TopicInfo { last_seq, name, presence_count, created_at: row.map(|row| row.created_at) })
    }

    /// Up to `limit` of the sessions that are present, after the one that `cursor` names.
    pub async fn presences(
        &self,
        caller: &Caller,
        id: &TopicId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Presence>, ChatError> {
        let row = self.visible(id, &caller.user.user_id).await?;
        let after = cursor.map(|text| IdCursor::decode(text, id.as_str()).ok_or(ChatError::BadCursor)).transpose()?;
        let list = match row {
            Some(row) => {
                let after = after.map(|IdCursor(session)| session);
                self.store().present_page(row.key, after, limit, self.inner.hub.grace()).await?
            }
            None => Vec::new(),
        };
        self.check_member(id, &caller.user.user_id).await?;
        Ok(list)
    }
}
