//! Hints over NATS: a subject for each topic, session and user, so that a hint travels only to instances that have
//! somebody to tell.
//!
//! An instance also listens to a subject of its own. What it sends there comes back behind everything that it has asked
//! for before, on the same connection: so it knows that a subscription is in force, and that it is connected at all.

mod interests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(super) use self::interests::Interests;
use self::interests::Subscriptions;
use super::outbox::Outbox;
use super::{BEAT, BusError, DEAF, Hint, Interest, Shared, backoff, wire};

/// How long connecting, and handing a message to the connection, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The entries of one hint take at most so much; more is read from the log. A server takes 1 MiB by default.
const LARGE: usize = 256 * 1024;
/// Messages of one subject that may wait to be applied.
const WAITING: usize = 4096;

struct Link {
    client: Client,
    shared: Arc<Shared>,
    interests: Arc<Interests>,
    heard_self: Mutex<Instant>,
}

pub(super) fn start(
    url: &SecretString,
    shared: Arc<Shared>,
    outbox: Outbox,
    tasks: &TaskTracker,
) -> Result<Arc<Interests>, BusError> {
    // What is wrong may be the password: the sentence does not repeat it.
    let servers: Result<Vec<ServerAddr>, _> = url.expose_secret().split(',').map(|one| one.trim().parse()).collect();
    let servers = servers.map_err(|_| BusError("is no URL of a NATS server: nats://HOST:PORT".into()))?;
    let interests = Arc::new(Interests::default());
    let (waits, events) = (shared.clock.clone(), (shared.clone(), interests.clone()));
    let options = ConnectOptions::new()
        .name("parlour")
        .retry_on_initial_connect()
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .ping_interval(BEAT * 2)
        .subscription_capacity(WAITING)
        .reconnect_delay_callback(move |failures| backoff::after(failures, &waits))
        .event_callback(move |event| {
            noticed(&events.0, &events.1, &event);
            std::future::ready(())
        });
    let wanted = interests.clone();
    tasks.spawn(async move {
        // Answers at once, and connects in the background.
        let Ok(client) = options.connect(servers).await.inspect_err(|error| tracing::error!(%error, "no NATS client"))
        else {
            return;
        };
        let link = Arc::new(Link { client, shared, interests: wanted, heard_self: Mutex::new(Instant::now()) });
        tokio::select! {
            () = publish(link.clone(), outbox) => {} // until the end; what waits is sent before the connection goes
            () = link.clone().hear() => {}
        }
    });
    Ok(interests)
}

