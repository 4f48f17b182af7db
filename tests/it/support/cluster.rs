//! Several instances on one PostgreSQL, and the bus between them.

use std::sync::Arc;

use super::database::TestDatabase;
use super::nats::NatsServer;
use super::{ServerProcess, TestApp};

/// What carries the hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Nothing: each finds out from the database what the others do.
    Local,
    Postgres,
    Nats,
}

pub(crate) struct Cluster {
    pub(crate) one: TestApp,
    pub(crate) two: TestApp,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) nats: Option<NatsServer>,
    route: Route,
}

impl Cluster {
    /// Two instances; none where the tests run on SQLite, whose file has one.
    pub(crate) async fn start(route: Route, flags: &[&str]) -> Option<Self> {
        let database = TestDatabase::shared().await?;
        let nats = if route == Route::Nats { Some(NatsServer::start().await) } else { None };
        let bus = bus(route, nats.as_ref());
        let flags = [&["--bus", &bus], flags].concat();
        let one = TestApp::on(database.clone(), &flags).await;
        let two = TestApp::on(database.clone(), &flags).await;
        Some(Self { one, two, database, nats, route })
    }

    /// One more instance, as the real binary.
    pub(crate) async fn process(&self, flags: &[&str]) -> ServerProcess {
        let bus = bus(self.route, self.nats.as_ref());
        ServerProcess::on(self.database.clone(), &[&["--bus", &bus], flags].concat()).await
    }
}

fn bus(route: Route, nats: Option<&NatsServer>) -> String {
    match (route, nats) {
        (Route::Nats, Some(server)) => server.url(),
        (Route::Postgres, _) => "postgres".to_owned(),
        _ => "local".to_owned(),
    }
}
