//! Groups: who may do what to whom. The table of the rules stands here, and nowhere else; the store asks it inside the
//! transaction that acts, so that the database judges races.

use serde::Serialize;
use utoipa::ToSchema;

use super::message::Code;

/// What a user is to a group, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A member who may do everything.
    Superadmin,
    /// A member who keeps order.
    Admin,
    /// A member.
    Member,
    /// Asks to join.
    Requested,
    /// May not come in.
    Banned,
    /// Nothing at all.
    Stranger,
}

/// A member's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything.
    Superadmin,
    /// Adds, removes and bans, promotes members and demotes admins, and changes the group.
    Admin,
    /// Reads and writes.
    Member,
}

/// What a user does in a group: to another one, or to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Comes in, where the group is open; asks to, where it is closed.
    Join,
    /// Goes, or takes the request back.
    Leave,
    /// Brings somebody in, or accepts their request.
    Add,
    /// Removes somebody, or declines their request.
    Kick,
    /// Gives a member the next higher role.
    Promote,
    /// Gives a member the next lower role.
    Demote,
    /// Removes somebody for good, member or not.
    Ban,
    /// Lifts a ban.
    Unban,
}

/// What the rules need to know of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Whether anyone may join.
    pub open: bool,
    /// How many members it has.
    pub members: u32,
    /// How many it takes.
    pub max_members: u32,
    /// How many of them are superadmins.
    pub superadmins: u32,
}

/// What an act comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target's standing changes; a code says it in the group's chat.
    Becomes(Standing, Option<Code>),
    /// Nothing changes: it is so already.
    Stays,
    /// The last member goes, and the group with them.
    Dissolves,
}

/// Why an act is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The actor's role does not reach so far.
    Forbidden,
    /// The target is no member.
    NoMember,
    /// The actor is banned.
    Banned,
    /// The target is banned.
    UserBanned,
    /// There is no place left.
    Full,
    /// Nobody could do everything any more.
    LastSuperadmin,
    /// There is no higher role.
    Highest,
    /// There is no lower role.
    Lowest,
}

/// Who may change the group itself.
pub const MAY_CHANGE: Standing = Standing::Admin;
/// Who may delete it.
pub const MAY_DELETE: Standing = Standing::Superadmin;
/// Who may see requests and bans, and remove the messages of others.
pub const MAY_MODERATE: Standing = Standing::Admin;

/// What comes of an act by `actor` on `target`; for [`Act::Join`] and [`Act::Leave`] both are the same.
pub fn decide(act: Act, actor: Standing, target: Standing, group: Situation) -> Result<Outcome, Refusal> {
    if actor > least(act, target) || (target.is_member() && target < actor) {
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

/// The lowest standing that an act takes. Besides, nobody acts on a higher role.
fn least(act: Act, target: Standing) -> Standing {
    match act {
        Act::Join | Act::Leave => Standing::Stranger,
        Act::Promote if target == Standing::Admin => Standing::Superadmin, // only superadmins make superadmins
        Act::Add | Act::Kick | Act::Promote | Act::Demote | Act::Ban | Act::Unban => Standing::Admin,
    }
}

/// What becomes of the target, and the code that says so.
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
    /// Every standing that is stored, the highest first; strangers have no row.
    const STORED: [Self; 5] = [Self::Superadmin, Self::Admin, Self::Member, Self::Requested, Self::Banned];

    /// Whether they belong to the group.
    pub fn is_member(self) -> bool {
        self <= Self::Member
    }

    /// A member's role.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Superadmin => Some(Role::Superadmin),
            Self::Admin => Some(Role::Admin),
            Self::Member => Some(Role::Member),
            Self::Requested | Self::Banned | Self::Stranger => None,
        }
    }

    /// How the database writes it: the higher, the smaller. Strangers are not written.
    pub fn stored(self) -> Option<i16> {
        Self::STORED.iter().position(|&standing| standing == self).and_then(|place| i16::try_from(place).ok())
    }

    /// What the database holds.
    pub fn read(stored: i16) -> Option<Self> {
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
