//! Who may import whom: the layers of the service, read from its sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer with those that it may use. `config` is a value that the outer layers are built from.
const LAYERS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("config", &[]),
    ("store", &["model"]),
    ("bus", &["model"]),
    ("live", &["bus", "model", "store"]),
    ("chat", &["config", "live", "model", "store"]),
    ("http", &["chat", "config", "live", "model"]),
    ("app", &["bus", "chat", "config", "http", "live", "model", "store"]),
];

#[test]
fn each_layer_imports_only_those_below_it() {
    for (layer, allowed) in LAYERS {
        let files = sources(layer);
        assert!(!files.is_empty(), "{layer} has no sources");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for used in imports(&text) {
                let fits = used == layer || allowed.contains(&used.as_str());
                assert!(fits, "{} imports {used}, and {layer} may use {allowed:?} only", file.display());
            }
        }
    }
}

#[test]
fn every_module_of_the_library_is_a_layer() {
    let root = fs::read_to_string(root().join("lib.rs")).unwrap();
    let modules = root.lines().filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name));
    assert_eq!(modules.collect::<BTreeSet<_>>(), LAYERS.map(|(name, _)| name).into_iter().collect());
}

#[test]
fn sql_and_sea_orm_stay_in_the_store_and_axum_in_http() {
    for (layer, _) in LAYERS {
        for file in sources(layer) {
            let text = fs::read_to_string(&file).unwrap();
            let sql = ["sea_orm", "parlour_entity", "parlour_migration"].iter().any(|name| text.contains(name));
            // Notifications are the database's, and no data.
            let may = layer == "store" || file.ends_with("bus/postgres.rs");
            assert!(!sql || may, "{} knows the database", file.display());
            // The settings hold a header's value; the application holds the listener and nothing of axum.
            let axum = text.contains("axum::") && !["http", "config"].contains(&layer);
            assert!(!axum, "{} knows axum", file.display());
        }
    }
}

/// The crate's modules that a source names: after `crate::`, alone or in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => drop(found.insert(name(rest))),
            Some(list) => found.extend(list.split('}').next().unwrap_or("").split(',').map(|item| name(item.trim()))),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn sources(layer: &str) -> Vec<PathBuf> {
    let mut files = vec![root().join(format!("{layer}.rs"))];
    collect(&root().join(layer), &mut files);
    files.retain(|file| file.exists());
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
