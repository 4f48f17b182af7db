//! The service in this process, on a free port, with a database of its own.

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

use super::database::TestDatabase;
use super::settings::Settings;
use super::{Api, Session};

pub(crate) struct TestApp {
    api: Api,
    address: SocketAddr,
    settings: Settings,
    instance: Option<Instance>,
    /// Held until the instance is gone; several may share one.
    database: Arc<TestDatabase>,
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
        Self::on(Arc::new(TestDatabase::create().await), flags).await
    }

    /// One more instance on a database.
    pub(crate) async fn on(database: Arc<TestDatabase>, flags: &[&str]) -> Self {
        let settings = Settings::new(&database.url(), flags);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut app = Self { api: Api::new(address), address, settings, instance: None, database };
        app.run(listener).await;
        app
    }

    pub(crate) fn database_url(&self) -> String {
        self.database.url()
    }

    async fn run(&mut self, listener: TcpListener) {
        let flags = self.settings.flags();
        let config = Config::from_flags(flags.iter().map(String::as_str)).unwrap_or_else(|error| panic!("{error}"));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Box::pin(parlour::app::run(listener, config, shutdown.clone())));
        self.instance = Some(Instance { shutdown, task });
        let since = Instant::now();
        loop {
            if self.is_ready().await {
                return;
            }
            if self.instance.as_ref().is_some_and(|instance| instance.task.is_finished()) {
                let ended = self.instance.take().unwrap().task.await;
                panic!(
                    "the service ended while starting: {:?}",
                    ended.map(|started| started.map_err(|e| e.to_string()))
                );
            }
            assert!(since.elapsed() < Duration::from_secs(30), "the service is not ready after 30 s");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the instance as a signal would, and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let Instance { shutdown, task } = self.instance.take().expect("the service runs");
        shutdown.cancel();
        let ended = timeout(Duration::from_secs(15), task).await.expect("the service ends within 15 s of the signal");
        ended.unwrap().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts a new instance on the same database and port, after [`Self::stop`].
    pub(crate) async fn start_again(&mut self) {
        assert!(self.instance.is_none(), "the service still runs");
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.run(listener).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// A session of the account that is called so: the same name is the same user, each call a new session.
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
        if let Some(instance) = &self.instance {
            instance.shutdown.cancel();
        }
    }
}
