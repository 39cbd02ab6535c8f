//! The arrows of the design, held true: which part of the crate may know which, and that the
//! model knows neither clock nor runtime.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backend;
mod mutants;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A part of the crate, its path, and the other parts it may name. `lib.rs` may name them all.
const ARROWS: &[(&str, &[&str])] = &[
    ("id_gen", &[]),
    ("model", &["id_gen"]),
    ("clock", &["model"]),
    ("error", &["model"]),
    ("runtime", &["error"]),
    ("spi", &["model", "store", "error", "runtime"]),
    ("guide", &[]),
    ("store", &["model", "error"]),
    ("backend", &["model", "spi", "store", "error", "clock"]),
    ("address", &["model", "store", "error", "backend"]),
    (
        "tracker",
        &["model", "store", "error", "clock", "runtime", "watch"],
    ),
    (
        "http",
        &[
            "model",
            "store",
            "error",
            "clock",
            "runtime",
            "watch",
            "expectations",
        ],
    ),
    ("transfer", &["model", "store", "error"]),
    ("watch", &["model", "store", "error", "runtime"]),
    (
        "retention",
        &["model", "store", "error", "clock", "runtime"],
    ),
    ("children", &["model", "store", "error"]),
    ("expectations", &["model", "store", "error"]),
    ("conformance", &["model", "store", "error", "clock"]),
];

/// Names that would make the model impure.
const IMPURE: &[&str] = &[
    "tokio",
    "async ",
    "async_trait",
    "SystemTime::now",
    "Instant",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file of the crate: the part it belongs to, its path and its code.
fn files() -> Vec<(String, PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path == src().join("bin") {
                // A program sees what users see; `crate::` means the program there.
                continue;
            } else if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&src(), &mut found);
    found.sort();
    let part = |path: &Path| {
        let inside = path.strip_prefix(src()).unwrap();
        let first = inside.components().next().unwrap();
        let name = first.as_os_str().to_str().unwrap();
        name.trim_end_matches(".rs").to_owned()
    };
    found
        .into_iter()
        .map(|path| {
            let code = code_of(&fs::read_to_string(&path).unwrap());
            (part(&path), path, code)
        })
        .collect()
}

/// A file without its comments (documentation links may point anywhere) and its tests at the end
/// (which may need a store to test with), on one line.
fn code_of(text: &str) -> String {
    let shipped = text.split("\n#[cfg(test)]\nmod tests {").next();
    let lines = shipped
        .unwrap_or_default()
        .lines()
        .map(|line| match line.split_once("//") {
            // A slash pair within a string, as in a URL, is no comment.
            Some((code, _)) if code.matches('"').count() % 2 == 0 => code,
            _ => line,
        });
    lines.collect::<Vec<_>>().join(" ")
}

/// The public items of `lib.rs` and the part each comes from: `crate::StoreError` is `error`.
fn exports(lib: &str) -> Vec<(String, String)> {
    let mut exports = Vec::new();
    for statement in lib.split("pub use ").skip(1) {
        let statement = statement.split(';').next().unwrap();
        // A crate that is passed on is no part of ours.
        let Some((part, items)) = statement.split_once("::") else {
            continue;
        };
        for item in items.trim_matches(['{', '}']).split(',') {
            let item = item.trim().trim_matches(['{', '}']).trim();
            if !item.is_empty() {
                exports.push((item.to_owned(), part.trim().to_owned()));
            }
        }
    }
    exports
}

/// Returns the names after each `crate::` of some code. A group contributes the first name of each
/// entry.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_word).collect()
    };
    let mut paths = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        // `$crate::` in a macro is expanded elsewhere, but names the same parts.
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.trim_start().strip_prefix('{') {
            None => drop(paths.insert(word(rest))),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    if start && depth == 0 && !c.is_whitespace() && c != '}' {
                        paths.insert(word(&group[at..]));
                        start = false;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ => {}
                    }
                }
            }
        }
    }
    // In `$crate::$name` the caller of the macro chooses the name.
    paths.remove("");
    paths
}

