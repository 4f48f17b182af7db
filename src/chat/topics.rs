//! Topics: access to them, join and leave, and their presence lists.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use super::tokens::Claims;
use crate::live::PresenceView;
use crate::model::cursor::IdCursor;
use crate::model::{Millis, Presence, Seq, SessionId, TopicId, TopicKind, UserId};
use crate::store::{Join, JoinOutcome, JoinRefusal, JoinRequest, LeaveReason, TopicRow};

/// The result of joining a topic.
#[derive(Clone, Debug)]
pub(crate) struct JoinedTopic {
    /// The join.
    pub join: Join,
    /// The caller's own presence, visible to others or not.
    pub own: Presence,
    /// The name of a room or a group.
    pub name: Option<String>,
    /// The presence list, the caller included.
    pub present: Arc<PresenceView>,
}

/// A topic, as a user sees it who may see it.
#[derive(Clone, Debug)]
pub(crate) struct TopicInfo {
    /// The seq of the newest entry; 0 if there is none yet.
    pub last_seq: Seq,
    /// The name of a room or a group.
    pub name: Option<String>,
    /// The number of sessions that are present.
    pub presence_count: usize,
    /// The time of the topic's creation; `None` for a direct message that no session has joined and no user blocked yet.
    pub created_at: Option<Millis>,
}

impl Chat {
    /// Returns the row of a topic that the user may see, or `None` if it has none yet: a direct message exists before it
    /// has a row. A topic that the user may not see gives the same error as one that does not exist.
    pub(super) async fn visible(&self, id: &TopicId, user: &UserId) -> Result<Option<TopicRow>, ChatError> {
        self.check_member(id, user).await?;
        let row = self.store().topic(id).await?;
        if row.is_none() {
            self.check_unused_dm(id, user).await?;
        }
        Ok(row)
    }

    /// Checks that the user is a member of the group, if the topic is a group's chat: it exists for its members only. A
    /// call that reads entries checks again after the reading: then it returns no entry that was stored after the user
    /// lost access, in whatever order the two happened.
    pub(super) async fn check_member(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        match id.group_id() {
            Some(group) if !self.store().standing(group, user).await?.is_member() => Err(ChatError::NotFound("topic")),
            _ => Ok(()),
        }
    }

    /// Checks that a topic without a row is a direct message of two existing users. Any other topic without a row does
    /// not exist.
    async fn check_unused_dm(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        let (a, b) = id.dm_users().ok_or(ChatError::NotFound("topic"))?;
        let other = if a == *user { b } else { a };
        let exists = self.store().user(&other).await?.is_some();
        if exists { Ok(()) } else { Err(ChatError::NotFound("topic")) }
    }

    /// Checks that the user may join or leave a topic. Unlike in [`Chat::visible`], a room need not exist yet.
    async fn check_joinable(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        self.check_member(id, user).await?;
        if id.kind() == TopicKind::Dm && self.store().topic(id).await?.is_none() {
            self.check_unused_dm(id, user).await?;
        }
        Ok(())
    }

    /// Returns the error for a sender who has not joined the topic: the topic does not exist for them, a block forbids
    /// the join, or they have to join first.
    pub(super) async fn not_joined_error(&self, id: &TopicId, user: &UserId) -> ChatError {
        match self.check_may_join(id, user).await {
            Ok(()) => ChatError::NotJoined,
            Err(error) => error,
        }
    }

    async fn check_may_join(&self, id: &TopicId, user: &UserId) -> Result<(), ChatError> {
        self.check_member(id, user).await?;
        match self.store().topic(id).await? {
            None if id.kind() == TopicKind::Dm => self.check_unused_dm(id, user).await,
            _ => self.check_not_blocked(id).await,
        }
    }

    /// Joins a topic. A repeat does not move the position of the join. `hidden` changes the visibility of the caller's
    /// presence if it is given.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see the topic, [`ChatError::TooManyJoins`], [`ChatError::Blocked`],
    /// [`ChatError::Unauthenticated`], or a failure of the database.
    pub(crate) async fn join(
        &self,
        claims: &Claims,
        topic: TopicId,
        hidden: Option<bool>,
    ) -> Result<JoinedTopic, ChatError> {
        // Any user may join a room, so nothing is read before the join, which checks the session itself.
        if topic.kind() != TopicKind::Room {
            self.caller(claims).await?;
            self.check_joinable(&topic, &claims.user).await?;
        }
        let request = JoinRequest {
            session: claims.session,
            topic,
            hidden,
            max: self.inner.settings.max_joins,
            grace: self.inner.hub.grace(),
        };
        let (join, own) = self.run_to_completion(|chat| async move { chat.join_and_publish(request).await }).await?;
        let present = self.inner.hub.present(join.topic.key).await?;
        let name = self.names_of([&join.topic.id]).await?.pop().flatten();
        Ok(JoinedTopic { join, own, name, present })
    }

    async fn join_and_publish(&self, request: JoinRequest) -> Result<(Join, Presence), ChatError> {
        let session = request.session;
        let max = request.max;
        let since = Instant::now();
        let outcome = self.store().join(request).await?;
        let JoinOutcome { join, own, fresh, until, appeared } = outcome.map_err(|refused| match refused {
            JoinRefusal::SessionEnded => ChatError::session_ended(),
            JoinRefusal::NoTopic => ChatError::NotFound("topic"),
            JoinRefusal::TooMany => ChatError::TooManyJoins { max },
            JoinRefusal::Blocked => ChatError::Blocked,
        })?;
        self.inner.hub.joins_changed(session);
        if fresh && !join.hidden {
            self.inner.hub.session_appeared(join.topic.key, &own, until, since);
        } else {
            self.inner.hub.presence_changed(&[join.topic.key]);
        }
        self.inner.hub.presence_changed(&appeared);
        Ok((join, own))
    }

    /// Leaves a topic. Does nothing if the session has not joined it.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see the topic, or a failure of the database.
    pub(crate) async fn leave(&self, caller: &Caller, topic: TopicId) -> Result<(), ChatError> {
        self.check_joinable(&topic, &caller.user.user_id).await?;
        let session = caller.session;
        self.run_to_completion(|chat| async move {
            if let Some(key) = chat.store().leave(session, &topic, LeaveReason::Left).await? {
                chat.inner.hub.joins_changed(session);
                chat.inner.hub.presence_changed(&[key]);
            }
            Ok(())
        })
        .await
    }

    /// Lists the joins of a session in the order of joining, each with the name of its topic.
    ///
    /// # Errors
    /// A failure of the database.
    pub(crate) async fn joins(&self, session: SessionId) -> Result<Vec<(Join, Option<String>)>, ChatError> {
        let joins = self.store().joins_of(session).await?;
        let names = self.names_of(joins.iter().map(|join| &join.topic.id)).await?;
        Ok(joins.into_iter().zip(names).collect())
    }

    /// Returns the names of topics, in the order of `topics`. Only rooms and groups have names.
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

    /// Reads a topic.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see it, or a failure of the database.
    pub(crate) async fn topic(&self, caller: &Caller, id: &TopicId) -> Result<TopicInfo, ChatError> {
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

    /// Lists up to `limit` presences of a topic, starting after the session that `cursor` names.
    ///
    /// # Errors
    /// [`ChatError::BadCursor`], [`ChatError::NotFound`] if the caller may not see the topic, or a failure of the database.
    pub(crate) async fn presences(
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
