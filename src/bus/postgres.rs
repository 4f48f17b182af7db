//! Hints over PostgreSQL's `LISTEN` and `NOTIFY`: nothing else to run. One connection listens and does nothing else,
//! another notifies: one statement a batch, however many hints it holds.
//!
//! A payload is below 8,000 bytes, so a batch goes in pieces. Those of one transaction arrive together and in order.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::outbox::Outbox;
use super::{BEAT, BusError, DEAF, Hint, Shared, backoff, wire};

/// What a payload may take, its head included: PostgreSQL refuses 8,000 bytes.
const PAYLOAD: usize = 7_900;
/// Entries of more than this are read from the log by whoever wants them.
const LARGE: usize = 7_500;
/// How long connecting, and sending a batch, may take.
const PATIENCE: Duration = Duration::from_secs(2);

struct Link {
    options: PgConnectOptions,
    channel: String,
    shared: Arc<Shared>,
    /// The instance wants to hear itself.
    beat: Notify,
}

pub(super) fn start(
    url: &SecretString,
    shared: Arc<Shared>,
    outbox: Outbox,
    tasks: &TaskTracker,
) -> Result<(), BusError> {
    // What is wrong may be the password: the sentence does not repeat it.
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| BusError("is no URL of a PostgreSQL database: postgres://USER:PASSWORD@HOST/DATABASE".into()))?
        .application_name("parlour bus")
        // A notification is no data: nobody waits until it is on disk.
        .options([("synchronous_commit", "off"), ("statement_timeout", "5s")])
        .disable_statement_logging();
    let channel = format!("parlour_{:08x}", shared.epoch);
    let link = Arc::new(Link { options, channel, shared, beat: Notify::new() });
    tasks.spawn(notify(link.clone(), outbox));
    tasks.spawn(listen(link));
    Ok(())
}

async fn notify(link: Arc<Link>, mut outbox: Outbox) {
    let mut connection: Option<PgConnection> = None;
    let (mut failures, mut not_before) = (0, Instant::now());
    for number in 0u64.. {
        let mut batch = tokio::select! {
            biased;
            batch = outbox.next() => match batch {
                Some(batch) => batch,
                None => break,
            },
            () = link.beat.notified() => Vec::new(),
        };
        batch.iter_mut().for_each(shorten);
        let payloads = pieces(link.shared.instance, number, &wire::encode(&batch));
        let mut sent = false;
        // A connection that was cut in between is found out by using it: then a new one gets a try.
        for _ in 0..2 {
            if connection.is_none() && Instant::now() >= not_before {
                connection = link.connect().await;
            }
            let Some(open) = &mut connection else { break };
            if link.send(open, &payloads).await {
                sent = true;
                break;
            }
            connection = None;
        }
        if sent {
            failures = 0;
        } else {
            outbox.give_up(&batch);
            link.shared.set_up(false);
            failures += 1;
            not_before = Instant::now() + backoff::after(failures, &link.shared.clock);
        }
    }
    if let Some(open) = connection {
        let _ = timeout(PATIENCE, open.close()).await;
    }
}

/// Large entries stay in the log.
fn shorten(hint: &mut Hint) {
    if let Hint::Appended { entries, .. } = hint
        && entries.iter().any(|entry| entry.json.len() > LARGE)
    {
        entries.clear();
    }
}

impl Link {
    async fn connect(&self) -> Option<PgConnection> {
        match timeout(PATIENCE, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no connection to send hints");
                None
            }
            Err(_) => None,
        }
    }

    async fn send(&self, connection: &mut PgConnection, payloads: &[String]) -> bool {
        let sql = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";
        let sending = sqlx::query(sql).bind(&self.channel).bind(payloads).execute(connection);
        match timeout(PATIENCE, sending).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "hints were not sent");
                false
            }
            Err(_) => false,
        }
    }
}

async fn listen(link: Arc<Link>) {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = link.shared.stop.cancelled() => return,
            error = link.hear() => tracing::debug!(error, "nothing is heard"),
        }
        failures = if *link.shared.up.borrow() { 1 } else { failures + 1 };
        link.shared.set_up(false);
        tokio::select! {
            () = link.shared.stop.cancelled() => return,
            () = sleep(backoff::after(failures, &link.shared.clock)) => {}
        }
    }
}

impl Link {
    /// Listens until the connection is lost, or until nothing of its own has come for too long; answers why.
    async fn hear(&self) -> String {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = match pool.acquire_timeout(PATIENCE).connect_with(self.options.clone()).await {
            Ok(pool) => pool,
            Err(error) => return error.to_string(),
        };
        let mut listener = match PgListener::connect_with(&pool).await {
            Ok(listener) => listener,
            Err(error) => return error.to_string(),
        };
        listener.eager_reconnect(false);
        if let Err(error) = listener.listen(&self.channel).await {
            return error.to_string();
        }
        let heard_self = Mutex::new(Instant::now());
        // Both run to the end of the connection: a read that is given up in the middle would lose its place.
        tokio::select! {
            error = self.receive(&mut listener, &heard_self) => error,
            () = self.keep_beating(&heard_self) => "the connection is deaf".to_owned(),
        }
    }

