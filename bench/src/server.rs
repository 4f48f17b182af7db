//! The servers under load. Each is started as a process on a core of its own, and killed after its workload.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::http::Http;

/// The core of the server, as `taskset` names it.
const SERVER_CORE: &str = "0";
/// The core of this program.
const OWN_CORE: &str = "1";
/// The time limit for a server to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Parlour,
    /// nginx with the module nchan, which stores nothing durably.
    Nchan,
    /// The server of [`crate::floor`].
    Floor,
}

/// The settings of the servers to start.
pub(crate) struct Setup {
    /// The path of Parlour's program.
    pub parlour: PathBuf,
    /// The URL of Parlour's database; `None` for a SQLite file in the folder of the server.
    pub database: Option<String>,
    /// The port on 127.0.0.1.
    pub port: u16,
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    pub kind: Kind,
    pub address: String,
    child: Child,
    /// The id of the process that serves the requests. It is not the child for nginx, whose master starts a worker.
    worker: u32,
    folder: TempDir,
}

impl Setup {
    /// Starts a server with an empty folder, and waits until it responds.
    ///
    /// # Errors
    /// If the server does not start within 30 seconds.
    pub(crate) async fn start(&self, kind: Kind) -> Result<Server> {
        self.start_in(kind, tempfile::tempdir()?).await
    }

    /// Starts a server with the folder of an earlier one, and waits until it responds.
    ///
    /// # Errors
    /// If the server does not start within 30 seconds.
    pub(crate) async fn start_in(&self, kind: Kind, folder: TempDir) -> Result<Server> {
        let address = format!("127.0.0.1:{}", self.port);
        let child = self.command(kind, &address, folder.path())?.stdout(Stdio::null()).spawn();
        let child = child.with_context(|| format!("start {kind:?}"))?;
        let worker = child.id();
        let mut server = Server { kind, address, child, worker, folder };
        server.wait_until_ready().await?;
        while kind == Kind::Nchan && server.worker == worker {
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.worker = child_of(worker)?.unwrap_or(worker);
        }
        Ok(server)
    }

    fn command(&self, kind: Kind, address: &str, folder: &Path) -> Result<Command> {
        let program = match kind {
            Kind::Parlour => self.parlour.clone(),
            Kind::Nchan => PathBuf::from("nginx"),
            Kind::Floor => std::env::current_exe()?,
        };
        let mut command = if can_pin() {
            let mut command = Command::new("taskset");
            command.args(["-c", SERVER_CORE]).arg(program);
            command
        } else {
            Command::new(program)
        };
        match kind {
            Kind::Parlour => {
                let file = || format!("sqlite://{}/bench.db?mode=rwc", folder.display());
                command.env("PARLOUR_DATABASE_URL", self.database.clone().unwrap_or_else(file));
                command.env("PARLOUR_LISTEN", address).env("PARLOUR_LOG", "warn");
                for rate in ["PARLOUR_RATE_SENDS", "PARLOUR_RATE_CALLS", "PARLOUR_RATE_SESSIONS"] {
                    command.env(rate, "off");
                }
            }
            Kind::Nchan => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, nchan_settings(address, folder))?;
                command.arg("-c").arg(file).stderr(Stdio::null());
            }
            Kind::Floor => {
                command.args(["floor", address]);
            }
        }
        Ok(command)
    }
}

impl Server {
    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(mut http) = Http::open(&self.address).await
                && (self.kind != Kind::Parlour
                    || http.call("GET", "/readyz", None, "").await.is_ok_and(|a| a.status == 200))
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{:?} exited with {status}", self.kind);
            }
            if Instant::now() > deadline {
                bail!("{:?} does not respond", self.kind);
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Returns the CPU time that the server has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.worker)).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        Duration::from_millis(ticks * 10) // in /proc, the unit of CPU time is 1/100 s
    }

    /// Returns the resident memory of the server, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.worker)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
    }

    /// Kills the server with SIGKILL. Returns its folder.
    ///
    /// # Errors
    /// If the process cannot be killed.
    pub(crate) fn kill(mut self) -> Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master stops its worker at SIGTERM. At SIGKILL it would leave it running.
        if self.kind == Kind::Nchan {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Reports whether the server and this program can have a core each.
fn can_pin() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) || on_own_core()
}

/// Pins this process to its core.
pub(crate) fn pin_this_process() {
    if can_pin() {
        let own = std::process::id().to_string();
        let _ = Command::new("taskset").args(["-cp", OWN_CORE, &own]).stdout(Stdio::null()).status();
    }
}

fn on_own_core() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Cpus_allowed_list:", OWN_CORE]))
}

/// Reports whether nginx with nchan is installed.
pub(crate) fn has_nchan() -> bool {
    nchan_module().is_some() && Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok()
}

fn nchan_module() -> Option<PathBuf> {
    let places = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];
    places.iter().map(|place| Path::new(place).join("ngx_nchan_module.so")).find(|file| file.exists())
}

fn nchan_settings(address: &str, folder: &Path) -> String {
    let module = nchan_module().unwrap_or_default();
    let folder = folder.display();
    format!(
        "load_module {};\nworker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors;\n\
         worker_rlimit_nofile 20000;\nevents {{ worker_connections 15000; }}\n\
         http {{ access_log off; keepalive_requests 100000000; nchan_shared_memory_size 256m;\n\
         server {{ listen {address} backlog=4096;\n\
         location ~ /sub/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; }}\n\
         location ~ /pub/(.+)$ {{ nchan_publisher http; nchan_channel_id $1; }} }} }}\n",
        module.display()
    )
}

/// Returns the id of a child process of `parent`.
fn child_of(parent: u32) -> Result<Option<u32>> {
    let is_child =
        |stat: &str| stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(1)) == Some(&parent.to_string());
    for process in std::fs::read_dir("/proc")? {
        let path = process?.path();
        if std::fs::read_to_string(path.join("stat")).is_ok_and(|stat| is_child(&stat)) {
            return Ok(path.file_name().and_then(|name| name.to_str()?.parse().ok()));
        }
    }
    Ok(None)
}
