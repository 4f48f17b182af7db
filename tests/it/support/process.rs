//! The service as the real binary in a process of its own, for tests of its memory, its log and its state after
//! SIGKILL.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::database::TestDatabase;
use super::postgres::free_port;
use super::settings::Settings;
use super::{Api, DEADLINE, START_DEADLINE, Session};

const BINARY: &str = env!("CARGO_BIN_EXE_parlour");

pub(crate) struct ServerProcess {
    api: Api,
    settings: Settings,
    child: Child,
    log: PathBuf,
    _folder: TempDir,
    _database: Arc<TestDatabase>,
}

impl ServerProcess {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::on(Arc::new(TestDatabase::create().await), flags).await
    }

    /// One more instance on a database.
    pub(crate) async fn on(database: Arc<TestDatabase>, flags: &[&str]) -> Self {
        let mut settings = Settings::new(&database.url(), flags);
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        settings.set("listen", address.to_string());
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let child = spawn(&settings, &log);
        let mut server = Self { api: Api::new(address), settings, child, log, _folder: folder, _database: database };
        server.until_ready().await;
        server
    }

    /// Ends the process with SIGKILL, without a clean stop.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, as a supervisor does, and waits for the process to end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let signal = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(signal.unwrap().success(), "the process runs");
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < DEADLINE, "it still runs:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A new process on the same database and port, after [`Self::kill9`] or [`Self::terminate`].
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.settings, &self.log);
        self.until_ready().await;
    }

    async fn until_ready(&mut self) {
        let since = Instant::now();
        while !self.is_ready().await {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended while starting, {status}:\n{}", self.log());
            }
            assert!(since.elapsed() < START_DEADLINE, "not ready after {START_DEADLINE:?}:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log of all its processes so far: what they wrote to their standard streams.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The anonymous memory of the process, in KiB: without the database's file, which it may map.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line RssAnon");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) async fn session(&self, name: &str) -> Session {
        Session::of_device(&self.api, name).await
    }
}

fn spawn(settings: &Settings, log: &PathBuf) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    Command::new(BINARY)
        .envs(settings.variables())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Deref for ServerProcess {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary with these arguments and variables, in a folder of its own. It is ended after 60 s.
pub(crate) fn run_command(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args(["60", BINARY]).args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PARLOUR_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}
