//! The rules of groups, as one table: which act a user may do on which other user. The store applies it inside the
//! transaction of the act, so that the database decides races.

use serde::Serialize;
use utoipa::ToSchema;

use super::message::Code;

/// The relation of a user to a group, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Standing {
    /// A member who may do every act.
    Superadmin,
    /// A member who may add, remove and ban others.
    Admin,
    /// A member without a further role.
    Member,
    /// A user who has requested to join.
    Requested,
    /// A user who may not join.
    Banned,
    /// Any other user.
    Stranger,
}

/// The role of a member in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Can do everything.
    Superadmin,
    /// Can add, remove and ban users, promote members, demote admins, and change the group.
    Admin,
    /// Can read and write.
    Member,
}

/// An act of a user in a group: on another user, or on themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Join an open group, or request to join a closed one.
    Join,
    /// Leave the group, or withdraw the request.
    Leave,
    /// Add a user, or accept their request.
    Add,
    /// Remove a member, or decline a request.
    Kick,
    /// Give a member the next higher role.
    Promote,
    /// Give a member the next lower role.
    Demote,
    /// Remove a user, member or not, and forbid them to join.
    Ban,
    /// Remove a ban.
    Unban,
}

/// The properties of a group that the rules depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// True if any user may join.
    pub open: bool,
    /// The number of members.
    pub members: u32,
    /// The largest number of members.
    pub max_members: u32,
    /// The number of superadmins among the members.
    pub superadmins: u32,
}

/// The result of an act that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target's standing changes. An entry with the code, if there is one, is appended to the group's log.
    Becomes(Standing, Option<Code>),
    /// Nothing changes, because the standing is the wanted one already.
    Stays,
    /// The last member leaves, and the group is deleted.
    Dissolves,
}

/// The reason why an act is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The actor's role does not allow the act on this target.
    Forbidden,
    /// The target is not a member.
    NoMember,
    /// The actor is banned.
    Banned,
    /// The target is banned.
    UserBanned,
    /// The group has as many members as it may have.
    Full,
    /// The group would have no superadmin.
    LastSuperadmin,
    /// The target has the highest role already.
    Highest,
    /// The target has the lowest role already.
    Lowest,
}

/// The lowest standing that may change the properties of the group.
pub(crate) const MAY_CHANGE: Standing = Standing::Admin;
/// The lowest standing that may delete the group.
pub(crate) const MAY_DELETE: Standing = Standing::Superadmin;
/// The lowest standing that may see requests and bans, and remove the messages of others.
pub(crate) const MAY_MODERATE: Standing = Standing::Admin;

/// Applies the rules to an act by `actor` on `target`. For [`Act::Join`] and [`Act::Leave`] both are the same user.
///
/// # Errors
/// [`Refusal`] if the rules do not allow the act.
pub(crate) fn decide(act: Act, actor: Standing, target: Standing, group: Situation) -> Result<Outcome, Refusal> {
    if actor > lowest_actor(act, target) || (target.is_member() && target < actor) {
        return Err(Refusal::Forbidden);
    }
    let outcome = rule(act, target, group.open)?;
    let Outcome::Becomes(standing, _) = outcome else {
        return Ok(outcome);
    };
    if standing.is_member() && !target.is_member() && group.members >= group.max_members {
        return Err(Refusal::Full);
    }
    if target == Standing::Superadmin && group.superadmins <= 1 {
        let alone = act == Act::Leave && group.members <= 1;
        return if alone { Ok(Outcome::Dissolves) } else { Err(Refusal::LastSuperadmin) };
    }
    Ok(outcome)
}

/// Returns the lowest standing of an actor that may do the act. In addition, no user acts on a higher role.
fn lowest_actor(act: Act, target: Standing) -> Standing {
    match act {
        Act::Join | Act::Leave => Standing::Stranger,
        Act::Promote if target == Standing::Admin => Standing::Superadmin, // only superadmins make superadmins
        Act::Add | Act::Kick | Act::Promote | Act::Demote | Act::Ban | Act::Unban => Standing::Admin,
    }
}

