//! The application: builds the parts, starts them, and stops them in order.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Backend, Bus, Hint};
use crate::chat::{Chat, ChatSettings, UserTokens};
use crate::config::{self, Config, ConfigError};
use crate::http;
use crate::live::{Hub, HubSettings};
use crate::model::Clock;
use crate::store::{Meta, Pools, Store, StoreError};

/// The time for which connections are still accepted after the shutdown has begun. In it, `/readyz` tells the load balancer
/// that this instance is not ready any more.
const ACCEPT_AFTER_SHUTDOWN: Duration = Duration::from_millis(500);
/// The time limit for requests in progress and for streams to end, after connections are not accepted any more.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit to connect the bus at start. The service starts without it, too.
const BUS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit to write the last changes and to close the database, after the requests have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The interval at which the metrics are maintained.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// The rate limits are pruned every so many intervals of the metrics: once a minute.
const RATES_PRUNED_EVERY: u64 = 12;

/// The reason why the service did not start, or stopped. Displays as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("PARLOUR_DATABASE_URL does not work: {0}")]
    Database(#[from] StoreError),
    /// The tables are not those of this version, and migrating at start is off.
    #[error("the database is not up to date: run `parlour migrate`, or set PARLOUR_AUTO_MIGRATE to true")]
    NotMigrated,
    /// A background part of the service panicked.
    #[error("a part of the service has failed: the log says which")]
    Failed,
}

/// Serves until `shutdown` is cancelled, then stops within ten seconds: the streams end with `bye`, the requests in progress
/// end, and the last changes are written.
///
/// # Errors
/// [`StartError`] if the service could not start, or if a part of it failed while it ran.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), StartError> {
    run_and_notify(listener, config, shutdown, Box::new(|| {})).await
}

/// Does the same as [`run`], and calls `started` once everything that can fail at the start has succeeded.
///
/// `started` is boxed because a generic function would be compiled anew, with everything that it calls, for each caller in
/// another crate.
///
/// # Errors
/// [`StartError`] if the service could not start, or if a part of it failed while it ran.
pub async fn run_and_notify(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
    started: Box<dyn FnOnce() + Send>,
) -> Result<(), StartError> {
    http::install_metrics();
    let parts = build(&config).await?;
    let router = http::router(&config, parts.chat.clone(), parts.rates.clone(), parts.clock, shutdown.clone());
    let background = Background::new(shutdown.clone());
    background.spawn("the hub", parts.hub.clone().run(parts.hints, background.stop.clone()));
    background.spawn("the regular work of the rules", parts.chat.run(background.stop.clone()));
    background.spawn("the maintenance of metrics and rate limits", maintain(parts.rates, background.stop.clone()));
    background.tasks.spawn(drain_at(shutdown.clone(), parts.hub));
    started();
    let stop_accepting = CancellationToken::new();
    background.tasks.spawn(cancel_later(shutdown, stop_accepting.clone()));
    http::serve(listener, router, stop_accepting, DRAIN_TIMEOUT).await;
    background.finish(&parts.store).await
}

/// The parts of a service that can start.
struct Parts {
    store: Store,
    hub: Hub,
    hints: mpsc::Receiver<Hint>,
    chat: Chat,
    rates: Arc<http::RateLimits>,
    clock: Clock,
}

/// Connects the database and the bus, and builds the layers from the bottom up.
async fn build(config: &Config) -> Result<Parts, StartError> {
    let clock = Clock::default();
    let user_tokens = UserTokens::from_config(config)?;
    let store = connect(config, clock.clone()).await?;
    let meta = store.meta().await?;
    let settings = hub_settings(config, &clock, &meta);
    let (bus, hints) = connect_bus(config, &settings, clock.clone()).await?;
    let hub = Hub::new(store.clone(), bus, clock.clone(), settings);
    hub.take_lease().await?;
    let token_key = config.token_key.as_ref().map_or(meta.token_key.as_slice(), |key| key.expose_secret().as_bytes());
    let chat_settings = chat_settings(config);
    let chat = Chat::new(store.clone(), hub.clone(), clock.clone(), chat_settings, user_tokens, token_key, &meta);
    let rates = Arc::new(http::RateLimits::new(
        config.rate_sends.as_ref(),
        config.rate_calls.as_ref(),
        config.rate_sessions.as_ref(),
    ));
    Ok(Parts { store, hub, hints, chat, rates, clock })
}

