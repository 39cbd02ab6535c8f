//! Walks the public modules and lists what can be named from outside.

use std::collections::BTreeSet;

use syn::{Item, Type, Visibility};

use crate::describe::{
    attributes, conditions, describe, impl_lines, macro_lines, name_of, visibility,
};
use crate::sources::{Found, Sources, imports};

/// Lists the public API, one line each, sorted: `crate::http::Scope: pub fn everything() -> Self`.
pub(crate) fn list(sources: &Sources) -> String {
    let mut lines = BTreeSet::new();
    module(sources, 0, "crate", "", &mut lines);
    for module in &sources.modules {
        for item in &module.items {
            if let Item::Macro(item) = item
                && item.attrs.iter().any(|a| a.path().is_ident("macro_export"))
                && let Some(name) = &item.ident
            {
                lines.insert(format!("crate::{name}!: macro"));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Lists a public module. `features` is what the way to it requires.
fn module(sources: &Sources, at: usize, path: &str, features: &str, lines: &mut BTreeSet<String>) {
    lines.insert(format!("{path}: pub mod{features}"));
    for (place, item) in sources.modules[at].items.iter().enumerate() {
        if !matches!(visibility(item), Some(Visibility::Public(_)))
            && !matches!(item, Item::Macro(_))
        {
            continue;
        }
        let features = format!("{features}{}", conditions(attributes(item)));
        match item {
            Item::Use(item) => {
                for import in imports(&item.tree) {
                    let shown = format!("{path}::{}", import.name);
                    match sources.find(at, &import.path) {
                        Some(found) => one(sources, found, &shown, &features, lines),
                        None => {
                            let other = import.path.join("::");
                            lines.insert(format!("{shown}: pub use {other}{features}"));
                        }
                    }
                }
            }
            Item::Mod(item) => {
                let name = item.ident.to_string();
                let inside = sources
                    .find(at, &["self".to_owned(), name.clone()])
                    .unwrap();
                one(
                    sources,
                    inside,
                    &format!("{path}::{name}"),
                    &features,
                    lines,
                );
            }
            Item::Macro(_) => {}
            item => {
                let shown = format!("{path}::{}", name_of(item).unwrap());
                one(sources, Found::Item(at, place), &shown, &features, lines);
            }
        }
    }
}

/// Lists the item or module that a public path names.
fn one(sources: &Sources, found: Found, path: &str, features: &str, lines: &mut BTreeSet<String>) {
    let (at, place) = match found {
        Found::Module(inside) => return module(sources, inside, path, features, lines),
        Found::Item(at, place) => (at, place),
    };
    let item = &sources.modules[at].items[place];
    let mut add = |line: String| {
        lines.insert(format!("{path}: {line}{features}"));
    };
    if let Item::Macro(call) = item {
        macro_lines(sources, call).into_iter().for_each(&mut add);
    } else {
        describe(item).into_iter().for_each(&mut add);
    }
    let shown = path.rsplit("::").next().unwrap();
    // One macro call can define several names.
    let name = name_of(item).unwrap_or(shown.to_owned());
    for (module, other) in sources.modules.iter().enumerate() {
        for block in &other.items {
            let Item::Impl(block) = block else { continue };
            let is_of = |path: &syn::Path| {
                let names: Vec<String> = path
                    .segments
                    .iter()
                    .map(|part| part.ident.to_string())
                    .collect();
                names.last() == Some(&name)
                    && sources.find(module, &names) == Some(Found::Item(at, place))
            };
            let is_own = matches!(&*block.self_ty, Type::Path(own) if is_of(&own.path));
            let is_foreign = block
                .trait_
                .as_ref()
                .is_some_and(|(_, path, _)| is_of(path));
            if is_own || is_foreign {
                impl_lines(block).into_iter().for_each(&mut add);
            }
        }
    }
}
