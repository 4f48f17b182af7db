//! Programs that drive the service from outside, as `.ci/install-client-tools` installs them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The seconds after which a program is ended: no run takes that long.
const RUN_TIMEOUT: &str = "400";

/// A file of the repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program of the npm packages.
pub(crate) fn npm_tool(name: &str) -> Command {
    bounded(&installed(&format!("target/clients/node_modules/.bin/{name}")))
}

/// A program of the Python packages. The others are on its PATH.
pub(crate) fn python_tool(name: &str) -> Command {
    let program = installed(&format!("target/clients/venv/bin/{name}"));
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&folders));
    let mut command = bounded(&program);
    command.env("PATH", std::env::join_paths(folders).unwrap());
    command
}

/// The folder of the npm packages.
pub(crate) fn npm_packages() -> PathBuf {
    installed("target/clients/node_modules")
}

/// A program on this machine's PATH.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| missing(name)));
    command.env("no_proxy", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a program, which must succeed. Returns what it printed to both streams.
pub(crate) async fn run(mut command: Command) -> String {
    let run = move || {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, printed(&output));
        printed(&output)
    };
    // The wait blocks a thread of its own: the service may run in this process.
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn printed(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    texts.concat()
}

fn bounded(path: &Path) -> Command {
    let mut command = program("timeout");
    command.args([OsStr::new("--kill-after=5"), OsStr::new(RUN_TIMEOUT), path.as_os_str()]);
    command
}

fn installed(path: &str) -> PathBuf {
    let path = file(path);
    if path.exists() { path } else { missing(&path.display().to_string()) }
}

fn missing(what: &str) -> ! {
    panic!("{what} is missing, which this test needs: run .ci/install-client-tools")
}
