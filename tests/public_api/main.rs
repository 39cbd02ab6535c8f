//! The public API as a list in `api.txt`. A change of the API must change the list too, so that a
//! reviewer sees it. After a change on purpose: `UPDATE_PUBLIC_API=1 cargo test --test public_api`.
//!
//! The list is read from the sources, for all features, with any compiler. It shows names,
//! signatures, public fields, variants, derives, trait implementations and the features that an
//! item needs. It does not show what a compiler infers, such as `Send`.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod describe;
mod list;
mod sources;

use std::fs;
use std::path::Path;

use list::list;
use sources::Sources;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_public_api_is_as_listed() {
    let found = list(&Sources::read(&root().join("src/lib.rs")));
    let file = root().join("tests/public_api/api.txt");
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let listed = fs::read_to_string(&file).unwrap();
    let only = |here: &str, there: &str, sign: &str| -> String {
        let there: Vec<&str> = there.lines().collect();
        let lines = here.lines().filter(|line| !there.contains(line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    let (gone, new) = (only(&listed, &found, "-"), only(&found, &listed, "+"));
    assert!(
        listed == found,
        "the public API differs from tests/public_api/api.txt:\n{gone}{new}\
         If it is meant: UPDATE_PUBLIC_API=1 cargo test --test public_api, and CHANGELOG.md",
    );
}

/// The listing of a crate that is written here.
fn list_of(text: &str) -> String {
    list(&Sources::of(text))
}

#[test]
fn an_item_is_public_only_by_a_path_of_public_modules() {
    let listed = list_of(
        "mod inner { pub struct Shown; pub struct Hidden; impl Shown { pub fn new() -> Shown { Shown } fn unseen() {} } }
         pub use inner::Shown;
         pub mod outer { pub fn reached() {} fn private() {} pub(crate) fn near() {} }",
    );
    for shown in [
        "crate::Shown: pub struct Shown",
        "crate::Shown: pub fn new() -> Shown",
        "crate::outer::reached",
    ] {
        assert!(listed.contains(shown), "{shown} in:\n{listed}");
    }
    for hidden in ["Hidden", "unseen", "private", "near"] {
        assert!(!listed.contains(hidden), "{hidden} in:\n{listed}");
    }
}

#[test]
fn each_kind_of_change_changes_the_list() {
    let before = "
        #[derive(Debug, Clone)] #[non_exhaustive] pub struct Options { pub size: u16, secret: u8 }
        pub enum Word { One, Two(u8) }
        pub trait Store { fn get(&self, uid: u64) -> bool; }
        #[cfg(feature = \"http\")] pub fn router() {}
        impl From<u8> for Word { fn from(_: u8) -> Word { Word::One } }
        macro_rules! id { ($name:ident) => { pub struct $name(u8); impl $name { pub fn get(&self) -> u8 { self.0 } } } }
        mod m { id! { Uid } } pub use m::Uid;
        macro_rules! kind { () => { pub enum Kind { One } } }
        mod k { kind! {} } pub use k::Kind;";
    let listed = list_of(before);
    for (from, to) in [
        ("pub size: u16", "pub size: u32"),
        ("Debug, Clone", "Debug"),
        ("#[non_exhaustive]", ""),
        ("Two(u8)", "Two"),
        ("uid: u64", "uid: u32"),
        ("-> bool;", "-> bool; fn list(&self);"),
        ("\"http\"", "\"openapi\""),
        ("impl From<u8>", "impl From<u16>"),
        ("pub fn get(&self) -> u8", "pub fn get(&self) -> u16"),
        ("pub enum Kind { One }", "pub enum Kind { Two }"),
    ] {
        let after = before.replacen(from, to, 1);
        assert_ne!(after, before, "{from}");
        assert_ne!(list_of(&after), listed, "{from} -> {to}");
    }
    let unseen = before.replace("secret: u8", "secret: u64");
    assert_eq!(
        list_of(&unseen),
        listed,
        "a private field is not in the API"
    );
}
