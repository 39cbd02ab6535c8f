//! Writes items as lines.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Visibility};

use crate::sources::Sources;

/// Tokens as they are written in code, nearly.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let mut text = format!(" {} ", tokens.to_token_stream());
    for (from, to) in [
        (" :: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        ("< ", "<"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        ("& ", "&"),
        (" : ", ": "),
        (" ;", ";"),
        ("->", " -> "),
        ("  ", " "),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
        ("# ", "#"),
        // How a method takes itself inside is no part of its signature.
        ("(mut self", "(self"),
        ("' ", "'"),
        (" !", "!"),
        ("$ ", "$"),
        (" ?", "?"),
        ("? ", "?"),
    ] {
        text = text.replace(from, to);
    }
    text.trim().trim_end_matches(',').to_owned()
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn visibility(item: &Item) -> Option<&Visibility> {
    match item {
        Item::Struct(item) => Some(&item.vis),
        Item::Enum(item) => Some(&item.vis),
        Item::Trait(item) => Some(&item.vis),
        Item::Type(item) => Some(&item.vis),
        Item::Fn(item) => Some(&item.vis),
        Item::Const(item) => Some(&item.vis),
        Item::Static(item) => Some(&item.vis),
        Item::Use(item) => Some(&item.vis),
        Item::Mod(item) => Some(&item.vis),
        _ => None,
    }
}

pub(crate) fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Const(item) => &item.ident,
        Item::Static(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The conditions on an item, such as ` if feature = "http"`.
pub(crate) fn conditions(attributes: &[Attribute]) -> String {
    let conditions = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    let conditions = conditions.map(|attribute| attribute.parse_args::<TokenStream>().unwrap());
    conditions
        .map(|condition| format!(" if {}", text(condition)))
        .collect()
}

/// The attributes that are part of the API.
fn marks(attributes: &[Attribute]) -> String {
    let mut derived: Vec<String> = Vec::new();
    let mut marks = String::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            let tokens = attribute.parse_args::<TokenStream>().unwrap().to_string();
            derived.extend(tokens.split(',').map(|name| name.trim().to_owned()));
        } else if attribute.path().is_ident("non_exhaustive") {
            marks += "#[non_exhaustive] ";
        } else if attribute.path().is_ident("doc") && text(attribute).contains("(hidden)") {
            marks += "#[doc(hidden)] ";
        }
    }
    derived.retain(|name| !name.is_empty());
    derived.sort();
    match derived.is_empty() {
        true => marks,
        false => format!("#[derive({})] {marks}", derived.join(", ")),
    }
}

/// The public fields, each as a line. `before` is the variant with its separator, or nothing.
fn fields(fields: &Fields, before: &str, all: bool) -> Vec<String> {
    let fields = fields.iter().enumerate();
    let public = fields.filter(|(_, field)| all || matches!(field.vis, Visibility::Public(_)));
    let line = |(at, field): (usize, &syn::Field)| {
        let name = field
            .ident
            .as_ref()
            .map_or(at.to_string(), ToString::to_string);
        format!("{before}{name}: {}", text(&field.ty))
    };
    public.map(line).collect()
}