fn noticed(shared: &Shared, interests: &Interests, event: &Event) {
    match event {
        Event::Connected => interests.look(), // to hear itself, at once
        Event::Disconnected | Event::Closed => shared.set_up(false),
        Event::SlowConsumer(_) => tracing::debug!("hints came faster than they were applied"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}

async fn publish(link: Arc<Link>, mut outbox: Outbox) {
    while let Some(batch) = outbox.next().await {
        if !*link.shared.up.borrow() || !link.send(&batch).await {
            outbox.give_up(&batch);
        }
    }
    // A connection that is closed while something comes in is reset, and takes along what the server has not read yet.
    // Once this instance has heard itself once more, all that it said before has been read.
    if *link.shared.up.borrow() {
        link.interests.look_anew();
        let _ = timeout(PATIENCE, link.interests.settled()).await;
    }
}

impl Link {
    async fn send(&self, batch: &[Hint]) -> bool {
        for hint in batch {
            for (subject, hint) in self.addressed(hint) {
                let text = format!("{}{}", self.shared.instance.simple(), wire::encode(&[hint]));
                match timeout(PATIENCE, self.client.publish(subject, text.into())).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a hint was not sent");
                        self.shared.dropped(1);
                    }
                    Err(_) => return false,
                }
            }
        }
        true
    }

    /// To whom a hint goes: those who listen to its topic, its session, its users.
    fn addressed(&self, hint: &Hint) -> Vec<(String, Hint)> {
        let epoch = self.shared.epoch;
        let to = |interest: Interest, hint: Hint| (subject(epoch, &interest), hint);
        match hint {
            Hint::Appended { key, topic, last, .. } => {
                let mut whole = hint.clone();
                whole.shorten(LARGE);
                let users = topic.dm_users().into_iter().flat_map(|(one, other)| [one, other]);
                let activity = Hint::Activity { key: *key, topic: topic.clone(), last: *last };
                let users = users.map(|user| to(Interest::User(user), activity.clone()));
                [to(Interest::Topic(*key), whole)].into_iter().chain(users).collect()
            }
            Hint::Activity { topic, .. } => {
                let users = topic.dm_users().into_iter().flat_map(|(one, other)| [one, other]);
                users.map(|user| to(Interest::User(user), hint.clone())).collect()
            }
            Hint::Presence { topics } => {
                topics.iter().map(|key| to(Interest::Topic(*key), Hint::Presence { topics: vec![*key] })).collect()
            }
            Hint::Ephemeral { key, .. } | Hint::Pruned { key, .. } => vec![to(Interest::Topic(*key), hint.clone())],
            Hint::Joins { session } | Hint::Ended { session } | Hint::Opened { session, .. } => {
                vec![to(Interest::Session(*session), hint.clone())]
            }
            Hint::Lost => vec![(for_all(epoch), Hint::Lost)],
        }
    }

    /// Subscribes and unsubscribes as interests come and go, and sends beats.
    async fn hear(self: Arc<Self>) {
        let epoch = self.shared.epoch;
        let own = format!("parlour.{epoch:08x}.node.{}", self.shared.instance.simple());
        let mut subscriptions = Subscriptions::default();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for fixed in [own.clone(), for_all(epoch)] {
            while !subscriptions.hold(fixed.clone(), self.clone()).await {
                sleep(BEAT).await;
            }
        }
        loop {
            tokio::select! {
                () = self.interests.changed() => {}
                _ = beats.tick() => {}
            }
            if self.heard_self.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > DEAF {
                self.shared.set_up(false);
            }
            if self.client.connection_state() != State::Connected {
                continue; // its coming back is told
            }
            let (version, changes) = self.interests.take();
            for (interest, wanted) in changes {
                let subject = subject(epoch, &interest);
                if !wanted {
                    subscriptions.drop(&subject);
                } else if !subscriptions.hold(subject, self.clone()).await {
                    self.interests.put_back(interest);
                }
            }
            let beat = format!("{}{version}", self.shared.instance.simple());
            let _ = timeout(PATIENCE, self.client.publish(own.clone(), beat.into())).await;
        }
    }

    /// Hands on what is said on one subject, until its task is ended.
    async fn follow(self: Arc<Self>, mut subscriber: async_nats::Subscriber) {
        let mut own = [0; 32];
        let own = self.shared.instance.simple().encode_lower(&mut own);
        while let Some(message) = subscriber.next().await {
            let Some((sender, text)) = std::str::from_utf8(&message.payload).ok().and_then(|t| t.split_at_checked(32))
            else {
                continue;
            };
            if sender != own {
                self.shared.hear(text).await;
            } else if let Ok(version) = text.parse() {
                *self.heard_self.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                self.shared.set_up(true);
                self.interests.settle(version);
            }
        }
    }
}

fn subject(epoch: u32, interest: &Interest) -> String {
    let simple = |id: Uuid| id.simple().to_string();
    match interest {
        Interest::Topic(key) => format!("parlour.{epoch:08x}.topic.{key}"),
        Interest::Session(session) => format!("parlour.{epoch:08x}.session.{}", simple(session.0)),
        // A user's id may hold what means something in a subject.
        Interest::User(user) => format!("parlour.{epoch:08x}.user.{}", URL_SAFE_NO_PAD.encode(user.as_str())),
    }
}

fn for_all(epoch: u32) -> String {
    format!("parlour.{epoch:08x}.all")
}
