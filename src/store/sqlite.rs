//! SQLite, without a change of threads for each statement.
//!
//! SQLite answers from this process's memory in a few microseconds; to wake another thread for it and be woken again costs
//! several times as much, and a transaction has about ten statements. So a connection lives in a thread of its own, and
//! whole transactions go there: their futures are polled in that thread, where no statement waits for anything. A read is
//! one statement, and goes there by itself.

mod connection;
mod transaction;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub(super) use self::connection::{Connection, Row};
pub(super) use self::transaction::Transaction;
use super::StoreError;

/// What a thread is asked to do.
type Job = Box<dyn FnOnce(&Arc<Connection>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Connections to one file, each in its thread; they take their jobs from one queue.
#[derive(Clone, Debug)]
pub(super) struct Threads {
    jobs: mpsc::Sender<Option<Job>>,
    count: usize,
}

impl Threads {
    /// Opens `count` connections: one that writes, or some that only read.
    pub(super) async fn open(url: &str, count: usize, reads_only: bool) -> Result<Self, StoreError> {
        let file = file(url)?;
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count {
            let (file, queue, runtime) = (file.clone(), queue.clone(), Handle::current());
            let (tell, opened) = oneshot::channel();
            let thread = thread::Builder::new().name("sqlite".to_owned());
            let run = move || match Connection::open(&file, reads_only) {
                Ok(connection) => {
                    let _ = tell.send(Ok(()));
                    serve(&Arc::new(connection), &queue, &runtime);
                }
                Err(error) => drop(tell.send(Err(error))),
            };
            thread.spawn(run).map_err(|error| StoreError::Unavailable(format!("no thread for SQLite: {error}")))?;
            opened.await.unwrap_or_else(|_| Err(gone()))?;
        }
        Ok(Self { jobs, count })
    }

    /// Runs `work` in one of the threads, as soon as one is free, and to its end, whatever becomes of who asked. Its
    /// future may wait for statements, and for nothing else.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Connection>) -> Pin<Box<dyn Future<Output = T> + Send>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let working = work(connection.clone());
            Box::pin(async move {
                let _ = reply.send(working.await);
            })
        });
        self.jobs.send(Some(job)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Closes the connections, each behind what it has begun.
    pub(super) async fn close(&self) {
        let (closed, mut all_closed) = tokio::sync::mpsc::channel::<()>(1);
        for _ in 0..self.count {
            let closed = closed.clone();
            let last: Job = Box::new(move |connection| {
                connection.close();
                Box::pin(async move { drop(closed) })
            });
            let _ = self.jobs.send(Some(last));
            let _ = self.jobs.send(None);
        }
        drop(closed);
        let _ = all_closed.recv().await;
    }
}

/// A thread's life: jobs until there are no more, or it is told to go.
fn serve(connection: &Arc<Connection>, queue: &Mutex<mpsc::Receiver<Option<Job>>>, runtime: &Handle) {
    // Whoever waits for a job holds the lock; the others wait for the lock.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok().flatten();
    while let Some(job) = next() {
        let run = AssertUnwindSafe(|| runtime.block_on(job(connection)));
        if std::panic::catch_unwind(run).is_err() {
            tracing::error!("work on the database was given up");
        }
        connection.tidy();
    }
}

/// The file of a URL like `sqlite://parlour.db?mode=rwc`, as SQLite's own URI.
fn file(url: &str) -> Result<String, StoreError> {
    // The same URL serves sqlx, which brings the tables up to date.
    url.parse::<SqliteConnectOptions>().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.replace('#', "%23");
    let mode = if options.split('&').any(|option| option.starts_with("mode=")) { "" } else { "&mode=rw" };
    Ok(format!("file:{path}?{options}{mode}"))
}

fn gone() -> StoreError {
    StoreError::Unavailable("the database is closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_a_uri() -> Result<(), StoreError> {
        assert_eq!(file("sqlite://parlour.db?mode=rwc")?, "file:parlour.db?mode=rwc");
        assert_eq!(file("sqlite:///var/lib/p%20q.db?mode=ro")?, "file:/var/lib/p%20q.db?mode=ro");
        assert_eq!(file("sqlite:a#b.db")?, "file:a%23b.db?&mode=rw");
        assert!(file("sqlite://p.db?mode=fast").is_err());
        Ok(())
    }

    #[tokio::test]
    async fn what_panics_is_undone_and_the_thread_goes_on() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let threads = Threads::open(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 1, false).await?;
        let make = |connection: Arc<Connection>| -> Pin<Box<dyn Future<Output = Result<u64, StoreError>> + Send>> {
            Box::pin(async move { connection.execute("CREATE TABLE t (a)", &[]) })
        };
        threads.run(make).await??;
        let failing = threads.run(|connection| {
            Box::pin(async move {
                let _open = connection.execute("BEGIN IMMEDIATE", &[]);
                let _lost = connection.execute("INSERT INTO t VALUES ($1)", &[1i64.into()]);
                if !connection.is_idle() {
                    panic!("as a fault in a change would");
                }
            })
        });
        assert!(failing.await.is_err());
        let count = threads.run(|connection| Box::pin(async move { connection.query("SELECT a FROM t", &[]) })).await??;
        assert!(count.is_empty());
        threads.close().await;
        assert!(threads.run(|_| Box::pin(async {})).await.is_err());
        Ok(())
    }
}
