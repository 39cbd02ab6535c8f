//! The rules of axe-core, over each view of the page, in light and dark.

use serde_json::{Value, json};

use crate::browser::{LIVE, LOADED, Served};
use crate::devtools::{Browser, Tab};

/// Returns axe-core, whose file `axe.min.js` is named by `ACTIONS_AXE`.
fn axe() -> Option<String> {
    let path = std::env::var_os("ACTIONS_AXE")?;
    Some(std::fs::read_to_string(path).unwrap())
}

/// Returns each rule that is broken, with the elements that break it.
fn violations(tab: &mut Tab) -> Value {
    tab.eval(
        "axe.run({ resultTypes: ['violations'] }).then(found => found.violations.map(rule => \
         [rule.id, ...rule.nodes.map(node => node.html + ' ' + node.failureSummary)]))",
    )
}

fn check(tab: &mut Tab, view: &str) {
    for colours in ["light", "dark"] {
        tab.colours(colours);
        // Colours of elements change with a transition.
        std::thread::sleep(std::time::Duration::from_millis(400));
        assert_eq!(violations(tab), json!([]), "{view}, {colours}");
    }
    tab.colours("light");
}

/// The rules do run, and find what is wrong.
fn a_field_without_a_name_is_found(tab: &mut Tab) {
    tab.eval("document.querySelector('#q').removeAttribute('aria-label'); document.querySelector('#q').removeAttribute('placeholder')");
    let found = violations(tab);
    let rules = found.as_array().unwrap();
    assert!(rules.iter().any(|rule| rule[0] == "label"), "{found}");
    tab.eval("document.querySelector('#q').setAttribute('aria-label', 'Search')");
}

pub(crate) fn nothing_is_out_of_reach(browser: &Browser, served: &Served) {
    let Some(axe) = axe() else {
        let required = std::env::var_os("ACTIONS_REQUIRE_TOOLS").is_some();
        assert!(
            !required,
            "ACTIONS_REQUIRE_TOOLS is set, but not ACTIONS_AXE"
        );
        println!("skipped: ACTIONS_AXE names no axe-core, so its rules were not checked");
        return;
    };
    let mut tab = browser.tab(&served.page("ops", ""));
    tab.until(LIVE);
    tab.until(&format!("{LOADED} > 100"));
    tab.eval(&axe);
    a_field_without_a_name_is_found(&mut tab);
    check(&mut tab, "list");
    let views = [
        ("parts", "q=upgrade_cluster", "#rows .row"),
        ("failed", "state=failed&order=newest", "#rows .row"),
        ("lost", "state=lost", "#rows .row"),
        (
            "no match",
            "q=nothing bdb:1&created=2026-01-01T00:00:00Z..&state=failed",
            "",
        ),
    ];
    for (view, hash, opened) in views {
        tab.eval(&format!("location.hash = {}", json!(hash)));
        tab.until(
            "/These are all|No action matches/.test(document.querySelector('#said').textContent)",
        );
        if !opened.is_empty() {
            tab.eval(&format!("document.querySelector('{opened}').click()"));
            tab.until("document.querySelectorAll('#history li').length > 0");
        }
        check(&mut tab, view);
        tab.size(390, 844);
        check(&mut tab, &format!("{view} on a phone"));
        tab.size(1280, 900);
        tab.eval("location.hash = ''");
        tab.until(&format!("{LOADED} > 100"));
    }
    tab.size(390, 844);
    tab.until("!document.querySelector('#times').open");
    check(&mut tab, "phone");
    tab.size(1280, 900);
    tab.network(false);
    tab.until("!document.querySelector('#stale').hidden");
    check(&mut tab, "stale");
    let mut tab = browser.tab(&served.page("locked", ""));
    tab.until("document.querySelector('#signin').open");
    tab.eval(&axe);
    check(&mut tab, "sign in");
}
