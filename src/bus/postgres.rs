//! Hints over PostgreSQL's `LISTEN` and `NOTIFY`, which need no further server. One connection listens and does nothing
//! else. Another one notifies: one statement per batch, however many hints it holds.
//!
//! PostgreSQL limits a payload to less than 8,000 bytes, so a batch is sent in pieces. The pieces of one transaction
//! arrive together and in order.

mod pieces;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use self::pieces::{Reassembler, split};
use super::heartbeat::{self, LastHeartbeat};
use super::hint::Hint;
use super::outbox::Outbox;
use super::state::{BusError, BusState};
use super::{backoff, wire};

/// The size of an entry, in bytes, above which a hint is sent without its entries. The receiver reads them from the log.
const MAX_ENTRY_BYTES: usize = 7_500;
/// The time limit to connect, and to send a batch.
const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// The state that the two connections share.
struct Channel {
    options: PgConnectOptions,
    name: String,
    state: Arc<BusState>,
    /// Notified when a heartbeat has to be sent.
    heartbeat_due: Notify,
}

/// Starts the two tasks of the backend, one per connection.
///
/// # Errors
/// [`BusError`] if `url` is no URL of a PostgreSQL database.
pub(super) fn start(
    url: &SecretString,
    state: Arc<BusState>,
    outbox: Outbox,
    tasks: &TaskTracker,
) -> Result<(), BusError> {
    // The error does not repeat the URL, which may hold a password.
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| BusError("is no URL of a PostgreSQL database: postgres://USER:PASSWORD@HOST/DATABASE".into()))?
        .application_name("parlour bus")
        // A notification is not stored, so its commit need not wait for the disk.
        .options([("synchronous_commit", "off"), ("statement_timeout", "5s")])
        .disable_statement_logging();
    let name = format!("parlour_{:08x}", state.epoch);
    let channel = Arc::new(Channel { options, name, state, heartbeat_due: Notify::new() });
    tasks.spawn(notify(channel.clone(), outbox));
    tasks.spawn(listen(channel));
    Ok(())
}

/// Sends the batches of the outbox and the heartbeats, until the bus is stopped.
async fn notify(channel: Arc<Channel>, mut outbox: Outbox) {
    let mut notifier = Notifier { channel: channel.clone(), connection: None, failures: 0, retry_at: Instant::now() };
    let mut number = 0;
    loop {
        let mut batch = tokio::select! {
            biased;
            batch = outbox.next() => match batch {
                Some(batch) => batch,
                None => break,
            },
            () = channel.heartbeat_due.notified() => Vec::new(), // an empty batch is a heartbeat
        };
        batch.iter_mut().for_each(remove_large_entries);
        let payloads = split(channel.state.instance, number, &wire::encode(&batch));
        number += 1;
        if !notifier.send(&payloads).await {
            outbox.give_up(&batch);
            channel.state.set_connected(false);
        }
    }
    if let Some(connection) = notifier.connection {
        let _ = timeout(IO_TIMEOUT, connection.close()).await;
    }
}

/// Removes the entries of a hint if one of them is large.
fn remove_large_entries(hint: &mut Hint) {
    if let Hint::Appended { entries, .. } = hint
        && entries.iter().any(|entry| entry.json.len() > MAX_ENTRY_BYTES)
    {
        entries.clear();
    }
}

/// The connection that notifies.
struct Notifier {
    channel: Arc<Channel>,
    connection: Option<PgConnection>,
    /// The number of batches in a row that could not be sent.
    failures: usize,
    /// The earliest time of the next attempt to connect.
    retry_at: Instant,
}

impl Notifier {
    /// Sends the payloads of one batch. Returns false if that failed.
    async fn send(&mut self, payloads: &[String]) -> bool {
        // Only its use shows that a connection was cut. Then the batch is sent over a new one.
        for _attempt in 0..2 {
            if self.connection.is_none() && Instant::now() >= self.retry_at {
                self.connection = self.channel.connect().await;
            }
            let Some(connection) = &mut self.connection else { break };
            if self.channel.notify(connection, payloads).await {
                self.failures = 0;
                return true;
            }
            self.connection = None;
        }
        self.failures += 1;
        self.retry_at = Instant::now() + backoff::after(self.failures, &self.channel.state.clock);
        false
    }
}

/// Listens, and connects again after each failure, until the bus is stopped.
async fn listen(channel: Arc<Channel>) {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = channel.state.stop.cancelled() => return,
            error = channel.listen_once() => tracing::debug!(error, "not listening to notifications"),
        }
        failures = if channel.state.is_connected() { 1 } else { failures + 1 };
        channel.state.set_connected(false);
        tokio::select! {
            () = channel.state.stop.cancelled() => return,
            () = sleep(backoff::after(failures, &channel.state.clock)) => {}
        }
    }
}

impl Channel {
    async fn connect(&self) -> Option<PgConnection> {
        match timeout(IO_TIMEOUT, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no connection to send hints");
                None
            }
            Err(_) => None,
        }
    }

    /// Sends payloads in one statement. Returns false if that failed.
    async fn notify(&self, connection: &mut PgConnection, payloads: &[String]) -> bool {
        let sql = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";
        let sending = sqlx::query(sql).bind(&self.name).bind(payloads).execute(connection);
        match timeout(IO_TIMEOUT, sending).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "hints were not sent");
                false
            }
            Err(_) => false,
        }
    }

    /// Listens until the connection is lost, or until the heartbeats are overdue. Returns the reason why it ended.
    async fn listen_once(&self) -> String {
        let mut listener = match self.listener().await {
            Ok(listener) => listener,
            Err(error) => return error.to_string(),
        };
        let last_heartbeat = LastHeartbeat::new();
        // Both run until the connection ends: a read that is cancelled would lose a part of the stream.
        tokio::select! {
            error = self.receive(&mut listener, &last_heartbeat) => error,
            () = self.send_heartbeats(&last_heartbeat) => "no heartbeat came back".to_owned(),
        }
    }

    async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(IO_TIMEOUT).connect_with(self.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.name).await?;
        Ok(listener)
    }

    /// Receives payloads until the connection is lost. Returns the reason.
    async fn receive(&self, listener: &mut PgListener, last_heartbeat: &LastHeartbeat) -> String {
        let mut reassembler = Reassembler::default();
        loop {
            let batch = match listener.try_recv().await {
                Ok(Some(notification)) => reassembler.add(notification.payload()),
                Ok(None) => return "the connection is lost".to_owned(),
                Err(error) => return error.to_string(),
            };
            match batch {
                Some((instance, _)) if instance == self.state.instance => {
                    last_heartbeat.record();
                    self.state.set_connected(true);
                }
                Some((_, text)) => self.state.receive(&text).await,
                None => {}
            }
        }
    }

    /// Sends heartbeats until they are overdue.
    async fn send_heartbeats(&self, last_heartbeat: &LastHeartbeat) {
        let mut ticks = heartbeat::ticks();
        loop {
            ticks.tick().await;
            if last_heartbeat.is_overdue() {
                return;
            }
            self.heartbeat_due.notify_one();
        }
    }
}
