//! Within the backend: which room may name which, and no circle of imports between files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::{Item, UseTree};

use super::{files, src};

/// A room of the backend, the other rooms that it may import from, and the words that its code may
/// not have: databases and their driver.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("memory", &[], &["sqlx", "sqlite", "postgres"]),
    ("sql", &[], &["sqlx", "sqlite", "postgres"]),
    ("sqlite", &["sql"], &["postgres"]),
];

/// A module as its path from `backend`: `["sqlite", "open"]`.
type Module = Vec<String>;

/// The imports of a module, as paths from `backend`.
#[derive(Debug, Default)]
struct Imports {
    used: Vec<Module>,
    /// Re-exports stand for what they name.
    exported: Vec<Module>,
}

type Modules = BTreeMap<Module, Imports>;

/// Reads the imports of some items of the module `within`.
fn read(items: &[Item], within: &Module, imports: &mut Imports) {
    for item in items {
        match item {
            Item::Use(item) => {
                let mut paths = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut paths);
                let paths = paths.iter().filter_map(|path| absolute(path, within));
                match item.vis {
                    syn::Visibility::Inherited => imports.used.extend(paths),
                    _ => imports.exported.extend(paths),
                }
            }
            Item::Mod(inner) => {
                if let Some((_, items)) = &inner.content {
                    let within = [within.clone(), vec![inner.ident.to_string()]].concat();
                    read(items, &within, imports);
                }
            }
            _ => {}
        }
    }
}

/// Collects the paths of an import.
fn flatten(tree: &UseTree, path: &mut Module, paths: &mut Vec<Module>) {
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            flatten(&step.tree, path, paths);
            path.pop();
        }
        UseTree::Name(name) if name.ident == "self" => paths.push(path.clone()),
        UseTree::Name(name) => paths.push([path.clone(), vec![name.ident.to_string()]].concat()),
        UseTree::Rename(name) => paths.push([path.clone(), vec![name.ident.to_string()]].concat()),
        UseTree::Glob(_) => paths.push(path.clone()),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, path, paths);
            }
        }
    }
}

/// Returns a path from `backend`; `None` if it leads elsewhere.
fn absolute(path: &[String], within: &Module) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => {
            let (part, rest) = rest.split_first()?;
            (part == "backend").then(|| rest.to_vec())
        }
        "self" => Some([within.clone(), rest.to_vec()].concat()),
        "super" => {
            let ups = path.iter().take_while(|step| *step == "super").count();
            let base = within.len().checked_sub(ups)?;
            Some([&within[..base], &path[ups..]].concat())
        }
        // A module in this one. Another crate leads nowhere, and then names this module itself.
        _ => Some([within, path].concat()),
    }
}

/// Reads the modules of the backend.
fn modules() -> Modules {
    let mut modules = Modules::new();
    let root = src().join("backend");
    for (_, path, _) in files() {
        if let Ok(inside) = path.strip_prefix(&root) {
            let text = std::fs::read_to_string(&path).unwrap();
            modules.insert(module_of(inside), imports_of(&text, &module_of(inside)));
        }
    }
    modules
}

fn module_of(inside: &Path) -> Module {
    let steps = inside.with_extension("");
    let steps = steps.iter().map(|step| step.to_str().unwrap().to_owned());
    steps.filter(|step| step != "mod").collect()
}

/// The tests at the end of a file may need a store to test with.
fn imports_of(text: &str, module: &Module) -> Imports {
    let shipped = text.split("\n#[cfg(test)]\nmod tests {").next();
    let file = syn::parse_file(shipped.unwrap_or_default()).unwrap();
    let mut imports = Imports::default();
    read(&file.items, module, &mut imports);
    imports
}

/// Returns the file that has what a path names.
fn file_of(modules: &Modules, whole: &[String]) -> Module {
    let longest = (0..=whole.len())
        .rev()
        .find(|length| modules.contains_key(&whole[..*length]));
    let (module, rest) = whole.split_at(longest.unwrap_or(0));
    let exported = modules.get(module).map(|imports| &imports.exported);
    let found = rest.first().and_then(|name| {
        // A macro is exported under its own path.
        let named = |path: &&Module| path.last() == Some(name) && path[..] != *whole;
        exported?.iter().find(named)
    });
    match found {
        Some(path) => file_of(modules, path),
        None => module.to_vec(),
    }
}

