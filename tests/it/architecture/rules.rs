//! The layers, as the documentation writes them, and the rooms: what only some files may use.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Crate, Target};

/// Each layer with those that it may import.
pub(super) type Layers = BTreeMap<String, BTreeSet<String>>;

/// Reads the layers from a text that writes each as `http → chat, live, model`, in back quotes. In a chain such as
/// `main → app → all` each may import all that follow it; `all` is every layer.
pub(super) fn layers(text: &str) -> Layers {
    let text: Vec<&str> = text.lines().map(|line| line.trim_start_matches("//!").trim()).collect();
    let text = text.join(" ");
    let rules: Vec<Vec<&str>> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.contains('→'))
        .map(|span| span.split('→').collect())
        .collect();
    let names = |side: &str| side.split(',').map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>();
    let mut all: BTreeSet<String> = rules.iter().flatten().flat_map(|side| names(side)).collect();
    all.remove("all");
    let mut layers: Layers = all.iter().map(|layer| (layer.clone(), BTreeSet::new())).collect();
    for rule in rules {
        for (at, side) in rule.iter().enumerate() {
            let mut below: BTreeSet<String> = rule[at + 1..].iter().flat_map(|side| names(side)).collect();
            if below.remove("all") {
                below.extend(
                    all.iter().filter(|layer| !["main", "entity", "migration"].contains(&layer.as_str())).cloned(),
                );
            }
            for layer in names(side).into_iter().filter(|layer| layer != "all") {
                layers.entry(layer.clone()).or_default().extend(below.iter().filter(|other| **other != layer).cloned());
            }
        }
    }
    layers
}

/// Reads the layers from a table whose first column is a layer and whose second column lists those that it may import.
/// `every layer` is every layer of the first column but `main`.
pub(super) fn layers_of_table(text: &str) -> Layers {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>();
    let rows: Vec<(String, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(layer, rest)| (layer.to_owned(), rest.split('|').next().unwrap_or("")))
        .collect();
    let mut layers = Layers::new();
    for (layer, cell) in &rows {
        let mut below: BTreeSet<String> = names(cell).into_iter().collect();
        if cell.contains("every layer") {
            below.extend(rows.iter().map(|(other, _)| other.clone()).filter(|other| other != "main" && other != layer));
        }
        for name in &below {
            layers.entry(name.clone()).or_default();
        }
        layers.insert(layer.clone(), below);
    }
    layers
}

/// The layer that a path of a module leads to: a module of the library, or a crate of this workspace.
fn layer_of(parsed: &Crate, module: usize, path: &[String]) -> Option<String> {
    match path.first()?.as_str() {
        "parlour_entity" => Some("entity".to_owned()),
        "parlour_migration" => Some("migration".to_owned()),
        _ => {
            let name = parsed.absolute(module, path)?.into_iter().next()?;
            // A name that the root of the library exports is in the layer that it comes from.
            match parsed.modules[0].imports.iter().find(|import| import.name == name) {
                Some(export) => parsed.absolute(0, &export.path)?.into_iter().next(),
                None => Some(name),
            }
        }
    }
}

/// Every import of a layer that the layer of its file may not import.
pub(super) fn forbidden_imports(parsed: &Crate, layers: &Layers) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (number, module) in parsed.modules.iter().enumerate() {
        let Some(layer) = module.path.first() else { continue };
        for path in module.imports.iter().map(|import| &import.path).chain(&module.paths) {
            let Some(used) = layer_of(parsed, number, path) else { continue };
            if used != *layer && !layers.get(layer).is_some_and(|allowed| allowed.contains(&used)) {
                found.insert(format!("{} uses {}: `{layer}` may not import `{used}`", module.file, path.join("::")));
            }
        }
    }
    found.into_iter().collect()
}

/// A name that only some files may use.
pub(super) struct Room {
    pub(super) name: &'static str,
    uses: Uses,
    /// The files and, with a `/` at their end, folders.
    files: &'static [&'static str],
}

enum Uses {
    /// Paths of other crates that have one of these segments.
    Paths(&'static [&'static str]),
    /// Texts that begin with one of these words and go on after it.
    Texts(&'static [&'static str]),
}

pub(super) const ROOMS: [Room; 7] = [
    Room {
        name: "rusqlite",
        uses: Uses::Paths(&["rusqlite"]),
        files: &["store/sqlite.rs", "store/sqlite/", "store/messages/sqlite.rs"],
    },
    // The bus listens for PostgreSQL's notifications, over a connection of its own.
    Room {
        name: "sqlx",
        uses: Uses::Paths(&["sqlx"]),
        files: &["bus/postgres.rs", "store/connect.rs", "store/sqlite.rs", "store/sqlite/"],
    },
    Room { name: "sea-orm", uses: Uses::Paths(&["sea_orm"]), files: &["bus/postgres.rs", "store/"] },
    Room {
        name: "tables",
        uses: Uses::Paths(&["parlour_entity", "parlour_migration", "sea_orm_migration"]),
        files: &["store/"],
    },
    Room {
        name: "sockets",
        uses: Uses::Paths(&["TcpListener", "TcpSocket", "TcpStream", "UdpSocket", "UnixStream", "socket2"]),
        files: &["app.rs", "http/server.rs", "http/server/", "main.rs"],
    },
    // A setting holds the values of a header.
    Room { name: "axum", uses: Uses::Paths(&["axum", "hyper", "utoipa_axum"]), files: &["config/values.rs", "http/"] },
    // The bus sends its hints by a statement.
    Room {
        name: "SQL",
        uses: Uses::Texts(&[
            "ALTER",
            "BEGIN",
            "COMMIT",
            "CREATE",
            "DELETE",
            "DROP",
            "INSERT",
            "LISTEN",
            "LOCK",
            "NOTIFY",
            "PRAGMA",
            "ROLLBACK",
            "SAVEPOINT",
            "SELECT",
            "SET",
            "UPDATE",
            "VALUES",
            "WITH",
        ]),
        files: &["bus/postgres.rs", "store/"],
    },
];

impl Room {
    fn holds(&self, file: &str) -> bool {
        self.files.iter().any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
    }

    /// Returns the uses, in a module, of names that are kept in this room.
    fn used(&self, parsed: &Crate, number: usize) -> Vec<String> {
        let module = &parsed.modules[number];
        match self.uses {
            Uses::Texts(words) => {
                let is_sql = |text: &&String| {
                    let mut parts = text.split_whitespace();
                    parts.next().is_some_and(|word| words.contains(&word)) && parts.next().is_some()
                };
                module.texts.iter().filter(is_sql).cloned().collect()
            }
            Uses::Paths(segments) => {
                let paths = module.imports.iter().map(|import| &import.path).chain(&module.paths);
                let external = paths.filter_map(|path| match parsed.resolve(number, path) {
                    Some(Target::External(path)) => Some(path),
                    None if path.len() == 1 => Some(path.clone()),
                    _ => None,
                });
                let kept = external.filter(|path| path.iter().any(|segment| segments.contains(&segment.as_str())));
                kept.map(|path| path.join("::")).collect()
            }
        }
    }
}

/// Every use outside of its room: the room's name, the file, and what the file uses.
pub(super) fn outside_rooms(parsed: &Crate) -> BTreeMap<(&'static str, String), Vec<String>> {
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (number, module) in parsed.modules.iter().enumerate() {
        for room in ROOMS.iter().filter(|room| !room.holds(&module.file)) {
            let used = room.used(parsed, number);
            if !used.is_empty() {
                found.entry((room.name, module.file.clone())).or_default().extend(used);
            }
        }
    }
    found
}
