//! Circles between files: files that use each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::modules::{Crate, Target};

/// The files that each file uses, with the paths of the uses.
pub(super) type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The files that each file uses. A re-export leads to the file that defines the name, and is itself no use: so a
/// parent that only declares and re-exports its children uses none of them.
pub(super) fn graph(parsed: &Crate) -> Graph {
    let mut graph = Graph::new();
    for (number, module) in parsed.modules.iter().enumerate() {
        let imports = module.imports.iter().filter(|import| !import.is_exported);
        for path in imports.map(|import| &import.path).chain(&module.paths) {
            if let Some(Target::File(file)) = parsed.resolve(number, path)
                && file != module.file
            {
                let uses = graph.entry(module.file.clone()).or_default();
                uses.entry(file).or_default().insert(path.join("::"));
            }
        }
    }
    graph
}

/// The sets of files that lead to each other, each sorted; a file that leads to no other that leads back is in none.
pub(super) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|file| (file, reach(graph, file))).collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (file, others) in &reached {
        let back = |other: &&&String| reached.get(**other).is_some_and(|others| others.contains(*file));
        let circle: Vec<String> = others.iter().filter(back).map(|other| (*other).clone()).collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// The files that this one leads to: itself only where a way leads back.
fn reach<'a>(graph: &'a Graph, file: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        let uses = graph.get(file).into_iter().flat_map(BTreeMap::keys);
        next.extend(uses.filter(|used| reached.insert(*used)));
    }
    reached
}

/// A circle with the uses that make it.
pub(super) fn describe(graph: &Graph, circle: &[String]) -> String {
    let mut text = format!("a circle of {} files:\n", circle.len());
    for file in circle {
        for (used, paths) in graph[file].iter().filter(|(used, _)| circle.contains(used)) {
            let paths = paths.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            writeln!(text, "    {file} → {used}: {paths}").unwrap();
        }
    }
    text
}
