//! How safe a write transaction is from a power cut when its caller gets the answer.

/// What a power cut may take of a write transaction that has been acknowledged. A crash of this process takes nothing,
/// whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// On the disk within 100 ms of the commit, or earlier with the next transaction of full durability. A power cut takes
    /// only the latest such transactions, and never one without all that were committed after it. On PostgreSQL the same
    /// as full, because there a crash of the database would take it, too.
    Delayed,
    /// On the disk before the caller gets the answer.
    Full,
}
