//! Measures Parlour on your machine, and nginx with nchan for comparison if that is installed. `make bench` runs all
//! workloads. `docs/performance.md` explains the figures.

mod chat;
mod floor;
mod http;
mod server;
mod stats;
mod subscribers;
mod workloads;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

use self::server::{Kind, Setup};
use self::stats::Figure;

/// The duration of each load.
const LOAD_DURATION: Duration = Duration::from_secs(5);
/// The fan-outs: the number of streams, the number of rooms, and the messages per second in all rooms together.
const FANOUTS: [(usize, usize, f64); 6] =
    [(1_000, 1, 20.0), (1_000, 1, 100.0), (100, 1, 100.0), (9_000, 1, 4.0), (1_000, 100, 500.0), (9_000, 900, 500.0)];

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Program to measure [default: `parlour` in the directory of this program]
    #[arg(long)]
    parlour: Option<PathBuf>,
    /// Empty database for Parlour, such as postgres://USER@HOST/EMPTY [default: a SQLite file per workload]
    #[arg(long)]
    database: Option<String>,
    /// Port of the servers on 127.0.0.1
    #[arg(long, default_value_t = 18_080)]
    port: u16,
    /// Number of entries of the long history
    #[arg(long, default_value_t = 100_000)]
    history: usize,
    /// Run only the workloads whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server that the others are compared with: one write(2) per delivery, and nothing else
    #[command(hide = true)]
    Floor { address: String },
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Command::Floor { address }) = args.command {
        return floor::run(&address);
    }
    rlimit::increase_nofile_limit(u64::MAX)?;
    server::pin_this_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(&args))
}

async fn measure(args: &Args) -> Result<()> {
    let beside = std::env::current_exe()?.with_file_name("parlour");
    let parlour = args.parlour.clone().unwrap_or(beside);
    let setup = Setup { parlour, database: args.database.clone(), port: args.port };
    let nchan = server::has_nchan().then_some(Kind::Nchan);
    let chosen = |name: &str| name.contains(&args.only);

    for (streams, rooms, rate) in FANOUTS {
        let name =
            format!("{}, {} each, {rate} messages/s in all", count(rooms, "room"), count(streams / rooms, "stream"));
        for kind in [Some(Kind::Floor), Some(Kind::Parlour), nchan].into_iter().flatten().filter(|_| chosen(&name)) {
            match workloads::fanout(&setup.start(kind).await?, streams, rooms, rate, LOAD_DURATION).await {
                Ok(figures) => show(&name, kind, &figures),
                Err(error) => print_row(&name, kind, &format!("not sustained: {error}")),
            }
        }
    }
    for (senders, rooms) in [(64, 16), (1, 1)] {
        let name = format!("{} in {}, durable sends", count(senders, "sender"), count(rooms, "room"));
        if chosen(&name) {
            show(
                &name,
                Kind::Parlour,
                &workloads::sends(&setup.start(Kind::Parlour).await?, senders, rooms, LOAD_DURATION).await?,
            );
        }
    }
    let name = "8,000 idle streams in 800 rooms";
    for kind in [Some(Kind::Parlour), nchan].into_iter().flatten().filter(|_| chosen(name)) {
        show(name, kind, &workloads::idle(&setup.start(kind).await?, 8_000, 800).await?);
    }
    measure_parlour(args, &setup).await
}

/// Returns a number with its noun: `1 room`, `2 rooms`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Runs the workloads that only Parlour is measured with.
async fn measure_parlour(args: &Args, setup: &Setup) -> Result<()> {
    let chosen = |name: &str| name.contains(&args.only);
    let start = async || setup.start(Kind::Parlour).await;
    for streams in [1_000, 10_000] {
        let name = format!("{streams} sessions come to one room");
        if chosen(&name) {
            show(&name, Kind::Parlour, &workloads::crowd(&start().await?, streams).await?);
        }
    }
    let name = format!("a page of 100 from a history of {}", args.history);
    if chosen(&name) {
        show(&name, Kind::Parlour, &workloads::history(&start().await?, args.history).await?);
    }
    let name = "2,000 streams, 20 rooms, the server killed and started again";
    if chosen(name) {
        show(name, Kind::Parlour, &workloads::resume(setup, start().await?, 2_000, 20).await?);
    }
    let name = "100 readers that stop reading, 500 messages of 4 KiB";
    if chosen(name) {
        show(name, Kind::Parlour, &workloads::stalled(&start().await?, 100, 500).await?);
    }
    let size = std::fs::metadata(&setup.parlour)?.len() as f64 / 1024.0 / 1024.0;
    show("the program", Kind::Parlour, &[Figure::new("size", size, "MiB")]);
    Ok(())
}

fn show(workload: &str, kind: Kind, figures: &[Figure]) {
    let figures: Vec<String> = figures.iter().map(ToString::to_string).collect();
    print_row(workload, kind, &figures.join(" · "));
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print_row(workload: &str, kind: Kind, text: &str) {
    let kind = match kind {
        Kind::Parlour => "Parlour",
        Kind::Nchan => "nginx with nchan",
        Kind::Floor => "floor",
    };
    println!("| {workload} | {kind} | {text} |");
}
