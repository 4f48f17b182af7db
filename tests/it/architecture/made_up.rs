//! Each rule on small made-up sources: that it finds what breaks it, however the source writes that, and nothing else.

use super::circles::{circles, graph};
use super::modules::{Crate, Sources};
use super::rules::{ROOMS, forbidden_imports, layers, layers_of_table, outside_rooms};

fn parsed(files: &[(&str, &str)]) -> Crate {
    Crate::parse("parlour", &Sources::of(files))
}

/// Returns the imports from the layer `high` in a source of the layer `low`, which may import nothing.
fn forbidden(source: &str) -> Vec<String> {
    let files = [
        ("lib.rs", "mod high; mod low;"),
        ("high.rs", "pub mod part { pub struct Thing; } pub fn act() {}"),
        ("low.rs", "mod inner;"),
        ("low/inner.rs", source),
    ];
    forbidden_imports(&parsed(&files), &layers("`high → low`"))
}

#[test]
fn an_import_of_a_higher_layer_is_found_in_every_form() {
    for source in [
        "use crate::high::act;",
        "use crate::high;",
        "use crate::{high::{part::Thing as Other, act}};",
        "use super::super::high::part::*;",
        "pub use super::super::high::act as run;",
        "use self::super::super::high::act;",
        "fn run() { crate::high::act(); }",
        "fn run() { use crate::high::act; act(); }",
        "fn run(_: Vec<crate::high::part::Thing>) {}",
        "impl crate::high::part::Thing { fn run() {} }",
        "fn run() { println!(\"{}\", crate::high::act()); }",
        "#[derive(Serialize)] struct S { #[serde(with = \"crate::high::part\")] x: u8 }",
        "mod more { fn run() { super::super::super::high::act(); } }",
    ] {
        assert!(!forbidden(source).is_empty(), "not found: {source}");
    }
}

