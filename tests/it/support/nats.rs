//! A NATS server on a free port, with a folder of its own for its log. Its parent is a small shell, the keeper, whose
//! standard input is a pipe from this process. However this process ends, the pipe closes, and the keeper ends the
//! server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::postgres::free_port;

const KEEPER: &str = r#"
server=$1 port=$2 log=$3; shift 3
"$server" -a 127.0.0.1 -p "$port" -l "$log" "$@" >/dev/null 2>&1 </dev/null &
server=$!
read -r _
kill -9 "$server"
wait "$server"
"#;

pub(crate) struct NatsServer {
    port: u16,
    keeper: Option<Child>,
    folder: TempDir,
    /// Further arguments of its command line.
    arguments: Vec<String>,
}

impl NatsServer {
    /// Starts a server and waits until it accepts connections.
    pub(crate) async fn start() -> Self {
        let mut server = Self::absent();
        server.rise().await;
        server
    }

    /// Only an address: the server is not started yet.
    pub(crate) fn absent() -> Self {
        Self { port: free_port(), keeper: None, folder: tempfile::tempdir().unwrap(), arguments: Vec::new() }
    }

    /// A cluster of two servers: a message to one of them reaches the clients of both.
    #[allow(dead_code, reason = "the bus's own tests use it, from the same file")]
    pub(crate) async fn cluster() -> [Self; 2] {
        let (mut one, mut two) = (Self::absent(), Self::absent());
        let way = format!("nats://127.0.0.1:{}", free_port());
        one.arguments = ["--cluster_name", "tests", "--cluster", &way].map(ToOwned::to_owned).into();
        let own = "nats://127.0.0.1:-1"; // any free port
        two.arguments = ["--cluster_name", "tests", "--cluster", own, "--routes", &way].map(ToOwned::to_owned).into();
        one.rise().await;
        two.rise().await;
        [one, two]
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the server, on the same port each time.
    pub(crate) async fn rise(&mut self) {
        let binary = binary().expect("no nats-server: .ci/install-test-tools installs it");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(binary)
            .arg(self.port.to_string())
            .arg(self.folder.path().join("log"))
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.keeper = Some(keeper);
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(60), "NATS does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the server with SIGKILL.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The path of the program, if it is installed.
pub(crate) fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join("nats-server")).find(|binary| binary.exists())
}
