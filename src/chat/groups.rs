//! Groups: making, finding, changing and deleting them.

use super::{Caller, Chat, ChatError};
use crate::model::group::{Refusal, Standing};
use crate::model::text::{DESCRIPTION_MAX, GROUP_NAME_MAX, is_name, lower_case};
use crate::model::{GroupId, SessionId};
use crate::store::{GroupDeleted, GroupPatch, GroupPlace, GroupRow, NewGroup, TopicKey};

/// The most members that a group may take.
const MEMBERS_MAX: u32 = 10_000;
/// How many it takes where nothing is said.
const MEMBERS_DEFAULT: u32 = 100;

/// What a group shall be made with.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    /// 1 to 100 characters.
    pub name: String,
    /// At most 500 characters; empty where nothing is said.
    pub description: Option<String>,
    /// Whether anyone may join; they may where nothing is said.
    pub open: Option<bool>,
    /// 1 to 10,000; 100 where nothing is said.
    pub max_members: Option<u32>,
}

/// A search for groups.
#[derive(Clone, Debug)]
pub struct GroupQuery {
    /// How their names begin, in whatever case.
    pub prefix: String,
    /// Goes on behind this one.
    pub after: Option<GroupPlace>,
    /// How many at most.
    pub limit: usize,
}

impl Chat {
    /// Makes a group; the caller is its superadmin.
    pub async fn create_group(&self, caller: &Caller, new: CreateGroup) -> Result<GroupRow, ChatError> {
        let new = NewGroup {
            name: new.name,
            description: new.description.unwrap_or_default(),
            open: new.open.unwrap_or(true),
            max_members: new.max_members.unwrap_or(MEMBERS_DEFAULT),
        };
        check(Some(&new.name), Some(&new.description), Some(new.max_members))?;
        Ok(self.store().create_group(new, caller.user.user_id.clone()).await?)
    }

    /// A group: whoever has an account may look at it.
    pub async fn group(&self, caller: &Caller, id: GroupId) -> Result<GroupRow, ChatError> {
        self.store().group(id, &caller.user.user_id).await?.ok_or(ChatError::NotFound("group"))
    }

    /// Groups whose name begins so, in the order of their names.
    pub async fn groups(&self, caller: &Caller, query: GroupQuery) -> Result<Vec<GroupRow>, ChatError> {
        let GroupQuery { prefix, after, limit } = query;
        if !prefix.is_empty() && !is_name(&prefix, GROUP_NAME_MAX) {
            return Err(ChatError::invalid("prefix takes at most 100 characters and no control characters"));
        }
        Ok(self.store().groups(&caller.user.user_id, &lower_case(&prefix), after, limit).await?)
    }

    /// The caller's groups, or those that they ask to join, in the order of their ids.
    pub async fn my_groups(
        &self,
        caller: &Caller,
        standings: (Standing, Standing),
        after: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, ChatError> {
        Ok(self.store().groups_of(&caller.user.user_id, standings, after, limit).await?)
    }

    /// Changes a group.
    pub async fn change_group(&self, caller: &Caller, id: GroupId, patch: GroupPatch) -> Result<GroupRow, ChatError> {
        check(patch.name.as_deref(), patch.description.as_deref(), patch.max_members)?;
        let changed = self.store().change_group(id, caller.user.user_id.clone(), patch).await?;
        let changed = changed.ok_or(ChatError::NotFound("group"))?;
        changed.map_err(|_| ChatError::Forbidden("only admins of the group can change it"))
    }

    /// Deletes a group, with its topic.
    pub async fn delete_group(&self, caller: &Caller, id: GroupId) -> Result<(), ChatError> {
        let user = caller.user.user_id.clone();
        self.to_the_end(|chat| async move {
            let deleted = chat.store().delete_group(id, user).await?.ok_or(ChatError::NotFound("group"))?;
            let refused = |_: Refusal| ChatError::Forbidden("only superadmins of the group can delete it");
            let GroupDeleted { topic, ended } = deleted.map_err(refused)?;
            chat.tell_ended(topic, &ended);
            Ok(())
        })
        .await
    }

    /// Lets the streams of sessions whose joins of a topic have ended hear of it, and everybody else there.
    pub(super) fn tell_ended(&self, topic: TopicKey, sessions: &[SessionId]) {
        sessions.iter().for_each(|session| self.inner.hub.joins_changed(*session));
        if !sessions.is_empty() {
            self.inner.hub.presence_changed(&[topic]);
        }
    }
}

fn check(name: Option<&str>, description: Option<&str>, max_members: Option<u32>) -> Result<(), ChatError> {
    if name.is_some_and(|name| !is_name(name, GROUP_NAME_MAX)) {
        return Err(ChatError::invalid("name takes 1 to 100 characters and no control characters"));
    }
    if description.is_some_and(|text| !text.is_empty() && !is_name(text, DESCRIPTION_MAX)) {
        return Err(ChatError::invalid("description takes at most 500 characters and no control characters"));
    }
    if max_members.is_some_and(|max| !(1..=MEMBERS_MAX).contains(&max)) {
        return Err(ChatError::invalid("max_members takes 1 to 10000"));
    }
    Ok(())
}