#[test]
fn what_is_no_import_of_a_higher_layer_is_not_found() {
    for source in [
        "// use crate::high::act;",
        "/// See [`crate::high::act`].\nfn run() {}",
        "fn run() { let _ = \"crate::high::act\"; }",
        "use high::act;",
        "use super::super::low::inner;",
        "#[cfg(test)] mod tests { use crate::high::act; }",
        "#[cfg(test)] use crate::high::act;",
        "struct S; impl S { #[cfg(test)] fn run() { crate::high::act(); } }",
    ] {
        assert_eq!(forbidden(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn a_program_is_a_layer_of_its_own() {
    let files = [("lib.rs", "pub mod app; pub mod store;"), ("app.rs", ""), ("store.rs", "pub struct Store;")];
    let program = ("main.rs", "use parlour::app; fn main() { parlour::store::Store; }");
    let service = parsed(&[files[0], files[1], files[2], program]);
    assert_eq!(forbidden_imports(&service, &layers("`main → app` and `app → store`")).len(), 1);
    assert_eq!(forbidden_imports(&service, &layers("`main → app → all` and `app → store`")).len(), 0);
    // A name that the root exports from a private layer counts as part of that layer.
    let root = ("lib.rs", "pub mod app; mod store; pub use crate::store::Store as Data;");
    let program = ("main.rs", "use parlour::{Data, app};");
    let service = parsed(&[root, files[1], files[2], program]);
    assert_eq!(forbidden_imports(&service, &layers("`main → app` and `app → store`")).len(), 1);
    assert_eq!(forbidden_imports(&service, &layers("`main → app → all` and `app → store`")).len(), 0);
}

#[test]
fn the_layers_are_read_as_they_are_written() {
    let text = "//! Who: `main → app → all`;\n//! `http → chat,\n//! model`; `chat → entity`. Not `http`.";
    let layers = layers(text);
    let below = |layer: &str| layers[layer].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(layers.keys().collect::<Vec<_>>(), ["app", "chat", "entity", "http", "main", "model"]);
    assert_eq!(below("main"), ["app", "chat", "http", "model"]);
    assert_eq!(below("app"), ["chat", "http", "model"]);
    assert_eq!(below("http"), ["chat", "model"]);
    assert_eq!(below("chat"), ["entity"]);
    assert!(below("model").is_empty() && below("entity").is_empty());
}

#[test]
fn the_table_says_the_same_as_the_sentences() {
    let table = "| layer | may import | why |\n|---|---|---|\n| `main` | every layer | `not` this |\n\
                 | `http` | `chat`, and the crate `entity` | |\n| `chat` | nothing | |\n";
    let sentences = "`main → all`; `http → chat, entity`";
    assert_eq!(layers_of_table(table), layers(sentences));
    assert_ne!(layers_of_table(table), layers("`main → all`; `http → chat`; `chat → entity`"));
}

/// The circles among the files of a layer `a`, whose parent re-exports what its two children define.
fn circles_of(parent: &str, one: &str, two: &str) -> Vec<Vec<String>> {
    let files = [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/one.rs", one), ("a/two.rs", two)];
    circles(&graph(&parsed(&files)))
}

const PARENT: &str = "mod one; mod two; pub use one::One; pub(crate) use self::two::{Two, two};";
const ONE: &str = "pub struct One;";

#[test]
fn two_files_that_use_each_other_are_a_circle_in_every_form() {
    let two = "use super::one::One; pub struct Two(One); pub fn two() {}";
    for one in [
        "use super::two::Two; pub struct One;",
        "use super::Two; pub struct One;",
        "use crate::a::{two::{Two as Other}}; pub struct One;",
        "use super::*; pub struct One(Two);",
        "use super::two; pub struct One; fn run() { two::two() }",
        "pub struct One(crate::a::Two);",
        "pub struct One; fn run() { let _ = format!(\"{}\", super::two()); }",
        "pub struct One; mod inner { use super::super::Two; }",
    ] {
        assert_eq!(circles_of(PARENT, one, two), [["a/one.rs", "a/two.rs"]], "{one}");
    }
}

#[test]
fn a_parent_and_its_child_are_a_circle_where_each_uses_what_the_other_defines() {
    let child = "use super::Parent; pub struct One(Parent);";
    let parent = "mod one; mod two; use self::one::One; pub struct Parent; fn run(_: One) {}";
    assert_eq!(circles_of(parent, child, ""), [["a/mod.rs", "a/one.rs"]]);
    let through_its_export = "mod one; mod two; pub use self::one::One; pub struct Parent; fn run(_: One) {}";
    assert_eq!(circles_of(through_its_export, child, ""), [["a/mod.rs", "a/one.rs"]]);
}

#[test]
fn a_circle_of_three_is_one_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("d.rs", "use crate::a::A; pub struct D;"),
    ];
    assert_eq!(circles(&graph(&parsed(&files))), [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn what_leads_one_way_is_no_circle() {
    let two = "use super::one::One; pub struct Two(One); pub fn two() {}";
    for one in [
        ONE,
        "#[cfg(test)] use super::two::Two; pub struct One;",
        "pub struct One; #[cfg(test)] mod tests { use super::super::two::Two; }",
        "pub struct One; fn run() { let two = 1; }",
        "pub struct One; // super::two::Two",
    ] {
        assert_eq!(circles_of(PARENT, one, two), Vec::<Vec<String>>::new(), "{one}");
    }
    let parent_of_types = "mod one; mod two; pub use one::One; pub use two::Two; pub struct Parent;";
    let (one, two) = ("use super::Parent; pub struct One;", "use super::{One, Parent}; pub struct Two;");
    assert_eq!(circles_of(parent_of_types, one, two), Vec::<Vec<String>>::new());
}

/// For each room a source that uses what it keeps, and one that only looks so.
const IN_ROOMS: [(&str, &str, &str); 7] = [
    ("rusqlite", "fn run(_: rusqlite::Connection) {}", "fn rusqlite() {}"),
    ("sqlx", "use sea_orm::sqlx as driver; fn run() { driver::query(); }", "// sqlx::query"),
    ("sea-orm", "use sea_orm::{prelude::*, DbErr as Error};", "fn run() { let _ = \"sea_orm::DbErr\"; }"),
    ("tables", "fn run(_: parlour_entity::user::Model) {}", "/// parlour_entity::user\nfn run() {}"),
    ("sockets", "use tokio::net::{self, TcpStream as Stream};", "struct TcpStreams;"),
    ("axum", "#[axum::debug_handler] async fn run() {}", "#[cfg(test)] mod tests { use axum::Router; }"),
    (
        "SQL",
        "fn run() { format!(\"\n  DELETE FROM {table}\"); }",
        "/// SELECT this\nfn run() { [\"DELETE\", \"Select one\"]; }",
    ),
];

#[test]
fn what_a_room_keeps_is_found_everywhere_else() {
    assert_eq!(ROOMS.each_ref().map(|room| room.name), IN_ROOMS.map(|(name, _, _)| name));
    for (name, breaking, harmless) in IN_ROOMS {
        let outside = |source: &str| outside_rooms(&parsed(&[("lib.rs", "mod model;"), ("model.rs", source)]));
        assert!(outside(breaking).contains_key(&(name, "model.rs".to_owned())), "{name}: {breaking}");
        assert_eq!(outside(harmless), [].into(), "{name}: {harmless}");
    }
}

#[test]
fn what_is_in_its_room_is_not_found() {
    let files = [
        ("lib.rs", "mod http; mod store;"),
        ("http.rs", "mod server;"),
        ("http/server.rs", "use tokio::net::TcpStream;"),
        ("store.rs", "mod users;"),
        ("store/users.rs", "use sea_orm::DbErr; fn run() { \"SELECT 1\"; }"),
    ];
    assert_eq!(outside_rooms(&parsed(&files)), [].into());
    let inline = [("lib.rs", "mod live { use tokio::net::TcpStream; }")];
    assert_eq!(outside_rooms(&parsed(&inline)).len(), 1);
}