/// The parts that a file of `part` names although it may not.
fn forbidden(part: &str, code: &str, exports: &[(String, String)]) -> Vec<String> {
    let allowed = ARROWS.iter().find(|(name, _)| *name == part);
    let (_, allowed) = allowed.unwrap_or_else(|| panic!("the design knows no part {part:?}"));
    let mut wrong = Vec::new();
    for name in crate_paths(code) {
        let is_part = ARROWS.iter().any(|(part, _)| *part == name);
        let exported = exports.iter().find(|(item, _)| *item == name);
        let named = match exported {
            Some((_, from)) => from.clone(),
            None if is_part => name.clone(),
            None => {
                wrong.push(format!("{name} (which is no part and no public item)"));
                continue;
            }
        };
        if named != part && !allowed.contains(&named.as_str()) {
            wrong.push(named);
        }
    }
    wrong
}

#[test]
fn every_arrow_points_one_way() {
    let files = files();
    let lib = files.iter().find(|(part, ..)| part == "lib");
    let mut exports = exports(&lib.expect("src/lib.rs").2);
    // An exported macro is at the crate root, independent of the part that defines it.
    for (part, _, code) in &files {
        for definition in code.split("macro_rules! ").skip(1) {
            let name = definition.split_whitespace().next().unwrap_or_default();
            exports.push((name.to_owned(), part.clone()));
        }
    }
    assert!(exports.len() > 50, "what lib.rs exports was not read");
    let mut uses = 0;
    for (part, path, code) in files.iter().filter(|(part, ..)| part != "lib") {
        uses += crate_paths(code).len();
        let wrong = forbidden(part, code, &exports);
        assert!(
            wrong.is_empty(),
            "{} must not name {wrong:?}",
            path.display()
        );
    }
    assert!(uses > 5, "the use lines were not read");
}

#[test]
fn every_part_of_the_design_is_there() {
    let found: BTreeSet<String> = files().into_iter().map(|(part, ..)| part).collect();
    for (part, _) in ARROWS {
        assert!(found.contains(*part), "no files of {part} were found");
    }
    let model = files().into_iter().filter(|(part, ..)| part == "model");
    assert!(model.count() >= 15, "files of the model are missing");
}

#[test]
fn the_model_is_pure() {
    for (part, path, code) in files() {
        if part != "model" {
            continue;
        }
        for word in IMPURE {
            // An identity of version 7 carries the time it was drawn at. Nothing is decided by it.
            if path.ends_with("model/draw.rs") && *word == "SystemTime::now" {
                continue;
            }
            assert!(!code.contains(word), "{} has {word:?}", path.display());
        }
        // Within the model, `super` cannot lead out of it by more than one step from a file.
        assert!(!code.contains("super::super::super"), "{}", path.display());
    }
}

#[test]
fn a_wrong_arrow_would_be_found() {
    let exports = [("SqliteStore".to_owned(), "backend".to_owned())];
    let wrong = |part, code| forbidden(part, &code_of(code), &exports);
    assert_eq!(wrong("model", "use crate::store::ActionStore;"), ["store"]);
    assert_eq!(
        wrong("http", "use crate::{model::Action, tracker::{Tracker, X}};"),
        ["tracker"]
    );
    assert_eq!(
        wrong("tracker", "fn f(store: crate::SqliteStore) {}"),
        ["backend"]
    );
    assert_eq!(
        wrong("conformance", "use crate::{\n    backend::MemoryStore,\n};"),
        ["backend"]
    );
    assert_eq!(
        wrong("store", "let x = \"http://x\"; use crate::backend::X;"),
        ["backend"]
    );
    assert!(
        wrong(
            "http",
            "// crate::tracker\n/// [`x`](crate::tracker)\nuse crate::model::X;"
        )
        .is_empty()
    );
    assert!(wrong("tracker", "use crate::model::{Action, backend};").is_empty());
}