    async fn receive(&self, listener: &mut PgListener, heard_self: &Mutex<Instant>) -> String {
        let mut joining = Joining::default();
        loop {
            let payload = match listener.try_recv().await {
                Ok(Some(notification)) => joining.add(notification.payload()),
                Ok(None) => return "the connection is lost".to_owned(),
                Err(error) => return error.to_string(),
            };
            match payload {
                Some((instance, _)) if instance == self.shared.instance => {
                    *heard_self.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    self.shared.set_up(true);
                }
                Some((_, text)) => self.shared.hear(&text).await,
                None => {}
            }
        }
    }

    async fn keep_beating(&self, heard_self: &Mutex<Instant>) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if heard_self.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > DEAF {
                return;
            }
            self.beat.notify_one();
        }
    }
}

/// A batch's text cut into payloads. Each begins with the sender, the batch's number, its own within the batch, and whether
/// it is the last: a piece that is lost spoils its batch, and never makes one out of two.
fn pieces(instance: Uuid, batch: u64, text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let head = format!("{}{batch:x}/{:x}", instance.simple(), pieces.len());
        let room = PAYLOAD - head.len() - 1;
        let (piece, left) = rest.split_at(rest.floor_char_boundary(room));
        pieces.push(format!("{head}{}{piece}", if left.is_empty() { '.' } else { '+' }));
        if left.is_empty() {
            return pieces;
        }
        rest = left;
    }
}

/// Puts pieces together again.
#[derive(Debug, Default)]
struct Joining(HashMap<Uuid, Begun>);

/// A batch of which the first pieces have come.
#[derive(Debug)]
struct Begun {
    batch: u64,
    /// The number of the piece that has to follow.
    next: usize,
    text: String,
}

impl Joining {
    /// Takes a payload; answers the sender and the whole text once it is complete.
    fn add(&mut self, payload: &str) -> Option<(Uuid, String)> {
        let (instance, rest) = payload.split_at_checked(32)?;
        let instance = Uuid::try_parse(instance).ok()?;
        let (at, mark) = rest.char_indices().find(|(_, c)| matches!(c, '.' | '+'))?;
        let (batch, piece) = rest[..at].split_once('/')?;
        let (batch, piece) = (u64::from_str_radix(batch, 16).ok()?, usize::from_str_radix(piece, 16).ok()?);
        if piece == 0 {
            self.0.insert(instance, Begun { batch, next: 0, text: String::new() }); // what was begun was broken off
        }
        let begun = self.0.get_mut(&instance).filter(|begun| begun.batch == batch && begun.next == piece)?;
        begun.text.push_str(&rest[at + 1..]);
        begun.next += 1;
        if mark == '+' {
            return None;
        }
        self.0.remove(&instance).map(|begun| (instance, begun.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_cut_and_put_together() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for length in [0, 1, PAYLOAD - 34, PAYLOAD, 100_000] {
            let text = "aé\u{1F600}".repeat(length / 7);
            let cut = pieces(one, 77, &text);
            assert!(cut.iter().all(|piece| piece.len() < 8_000));
            let mut joining = Joining::default();
            let mut joined = Vec::new();
            for piece in &cut {
                joined.extend(joining.add(piece));
                // Others may come in between.
                assert_eq!(joining.add(&pieces(two, 3, "[]")[0]), Some((two, "[]".to_owned())));
            }
            assert_eq!(joined, [(one, text)]);
            assert!(joining.0.is_empty());
        }
    }

    #[test]
    fn equal_pieces_differ_and_what_is_broken_off_is_forgotten() {
        let instance = Uuid::from_u128(1);
        let cut = pieces(instance, 0, &"a".repeat(30_000));
        assert!(cut.iter().all(|one| cut.iter().filter(|other| one == *other).count() == 1));
        let mut joining = Joining::default();
        assert_eq!(joining.add(&cut[0]), None);
        assert_eq!(joining.add(&pieces(instance, 1, "[1]")[0]), Some((instance, "[1]".to_owned())));
        assert_eq!(joining.add("nothing"), None);
    }

    #[test]
    fn pieces_of_two_batches_never_make_one() {
        let instance = Uuid::from_u128(1);
        let (one, two) = (pieces(instance, 1, &"a".repeat(20_000)), pieces(instance, 2, &"b".repeat(20_000)));
        let told = |payloads: &[&String]| {
            let mut joining = Joining::default();
            payloads.iter().filter_map(|payload| joining.add(payload)).map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert!(told(&[&one[0], &one[2]]).is_empty(), "one is missing");
        assert!(told(&[&one[0], &two[1], &two[2]]).is_empty(), "the beginning of another");
        assert!(told(&[&one[1], &one[0], &one[2]]).is_empty(), "out of order");
        assert_eq!(told(&[&one[0], &two[0], &two[1], &two[2]]), ["b".repeat(20_000)]);
        assert_eq!(told(&[&one[0], &one[1], &one[2], &one[2]]), ["a".repeat(20_000)]);
    }
}
