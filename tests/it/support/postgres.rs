//! One PostgreSQL server for the whole test process, started from its binaries on first use, with one database for each
//! service under test; or a server of a test's own, which the test may stop. The parent of a server is a small shell,
//! the keeper, whose standard input is a pipe from this process. However this process ends, the pipe closes, and the
//! keeper stops the server and removes its folder.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sea_orm::{ConnectOptions, ConnectionTrait as _};

/// The keeper's script. The collation is not `C` if the server supports another: a query that sorts or compares ids by
/// it then gives wrong results, and a test fails.
///
/// Each line that the keeper reads is a command: to drop a database, to crash the server, to start it again. The
/// server's standard streams go to its log: otherwise a test run whose output is piped would wait for them.
const KEEPER: &str = r#"
set -eu
PATH="$1:$PATH"; port=$2; LC_ALL=C; export PATH LC_ALL
dir=$(mktemp -d "${TMPDIR:-/tmp}/parlour-postgres.XXXXXX")
trap 'pg_ctl -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
init() { initdb -D "$dir/data" -U parlour -A trust -E UTF8 "$@" >"$dir/log" 2>&1 </dev/null; }
init --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US || { rm -rf "$dir/data"; init --locale=C; } ||
    { cat "$dir/log"; exit 1; }
start() {
    pg_ctl -D "$dir/data" -w -t 60 -l "$dir/log" \
        -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=500" start >/dev/null </dev/null ||
        { cat "$dir/log"; exit 1; }
    echo ready
}
start
while read -r act name; do
    case $act in
    drop) dropdb -h "$dir" -p "$port" -U parlour --if-exists --force "$name" >/dev/null 2>&1 </dev/null & ;;
    crash) pg_ctl -D "$dir/data" -m immediate stop >/dev/null 2>&1 </dev/null; echo crashed ;;
    start) start ;;
    esac
done
"#;

struct Server {
    port: u16,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    /// Kept open as long as the server is needed: when it closes, the keeper stops the server.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

static SERVER: OnceLock<Result<Arc<Server>, String>> = OnceLock::new();

impl Server {
    /// The server of all tests that do not stop it. It runs as long as this process.
    fn shared() -> Arc<Self> {
        match SERVER.get_or_init(|| Self::start().map(Arc::new)) {
            Ok(server) => server.clone(),
            Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("no PostgreSQL: {reason}"),
            Err(reason) => {
                // To the process's own stderr: the test harness drops what a passing test prints.
                let _ = writeln!(
                    std::io::stderr(),
                    "\n*** SKIPPED: every test on PostgreSQL, as there is no server to start: {reason}\n\
                     *** Debian: apt-get install postgresql. Where CI=true this is a failure.\n"
                );
                std::process::exit(0);
            }
        }
    }

    fn start() -> Result<Self, String> {
        let binaries = binaries().ok_or("neither PATH nor /usr/lib/postgresql/*/bin holds initdb")?;
        // Another program may take the free port before the server does, so try three times.
        let mut failure = String::new();
        for _ in 0..3 {
            match Self::start_on(&binaries, free_port()) {
                Ok(server) => return Ok(server),
                Err(reason) => failure = reason,
            }
        }
        Err(failure)
    }

    fn start_on(binaries: &Path, port: u16) -> Result<Self, String> {
        let mut keeper = if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut keeper = keeper
            .arg("-c")
            .arg(KEEPER)
            .arg("sh")
            .arg(binaries)
            .arg(port.to_string())
            // The user postgres may not be able to enter this process's folder.
            .current_dir(std::env::temp_dir())
            // Not in the terminal's process group: an interrupt must end this process first, whose end then stops the
            // keeper.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run a shell as the server's user: {error}"))?;
        let mut output = BufReader::new(keeper.stdout.take().unwrap());
        let mut said = String::new();
        output.read_line(&mut said).unwrap();
        if said != "ready\n" {
            output.read_to_string(&mut said).unwrap();
            return Err(format!("the server does not start: {said}"));
        }
        let keeper = Keeper { input: keeper.stdin.take().unwrap(), output };
        Ok(Self { port, keeper: Mutex::new(keeper) })
    }

    /// Sends the keeper a command without waiting for its result.
    fn tell(&self, command: &str) {
        // If the write fails, the server ends with this process anyway.
        let _ = writeln!(self.keeper.lock().unwrap().input, "{command}");
    }

    /// Sends the keeper a command and waits for its answer.
    fn command(&self, command: &str, answer: &str) {
        self.tell(command);
        let mut said = String::new();
        self.keeper.lock().unwrap().output.read_line(&mut said).unwrap();
        assert_eq!(said.trim(), answer);
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://parlour@127.0.0.1:{}/{database}", self.port)
    }
}

/// The folder of the server's programs, if they are installed.
pub(crate) fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.into_iter().find(|folder| folder.join("initdb").exists())
}

/// A port that is free at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) struct Database {
    name: String,
    server: Arc<Server>,
}

impl Database {
    pub(crate) async fn create() -> Self {
        Self::on(tokio::task::spawn_blocking(Server::shared).await.unwrap()).await
    }

    /// On a server of its own.
    pub(crate) async fn alone() -> Self {
        let started = tokio::task::spawn_blocking(Server::start).await.unwrap();
        Self::on(Arc::new(started.unwrap_or_else(|reason| panic!("no PostgreSQL: {reason}")))).await
    }

    async fn on(server: Arc<Server>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("parlour_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut options = ConnectOptions::new(server.url("postgres"));
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.unwrap();
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        connection.close().await.unwrap();
        Self { name, server }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Ends the server as a power cut would.
    pub(crate) async fn crash(&self) {
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || server.command("crash", "crashed")).await.unwrap();
    }

    /// Starts the server again, on the same port.
    pub(crate) async fn rise(&self) {
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || server.command("start", "ready")).await.unwrap();
    }

    /// Cuts every connection to this database whose application name matches; `%` matches all.
    pub(crate) async fn cut(&self, application: &str) {
        let mut options = ConnectOptions::new(self.server.url("postgres"));
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.unwrap();
        let name = &self.name;
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{name}' AND application_name LIKE '{application}'"
        );
        connection.execute_unprepared(&sql).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.tell(&format!("drop {}", self.name));
    }
}
