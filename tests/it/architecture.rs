//! The shape of the service, read from its sources: who may import whom, no circles between files, and what only some
//! files may use. A circle that is found is printed with the uses that make it.

mod circles;
mod made_up;
mod modules;
mod paths;
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use self::circles::{circles, describe, graph};
use self::modules::{Crate, Sources};
use self::rules::{Layers, forbidden_imports, layers, layers_of_table, outside_rooms};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The service, parsed once for all tests.
fn service() -> &'static Crate {
    static SERVICE: LazyLock<Crate> =
        LazyLock::new(|| Crate::parse("parlour", &Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))));
    &SERVICE
}

/// The layers, as the head of `src/lib.rs` writes them.
fn written_layers() -> Layers {
    let text = file("src/lib.rs");
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    layers(&head.join("\n"))
}

#[test]
fn each_layer_imports_only_those_below_it() {
    let forbidden = forbidden_imports(service(), &written_layers());
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[test]
fn every_module_of_the_library_is_a_layer() {
    let service = service();
    let written = written_layers();
    let mut expected: BTreeSet<&str> = service.modules[0].children.keys().map(String::as_str).collect();
    expected.extend(["entity", "main", "migration"]);
    assert_eq!(written.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_documentation_states_the_same_layers() {
    let text = file("docs/architecture.md");
    let (_, section) = text.split_once("\n## Layers\n").expect("a section of the layers");
    let section = section.split("\n## ").next().unwrap();
    assert_eq!(layers_of_table(section), written_layers());
}

#[test]
fn no_layer_is_above_itself() {
    let layers = written_layers();
    for layer in layers.keys() {
        let mut below: BTreeSet<&String> = BTreeSet::new();
        let mut next = vec![layer];
        while let Some(layer) = next.pop() {
            next.extend(layers[layer].iter().filter(|other| below.insert(other)));
        }
        assert!(!below.contains(layer), "{layer} may import what imports it");
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let graph = graph(service());
    let found: Vec<String> = circles(&graph).iter().map(|circle| describe(&graph, circle)).collect();
    assert!(
        found.is_empty(),
        "break these circles, by a file below both for what two of them need:\n{}",
        found.join("\n")
    );
}

#[test]
fn each_room_keeps_what_is_its_own() {
    let found = outside_rooms(service());
    assert!(found.is_empty(), "each of these belongs into another file, as `rules.rs` lists them: {found:#?}");
}

/// A migration must work on the tables as they were at its time, and entities show them as they are today.
#[test]
fn migrations_never_use_entities() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migration/src");
    let migration = Crate::parse("parlour_migration", &Sources::read(&folder));
    let paths = migration
        .modules
        .iter()
        .flat_map(|module| module.imports.iter().map(|import| &import.path).chain(&module.paths));
    let found: Vec<_> = paths.filter(|path| path[0] == "parlour_entity").collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(!file("migration/Cargo.toml").contains("parlour-entity"));
}