/// The background tasks of a service that runs.
struct Background {
    tasks: TaskTracker,
    /// Cancelled when the requests have ended.
    stop: CancellationToken,
    /// Cancelled to stop the service.
    shutdown: CancellationToken,
    /// Cancelled if a part has failed.
    failed: CancellationToken,
}

impl Background {
    fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), stop: CancellationToken::new(), shutdown, failed: CancellationToken::new() }
    }

    /// Runs a part that must not end before `stop` is cancelled. If it panics, the service stops in order, so that its
    /// supervisor can restart it; otherwise it would run on without the part.
    fn spawn(&self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let failed = self.failed.clone();
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            if let Err(error) = tokio::spawn(work).await {
                tracing::error!(%error, "{part} has failed: stopping");
                failed.cancel();
                shutdown.cancel();
            }
        });
    }

    /// Stops the tasks, and closes the database after them.
    async fn finish(self, store: &Store) -> Result<(), StartError> {
        self.stop.cancel();
        self.tasks.close();
        let closed = async {
            self.tasks.wait().await;
            store.close().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::warn!("the database took too long to close; every acknowledged change is stored");
        }
        if self.failed.is_cancelled() { Err(StartError::Failed) } else { Ok(()) }
    }
}

/// Ends the streams when the shutdown begins.
async fn drain_at(shutdown: CancellationToken, hub: Hub) {
    shutdown.cancelled().await;
    hub.drain();
}

/// Cancels `stop_accepting` a moment after the shutdown has begun.
async fn cancel_later(shutdown: CancellationToken, stop_accepting: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(ACCEPT_AFTER_SHUTDOWN).await;
    stop_accepting.cancel();
}

/// Migrates the tables of the database to this version, and does nothing else.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or migrated.
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let pools = Pools::connect(config.database_url.expose_secret(), config.database_pool).await?;
    Ok(pools.migrate().await?)
}

async fn connect(config: &Config, clock: Clock) -> Result<Store, StartError> {
    let pools = Pools::connect(config.database_url.expose_secret(), config.database_pool).await?;
    if config.auto_migrate {
        pools.migrate().await?;
    } else if !pools.is_migrated().await? {
        return Err(StartError::NotMigrated);
    }
    Ok(Store::new(pools, clock))
}

/// Starts the bus, and waits for a moment until it is connected. A bus that is not connected does not stop the start: the
/// changes on other instances then arrive later.
async fn connect_bus(
    config: &Config,
    settings: &HubSettings,
    clock: Clock,
) -> Result<(Bus, mpsc::Receiver<Hint>), StartError> {
    let backend = match &config.bus {
        config::BusSetting::Local => Backend::Local,
        config::BusSetting::Postgres(url) => Backend::Postgres(url.clone()),
        config::BusSetting::Nats(url) => Backend::Nats(url.clone()),
    };
    let started = Bus::start(backend, settings.instance, settings.epoch, clock);
    let (bus, hints) = started.map_err(|error| ConfigError::new("PARLOUR_BUS", error.to_string()))?;
    if !bus.connected(BUS_CONNECT_TIMEOUT).await {
        tracing::warn!("the bus is not connected: until it is, changes on other instances arrive a little later");
    }
    Ok((bus, hints))
}

fn hub_settings(config: &Config, clock: &Clock, meta: &Meta) -> HubSettings {
    HubSettings {
        epoch: meta.epoch,
        instance: clock.uuid(),
        presence_interval: config.presence_interval,
        presence_grace: config.presence_grace,
        presence_list: config.presence_list,
        lease: config.lease,
        keepalive: config.stream_keepalive,
        max_age: config.stream_max_age,
        replay: config.stream_replay,
    }
}

fn chat_settings(config: &Config) -> ChatSettings {
    ChatSettings {
        device_accounts: config.device_accounts,
        session_ttl: config.session_ttl,
        max_content_bytes: config.max_content_bytes,
        max_joins: config.max_joins,
        history_ttl: config.history_ttl,
    }
}

/// Maintains the metrics, and removes old entries from the rate limits, until `stop` is cancelled.
async fn maintain(rates: Arc<http::RateLimits>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(METRICS_INTERVAL);
    for round in 0u64.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        http::keep_up_metrics();
        if round % RATES_PRUNED_EVERY == 0 {
            rates.prune();
        }
    }
}
