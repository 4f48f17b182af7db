//! Programs that integrators generate from `openapi.yaml` work: generated types and clients chat with the service, and
//! schemathesis, which searches for responses that contradict the document, finds none. Generated files go to temporary
//! folders.

use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Random, ServerProcess, TestApp, tools};

/// The number of cases that schemathesis generates for each operation in each of its phases. It takes about a minute.
const CASES: &str = "100";

/// Returns a temporary folder with copies of files of `tests/clients`.
fn folder_with(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let source = tools::file("tests/clients").join(file);
        std::fs::copy(&source, folder.path().join(Path::new(file).file_name().unwrap())).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typescript_program_compiles_with_generated_types_and_chats() {
    let app = TestApp::start().await;
    let folder = folder_with(&["package.json", "typescript/tsconfig.json", "typescript/chat.ts"]);
    symlink(tools::npm_packages(), folder.path().join("node_modules")).unwrap();

    let mut generate = tools::npm_tool("openapi-typescript");
    generate.arg(tools::file("openapi.yaml")).args(["--output", "parlour.d.ts"]);
    tools::run(in_folder(generate, &folder)).await;
    tools::run(in_folder(tools::npm_tool("tsc"), &folder)).await;

    let mut chat = tools::program("node");
    chat.args(["built/chat.js", app.base()]);
    let output = tools::run(in_folder(chat, &folder)).await;
    assert!(output.contains("read 5 messages"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_is_whole_and_chats_in_typed_models() {
    let app = TestApp::start().await;
    let folder = folder_with(&["python/generator.yaml", "python/chat.py"]);

    let mut generate = tools::python_tool("openapi-python-client");
    generate.args(["generate", "--meta", "none", "--output-path", "parlour", "--config", "generator.yaml", "--path"]);
    generate.arg(tools::file("openapi.yaml"));
    let output = tools::run(in_folder(generate, &folder)).await;
    assert_eq!(output.trim(), "Generating parlour", "the generator prints a warning for each operation that it skips");

    let mut chat = tools::python_tool("python");
    chat.args(["chat.py", app.base()]);
    let output = tools::run(in_folder(chat, &folder)).await;
    assert!(output.contains("read 5 messages"), "{output}");
}

/// Each run has its own seed: a fixed seed would check the same cases each time. The seed of a failed run is printed, and
/// `PARLOUR_TEST_SEED` repeats it.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let server = ServerProcess::start(&[]).await;
    let contract = server.get("/openapi.json").send().await.expect(200);
    let paths = contract["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();

    let folder = folder_with(&["schemathesis/schemathesis.toml", "schemathesis/hooks.py"]);
    let seed = Random::new().below(usize::MAX).to_string();
    let mut test = tools::python_tool("schemathesis");
    // Reads the document from the file: if schemathesis fetches it, it leaves out the operation that it has fetched.
    test.arg("run").arg(tools::file("openapi.yaml")).args(["--url", server.base()]);
    test.args(["--max-examples", CASES, "--seed", &seed]).env("PARLOUR_BASE", server.base());
    let output = tools::run(in_folder(test, &folder)).await;
    assert!(output.contains(&format!("Tested: {operations}")), "all {operations} operations: {output}");
}

fn in_folder(mut command: std::process::Command, folder: &TempDir) -> std::process::Command {
    command.current_dir(folder.path());
    command
}
