//! What others build from `openapi.yaml` works: types and clients that generators make of it chat with the service, and
//! schemathesis, which reads it as a promise and tries to see it broken, finds nothing. All that is generated goes to
//! temporary folders.

use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Random, ServerProcess, TestApp, tools};

/// How many cases schemathesis makes up for each operation, in each of its phases: about a minute's worth.
const CASES: &str = "100";

/// A temporary folder with copies of files of `tests/clients`.
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
    let said = tools::run(in_folder(chat, &folder)).await;
    assert!(said.contains("read 5 messages"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_is_whole_and_chats_in_typed_models() {
    let app = TestApp::start().await;
    let folder = folder_with(&["python/generator.yaml", "python/chat.py"]);

    let mut generate = tools::python_tool("openapi-python-client");
    generate.args(["generate", "--meta", "none", "--output-path", "parlour", "--config", "generator.yaml", "--path"]);
    generate.arg(tools::file("openapi.yaml"));
    let said = tools::run(in_folder(generate, &folder)).await;
    assert_eq!(said.trim(), "Generating parlour", "what the generator skips, it tells");

    let mut chat = tools::python_tool("python");
    chat.args(["chat.py", app.base()]);
    let said = tools::run(in_folder(chat, &folder)).await;
    assert!(said.contains("read 5 messages"), "{said}");
}

/// Each run has a seed of its own, as one seed would look at the same cases for ever. The seed of a run that finds
/// something is printed, and `PARLOUR_TEST_SEED` repeats it.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let server = ServerProcess::start(&[]).await;
    let contract = server.get("/openapi.json").send().await.expect(200);
    let paths = contract["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();

    let folder = folder_with(&["schemathesis/schemathesis.toml", "schemathesis/hooks.py"]);
    let seed = Random::new().below(usize::MAX).to_string();
    let mut test = tools::python_tool("schemathesis");
    // From the file: of a document that it has fetched, schemathesis leaves out the call that fetched it.
    test.arg("run").arg(tools::file("openapi.yaml")).args(["--url", server.base()]);
    test.args(["--max-examples", CASES, "--seed", &seed]).env("PARLOUR_BASE", server.base());
    let said = tools::run(in_folder(test, &folder)).await;
    assert!(said.contains(&format!("Tested: {operations}")), "all {operations} operations: {said}");
}

fn in_folder(mut command: std::process::Command, folder: &TempDir) -> std::process::Command {
    command.current_dir(folder.path());
    command
}
