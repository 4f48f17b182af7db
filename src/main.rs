//! The command line. Without a subcommand, `parlour` runs the service. Exit codes: 0 success, 1 the service could not start
//! or failed, 2 a flag or a setting is wrong.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use parlour::config::{Config, ConfigError, LogFormat, Settings};
use parlour::{Clock, USERNAME_MAX, UserId, app, is_name, mint_user_token};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// mimalloc costs less CPU than glibc's allocator, and about the same as jemalloc, which takes 25 times as long to compile.
/// `docs/performance.md` has the measurements.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A chat service that a web page can talk to with nothing but fetch and EventSource.
///
/// Without a command it runs the service on 127.0.0.1:8080, with its database in the file parlour.db. Each setting below is
/// a flag or a variable; the flag takes precedence. Durations are written 500ms, 15s, 1h; rates 20/s, 600/m, off.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 success, 1 could not start, 2 a setting is wrong."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (the default)
    Serve,
    /// Update the tables of the database, and exit
    Migrate,
    /// Print a user token, signed with PARLOUR_JWT_SECRET as your login would sign it
    Token(TokenArgs),
    /// Print the description of the API (OpenAPI 3.1), as YAML
    Openapi {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct TokenArgs {
    /// Id of the user, the claim `sub`: 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + = - and no ~ in front
    #[arg(long, value_name = "ID")]
    user: String,
    /// Name of the user, 1 to 64 characters
    #[arg(long)]
    name: Option<String>,
    /// How long the token is valid
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: String,
}

/// The reason why the program exits with an error. Displays as one sentence.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Start(#[from] app::StartError),
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Ignored: if stderr is closed, there is no way to report the failure.
            let _ = writeln!(io::stderr(), "parlour: {failure}");
            let wrong_setting = matches!(failure, Failure::Config(_) | Failure::Start(app::StartError::Config(_)));
            ExitCode::from(if wrong_setting { 2 } else { 1 })
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let check = || Config::check(cli.settings);
    match cli.command {
        None | Some(Command::Serve) => serve(check()?),
        Some(Command::Migrate) => {
            let config = check()?;
            start_logging(&config);
            runtime()?.block_on(app::migrate(&config)).map_err(Failure::from)
        }
        Some(Command::Token(args)) => print(token(&check()?, &args)?),
        Some(Command::Openapi { json: false }) => print(parlour::openapi_yaml().trim_end()),
        Some(Command::Openapi { json: true }) => print(parlour::openapi_json().trim_end()),
    }
}

fn serve(config: Config) -> Result<(), Failure> {
    start_logging(&config);
    // Each stream is an open socket. If the limit cannot be raised, the service starts all the same, with fewer streams.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files are limited to"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let serving = async {
        let listener = listen(&config)?;
        let address = listener.local_addr().map_err(|error| failed("cannot listen", error))?;
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone())?;
        let format = config.log_format;
        let started = Box::new(move || greet(address, format));
        app::run_and_notify(listener, config, shutdown, started).await.map_err(Failure::from)
    };
    // In a thread of the runtime. In the main thread, each connection would have to wake a thread of the runtime, and those
    // threads could not reuse the memory that the start has freed.
    let runtime = runtime()?;
    runtime.block_on(runtime.spawn(serving)).unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Listens on the configured address.
fn listen(config: &Config) -> Result<TcpListener, Failure> {
    /// Longer than usual, as all clients reconnect at once after a restart.
    const BACKLOG: u32 = 4096;
    let address = config.listen;
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Otherwise the address would be in use for minutes after a restart.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().map_err(|error| failed(format!("cannot listen on {address} (PARLOUR_LISTEN)"), error))
}

/// Logs the address, and prints it for a person if the log is text.
fn greet(address: SocketAddr, format: LogFormat) {
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    if format == LogFormat::Text {
        // Ignored: the service runs even if its standard output is closed.
        let _ = print(format_args!(
            "Parlour listens on http://{address}/\n\
             The API is described at http://{address}/openapi.yaml; docs/tutorial.md walks you through a first chat."
        ));
    }
}

/// Cancels `shutdown` at the first SIGINT or SIGTERM, and exits at the second.
fn cancel_on_signal(shutdown: CancellationToken) -> Result<(), Failure> {
    let listen_to = |kind| signal(kind).map_err(|error| failed("cannot listen to signals", error));
    let mut interrupt = listen_to(SignalKind::interrupt())?;
    let mut terminate = listen_to(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            }
        };
        next().await;
        tracing::info!("stopping; a second signal stops at once");
        shutdown.cancel();
        // The exit code that shells use for a program that a signal has ended.
        std::process::exit(next().await);
    });
    Ok(())
}

fn token(config: &Config, args: &TokenArgs) -> Result<String, Failure> {
    const MAX_TTL: Duration = Duration::from_hours(24 * 365);
    let wrong = |flag, problem| ConfigError::new(flag, problem);
    let user = UserId::parse(&args.user).filter(|user| !user.is_built_in());
    let user =
        user.ok_or_else(|| wrong("--user", "takes 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + = - and no ~ in front"))?;
    let name = args.name.as_deref();
    if name.is_some_and(|name| !is_name(name, USERNAME_MAX)) {
        return Err(wrong("--name", "takes 1 to 64 characters, and no control characters").into());
    }
    let ttl = parlour::config::duration("--ttl", &args.ttl, Duration::from_secs(1)..=MAX_TTL)?;
    Ok(mint_user_token(config, &user, name, ttl, Clock::default().now())?)
}

fn start_logging(config: &Config) {
    // `Config::check` has parsed the filter before, so this cannot fail.
    let filter = EnvFilter::builder().parse_lossy(&config.log);
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Text => logging.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => logging.json().init(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| failed("cannot start", error))
}

fn print(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(|error| failed("cannot write to stdout", error))
}

fn failed(what: impl Into<String>, error: io::Error) -> Failure {
    Failure::Io { what: what.into(), error }
}