/// The lines of an item.
pub(crate) fn describe(item: &Item) -> Vec<String> {
    let marks = marks(attributes(item));
    match item {
        Item::Struct(item) => {
            let (name, generics) = (&item.ident, &item.generics);
            let head = format!("{marks}{}", text(quote!(pub struct #name #generics)));
            [vec![head], fields(&item.fields, "field ", false)].concat()
        }
        Item::Enum(item) => {
            let (name, generics) = (&item.ident, &item.generics);
            let mut lines = vec![format!("{marks}{}", text(quote!(pub enum #name #generics)))];
            for variant in &item.variants {
                lines.push(format!(
                    "variant {}{}",
                    self::marks(&variant.attrs),
                    variant.ident
                ));
                lines.extend(fields(
                    &variant.fields,
                    &format!("variant {}.", variant.ident),
                    true,
                ));
            }
            lines
        }
        Item::Trait(item) => {
            let (name, generics, bounds) = (&item.ident, &item.generics, &item.supertraits);
            let mut lines = vec![format!(
                "{marks}{}",
                text(quote!(pub trait #name #generics: #bounds))
            )];
            lines.extend(item.items.iter().filter_map(|item| match item {
                TraitItem::Fn(item) => {
                    let body = if item.default.is_some() {
                        " { provided }"
                    } else {
                        ""
                    };
                    Some(format!("{}{body}", text(&item.sig)))
                }
                TraitItem::Const(item) => Some(text(item)),
                TraitItem::Type(item) => Some(text(item)),
                _ => None,
            }));
            lines
        }
        Item::Fn(item) => vec![format!("{marks}pub {}", text(&item.sig))],
        Item::Type(item) => {
            let (name, generics, of) = (&item.ident, &item.generics, &item.ty);
            vec![text(quote!(pub type #name #generics = #of))]
        }
        Item::Const(item) => vec![format!("pub const {}: {}", item.ident, text(&item.ty))],
        Item::Static(item) => vec![format!("pub static {}: {}", item.ident, text(&item.ty))],
        _ => Vec::new(),
    }
}

/// The head of a trait's implementation, or the public members of a plain one.
pub(crate) fn impl_lines(block: &ItemImpl) -> Vec<String> {
    let conditions = conditions(&block.attrs);
    let ((params, _, bounds), of) = (block.generics.split_for_impl(), &block.self_ty);
    if let Some((not, path, _)) = &block.trait_ {
        let params = block.generics.params.iter();
        let params = if block.generics.params.is_empty() {
            quote!()
        } else {
            quote!(<#(#params),*>)
        };
        return vec![format!(
            "{}{conditions}",
            text(quote!(impl #params #not #path for #of #bounds))
        )];
    }
    let _ = params;
    let members = block.items.iter().filter_map(|item| match item {
        ImplItem::Fn(item) if matches!(item.vis, Visibility::Public(_)) => {
            let conditions = format!("{conditions}{}", self::conditions(&item.attrs));
            Some(format!(
                "{}pub {}{conditions}",
                marks(&item.attrs),
                text(&item.sig)
            ))
        }
        ImplItem::Const(item) if matches!(item.vis, Visibility::Public(_)) => Some(format!(
            "pub const {}: {}{conditions}",
            item.ident,
            text(&item.ty)
        )),
        _ => None,
    });
    members.collect()
}

/// A call of a macro as it is written, and what is public in that macro.
pub(crate) fn macro_lines(sources: &Sources, call: &syn::ItemMacro) -> Vec<String> {
    let name = call.mac.path.segments.last().unwrap().ident.clone();
    let mut lines = vec![format!(
        "{name}! {{ {} }}",
        text(undocumented(call.mac.tokens.clone()))
    )];
    let all = sources.modules.iter().flat_map(|module| &module.items);
    let definition = all.filter_map(|item| match item {
        Item::Macro(item) if item.ident.as_ref() == Some(&name) => Some(item.mac.tokens.clone()),
        _ => None,
    });
    definition.for_each(|tokens| heads(tokens, &mut lines));
    lines
}

/// The tokens without attributes, which are documentation for the most part.
fn undocumented(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        let is_after_hash =
            matches!(kept.last(), Some(TokenTree::Punct(sign)) if sign.as_char() == '#');
        match token {
            TokenTree::Group(group) if is_after_hash && group.delimiter() == Delimiter::Bracket => {
                drop(kept.pop())
            }
            TokenTree::Group(group) => {
                let inside = undocumented(group.stream());
                kept.push(proc_macro2::Group::new(group.delimiter(), inside).into());
            }
            token => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

/// Every `pub ...` and `impl ... for ...` in a macro, up to its body.
fn heads(tokens: TokenStream, lines: &mut Vec<String>) {
    let mut head: Option<Vec<TokenTree>> = None;
    for token in undocumented(tokens) {
        let is_start = matches!(&token, TokenTree::Ident(word) if word == "pub" || word == "impl");
        let is_end = match &token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(sign) => sign.as_char() == ';',
            _ => false,
        };
        if is_start && head.is_none() {
            head = Some(Vec::new());
        }
        if is_end && let Some(mut head) = head.take() {
            let is_type = |word: &TokenTree| ["enum", "struct"].contains(&&*word.to_string());
            if head.get(1).is_some_and(is_type) {
                head.push(token.clone());
            }
            let line = text(head.into_iter().collect::<TokenStream>());
            if !line.starts_with("pub(") && (line.starts_with("pub") || line.contains(" for ")) {
                lines.push(line);
            }
        }
        if let Some(head) = &mut head {
            head.push(token.clone());
        }
        if let TokenTree::Group(group) = token {
            heads(group.stream(), lines);
        }
    }
}
