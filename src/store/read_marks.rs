//! Read marks: how far a user has read a topic, over all their sessions. They move forward only.
//!
//! A transaction that moves marks holds their topics' locks, or moves one mark and nothing else; a send moves several, at
//! its end, in the order of users and topics. So two of them never wait for each other in a circle.

use super::pool::{Connection, Transaction};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Seq, UserId};

/// How far a user has read a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadMark {
    /// The newest entry.
    pub last_seq: Seq,
    /// The last entry that they have read; 0 where they have read none.
    pub read_seq: Seq,
}

impl ReadMark {
    /// How many entries lie behind the mark.
    pub fn unread(self) -> i64 {
        self.last_seq.0.saturating_sub(self.read_seq.0).max(0)
    }
}

/// A mark moves to where it is set, unless it stands there or beyond.
pub(super) const FORWARD: &str = "ON CONFLICT (user_id, topic_id) DO UPDATE SET seq = excluded.seq \
                       WHERE read_mark.seq < excluded.seq";

impl Store {
    /// Moves a user's mark forward to `seq`, at most to the newest entry; answers where it stands then, and `None` where
    /// there is no such topic.
    pub async fn mark_read(&self, user: &UserId, topic: TopicKey, seq: Seq) -> Result<Option<ReadMark>, StoreError> {
        let known = read(self.read(), user, topic).await?;
        if known.is_none_or(|mark| seq.min(mark.last_seq) <= mark.read_seq) {
            return Ok(known); // nothing to write
        }
        let user = user.clone();
        self.change(move |tx| {
            Box::pin(async move {
                let sql = format!(
                    "INSERT INTO read_mark (user_id, topic_id, seq) \
                     SELECT $1, id, CASE WHEN last_seq < $3 THEN last_seq ELSE $3 END FROM topic WHERE id = $2 {FORWARD}"
                );
                dialect::exec(tx, sql, vec![user.as_str().into(), topic.into(), seq.0.into()]).await?;
                read(tx, &user, topic).await
            })
        })
        .await
    }
}

async fn read(on: &impl Connection, user: &UserId, topic: TopicKey) -> Result<Option<ReadMark>, StoreError> {
    let sql = "SELECT last_seq, COALESCE((SELECT seq FROM read_mark WHERE user_id = $1 AND topic_id = $2), 0) AS read_seq \
               FROM topic WHERE id = $2";
    let row = dialect::row(on, sql, vec![user.as_str().into(), topic.into()]).await?;
    row.map(|row| {
        Ok(ReadMark { last_seq: Seq(dialect::get(&row, "last_seq")?), read_seq: Seq(dialect::get(&row, "read_seq")?) })
    })
    .transpose()
}

/// What moves a user's mark (`$1`) in a topic (`$2`) forward to an entry (`$3`).
pub(super) fn set() -> String {
    format!("INSERT INTO read_mark (user_id, topic_id, seq) VALUES ($1, $2, $3) {FORWARD}")
}

/// Moves a user's mark forward to this entry, which exists.
pub(super) async fn set_at_least(tx: &Transaction, user: &UserId, topic: TopicKey, seq: Seq) -> Result<(), StoreError> {
    dialect::exec(tx, set(), vec![user.as_str().into(), topic.into(), seq.0.into()]).await.map(drop)
}

/// Moves a user's mark to this entry where they had read everything before it: what somebody does themselves shall not
/// count as unread to them, and hide nothing that they have not read either.
pub(super) async fn follow(tx: &Transaction, user: &UserId, topic: TopicKey, seq: Seq) -> Result<(), StoreError> {
    if seq.0 <= 1 {
        return set_at_least(tx, user, topic, seq).await; // where nothing stands before, there may be no mark yet
    }
    let sql = "UPDATE read_mark SET seq = $3 WHERE user_id = $1 AND topic_id = $2 AND seq = $4";
    let values = vec![user.as_str().into(), topic.into(), seq.0.into(), (seq.0 - 1).into()];
    dialect::exec(tx, sql, values).await.map(drop)
}

/// Forgets a user's mark.
pub(super) async fn forget(tx: &Transaction, user: &UserId, topic: TopicKey) -> Result<(), StoreError> {
    let sql = "DELETE FROM read_mark WHERE user_id = $1 AND topic_id = $2";
    dialect::exec(tx, sql, vec![user.as_str().into(), topic.into()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::{Pools, topics};

    const TOPIC: TopicKey = 1;

    /// What a step of a test does to the mark.
    #[derive(Clone, Copy)]
    enum Step {
        Follow(i64),
        AtLeast(i64),
        Forget,
    }

    #[tokio::test]
    async fn a_mark_follows_ones_own_acts_only_where_everything_before_was_read()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let pools = Pools::connect(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 2).await?;
        pools.migrate().await?;
        let store = Store::new(pools, Clock::default());
        let (ana, room) = (UserId::parse("ana").ok_or("an id")?, crate::model::TopicId::stored("room:a"));
        let now = store.now();
        store
            .change(move |tx| {
                Box::pin(async move {
                    topics::ensure(tx, &room, now).await?;
                    dialect::exec(tx, "UPDATE topic SET last_seq = 9", vec![]).await
                })
            })
            .await?;
        // Each step with where the mark stands behind it.
        let steps = [
            (Step::Follow(2), 0),
            (Step::Follow(1), 1),
            (Step::Follow(2), 2),
            (Step::Follow(4), 2),
            (Step::AtLeast(5), 5),
            (Step::AtLeast(3), 5),
            (Step::Follow(3), 5),
            (Step::Follow(6), 6),
            (Step::Forget, 0),
            (Step::AtLeast(7), 7),
        ];
        for (at, (step, stands)) in steps.into_iter().enumerate() {
            let user = ana.clone();
            let work = store.change(move |tx| {
                Box::pin(async move {
                    match step {
                        Step::Follow(seq) => follow(tx, &user, TOPIC, Seq(seq)).await,
                        Step::AtLeast(seq) => set_at_least(tx, &user, TOPIC, Seq(seq)).await,
                        Step::Forget => forget(tx, &user, TOPIC).await,
                    }
                })
            });
            work.await?;
            let mark = read(store.read(), &ana, TOPIC).await?.ok_or("a topic")?;
            assert_eq!((mark.read_seq, mark.unread()), (Seq(stands), 9 - stands), "step {at}");
        }
        Ok(())
    }
}
