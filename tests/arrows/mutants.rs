//! The list of `scripts/mutants`, which breaks the model on purpose: each entry must still name a
//! line that is there. The script itself takes minutes, and runs last.

use std::fs;
use std::path::Path;

/// One entry of the list.
#[derive(Default)]
struct Mutant<'a> {
    name: &'a str,
    file: &'a str,
    below: Option<&'a str>,
    old: &'a str,
}

fn mutants(list: &str) -> Vec<Mutant<'_>> {
    let entries = list.split("\n\n").filter(|entry| entry.contains("\n@ "));
    let read = |entry| {
        let mut mutant = Mutant::default();
        for line in str::lines(entry) {
            match line.split_at_checked(2) {
                Some(("= ", name)) => mutant.name = name,
                Some(("@ ", file)) => mutant.file = file,
                Some(("> ", text)) => mutant.below = Some(text),
                Some(("- ", text)) if mutant.old.is_empty() => mutant.old = text,
                _ => {}
            }
        }
        mutant
    };
    entries.map(read).collect()
}

/// Returns true if a line below the first one with the anchor has the text.
fn applies(mutant: &Mutant<'_>, text: &str) -> bool {
    let mut lines = text.lines();
    let anchored = mutant
        .below
        .is_none_or(|below| lines.any(|line| line.contains(below)));
    anchored && !mutant.old.is_empty() && lines.any(|line| line.contains(mutant.old))
}

#[test]
fn every_mutant_breaks_a_line_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("tests/mutants/plan.txt")).unwrap();
    let mutants = mutants(&list);
    assert_eq!(mutants.len(), list.matches("\n@ ").count());
    let stale: Vec<&str> = mutants
        .iter()
        .filter(|mutant| {
            !fs::read_to_string(root.join(mutant.file)).is_ok_and(|text| applies(mutant, &text))
        })
        .map(|mutant| mutant.name)
        .collect();
    assert!(stale.is_empty(), "these cannot be applied: {stale:#?}");
}

#[test]
fn a_mutant_of_a_line_that_moved_is_noticed() {
    let mutant = |below, old| Mutant {
        below,
        old,
        ..Mutant::default()
    };
    let text = "fn a() {\n    1\n}\nfn b() {\n    2\n}";
    assert!(applies(&mutant(None, "    1"), text));
    assert!(applies(&mutant(Some("fn b"), "2"), text));
    assert!(!applies(&mutant(Some("fn b"), "1"), text));
    assert!(!applies(&mutant(Some("fn c"), "1"), text));
    assert!(!applies(&mutant(None, "3"), text));
}
