//! The timeline, and the chart of ends.

use serde_json::json;

use crate::browser::{InPage as _, LOADED, clear, click, set};
use crate::day::{FAILED, SUCCEEDED};
use crate::devtools::Tab;

/// Expression for the number of bars in a state.
fn bars(state: &str) -> String {
    format!("document.querySelectorAll('#timeline g[data-uid][data-state={state}]').length")
}

/// Expression for the number of actions in a state that have no bar.
fn undrawn(state: &str) -> String {
    let button = format!("#undrawn [data-state={state}]");
    let button = button.as_str().in_page();
    format!("Number(({button}?.textContent ?? '0').replace(/\\D/g, ''))")
}

fn words(tab: &mut Tab) -> String {
    tab.text("document.querySelector('#drawn').textContent")
}

pub(crate) fn what_matters_is_shown_first(tab: &mut Tab) {
    tab.until("document.querySelector('#drawn').textContent.startsWith('Ended in')");
    // All that runs and all that failed has a bar, although there is no room for all.
    for (state, count) in [("executing", 3), ("failed", 3), ("lost", 1)] {
        tab.until(&format!("{} === {count}", bars(state)));
        assert_eq!(tab.eval(&undrawn(state)), json!(0), "{state}");
    }
    let drawn = tab.eval(&bars("succeeded")).as_u64().unwrap();
    assert!(drawn > 50 && drawn < SUCCEEDED as u64, "{drawn}");
    // Executing actions are in the first lanes.
    let lanes = "[...document.querySelectorAll('#timeline g[data-state=executing] .body')]\
                 .map(one => Number(one.getAttribute('y'))).sort((a, b) => a - b).join()";
    tab.until(&format!("{lanes} === '62,84,106'"));
    assert_eq!(
        tab.eval("document.querySelectorAll('#timeline .now').length"),
        1
    );
    the_chart_shows_the_ends(tab);
    what_has_no_bar_is_counted_and_listed(tab);
    six_hours_are_six_hours(tab);
}

fn the_chart_shows_the_ends(tab: &mut Tab) {
    let said = words(tab);
    assert_eq!(
        said,
        format!(
            "Ended in the last hour: 3 failed, 1 lost, 1 interrupted, 1 cancelled, {SUCCEEDED} succeeded"
        )
    );
    let slots = |state: &str| {
        format!("document.querySelectorAll('#timeline .chart [data-state={state}]').length")
    };
    assert_eq!(tab.eval(&slots("failed")), json!(3));
    assert_eq!(tab.eval(&slots("lost")), json!(1));
    assert!(tab.eval(&slots("succeeded")).as_u64().unwrap() > 20);
    // The slots add up to what is said.
    let all = "[...document.querySelectorAll('#timeline .chart title')].map(one => \
               Number(/(\\d+) succeeded/.exec(one.textContent)?.[1] ?? 0)).reduce((a, b) => a + b)";
    assert_eq!(tab.eval(all), json!(SUCCEEDED));
}

fn what_has_no_bar_is_counted_and_listed(tab: &mut Tab) {
    let both = format!("{} + {}", bars("succeeded"), undrawn("succeeded"));
    assert_eq!(tab.eval(&both), json!(SUCCEEDED));
    click(tab, "#undrawn [data-state=succeeded]");
    tab.until("location.hash.includes('state=succeeded') && location.hash.includes('finished=')");
    tab.eval("scrollTo(0, document.body.scrollHeight)");
    tab.until(&format!("{LOADED} === {SUCCEEDED}"));
    tab.until("document.querySelector('#said').textContent === 'These are all.'");
    clear(tab);
    tab.eval("scrollTo(0, 0)");
}

/// One action failed five hours ago. It is in none of the pages that the list has loaded.
fn six_hours_are_six_hours(tab: &mut Tab) {
    set(tab, "span", "6h");
    tab.until(&format!(
        "document.querySelector('#drawn').textContent.startsWith('Ended in the last 6 hours: {FAILED} failed,')"
    ));
    tab.until(&format!("{} === {FAILED}", bars("failed")));
    assert_eq!(tab.eval("location.hash"), json!("#span=6h"));
    tab.picture("six-hours");
    set(tab, "span", "1h");
    tab.until(&format!("{} === 3", bars("failed")));
}
