//! The durability of write transactions: what a power cut may take after the caller got the answer.

/// The durability of an acknowledged write transaction in a power cut. A crash of this process takes nothing, in either
/// case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// On the disk within 100 ms of the commit, or earlier with the next transaction of full durability. A power cut takes
    /// only the latest such transactions, and never one without all that were committed after it. On PostgreSQL the same
    /// as full, because there a crash of the database would take it, too.
    Delayed,
    /// On the disk before the caller gets the answer.
    Full,
}
