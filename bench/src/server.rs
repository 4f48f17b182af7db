//! Servers under load: started here, each in its own process on a core of its own, and ended here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::http::Http;

/// The core of the servers; this program has the other one.
const SERVER_CORE: &str = "0";
pub const OWN_CORE: &str = "1";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Parlour,
    /// nginx with the module nchan, which keeps nothing durably.
    Nchan,
    /// One write(2) for each delivery, and nothing else: see `floor`.
    Floor,
}

/// How to start servers.
pub struct Setup {
    pub parlour: PathBuf,
    /// Where Parlour keeps everything; none for an SQLite file of its own.
    pub database: Option<String>,
    pub port: u16,
}

/// A server that runs.
pub struct Server {
    pub kind: Kind,
    pub address: String,
    child: Child,
    /// The process that works: nginx has a master above it.
    worker: u32,
    folder: TempDir,
}

impl Setup {
    /// Starts a server on an empty folder.
    pub async fn start(&self, kind: Kind) -> Result<Server> {
        self.start_in(kind, tempfile::tempdir()?).await
    }

    /// Starts a server on a folder that another has left.
    pub async fn start_in(&self, kind: Kind, folder: TempDir) -> Result<Server> {
        let address = format!("127.0.0.1:{}", self.port);
        let child = self.command(kind, &address, folder.path())?.stdout(Stdio::null()).spawn();
        let child = child.with_context(|| format!("start {kind:?}"))?;
        let worker = child.id();
        let mut server = Server { kind, address, child, worker, folder };
        server.wait_until_it_answers().await?;
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
        let mut command = if pins() {
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
            Kind::Floor => drop(command.args(["floor", address])),
        }
        Ok(command)
    }
}

impl Server {
    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut http) = Http::open(&self.address).await
                && (self.kind != Kind::Parlour
                    || http.call("GET", "/readyz", None, "").await.is_ok_and(|a| a.status == 200))
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{:?} ended with {status}", self.kind);
            }
            if Instant::now() > until {
                bail!("{:?} does not answer", self.kind);
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.worker)).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        Duration::from_millis(ticks * 10) // the kernel counts for /proc in hundredths of a second
    }

    /// Memory that it holds, in bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.worker)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
    }

    /// Ends it without a word; answers its folder.
    pub fn kill(mut self) -> Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's worker goes with its master only where that is asked to; SIGKILL asks nobody.
        if self.kind == Kind::Nchan {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Whether servers and this program can have a core each.
pub fn pins() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) || on_own_core()
}

/// Keeps this program to its core.
pub fn pin_oneself() {
    if pins() {
        let own = std::process::id().to_string();
        let _ = Command::new("taskset").args(["-cp", OWN_CORE, &own]).stdout(Stdio::null()).status();
    }
}

fn on_own_core() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Cpus_allowed_list:", OWN_CORE]))
}

/// Whether nginx with nchan is installed.
pub fn has_nchan() -> bool {
    nchan_module().is_some() && Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok()
}

fn nchan_module() -> Option<PathBuf> {
    let places = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];
    places.iter().map(|place| Path::new(place).join("ngx_nchan_module.so")).find(|file| file.exists())
}

fn nchan_settings(address: &str, folder: &Path) -> String {
    let (module, folder) = (nchan_module().unwrap_or_default(), folder.display());
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
