//! Every relative link of the documents leads to a file that exists, and an anchor leads to a heading of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;

use super::page;
use crate::support::tools;

/// Each document by its path from the root of the repository.
pub(super) type Documents = BTreeMap<String, String>;

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading() {
    let documents = documents();
    let dead = dead_links(&documents, |path| tools::file(path).exists());
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn a_dead_link_is_found() {
    let one = "# One\n\n[1](two.md) [2](two.md#a-heading-with-code) [3](#one) [4](../LICENSE) [5](https://example.com/#no)\n\
               ```\n[6](in-a-block.md)\n```\n\
               [7](three.md) [8](two.md#two) [9](#two) ![10](../picture.png) [11](../../outside.md)\n";
    let two = "# Two (2)\n\n## A heading, with `code`\n\n## Two\n\n## Two\n\n[12](#two-2) [13](#two-1)\n[14](#two--2)";
    let documents = Documents::from([("docs/one.md".into(), one.into()), ("docs/two.md".into(), two.into())]);
    let dead = dead_links(&documents, |path| ["LICENSE", "docs/one.md", "docs/two.md"].contains(&path));
    let expected = [
        "docs/one.md: three.md",
        "docs/one.md: #two",
        "docs/one.md: ../picture.png",
        "docs/one.md: ../../outside.md",
        "docs/two.md: #two--2",
    ];
    assert_eq!(dead, expected);
}

/// The documents of the repository.
pub(super) fn documents() -> Documents {
    let root = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md"];
    let names = fs::read_dir(tools::file("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
    let paths = root.into_iter().map(str::to_owned).chain(docs.map(|name| format!("docs/{name}")));
    let documents: Documents = paths.map(|path| (path.clone(), page(&path))).collect();
    assert!(documents.len() >= 13, "only {:?}", documents.keys());
    documents
}

/// The links that lead nowhere, each with its document, in their order.
fn dead_links(documents: &Documents, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut dead = Vec::new();
    for (path, text) in documents {
        let text = prose(text);
        for target in link.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let leads = target.contains("://")
                || resolve(path, file).is_some_and(|file| {
                    exists(&file) && anchor.is_none_or(|anchor| has_anchor(documents, &file, anchor))
                });
            if !leads {
                dead.push(format!("{path}: {target}"));
            }
        }
    }
    dead
}

/// The path of a link's file from the root; none if it leads out of the repository. A link without a file leads to its own
/// document.
fn resolve(document: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(document.to_owned());
    }
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

pub(super) fn has_anchor(documents: &Documents, path: &str, anchor: &str) -> bool {
    documents.get(path).is_some_and(|document| anchors(document).contains(anchor))
}

/// The anchors that GitHub gives the headings of a document: the heading in lower case, without punctuation, with a hyphen
/// for each space. A repeated heading gets a number.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in headings(document) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The texts of a document's headings, with links as their text.
pub(super) fn headings(document: &str) -> Vec<String> {
    let heading = Regex::new(r"(?m)^#{1,6} +(.+?) *$").unwrap();
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap();
    let text = prose(document);
    let texts = heading.captures_iter(&text).map(|found| link.replace_all(&found[1], "$1").into_owned());
    texts.collect()
}

/// A document without its blocks of code.
fn prose(document: &str) -> String {
    let mut in_block = false;
    let lines = document.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}
