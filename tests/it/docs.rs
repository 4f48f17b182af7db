//! The documentation is true: its commands run as they are written, its table of settings is that of `parlour --help`, and
//! its links lead somewhere.

use crate::support::tools;

mod links;
mod names;
mod settings;
mod shell;
mod walks;

const README: &str = "README.md";
/// The most bytes of README.md.
const README_BYTES: usize = 6 * 1024;
/// The most lines of the glossary.
const GLOSSARY_LINES: usize = 40;

#[test]
fn the_readme_is_read_in_some_minutes() {
    let bytes = page(README).len();
    assert!(bytes <= README_BYTES, "{README} has {bytes} bytes, and {README_BYTES} are enough");
}

#[test]
fn the_glossary_fits_on_a_page() {
    let document = page("docs/architecture.md");
    let lines = section(&document, "Glossary").trim().lines().count();
    assert!((10..=GLOSSARY_LINES).contains(&lines), "the glossary has {lines} lines");
}

/// The text of a document, by its path from the root of the repository.
fn page(path: &str) -> String {
    std::fs::read_to_string(tools::file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between this heading of the second level and the next one.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    rest.split("\n## ").next().unwrap_or(rest)
}
