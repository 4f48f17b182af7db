//! Hints over NATS: one subject for each topic, session and user, so that a hint is sent only to the instances that have
//! a stream for it.
//!
//! An instance also subscribes to a subject of its own, for its heartbeats. On one connection, a heartbeat comes back
//! after the server has processed every subscription that was requested before it. So a heartbeat that carries a version
//! of the interests shows that the subscriptions of this version are active, and that the connection is open.

mod interests;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

pub(super) use self::interests::Interests;
use self::subscriptions::Subscriptions;
use super::heartbeat::{self, HEARTBEAT_INTERVAL, LastHeartbeat};
use super::hint::{Hint, Interest};
use super::outbox::Outbox;
use super::state::{BusError, BusState};
use super::{backoff, wire};

/// The time limit to connect, and to hand a message over to the connection.
const IO_TIMEOUT: Duration = Duration::from_secs(2);
/// The size of the entries of one hint, in bytes, above which it is sent without them. The receiver reads them from the
/// log. A server accepts messages of 1 MiB by default.
const MAX_ENTRIES_BYTES: usize = 256 * 1024;
/// The messages of one subject that may wait to be applied. When there are more, the client drops them.
const SUBSCRIPTION_CAPACITY: usize = 4096;

/// The state that the tasks of the backend share.
struct Connection {
    client: Client,
    state: Arc<BusState>,
    interests: Arc<Interests>,
    last_heartbeat: LastHeartbeat,
}

/// Starts the task of the backend.
///
/// # Errors
/// [`BusError`] if `url` is no list of URLs of NATS servers.
pub(super) fn start(
    url: &SecretString,
    state: Arc<BusState>,
    outbox: Outbox,
    tasks: &TaskTracker,
) -> Result<Arc<Interests>, BusError> {
    // The error does not repeat the URL, which may hold a password.
    let servers: Result<Vec<ServerAddr>, _> = url.expose_secret().split(',').map(|one| one.trim().parse()).collect();
    let servers = servers.map_err(|_| BusError("is no URL of a NATS server: nats://HOST:PORT".into()))?;
    let interests = Arc::new(Interests::default());
    let options = connect_options(&state, &interests);
    let connection_interests = interests.clone();
    tasks.spawn(async move {
        // Returns at once, and connects in the background.
        let client = match options.connect(servers).await {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "no NATS client"),
        };
        let interests = connection_interests;
        let connection = Arc::new(Connection { client, state, interests, last_heartbeat: LastHeartbeat::new() });
        tokio::select! {
            () = connection.publish(outbox) => {} // ends when the bus is stopped and the outbox is empty
            () = connection.clone().subscribe() => {}
        }
    });
    Ok(interests)
}

fn connect_options(state: &Arc<BusState>, interests: &Arc<Interests>) -> ConnectOptions {
    let clock = state.clock.clone();
    let state = state.clone();
    let interests = interests.clone();
    ConnectOptions::new()
        .name("parlour")
        .retry_on_initial_connect()
        .connection_timeout(IO_TIMEOUT)
        .request_timeout(Some(IO_TIMEOUT))
        .ping_interval(HEARTBEAT_INTERVAL * 2)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(move |failures| backoff::after(failures, &clock))
        .event_callback(move |event| {
            handle_event(&state, &interests, &event);
            std::future::ready(())
        })
}