/// Returns the circles: sets of modules that all lead to each other by their imports.
fn circles(modules: &Modules) -> Vec<Vec<String>> {
    let mut reached: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for module in modules.keys() {
        let mut found = BTreeSet::new();
        let mut next = vec![module.clone()];
        while let Some(from) = next.pop() {
            for path in modules
                .get(&from)
                .into_iter()
                .flat_map(|imports| &imports.used)
            {
                let to = file_of(modules, path);
                if to != from && found.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        reached.insert(module, found);
    }
    let mut circles = BTreeSet::new();
    for (module, found) in &reached {
        let back = |other: &&Module| {
            reached
                .get(*other)
                .is_some_and(|found| found.contains(*module))
        };
        let circle: Vec<String> = found
            .iter()
            .filter(back)
            .map(|module| module.join("/"))
            .collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[test]
fn no_imports_of_the_backend_form_a_circle() {
    let modules = modules();
    assert!(modules.len() > 60, "files of the backend are missing");
    let uses: usize = modules.values().map(|imports| imports.used.len()).sum();
    assert!(uses > 400, "the use lines were not read");
    let circles = circles(&modules);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_would_be_found() {
    let with = |text: &str| {
        let mut modules = modules();
        let module = vec!["sql".to_owned(), "doubt".to_owned()];
        let mut imports = imports_of(text, &module);
        let known = modules.get_mut(&module).unwrap();
        known.used.append(&mut imports.used);
        circles(&modules)
    };
    let writer = ["sql/doubt", "sql/writer"].map(str::to_owned).to_vec();
    assert_eq!(
        with("use super::writer::Writer;"),
        std::slice::from_ref(&writer)
    );
    assert_eq!(
        with("use crate::backend::sql::{errors, writer::{self}};"),
        [writer]
    );
    // Through a re-export: `SqlStore` is in `sql/store`, which imports the writer.
    let longer = with("use crate::backend::sql::SqlStore;");
    let store = "sql/store".to_owned();
    assert!(
        longer.iter().any(|circle| circle.contains(&store)),
        "{longer:?}"
    );
    assert_eq!(with("use super::engine::Engine;"), [[""; 0]; 0]);
}

/// The words of some code that its room may not have. A type may carry the name of a database.
fn forbidden(words: &[&'static str], code: &str) -> Vec<&'static str> {
    let code = code.to_lowercase();
    let words = words.iter().copied();
    words.filter(|word| code.contains(word)).collect()
}

/// The rooms that imports lead to, from the room itself.
fn rooms_of(modules: &Modules, imports: &Imports) -> BTreeSet<String> {
    let all = imports.used.iter().chain(&imports.exported);
    let room = |path: &Module| file_of(modules, path).first().cloned();
    let rooms = all.filter_map(room);
    rooms
        .filter(|room| ROOMS.iter().any(|(name, ..)| name == room))
        .collect()
}

#[test]
fn rooms_of_the_backend_know_only_what_they_may() {
    let (modules, root) = (modules(), src().join("backend"));
    for (room, others, words) in ROOMS {
        let mut count = 0;
        for (module, imports) in &modules {
            if module.first().is_some_and(|first| first == room) {
                count += 1;
                let mut named = rooms_of(&modules, imports);
                named.retain(|name| name != room && !others.contains(&name.as_str()));
                assert!(
                    named.is_empty(),
                    "{module:?} must not import from {named:?}"
                );
            }
        }
        for (_, path, code) in files() {
            if path.starts_with(root.join(room)) {
                let named = forbidden(words, &code);
                assert!(
                    named.is_empty(),
                    "{} must not name {named:?}",
                    path.display()
                );
            }
        }
        assert!(count > 2, "no files of {room} were found");
    }
}

#[test]
fn a_wrong_room_would_be_found() {
    let modules = modules();
    let rooms = |text: &str| {
        let imports = imports_of(text, &vec!["sql".to_owned(), "store".to_owned()]);
        rooms_of(&modules, &imports).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        rooms("use crate::backend::{sqlite::SqliteStore, UidMap};"),
        ["sqlite"]
    );
    assert_eq!(rooms("use crate::backend::MemoryStore;"), ["memory"]);
    assert_eq!(rooms("use super::super::memory::MemoryStore;"), ["memory"]);
    assert_eq!(rooms("use super::engine::Engine;"), ["sql"]);
    let words = |code: &str| forbidden(ROOMS[1].2, &super::code_of(code));
    assert_eq!(words("fn f(row: &SqliteRow) {}"), ["sqlite"]);
    assert_eq!(words("type E = sqlx::Error; // sqlite"), ["sqlx"]);
}
