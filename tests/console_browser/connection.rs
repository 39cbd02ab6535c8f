//! The connection: paused, ended, refused, lost, and hidden.

use std::sync::atomic::Ordering;
use std::time::Duration;

use action_store::NewAction;
use serde_json::{Value, json};

use crate::browser::{InPage as _, LIVE, LOADED, Served, clear, click, row_of, set, tile};
use crate::day::SUCCEEDED;
use crate::devtools::Tab;

/// Counts the requests from now on.
pub(crate) fn count_requests(tab: &mut Tab) {
    tab.eval("window.asked = 0; window.fetched ??= fetch; window.fetch = (...all) => { asked++; return fetched(...all); }; 0");
}

/// The texts that change with time.
fn moving(tab: &mut Tab) -> Value {
    tab.eval(
        "JSON.stringify([[...document.querySelectorAll('#rows time, #rows .took')].map(one => one.textContent), \
         document.querySelector('#timeline .now').getAttribute('x1')])",
    )
}

fn stands_still(tab: &mut Tab) {
    // The page draws with a delay.
    std::thread::sleep(Duration::from_millis(500));
    let before = moving(tab);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(moving(tab), before);
}

fn moves(tab: &mut Tab) {
    let before = moving(tab);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_ne!(moving(tab), before);
}

pub(crate) fn a_paused_page_stands_still(tab: &mut Tab, served: &Served) {
    moves(tab);
    click(tab, "#pause");
    let link = "document.querySelector('#link').textContent";
    tab.until(&format!("{link}.startsWith('Paused at ')"));
    let queued = NewAction::task("while_paused");
    let uid = served.runtime.block_on(served.day.queued(queued));
    tab.until(&format!("{link}.endsWith(', 1 changed since')"));
    stands_still(tab);
    assert_eq!(tab.eval(&row_of(uid)), json!(null));
    tab.picture("paused");
    click(tab, "#pause");
    tab.until(&format!("{} !== null", row_of(uid)));
    tab.until(&format!("{link} === 'Live'"));
    moves(tab);
    let finish = action_store::Finish::new(action_store::Outcome::Cancelled);
    served.runtime.block_on(served.day.finish(uid, finish));
    tab.until(&format!("{}?.dataset.state === 'cancelled'", row_of(uid)));
}

/// Many changes while the page is paused take no more memory. The list is then read again.
pub(crate) fn a_paused_page_holds_a_bounded_number_of_changes(tab: &mut Tab, served: &Served) {
    clear(tab);
    click(tab, "#pause");
    let link = "document.querySelector('#link').textContent";
    tab.until(&format!("{link}.startsWith('Paused at ')"));
    for _ in 0..1_200 {
        let queued = NewAction::task("many_while_paused");
        served.runtime.block_on(served.day.queued(queued));
    }
    let last = NewAction::task("last_while_paused");
    let last = served.runtime.block_on(served.day.queued(last));
    tab.until(&format!(
        "{link}.endsWith(', more than 1,000 changed since')"
    ));
    assert_eq!(tab.eval(&row_of(last)), json!(null));
    click(tab, "#pause");
    set(tab, "q", "last_while_paused");
    tab.until(&format!("{} !== null", row_of(last)));
    clear(tab);
}

pub(crate) fn streams_end_and_go_on(tab: &mut Tab, served: &Served) {
    tab.eval("window.same = true");
    count_requests(tab);
    for at in 1..=3 {
        let uid = served
            .runtime
            .block_on(served.day.queued(NewAction::task("wait_long")));
        tab.until(&format!("{} !== null", row_of(uid)));
        tab.until(&format!("asked >= {at}"));
    }
    assert_eq!(tab.eval("window.same"), true);
}

pub(crate) fn bad_weather_passes(tab: &mut Tab, served: &Served) {
    for status in [503, 410, 500] {
        served.weather.store(status, Ordering::Relaxed);
        tab.until("document.querySelector('#link').textContent.includes('trying again in')");
        let uid = served
            .runtime
            .block_on(served.day.queued(NewAction::task("meanwhile")));
        assert_eq!(tab.eval(&row_of(uid)), json!(null));
        if status == 410 {
            // The page must discard its data, because it may no longer exist.
            tab.until("document.querySelectorAll('#rows .row').length === 0");
        }
        served.weather.store(0, Ordering::Relaxed);
        tab.until(LIVE);
        tab.until(&format!("{} !== null", row_of(uid)));
        tab.until(&format!("{} === '{}'", tile("succeeded"), SUCCEEDED + 2));
    }
    assert_eq!(tab.eval("window.same"), true);
}

pub(crate) fn without_a_connection_nothing_moves(tab: &mut Tab) {
    let stale = "#stale".in_page();
    assert_eq!(tab.eval(&format!("{stale}.hidden")), true);
    moves(tab);
    tab.network(false);
    tab.until(&format!(
        "!{stale}.hidden && {stale}.textContent.startsWith('What you see is as of')"
    ));
    stands_still(tab);
    let badge = "document.querySelector('#rows .row[data-state=executing] .badge')";
    let animation = format!("getComputedStyle({badge}, '::before').animationName");
    assert_eq!(tab.text(&animation), "none");
    tab.picture("stale");
    // A search without a connection is made when there is one again.
    set(tab, "q", "SMUpgradeModule");
    tab.until("document.querySelector('#said').textContent === 'No connection'");
    tab.network(true);
    tab.until(LIVE);
    tab.until(&format!("{stale}.hidden"));
    tab.until(&format!("{LOADED} === 1"));
    clear(tab);
    assert_eq!(tab.text(&animation), "pulse");
    moves(tab);
}

/// The stream ends every 1.5 seconds here, so a visible page asks again and again.
pub(crate) fn a_hidden_page_makes_no_requests(tab: &mut Tab) {
    let hide = |is_hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {is_hidden} }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    count_requests(tab);
    tab.until("asked >= 2");
    tab.eval(&hide(true));
    count_requests(tab);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(tab.eval("asked"), json!(0));
    tab.eval(&hide(false));
    tab.until("asked >= 2");
    tab.until(LIVE);
}
