//! Reads the modules of a crate and resolves paths.

use std::fs;
use std::path::Path;

use syn::{Item, UseTree};

/// All modules. The first is the crate's root.
pub(crate) struct Sources {
    pub(crate) modules: Vec<Module>,
}

pub(crate) struct Module {
    /// The names from the root: `["model", "plan"]`.
    pub(crate) path: Vec<String>,
    pub(crate) items: Vec<Item>,
}

/// The meaning of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Module(usize),
    /// An item of a module: the places of both.
    Item(usize, usize),
}

/// A name that a `use` brings in.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
}

impl Sources {
    pub(crate) fn read(file: &Path) -> Sources {
        let text = fs::read_to_string(file).unwrap();
        let mut sources = Sources {
            modules: Vec::new(),
        };
        sources.add(&[], parse(&text).items, Some(file.parent().unwrap()));
        sources
    }

    pub(crate) fn of(text: &str) -> Sources {
        let mut sources = Sources {
            modules: Vec::new(),
        };
        sources.add(&[], parse(text).items, None);
        sources
    }

    /// Adds a module and the modules below it, whose files are in `dir`.
    fn add(&mut self, path: &[String], items: Vec<Item>, dir: Option<&Path>) {
        let items: Vec<Item> = items.into_iter().filter(is_shipped).collect();
        let path = path.to_vec();
        self.modules.push(Module {
            path: path.clone(),
            items: items.clone(),
        });
        for item in items {
            let Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            let dir = dir.map(|dir| dir.join(&name));
            let inside = match module.content {
                Some((_, items)) => items,
                None => {
                    let dir = dir.as_ref().unwrap();
                    let beside = dir.with_extension("rs");
                    let file = if beside.exists() {
                        beside
                    } else {
                        dir.join("mod.rs")
                    };
                    parse(&fs::read_to_string(file).unwrap()).items
                }
            };
            self.add(&[path.clone(), vec![name]].concat(), inside, dir.as_deref());
        }
    }

    fn module(&self, path: &[String]) -> Option<usize> {
        self.modules.iter().position(|module| module.path == path)
    }

    /// Resolves a path within a module. `None` for another crate's item.
    pub(crate) fn find(&self, module: usize, path: &[String]) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let here = &self.modules[module].path;
        let start = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(module),
            "super" => Found::Module(self.module(&here[..here.len().checked_sub(1)?])?),
            name => self.member(module, name)?,
        };
        rest.iter()
            .try_fold(start, |found, name| match (found, name.as_str()) {
                (Found::Module(at), "super") => self.find(at, &["super".to_owned()]),
                (Found::Module(at), name) => self.member(at, name),
                (Found::Item(..), _) => None,
            })
    }

    /// Returns true for a call of a macro of this crate that itself names the type.
    fn expands_to(&self, item: &Item, name: &str) -> bool {
        let Item::Macro(call) = item else {
            return false;
        };
        let mut all = self.modules.iter().flat_map(|module| &module.items);
        all.any(|item| match item {
            Item::Macro(rules) if rules.ident.is_some() && call.ident.is_none() => {
                let text = rules.mac.tokens.to_string();
                call.mac.path.is_ident(rules.ident.as_ref().unwrap())
                    && [format!("pub enum {name} "), format!("pub struct {name} ")]
                        .iter()
                        .any(|definition| text.contains(definition))
            }
            _ => false,
        })
    }

    /// Finds a name of a module: defined there, or brought in by a `use`.
    fn member(&self, module: usize, name: &str) -> Option<Found> {
        let Module { path, items } = &self.modules[module];
        if let Some(child) = self.module(&[path.clone(), vec![name.to_owned()]].concat()) {
            return Some(Found::Module(child));
        }
        let defines = |item: &Item| defines(item, name) || self.expands_to(item, name);
        if let Some(at) = items.iter().position(defines) {
            return Some(Found::Item(module, at));
        }
        let uses = items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(imports(&item.tree)),
            _ => None,
        });
        let import = uses.flatten().find(|import| import.name == name)?;
        // `use name;` of another crate would be looked up for ever.
        if import.path.len() == 1 && import.path[0] == name {
            return None;
        }
        self.find(module, &import.path)
    }
}

fn parse(text: &str) -> syn::File {
    syn::parse_file(text).unwrap()
}

/// Returns false for what only tests have.
fn is_shipped(item: &Item) -> bool {
    let is_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|of| of.is_ident("test"))
    };
    !crate::describe::attributes(item).iter().any(is_test)
}

/// Returns true if an item defines a name. A macro call defines the names that it begins with.
fn defines(item: &Item, name: &str) -> bool {
    match item {
        Item::Struct(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        Item::Fn(item) => item.sig.ident == name,
        Item::Const(item) => item.ident == name,
        Item::Static(item) => item.ident == name,
        Item::Macro(item) if item.ident.is_none() => {
            let tokens = item.mac.tokens.clone().into_iter();
            tokens
                .filter_map(|token| match token {
                    proc_macro2::TokenTree::Ident(ident) => Some(ident),
                    _ => None,
                })
                .any(|ident| ident == name)
        }
        _ => false,
    }
}

/// Returns the names that a `use` brings in. A glob has the name `*`.
pub(crate) fn imports(tree: &UseTree) -> Vec<Import> {
    fn walk(tree: &UseTree, before: &[String], found: &mut Vec<Import>) {
        let with = |name: String| [before.to_vec(), vec![name]].concat();
        let mut add = |path: Vec<String>, name: String| found.push(Import { path, name });
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(path.ident.to_string()), found),
            UseTree::Name(name) if name.ident == "self" => {
                add(before.to_vec(), before.last().cloned().unwrap_or_default());
            }
            UseTree::Name(name) => add(with(name.ident.to_string()), name.ident.to_string()),
            UseTree::Rename(name) => add(with(name.ident.to_string()), name.rename.to_string()),
            UseTree::Glob(_) => add(before.to_vec(), "*".to_owned()),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| walk(tree, before, found)),
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}
