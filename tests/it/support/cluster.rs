//! Several instances on one PostgreSQL, and the bus between them.

use std::sync::Arc;

use super::database::TestDatabase;
use super::nats::NatsServer;
use super::{Proxy, ServerProcess, Speech, TestApp};

/// The bus between the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// No bus between them: each learns from the database what the others do.
    Local,
    Postgres,
    Nats,
}

impl Route {
    /// The bus of the suite's two instances, from `PARLOUR_TEST_BUS`; `None` if the suite runs on one instance.
    pub(crate) fn of_suite() -> Option<Self> {
        match std::env::var("PARLOUR_TEST_BUS").as_deref() {
            Err(_) | Ok("") => None,
            Ok("postgres") => Some(Self::Postgres),
            Ok("nats") => Some(Self::Nats),
            Ok(other) => panic!("PARLOUR_TEST_BUS is postgres or nats, not {other}"),
        }
    }

    /// The value of `--bus`.
    pub(crate) fn setting(self, nats: Option<&NatsServer>) -> String {
        match (self, nats) {
            (Self::Nats, Some(server)) => server.url(),
            (Self::Postgres, _) => "postgres".to_owned(),
            _ => "local".to_owned(),
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) one: TestApp,
    pub(crate) two: TestApp,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) nats: Option<NatsServer>,
    /// The proxy between the instances and the server that carries their hints, if there is one.
    pub(crate) proxy: Option<Proxy>,
    bus: String,
}

impl Cluster {
    /// Two instances. `None` if the tests run on SQLite, which allows one instance only.
    pub(crate) async fn start(route: Route, flags: &[&str]) -> Option<Self> {
        Some(Self::on(TestDatabase::shared().await?, route, flags).await)
    }

    /// Two instances on this database, with this bus.
    pub(crate) async fn on(database: Arc<TestDatabase>, route: Route, flags: &[&str]) -> Self {
        let nats = if route == Route::Nats { Some(NatsServer::start().await) } else { None };
        let bus = route.setting(nats.as_ref());
        Self::of(database, nats, None, bus, flags).await
    }

    /// Two instances with a bus that loses half of all hints, and doubles and reorders the rest.
    pub(crate) async fn tampered(route: Route, flags: &[&str]) -> Option<Self> {
        let database = TestDatabase::shared().await?;
        let (proxy, nats, bus);
        if route == Route::Nats {
            let server = NatsServer::start().await;
            proxy = Proxy::tampering(&server.address(), Speech::Nats).await;
            bus = format!("nats://{}", proxy.address());
            nats = Some(server);
        } else {
            proxy = Proxy::tampering(&database.address(), Speech::Postgres).await;
            bus = database.url_at(&proxy.address());
            nats = None;
        }
        Some(Self::of(database, nats, Some(proxy), bus, flags).await)
    }

    async fn of(
        database: Arc<TestDatabase>,
        nats: Option<NatsServer>,
        proxy: Option<Proxy>,
        bus: String,
        flags: &[&str],
    ) -> Self {
        let flags = [&["--bus", &bus], flags].concat();
        let one = TestApp::on(database.clone(), &flags).await;
        let two = TestApp::on(database.clone(), &flags).await;
        Self { one, two, database, nats, proxy, bus }
    }

    /// One more instance, as the real binary.
    pub(crate) async fn process(&self, flags: &[&str]) -> ServerProcess {
        ServerProcess::on(self.database.clone(), &[&["--bus", &self.bus], flags].concat()).await
    }
}
