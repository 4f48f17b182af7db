//! The service in this process, on a free port, with a database of its own: one instance, or two if `PARLOUR_TEST_BUS`
//! names a bus. With two, every call goes to either of them.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parlour::app::StartError;
use parlour::config::Config;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cluster::Route;
use super::database::TestDatabase;
use super::nats::NatsServer;
use super::settings::Settings;
use super::{Api, DEADLINE, START_DEADLINE, Session};

pub(crate) struct TestApp {
    api: Api,
    addresses: Vec<SocketAddr>,
    settings: Settings,
    instances: Vec<Instance>,
    /// Dropped after the instances. Several apps may share one.
    database: Arc<TestDatabase>,
    _nats: Option<NatsServer>,
}

struct Instance {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Settings as flags, which replace the tests' defaults: `["--presence-grace", "1s"]`.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        let Some(route) = Route::of_suite() else {
            return Self::run_on(database, flags, 1).await;
        };
        let nats = if route == Route::Nats { Some(NatsServer::start().await) } else { None };
        let bus = route.setting(nats.as_ref());
        let mut app = Self::run_on(database, &[&["--bus", &bus], flags].concat(), 2).await;
        app._nats = nats;
        app
    }

    /// One instance, whatever `PARLOUR_TEST_BUS` is: for limits that each instance counts by itself.
    pub(crate) async fn alone(flags: &[&str]) -> Self {
        Self::run_on(Arc::new(TestDatabase::create().await), flags, 1).await
    }

    /// One more instance on a database.
    pub(crate) async fn on(database: Arc<TestDatabase>, flags: &[&str]) -> Self {
        Self::run_on(database, flags, 1).await
    }

    async fn run_on(database: Arc<TestDatabase>, flags: &[&str], count: usize) -> Self {
        let settings = Settings::new(&database.url(), flags);
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let api = Api::of_all(&addresses);
        let mut app = Self { api, addresses, settings, instances: Vec::new(), database, _nats: None };
        app.run(listeners).await;
        app
    }

    pub(crate) fn database_url(&self) -> String {
        self.database.url()
    }

    async fn run(&mut self, listeners: Vec<TcpListener>) {
        let flags = self.settings.flags();
        for listener in listeners {
            let config = Config::from_flags(flags.iter().map(String::as_str)).unwrap_or_else(|error| panic!("{error}"));
            let shutdown = CancellationToken::new();
            let task = tokio::spawn(Box::pin(parlour::app::run(listener, config, shutdown.clone())));
            self.instances.push(Instance { shutdown, task });
        }
        let since = Instant::now();
        while !self.is_ready().await {
            if let Some(at) = self.instances.iter().position(|instance| instance.task.is_finished()) {
                let ended = self.instances.remove(at).task.await;
                panic!(
                    "the service ended while starting: {:?}",
                    ended.map(|started| started.map_err(|e| e.to_string()))
                );
            }
            assert!(since.elapsed() < START_DEADLINE, "the service is not ready after {START_DEADLINE:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops every instance as a signal would, and waits until all have stopped.
    pub(crate) async fn stop(&mut self) {
        assert!(!self.instances.is_empty(), "the service runs");
        self.instances.iter().for_each(|instance| instance.shutdown.cancel());
        for Instance { task, .. } in self.instances.drain(..) {
            let ended = timeout(DEADLINE, task).await;
            let ended = ended.expect("the service ends in time after the signal");
            ended.unwrap().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Starts new instances on the same database and ports, after [`Self::stop`].
    pub(crate) async fn start_again(&mut self) {
        assert!(self.instances.is_empty(), "the service still runs");
        let mut listeners = Vec::new();
        for address in &self.addresses {
            listeners.push(TcpListener::bind(address).await.unwrap());
        }
        self.run(listeners).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Opens a session of the account with this name. The same name is the same user; each call is a new session.
    pub(crate) async fn session(&self, name: &str) -> Session {
        Session::of_device(&self.api, name).await
    }

    /// Sessions of users called `{prefix}0`, `{prefix}1`, …
    pub(crate) async fn sessions(&self, prefix: &str, count: usize) -> Vec<Session> {
        let mut sessions = Vec::with_capacity(count);
        for number in 0..count {
            sessions.push(self.session(&format!("{prefix}{number}")).await);
        }
        sessions
    }
}

impl Deref for TestApp {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.instances.iter().for_each(|instance| instance.shutdown.cancel());
    }
}
