//! The module tree of a crate, read from its sources with `syn`: which modules there are, which names each of them
//! defines and imports, and which paths its code uses. Code for tests (`#[cfg(test)]`) is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::paths;

/// The segments of a path: `crate::model::TopicId` is `["crate", "model", "TopicId"]`.
pub(super) type Segments = Vec<String>;

/// The files of a crate by their path in its source folder: `live/stream.rs`.
#[derive(Default)]
pub(super) struct Sources(BTreeMap<String, String>);

impl Sources {
    pub(super) fn read(folder: &Path) -> Self {
        let mut sources = Self::default();
        sources.read_folder(folder, "");
        sources
    }

    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect())
    }

    pub(super) fn text(&self, file: &str) -> &str {
        &self.0[file]
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                self.read_folder(&entry.path(), &format!("{name}/"));
            } else if name.ends_with(".rs") {
                self.0.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
}

/// A name that a `use` brings into a module.
pub(super) struct Import {
    /// The name in this module: the last segment, the name after `as`, `_`, or `*` for a glob.
    pub(super) name: String,
    pub(super) path: Segments,
    /// True if it has a visibility (`pub use`): then it is a re-export, and no use by this module itself.
    pub(super) is_exported: bool,
}

/// One module, in a file of its own or in braces.
pub(super) struct Module {
    /// The path from the crate's root; empty for the root.
    pub(super) path: Segments,
    pub(super) file: String,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    /// The names of the items that it defines, without its modules.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// The paths in its code: in expressions, types, patterns, attributes and the bodies of macros.
    pub(super) paths: BTreeSet<Segments>,
    /// Its string literals, without documentation.
    pub(super) texts: Vec<String>,
}

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An item that is defined in this file.
    File(String),
    /// A module.
    Module(usize),
    /// A path of another crate, in full.
    External(Segments),
}

/// More re-exports of re-exports than any path has: a path that needs more leads in a circle.
const MAX_IMPORT_DEPTH: usize = 16;

/// The modules of the library and, where there is one, of the program `main.rs`, which uses it by its name.
pub(super) struct Crate {
    name: &'static str,
    pub(super) modules: Vec<Module>,
}

impl Crate {
    /// `name` is the one that `main.rs` uses the library by.
    pub(super) fn parse(name: &'static str, sources: &Sources) -> Self {
        let mut parsed = Self { name, modules: Vec::new() };
        for root in ["lib.rs", "main.rs"] {
            if sources.0.contains_key(root) {
                let path = if root == "main.rs" { vec!["main".to_owned()] } else { Segments::new() };
                let module = parsed.add(path, root.to_owned(), None);
                parsed.parse_file(module, sources);
            }
        }
        parsed
    }

    fn add(&mut self, path: Segments, file: String, parent: Option<usize>) -> usize {
        let (children, items, imports, paths) = Default::default();
        self.modules.push(Module { path, file, parent, children, items, imports, paths, texts: Vec::new() });
        self.modules.len() - 1
    }

