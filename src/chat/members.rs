//! Members of groups: coming and going, and what admins do. The rules themselves are a table, in [`crate::model::group`].

use super::{Caller, Chat, ChatError};
use crate::model::group::{Act, MAY_MODERATE, Refusal, Standing};
use crate::model::{GroupId, UserId};
use crate::store::{MemberAct, MemberChanged, MemberRefused, MemberRow};

impl Chat {
    /// Acts in a group: on `target`, or on the caller where there is none. Answers what the target is to the group now.
    pub async fn act_in_group(
        &self,
        caller: &Caller,
        group: GroupId,
        act: Act,
        target: Option<UserId>,
    ) -> Result<MemberRow, ChatError> {
        let actor = caller.user.user_id.clone();
        let act = MemberAct { group, act, target: target.unwrap_or_else(|| actor.clone()), actor };
        self.to_the_end(|chat| async move {
            let changed = chat.store().act_in_group(act).await?;
            let MemberChanged { topic, target, entry, ended } = changed?;
            if let Some(entry) = entry {
                chat.inner.hub.appended(topic, &entry.topic, vec![entry.render()]);
            }
            chat.tell_ended(topic, &ended);
            Ok(target)
        })
        .await
    }

    /// Members, or those who ask to join or are banned, the highest role first. Of an open group anyone may see the
    /// members, as anyone may become one; requests and bans are for admins.
    pub async fn members(
        &self,
        caller: &Caller,
        group: GroupId,
        standings: (Standing, Standing),
        after: Option<(i16, String)>,
        limit: usize,
    ) -> Result<Vec<MemberRow>, ChatError> {
        self.check_list(caller, group, standings).await?;
        let members = self.store().members(group, standings, after, limit).await?;
        self.check_list(caller, group, standings).await?; // they may have lost the group while it was read
        Ok(members)
    }

    async fn check_list(
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
