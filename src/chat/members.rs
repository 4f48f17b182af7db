//! Members of groups: join and leave, and what admins do. The rules are one table, in [`crate::model::group`].

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::group::{Act, MAY_MODERATE, Refusal, Standing};
use crate::model::{GroupId, UserId};
use crate::store::{MemberAct, MemberChanged, MemberRefused, MemberRow};

impl Chat {
    /// Does an act in a group: on `target`, or on the caller if `target` is `None`. Returns the target's new row.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] for the group, the user or the member, the refusal of the rule as one of
    /// [`ChatError::Forbidden`], [`ChatError::Banned`], [`ChatError::UserBanned`], [`ChatError::GroupFull`],
    /// [`ChatError::LastSuperadmin`] and [`ChatError::NoFurtherRole`], or a failure of the database.
    pub(crate) async fn act_in_group(
        &self,
        caller: &Caller,
        group: GroupId,
        act: Act,
        target: Option<UserId>,
    ) -> Result<MemberRow, ChatError> {
        let actor = caller.user.user_id.clone();
        let act = MemberAct { group, act, target: target.unwrap_or_else(|| actor.clone()), actor };
        self.run_to_completion(|chat| async move {
            let changed = chat.store().act_in_group(act).await?;
            let MemberChanged { topic, target, entry, ended } = changed?;
            if let Some(entry) = entry {
                chat.inner.hub.appended(topic, &entry.topic, vec![entry.render()]);
            }
            chat.publish_ended_joins(topic, &ended);
            Ok(target)
        })
        .await
    }

    /// Lists the users whose standing in the group is in the range `standings` (both ends included), the highest role
    /// first, starting after `after`. Any user may see the members of an open group, because any user may become one.
    /// Only admins may see requests and bans.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if there is no such group, [`ChatError::Forbidden`] if the caller may not see the list,
    /// or a failure of the database.
    pub(crate) async fn members(
        &self,
        caller: &Caller,
        group: GroupId,
        standings: (Standing, Standing),
        after: Option<(i16, String)>,
        limit: usize,
    ) -> Result<Vec<MemberRow>, ChatError> {
        self.check_may_list(caller, group, standings).await?;
        let members = self.store().members(group, standings, after, limit).await?;
        // Again, because the caller may have lost access to the group while the list was read.
        self.check_may_list(caller, group, standings).await?;
        Ok(members)
    }

    async fn check_may_list(
        &self,
        caller: &Caller,
        group: GroupId,
        standings: (Standing, Standing),
    ) -> Result<(), ChatError> {
        let row = self.group(caller, group).await?;
        if !standings.1.is_member() && row.standing > MAY_MODERATE {
            return Err(ChatError::Forbidden("only admins of the group can see requests and bans"));
        }
        if standings.1.is_member() && !row.open && !row.standing.is_member() {
            return Err(ChatError::Forbidden("only its members can see the members of a closed group"));
        }
        Ok(())
    }
}

impl From<MemberRefused> for ChatError {
    fn from(refused: MemberRefused) -> Self {
        match refused {
            MemberRefused::NoGroup => Self::NotFound("group"),
            MemberRefused::NoUser => Self::NotFound("user"),
            MemberRefused::Rule(refusal) => match refusal {
                Refusal::Forbidden => Self::Forbidden("your role in this group does not reach so far"),
                Refusal::NoMember => Self::NotFound("member"),
                Refusal::Banned => Self::Banned,
                Refusal::UserBanned => Self::UserBanned,
                Refusal::Full => Self::GroupFull,
                Refusal::LastSuperadmin => Self::LastSuperadmin,
                Refusal::Highest => Self::NoFurtherRole("superadmin is the highest role"),
                Refusal::Lowest => Self::NoFurtherRole("member is the lowest role: remove them from the group instead"),
            },
        }
    }
}