    fn parse_file(&mut self, module: usize, sources: &Sources) {
        let file = self.modules[module].file.clone();
        let parsed = syn::parse_file(sources.text(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.take_items(module, &parsed.items, sources);
    }

    fn take_items(&mut self, module: usize, items: &[syn::Item], sources: &Sources) {
        for item in items {
            if paths::is_for_tests(paths::attributes(item)) {
                continue;
            }
            match item {
                syn::Item::Mod(child) => self.take_module(module, child, sources),
                syn::Item::Use(item) => self.modules[module].imports.extend(paths::imports(item)),
                _ => {
                    let found = paths::of_item(item);
                    let module = &mut self.modules[module];
                    module.items.extend(paths::defined(item));
                    module.imports.extend(found.imports);
                    module.paths.extend(found.paths);
                    module.texts.extend(found.texts);
                }
            }
        }
    }

    fn take_module(&mut self, parent: usize, item: &syn::ItemMod, sources: &Sources) {
        let name = paths::name_of(&item.ident);
        let path = [&self.modules[parent].path[..], &[name.clone()]].concat();
        let file = self.modules[parent].file.clone();
        if let Some((_, items)) = &item.content {
            let module = self.add(path, file, Some(parent));
            self.modules[parent].children.insert(name, module);
            return self.take_items(module, items, sources);
        }
        let folder = ["lib.rs", "main.rs", "mod.rs"].iter().find_map(|root| file.strip_suffix(root));
        let folder = folder.map_or_else(|| format!("{}/", file.trim_end_matches(".rs")), ToOwned::to_owned);
        let files = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
        let found = files.into_iter().find(|file| sources.0.contains_key(file));
        let found = found.unwrap_or_else(|| panic!("{file} declares {name}, which has no file"));
        let module = self.add(path, found, Some(parent));
        self.modules[parent].children.insert(name, module);
        self.parse_file(module, sources);
    }

    /// The path from the crate's root of what a path in this module leads to, as far as the path itself tells: names
    /// that imports bring in are not resolved. `None` if the path starts with such a name or with another crate.
    pub(super) fn absolute(&self, module: usize, path: &[String]) -> Option<Segments> {
        let (start, rest) = self.start(module, path)?;
        Some([&self.modules[start].path[..], rest].concat())
    }

    /// The module that a path starts from, and what is left of the path.
    fn start<'a>(&self, module: usize, path: &'a [String]) -> Option<(usize, &'a [String])> {
        let (first, rest) = path.split_first()?;
        let in_program = self.modules[self.root_of(module)].path.first().is_some_and(|root| root == "main");
        match first.as_str() {
            "crate" => Some((self.root_of(module), rest)),
            "self" if rest.first().is_some_and(|next| next == "super") => self.start(module, rest),
            "self" => Some((module, rest)),
            "super" => {
                let parent = self.modules[module].parent?;
                let goes_on = rest.first().is_some_and(|next| next == "super");
                if goes_on { self.start(parent, rest) } else { Some((parent, rest)) }
            }
            name if name == self.name && in_program => Some((0, rest)),
            name => Some((*self.modules[module].children.get(name).filter(|_| !rest.is_empty())?, rest)),
        }
    }

    fn root_of(&self, module: usize) -> usize {
        self.modules[module].parent.map_or(module, |parent| self.root_of(parent))
    }

    /// Returns the target of a path in this module, through all imports and re-exports. `None` for a name that no module has: a
    /// local variable, a generic parameter, a name of the prelude.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> Option<Target> {
        self.resolve_at(module, path, 0)
    }

    fn resolve_at(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        if depth > MAX_IMPORT_DEPTH {
            return None;
        }
        match self.start(module, path) {
            Some((start, rest)) => self.find(start, rest, depth),
            None if path.len() == 1 => self.find(module, path, depth),
            None => Some(self.find(module, path, depth).unwrap_or_else(|| Target::External(path.to_vec()))),
        }
    }

    /// Follows the rest of a path in a module.
    fn find(&self, at: usize, path: &[String], depth: usize) -> Option<Target> {
        let module = &self.modules[at];
        let Some((name, rest)) = path.split_first() else {
            return Some(Target::Module(at));
        };
        // A module and a function may have one name: what goes on after it is in the module.
        if let Some(&child) = module.children.get(name).filter(|_| !rest.is_empty()) {
            return self.find(child, rest, depth);
        }
        if module.items.contains(name) {
            return Some(Target::File(module.file.clone()));
        }
        let import = module.imports.iter().find(|import| import.name == *name && import.path != [name.clone()]);
        if let Some(import) = import {
            return self.resolve_at(at, &[&import.path[..], rest].concat(), depth + 1);
        }
        if let Some(&child) = module.children.get(name) {
            return self.find(child, rest, depth);
        }
        let globs = module.imports.iter().filter(|import| import.name == "*");
        globs.filter_map(|glob| self.through_glob(at, glob, path, depth)).next()
    }

    /// A path that starts with a name which a glob brings in, if it does.
    fn through_glob(&self, at: usize, glob: &Import, path: &[String], depth: usize) -> Option<Target> {
        match self.resolve_at(at, &glob.path, depth + 1)? {
            Target::Module(from) if from != at && depth < MAX_IMPORT_DEPTH => self.find(from, path, depth + 1),
            _ => None,
        }
    }
}
