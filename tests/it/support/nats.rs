//! A NATS server on a free port, with a folder of its own for its log. It lives under a small shell, the keeper, whose
//! standard input is a pipe from this process: however this process ends, the pipe closes, and the keeper ends the server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::postgres::free_port;

const KEEPER: &str = r#"
"$1" -a 127.0.0.1 -p "$2" -l "$3" >/dev/null 2>&1 </dev/null &
server=$!
read -r _
kill -9 "$server"
wait "$server"
"#;

pub(crate) struct NatsServer {
    port: u16,
    keeper: Option<Child>,
    folder: TempDir,
}

impl NatsServer {
    /// A server that answers.
    pub(crate) async fn start() -> Self {
        let mut server = Self::absent();
        server.rise().await;
        server
    }

    /// Only the address: nobody listens there yet.
    pub(crate) fn absent() -> Self {
        Self { port: free_port(), keeper: None, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, on the same port each time.
    pub(crate) async fn rise(&mut self) {
        let binary = binary().expect("no nats-server: .ci/install-test-tools installs it");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(binary)
            .arg(self.port.to_string())
            .arg(self.folder.path().join("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.keeper = Some(keeper);
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(10), "NATS does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL.
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

/// The program, where it is installed.
pub(crate) fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join("nats-server")).find(|binary| binary.exists())
}