/// Returns the new standing of the target, and the code of the entry that announces it.
#[rustfmt::skip]
fn rule(act: Act, target: Standing, open: bool) -> Result<Outcome, Refusal> {
    use Outcome::{Becomes, Stays};
    use Standing::{Admin, Banned, Member, Requested, Stranger, Superadmin};
    match (act, target) {
        (Act::Join, Requested | Stranger) if open        => Ok(Becomes(Member, Some(Code::GROUP_JOIN))),
        (Act::Join, Stranger)                            => Ok(Becomes(Requested, None)),
        (Act::Join, Banned)                              => Err(Refusal::Banned),
        (Act::Join, _)                                   => Ok(Stays),

        (Act::Leave, Superadmin | Admin | Member)        => Ok(Becomes(Stranger, Some(Code::GROUP_LEAVE))),
        (Act::Leave, Requested)                          => Ok(Becomes(Stranger, None)),
        (Act::Leave, Banned | Stranger)                  => Ok(Stays),

        (Act::Add, Requested | Stranger)                 => Ok(Becomes(Member, Some(Code::GROUP_ADD))),
        (Act::Add, Banned)                               => Err(Refusal::UserBanned),
        (Act::Add, _)                                    => Ok(Stays),

        (Act::Kick, Superadmin | Admin | Member)         => Ok(Becomes(Stranger, Some(Code::GROUP_KICK))),
        (Act::Kick, Requested)                           => Ok(Becomes(Stranger, None)),
        (Act::Kick, Banned | Stranger)                   => Ok(Stays),

        (Act::Promote, Superadmin)                       => Err(Refusal::Highest),
        (Act::Promote, Admin)                            => Ok(Becomes(Superadmin, Some(Code::GROUP_PROMOTION))),
        (Act::Promote, Member)                           => Ok(Becomes(Admin, Some(Code::GROUP_PROMOTION))),

        (Act::Demote, Superadmin)                        => Ok(Becomes(Admin, Some(Code::GROUP_DEMOTION))),
        (Act::Demote, Admin)                             => Ok(Becomes(Member, Some(Code::GROUP_DEMOTION))),
        (Act::Demote, Member)                            => Err(Refusal::Lowest),

        (Act::Promote | Act::Demote, _)                  => Err(Refusal::NoMember),

        (Act::Ban, Superadmin | Admin | Member)          => Ok(Becomes(Banned, Some(Code::GROUP_BAN))),
        (Act::Ban, Requested | Stranger)                 => Ok(Becomes(Banned, None)),
        (Act::Ban, Banned)                               => Ok(Stays),

        (Act::Unban, Banned)                             => Ok(Becomes(Stranger, None)),
        (Act::Unban, _)                                  => Ok(Stays),
    }
}

impl Standing {
    /// Every standing that is stored, the highest first. Strangers have no row.
    const STORED: [Self; 5] = [Self::Superadmin, Self::Admin, Self::Member, Self::Requested, Self::Banned];

    /// Reports whether this is the standing of a member.
    pub(crate) fn is_member(self) -> bool {
        self <= Self::Member
    }

    /// Returns the role of a member; `None` for other users.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::Superadmin => Some(Role::Superadmin),
            Self::Admin => Some(Role::Admin),
            Self::Member => Some(Role::Member),
            Self::Requested | Self::Banned | Self::Stranger => None,
        }
    }

    /// Returns the number that the database stores: the higher the standing, the smaller the number. `None` for strangers.
    pub(crate) fn stored(self) -> Option<i16> {
        Self::STORED.iter().position(|&standing| standing == self).and_then(|place| i16::try_from(place).ok())
    }

    /// Returns the standing of a stored number; `None` if there is none.
    pub(crate) fn read(stored: i16) -> Option<Self> {
        Self::STORED.get(usize::try_from(stored).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Situation = Situation { open: true, members: 5, max_members: 10, superadmins: 2 };

    #[test]
    fn nobody_acts_on_a_higher_role_and_only_admins_act_on_others() {
        let all = [Standing::STORED.as_slice(), &[Standing::Stranger]].concat();
        for act in [Act::Add, Act::Kick, Act::Promote, Act::Demote, Act::Ban, Act::Unban] {
            for &actor in &all {
                for &target in &all {
                    let forbidden = decide(act, actor, target, ROOMY) == Err(Refusal::Forbidden);
                    let higher = target.is_member() && target < actor;
                    let makes_superadmin = act == Act::Promote && target == Standing::Admin;
                    let expected =
                        actor > Standing::Admin || higher || (makes_superadmin && actor > Standing::Superadmin);
                    assert_eq!(forbidden, expected, "{actor:?} {act:?} {target:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_superadmin_stays_unless_alone() {
        let last = Situation { superadmins: 1, ..ROOMY };
        let alone = Situation { superadmins: 1, members: 1, ..ROOMY };
        let superadmin = Standing::Superadmin;
        for act in [Act::Leave, Act::Kick, Act::Demote, Act::Ban] {
            assert_eq!(decide(act, superadmin, superadmin, last), Err(Refusal::LastSuperadmin), "{act:?}");
            assert!(decide(act, superadmin, superadmin, ROOMY).is_ok(), "{act:?}");
        }
        assert_eq!(decide(Act::Leave, superadmin, superadmin, alone), Ok(Outcome::Dissolves));
        assert_eq!(decide(Act::Kick, superadmin, superadmin, alone), Err(Refusal::LastSuperadmin));
    }

    #[test]
    fn a_full_group_takes_requests_and_nobody_else() {
        let full = Situation { members: 10, ..ROOMY };
        let (admin, stranger) = (Standing::Admin, Standing::Stranger);
        assert_eq!(decide(Act::Join, stranger, stranger, full), Err(Refusal::Full));
        assert_eq!(decide(Act::Add, admin, Standing::Requested, full), Err(Refusal::Full));
        assert_eq!(decide(Act::Add, admin, Standing::Member, full), Ok(Outcome::Stays));
        let closed = Situation { open: false, ..full };
        assert_eq!(decide(Act::Join, stranger, stranger, closed), Ok(Outcome::Becomes(Standing::Requested, None)));
    }

    #[test]
    fn what_is_stored_reads_as_it_was_written() {
        for standing in Standing::STORED {
            assert_eq!(standing.stored().and_then(Standing::read), Some(standing));
        }
        assert_eq!((Standing::Stranger.stored(), Standing::read(5), Standing::read(-1)), (None, None, None));
    }
}
