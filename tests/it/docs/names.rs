//! A text or a comment that names a document, or a section of one, names one that exists.
//!
//! Sections are named as `NAME.md#anchor`, as `NAME.md, "Heading"`, or, within a document, as `section "Heading"`.

use std::fs;
use std::path::Path;

use regex::Regex;

use super::links::{Documents, documents, has_anchor, headings};
use crate::support::tools;

/// The folders and files at the root in which documents are named.
const PLACES: [&str; 17] = [
    ".ci",
    ".github",
    "bench",
    "deploy",
    "docs",
    "entity",
    "examples",
    "migration",
    "src",
    "tests",
    "web",
    "Cargo.toml",
    "Dockerfile",
    "Makefile",
    "compose.yaml",
    "deny.toml",
    "openapi.yaml",
];
/// It names files of earlier versions.
const CHANGELOG: &str = "CHANGELOG.md";
/// Files that name documents which do not exist: they test that such names are found.
const SAMPLES: [&str; 2] = ["tests/it/docs/links.rs", "tests/it/docs/names.rs"];

#[test]
fn every_document_and_section_that_is_named_exists() {
    let documents = documents();
    let root = tools::file("");
    let mut texts = documents.clone();
    for place in PLACES {
        collect(&root, &root.join(place), &mut texts);
    }
    texts.retain(|path, _| !SAMPLES.contains(&path.as_str()));
    assert!(texts.len() > 200, "only {} files were read", texts.len());
    let unknown: Vec<_> = texts.iter().flat_map(|(path, text)| unknown_names(path, text, &documents)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn a_section_that_does_not_exist_is_found() {
    let one = "# One\n\n## The first section\n\n## The second\n";
    let documents = Documents::from([("docs/one.md".into(), one.into())]);
    let unknown = |path: &str, text: &str| unknown_names(path, text, &documents);
    let good = "// See docs/one.md, \"The first\n    // section\", and one.md#the-second. *.md";
    assert!(unknown("src/main.rs", good).is_empty());
    assert!(unknown("docs/one.md", "see the section \"The second\"").is_empty());
    let bad = "# docs/one.md, \"The third\", docs/two.md, one.md#third, section \"The\n# second\"";
    let expected = ["docs/one.md, \"The third\"", "docs/two.md", "one.md#third", "section \"The second\""];
    assert_eq!(unknown("deploy/fly.toml", bad), expected.map(|name| format!("deploy/fly.toml: {name}")));
    assert_eq!(unknown("docs/one.md", "see section \"The third\""), ["docs/one.md: section \"The third\""]);
}

#[test]
fn every_path_that_a_document_names_exists() {
    let missing: Vec<_> = documents()
        .iter()
        .filter(|(path, _)| *path != CHANGELOG)
        .flat_map(|(path, text)| missing_paths(text).into_iter().map(move |missing| format!("{path}: {missing}")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    let text =
        "`src/lib.rs` `http/messages.rs`, `tests/it/` and `live/NOUN.rs`, not `src/lib.c`, `http/nothing.rs`, `web/x/`";
    assert_eq!(missing_paths(text), ["src/lib.c", "http/nothing.rs", "web/x/"]);
}

/// The paths in backquotes that do not exist, from the root or, for a layer of the service, from `src`.
fn missing_paths(text: &str) -> Vec<String> {
    let path = Regex::new(
        r"`((src|tests|bench|deploy|docs|entity|examples|migration|web|http|chat|live|store|bus|config|model)/[^`\s]*)`",
    )
    .unwrap();
    let paths = path.captures_iter(text).map(|found| found[1].to_owned()).filter(|path| !path.contains("NOUN"));
    paths.filter(|path| !tools::file(path).exists() && !tools::file("src").join(path).exists()).collect()
}

/// The names in a file of documents or sections that do not exist.
fn unknown_names(path: &str, text: &str, documents: &Documents) -> Vec<String> {
    let name = Regex::new(r#"([A-Za-z0-9_./-]+\.md)(?:#([a-z0-9_-]+)|`?,? (?:section )?"([^"\\]{1,80})")?"#).unwrap();
    let section = Regex::new(r#"([A-Za-z.]+),? sections? "([^"\\]{1,80})""#).unwrap();
    let text = unwrapped(text);
    let mut unknown = Vec::new();
    for found in name.captures_iter(&text) {
        let known = document(path, &found[1], documents).is_some_and(|document| {
            let anchor = found.get(2).is_none_or(|anchor| has_anchor(documents, &document, anchor.as_str()));
            let heading = found.get(3).is_none_or(|heading| has_heading(documents, &document, heading.as_str()));
            anchor && heading
        });
        if !known && &found[1] != ".md" {
            unknown.push(format!("{path}: {}", &found[0]));
        }
    }
    let alone = section.captures_iter(&text).filter(|found| !found[1].ends_with(".md"));
    unknown.extend(
        alone
            .map(|found| found[2].to_owned())
            .filter(|heading| !has_heading(documents, path, heading))
            .map(|heading| format!("{path}: section \"{heading}\"")),
    );
    unknown
}

/// The document of this name: from the root, next to the file, or in `docs`.
fn document(path: &str, name: &str, documents: &Documents) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let candidates = [name.to_owned(), format!("{folder}/{name}"), format!("docs/{name}")];
    let up = name.strip_prefix("../").map(str::to_owned);
    candidates.into_iter().chain(up).find(|path| documents.contains_key(path))
}

fn has_heading(documents: &Documents, path: &str, heading: &str) -> bool {
    documents.get(path).is_some_and(|document| headings(document).iter().any(|found| found == heading))
}

/// A text in one line, without the marks of comments, so that a name may be broken over two lines.
fn unwrapped(text: &str) -> String {
    let marks = |c: char| c.is_whitespace() || ['/', '#', '*', '!', '>'].contains(&c);
    let lines = text.lines().map(|line| line.trim_start_matches(marks).trim_end());
    lines.collect::<Vec<_>>().join(" ")
}

/// Reads the text files of a folder, or one file, by their paths from the root.
fn collect(root: &Path, path: &Path, texts: &mut Documents) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(root, &entry.unwrap().path(), texts);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        texts.insert(name, text);
    }
}