fn handle_event(state: &BusState, interests: &Interests, event: &Event) {
    match event {
        Event::Connected => interests.request_review(), // sends a heartbeat at once
        Event::Disconnected | Event::Closed => state.set_connected(false),
        Event::SlowConsumer(_) => tracing::debug!("hints arrived faster than they were applied"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}

impl Connection {
    /// Sends the batches of the outbox, until the bus is stopped.
    async fn publish(&self, mut outbox: Outbox) {
        while let Some(batch) = outbox.next().await {
            if !self.state.is_connected() || !self.send(&batch).await {
                outbox.give_up(&batch);
            }
        }
        // A connection that is closed while data arrives is reset, and what the server has not read yet is lost. Once
        // one more heartbeat has come back, the server has read everything that was sent before it.
        if self.state.is_connected() {
            self.interests.request_new_version();
            let _ = timeout(IO_TIMEOUT, self.interests.settled()).await;
        }
    }

    /// Sends the hints of a batch. Returns false if the connection takes no more messages.
    async fn send(&self, batch: &[Hint]) -> bool {
        for hint in batch {
            for (subject, hint) in messages(self.state.epoch, hint) {
                let text = format!("{}{}", self.state.instance.simple(), wire::encode(&[hint]));
                match timeout(IO_TIMEOUT, self.client.publish(subject, text.into())).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a hint was not sent");
                        self.state.record_dropped(1);
                    }
                    Err(_) => return false,
                }
            }
        }
        true
    }

    /// Keeps the subscriptions equal to the interests, and sends heartbeats. Does not end.
    async fn subscribe(self: Arc<Self>) {
        let epoch = self.state.epoch;
        let own_subject = format!("parlour.{epoch:08x}.node.{}", self.state.instance.simple());
        let mut subscriptions = Subscriptions::default();
        let mut ticks = heartbeat::ticks();
        for subject in [own_subject.clone(), subject_of_all(epoch)] {
            while !self.follow(subject.clone(), &mut subscriptions).await {
                sleep(HEARTBEAT_INTERVAL).await;
            }
        }
        loop {
            tokio::select! {
                () = self.interests.review_requested() => {}
                _ = ticks.tick() => {}
            }
            if self.last_heartbeat.is_overdue() {
                self.state.set_connected(false);
            }
            if self.client.connection_state() != State::Connected {
                continue; // the event of the next connection requests a review
            }
            let (version, changes) = self.interests.take_changes();
            for (interest, wanted) in changes {
                let subject = subject_of(epoch, &interest);
                if !wanted {
                    subscriptions.remove(&subject);
                } else if !self.follow(subject, &mut subscriptions).await {
                    self.interests.put_back(interest);
                }
            }
            let heartbeat = format!("{}{version}", self.state.instance.simple());
            let _ = timeout(IO_TIMEOUT, self.client.publish(own_subject.clone(), heartbeat.into())).await;
        }
    }

    /// Subscribes to a subject, if it is not subscribed to yet. Returns false if the connection takes no more messages.
    async fn follow(self: &Arc<Self>, subject: String, subscriptions: &mut Subscriptions) -> bool {
        if subscriptions.contains(&subject) {
            return true;
        }
        let Ok(Ok(subscriber)) = timeout(IO_TIMEOUT, self.client.subscribe(subject.clone())).await else {
            return false;
        };
        let task = tokio::spawn(self.clone().receive(subscriber));
        subscriptions.insert(subject, task.abort_handle());
        true
    }

    /// Receives the messages of one subject, until its task is aborted.
    async fn receive(self: Arc<Self>, mut subscriber: Subscriber) {
        let mut own_id = [0; 32];
        let own_id = self.state.instance.simple().encode_lower(&mut own_id);
        while let Some(message) = subscriber.next().await {
            let text = std::str::from_utf8(&message.payload).ok();
            let Some((sender, text)) = text.and_then(|text| text.split_at_checked(32)) else { continue };
            if sender != own_id {
                self.state.receive(text).await;
            } else if let Ok(version) = text.parse() {
                self.last_heartbeat.record();
                self.state.set_connected(true);
                self.interests.settle(version);
            }
        }
    }
}

/// The messages that send a hint to every instance with an interest in it, each with its subject.
fn messages(epoch: u32, hint: &Hint) -> Vec<(String, Hint)> {
    let to = |interest: Interest, hint: Hint| (subject_of(epoch, &interest), hint);
    match hint {
        Hint::Appended { key, topic, last, .. } => {
            let mut appended = hint.clone();
            appended.limit_entries(MAX_ENTRIES_BYTES);
            let mut messages = vec![to(Interest::Topic(*key), appended)];
            let users = topic.dm_users().into_iter().flat_map(<[_; 2]>::from);
            let activity = Hint::Activity { key: *key, topic: topic.clone(), last: *last };
            messages.extend(users.map(|user| to(Interest::User(user), activity.clone())));
            messages
        }
        Hint::Activity { topic, .. } => {
            let users = topic.dm_users().into_iter().flat_map(<[_; 2]>::from);
            users.map(|user| to(Interest::User(user), hint.clone())).collect()
        }
        Hint::Presence { topics } => {
            topics.iter().map(|key| to(Interest::Topic(*key), Hint::Presence { topics: vec![*key] })).collect()
        }
        Hint::Ephemeral { key, .. } | Hint::Pruned { key, .. } => vec![to(Interest::Topic(*key), hint.clone())],
        Hint::Joins { session } | Hint::Ended { session } | Hint::Opened { session, .. } => {
            vec![to(Interest::Session(*session), hint.clone())]
        }
        Hint::Lost => vec![(subject_of_all(epoch), Hint::Lost)],
    }
}

fn subject_of(epoch: u32, interest: &Interest) -> String {
    match interest {
        Interest::Topic(key) => format!("parlour.{epoch:08x}.topic.{key}"),
        Interest::Session(session) => format!("parlour.{epoch:08x}.session.{}", session.0.simple()),
        // Encoded, because a user id may have characters with a meaning in subjects.
        Interest::User(user) => format!("parlour.{epoch:08x}.user.{}", URL_SAFE_NO_PAD.encode(user.as_str())),
    }
}

/// The subject that every instance subscribes to.
fn subject_of_all(epoch: u32) -> String {
    format!("parlour.{epoch:08x}.all")
}
