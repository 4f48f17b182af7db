//! Builds the parts, starts them, stops them in order.

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

/// How long connections are still accepted once the service stops, to say that it does.
const LINGER: Duration = Duration::from_millis(500);
/// How long requests in flight and streams that say goodbye may take once the service stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the start waits for the bus, which it can do without.
const BUS_PATIENCE: Duration = Duration::from_secs(2);
/// How long writing down what has ended may take after that.
const CLOSE: Duration = Duration::from_secs(3);

/// Why the service did not start, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting does not work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database does not.
    #[error("PARLOUR_DATABASE_URL does not work: {0}")]
    Database(#[from] StoreError),
    /// The tables are not those of this version.
    #[error("the database is not up to date: run `parlour migrate`, or set PARLOUR_AUTO_MIGRATE to true")]
    NotMigrated,
    /// A part of the service failed while it ran.
    #[error("a part of the service has failed: the log says which")]
    Failed,
}

/// Serves until `shutdown`, then stops: first the streams say goodbye, then requests in flight end, then what has ended is
/// written down; all of it within ten seconds.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), StartError> {
    run_and_tell(listener, config, shutdown, || {}).await
}

/// As [`run`]; `started` is called once everything that can fail at the start has not.
pub async fn run_and_tell(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
    started: impl FnOnce(),
) -> Result<(), StartError> {
    let clock = Clock::default();
    http::install_metrics();
    let user_tokens = UserTokens::from_config(&config)?;
    let store = connect(&config, clock.clone()).await?;
    let meta = store.meta().await?;
    let settings = settings(&config, &clock, &meta);
    let (bus, hints) = connect_bus(&config, &settings, clock.clone()).await?;
    let hub = Hub::new(store.clone(), bus, clock.clone(), settings);
    hub.take_lease().await?;
    let token_key = config.token_key.as_ref().map_or(meta.token_key.as_slice(), |key| key.expose_secret().as_bytes());
    let chat =
        Chat::new(store.clone(), hub.clone(), clock.clone(), chat_settings(&config), user_tokens, token_key, &meta);
    let rates = Arc::new(http::RateLimits::new(
        config.rate_sends.as_ref(),
        config.rate_calls.as_ref(),
        config.rate_sessions.as_ref(),
    ));
    let router = http::router(&config, chat.clone(), rates.clone(), clock, shutdown.clone());

    let (background, stop) = (TaskTracker::new(), CancellationToken::new());
    let failed = CancellationToken::new();
    background.spawn(guard("the hub", hub.clone().run(hints, stop.clone()), shutdown.clone(), failed.clone()));
    background.spawn(guard("the regular work", chat.run(stop.clone()), shutdown.clone(), failed.clone()));
    background.spawn(guard("the upkeep", upkeep(rates, stop.clone()), shutdown.clone(), failed.clone()));
    let drain = shutdown.clone();
    background.spawn(async move {
        drain.cancelled().await;
        hub.drain();
    });
    started();
    // For a moment, whoever routes requests here can still be told that this instance is not ready any more.
    let (closing, ending) = (CancellationToken::new(), shutdown.clone());
    let close = closing.clone();
    background.spawn(async move {
        ending.cancelled().await;
        tokio::time::sleep(LINGER).await;
        close.cancel();
    });
    http::serve(listener, router, closing, DRAIN).await;

    stop.cancel();
    background.close();
    let closed = async {
        background.wait().await;
        store.close().await;
    };
    if tokio::time::timeout(CLOSE, closed).await.is_err() {
        tracing::warn!("the database took too long to close; nothing acknowledged is lost by that");
    }
    if failed.is_cancelled() { Err(StartError::Failed) } else { Ok(()) }
}

/// Runs a part that ends only when it is told to. One that fails before is not missed in silence: the service stops, in
/// order, for whoever supervises it to start it anew.
async fn guard(
    part: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
    shutdown: CancellationToken,
    failed: CancellationToken,
) {
    if let Err(error) = tokio::spawn(work).await {
        tracing::error!(%error, "{part} has failed: stopping");
        failed.cancel();
        shutdown.cancel();
    }
}

/// Brings the database's schema up to date, and nothing else.
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

/// The bus, connected or not: what others do is told without it, too, only later.
async fn connect_bus(
    config: &Config,
    settings: &HubSettings,
    clock: Clock,
) -> Result<(Bus, mpsc::Receiver<Hint>), StartError> {
    let route = match &config.bus {
        config::BusSetting::Local => Backend::Local,
        config::BusSetting::Postgres(url) => Backend::Postgres(url.clone()),
        config::BusSetting::Nats(url) => Backend::Nats(url.clone()),
    };
    let started = Bus::start(route, settings.instance, settings.epoch, clock);
    let (bus, hints) = started.map_err(|error| ConfigError::new("PARLOUR_BUS", error.to_string()))?;
    if !bus.connected(BUS_PATIENCE).await {
        tracing::warn!("the bus is away: what happens on other instances is told a little later until it is back");
    }
    Ok((bus, hints))
}

fn settings(config: &Config, clock: &Clock, meta: &Meta) -> HubSettings {
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

/// Metrics and rate limits forget what is old.
async fn upkeep(rates: Arc<http::RateLimits>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    let work = async {
        for round in 0u64.. {
            ticks.tick().await;
            http::keep_up_metrics();
            if round % 12 == 0 {
                rates.prune();
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
