//! The files to deploy with name settings that exist, and give them values that the service takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{SECRET, run_command};

const PREFIX: &str = "PARLOUR_";

#[test]
fn every_setting_that_a_deployed_file_names_is_in_help() {
    let output = run_command(&["--help"], &[]);
    let help = String::from_utf8(output.stdout).unwrap();
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let variables: BTreeSet<_> = variables.collect();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices(PREFIX) {
            let name = name(&text[at..]);
            // In comments, all of them may be meant: PARLOUR_*.
            assert!(name == PREFIX || variables.contains(name), "{} names {name}, and --help does not", file.display());
        }
    }
}

#[test]
fn the_settings_of_each_deployed_file_are_taken_together() {
    let mut all = 0;
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let settings = settings(&text);
        all += settings.len();
        // Minting a token checks every setting, and opens no database.
        let mut variables = vec![("PARLOUR_DATABASE_URL", "postgres://parlour@localhost/parlour")];
        variables.extend(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        variables.push(("PARLOUR_JWT_SECRET", SECRET));
        let output = run_command(&["token", "--user", "ana"], &variables);
        assert!(output.status.success(), "{} with {settings:?}: {output:?}", file.display());
    }
    assert!(all > 10, "only {all} settings were found, so they are written in a way that this test does not read");
}

/// The image, the composition, and whatever is in `deploy`.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("Dockerfile"), root.join("compose.yaml")];
    files.extend(fs::read_dir(root.join("deploy")).unwrap().map(|entry| entry.unwrap().path()));
    files
}

/// The settings with a value: `NAME=VALUE`, `NAME: VALUE`, `NAME = "VALUE"`, or `name: NAME` above `value: VALUE`.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once(PREFIX) else { continue };
        let name = name(&line[line.len() - rest.len() - PREFIX.len()..]);
        let same = line.split_once(name).map(|(_, rest)| value(rest)).filter(|value| !value.is_empty());
        let next = || lines.peek().and_then(|line| line.strip_prefix("value:")).map(value);
        if let Some(value) = same.or_else(next) {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

/// The name of a variable that the text begins with.
fn name(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default()
}

fn value(text: &str) -> &str {
    text.trim_start_matches([' ', ':', '=']).trim_end_matches([' ', '\\']).trim_matches('"')
}
