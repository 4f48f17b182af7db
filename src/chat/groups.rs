//! Groups: create, find, change and delete them.

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::group::{Refusal, Standing};
use crate::model::text::{DESCRIPTION_MAX, GROUP_NAME_MAX, is_name, lower_case};
use crate::model::{GroupId, SessionId};
use crate::store::{GroupCursor, GroupDeleted, GroupPatch, GroupRow, NewGroup, TopicKey};

/// The upper bound of a group's `max_members`.
const MAX_MEMBERS: u32 = 10_000;
/// The `max_members` of a group that is created without one.
const DEFAULT_MAX_MEMBERS: u32 = 100;

/// The properties of a group to create.
#[derive(Clone, Debug)]
pub(crate) struct CreateGroup {
    /// 1 to 100 characters.
    pub name: String,
    /// At most 500 characters. The default is empty.
    pub description: Option<String>,
    /// True if any user may join. The default is true.
    pub open: Option<bool>,
    /// 1 to 10,000. The default is 100.
    pub max_members: Option<u32>,
}

/// A search for groups.
#[derive(Clone, Debug)]
pub(crate) struct GroupQuery {
    /// The beginning of the groups' names, in any case.
    pub prefix: String,
    /// The last group of the page before; the search goes on after it.
    pub after: Option<GroupCursor>,
    /// The largest number of groups to return.
    pub limit: usize,
}

impl Chat {
    /// Creates a group. The caller becomes its superadmin.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for a property that is out of its bounds, or a failure of the database.
    pub(crate) async fn create_group(&self, caller: &Caller, new: CreateGroup) -> Result<GroupRow, ChatError> {
        let new = NewGroup {
            name: new.name,
            description: new.description.unwrap_or_default(),
            open: new.open.unwrap_or(true),
            max_members: new.max_members.unwrap_or(DEFAULT_MAX_MEMBERS),
        };
        check_properties(Some(&new.name), Some(&new.description), Some(new.max_members))?;
        Ok(self.store().create_group(new, caller.user.user_id.clone()).await?)
    }

    /// Reads a group. Any user may read it.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if there is no such group, or a failure of the database.
    pub(crate) async fn group(&self, caller: &Caller, id: GroupId) -> Result<GroupRow, ChatError> {
        self.store().group(id, &caller.user.user_id).await?.ok_or(ChatError::NotFound("group"))
    }

    /// Finds groups by the beginning of their name, in the order of their names.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for a prefix that no name can have, or a failure of the database.
    pub(crate) async fn groups(&self, caller: &Caller, query: GroupQuery) -> Result<Vec<GroupRow>, ChatError> {
        let GroupQuery { prefix, after, limit } = query;
        if !prefix.is_empty() && !is_name(&prefix, GROUP_NAME_MAX) {
            return Err(ChatError::invalid("prefix takes at most 100 characters and no control characters"));
        }
        Ok(self.store().groups(&caller.user.user_id, &lower_case(&prefix), after, limit).await?)
    }

    /// Lists the groups in which the caller's standing is in the range `standings` (both ends included), in the order
    /// of the groups' ids.
    ///
    /// # Errors
    /// A failure of the database.
    pub(crate) async fn my_groups(
        &self,
        caller: &Caller,
        standings: (Standing, Standing),
        after: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, ChatError> {
        Ok(self.store().groups_of(&caller.user.user_id, standings, after, limit).await?)
    }

    /// Changes the properties of a group, and returns the group with its new properties.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for a property that is out of its bounds, [`ChatError::NotFound`] if there is no such
    /// group, [`ChatError::Forbidden`] if the caller is not an admin of it, or a failure of the database.
    pub(crate) async fn change_group(
        &self,
        caller: &Caller,
        id: GroupId,
        patch: GroupPatch,
    ) -> Result<GroupRow, ChatError> {
        check_properties(patch.name.as_deref(), patch.description.as_deref(), patch.max_members)?;
        let changed = self.store().change_group(id, caller.user.user_id.clone(), patch).await?;
        let changed = changed.ok_or(ChatError::NotFound("group"))?;
        changed.map_err(|_| ChatError::Forbidden("only admins of the group can change it"))
    }

    /// Deletes a group, with its topic.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if there is no such group, [`ChatError::Forbidden`] if the caller is not a superadmin of
    /// it, or a failure of the database.
    pub(crate) async fn delete_group(&self, caller: &Caller, id: GroupId) -> Result<(), ChatError> {
        let user = caller.user.user_id.clone();
        self.run_to_completion(|chat| async move {
            let deleted = chat.store().delete_group(id, user).await?.ok_or(ChatError::NotFound("group"))?;
            let refused = |_: Refusal| ChatError::Forbidden("only superadmins of the group can delete it");
            let GroupDeleted { topic, ended } = deleted.map_err(refused)?;
            chat.publish_ended_joins(topic, &ended);
            Ok(())
        })
        .await
    }

    /// Notifies the streams of the sessions whose joins of a topic have ended, and the listeners of the topic, whose
    /// presence list has changed.
    pub(super) fn publish_ended_joins(&self, topic: TopicKey, sessions: &[SessionId]) {
        sessions.iter().for_each(|session| self.inner.hub.joins_changed(*session));
        if !sessions.is_empty() {
            self.inner.hub.presence_changed(&[topic]);
        }
    }
}

/// Checks the properties that are given against their bounds.
fn check_properties(name: Option<&str>, description: Option<&str>, max_members: Option<u32>) -> Result<(), ChatError> {
    if name.is_some_and(|name| !is_name(name, GROUP_NAME_MAX)) {
        return Err(ChatError::invalid("name takes 1 to 100 characters and no control characters"));
    }
    if description.is_some_and(|text| !text.is_empty() && !is_name(text, DESCRIPTION_MAX)) {
        return Err(ChatError::invalid("description takes at most 500 characters and no control characters"));
    }
    if max_members.is_some_and(|max| !(1..=MAX_MEMBERS).contains(&max)) {
        return Err(ChatError::invalid("max_members takes 1 to 10000"));
    }
    Ok(())
}
