//! One `bash` that lines are pasted into, as into a terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest time of a line, and of waiting for an output. The slowest line listens for three seconds.
const LINE_TIMEOUT: Duration = Duration::from_secs(30);

/// One `bash`, whose child processes write to the same pipe as it does.
pub(super) struct Shell {
    child: Child,
    stdin: ChildStdin,
    chunks: Receiver<Vec<u8>>,
    seen: String,
    pasted: usize,
    /// The folder for home and for temporary files.
    _folder: TempDir,
}

impl Shell {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .env("HOME", folder.path())
            .env("CURL_HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the documentation needs bash: {error}"));
        let stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, chunks) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut shell = Self { child, stdin, chunks, seen: String::new(), pasted: 0, _folder: folder };
        // An interactive shell has these on: jobs, and `!` as the character of history.
        shell.paste("exec 2>&1; set -o monitor -o history -o histexpand");
        shell
    }

    /// Runs a line to its end and returns what was printed meanwhile. A line that fails fails the test, except a `curl`
    /// with a limited time, which ends with the code 28.
    pub(super) fn paste(&mut self, line: &str) -> String {
        self.pasted += 1;
        let number = self.pasted;
        let from = self.seen.len();
        writeln!(self.stdin, "{line}\nprintf '\\n<line {number} ended: %s>\\n' $?").unwrap();
        let mark = format!("\n<line {number} ended: ");
        let end = self.until_after(&mark, from);
        self.until_after(">\n", end);
        let status = self.seen[end + mark.len()..].split('>').next();
        let expected = if line.contains("--max-time") { "28" } else { "0" };
        assert_eq!(status, Some(expected), "the exit code of {line}\n{}", self.seen);
        self.seen[from..end].to_owned()
    }

    /// Waits until this has been printed.
    pub(super) fn until(&mut self, text: &str) {
        self.until_after(text, 0);
    }

    /// Waits until this has been printed at `from` or later, and returns where it begins.
    fn until_after(&mut self, text: &str, from: usize) -> usize {
        let deadline = Instant::now() + LINE_TIMEOUT;
        loop {
            if let Some(at) = self.seen[from..].find(text) {
                return from + at;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(chunk) = self.chunks.recv_timeout(left) else {
                panic!("{text:?} is not printed within {LINE_TIMEOUT:?}, only:\n{}", self.seen);
            };
            // The output is ASCII, so no character is cut by the end of a chunk.
            self.seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
