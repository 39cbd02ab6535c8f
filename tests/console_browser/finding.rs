//! Search, filters, order and range, and their place in the address.

use serde_json::json;

use crate::browser::{InPage as _, LIVE, LOADED, Served, clear, click, row_of, set, tile};
use crate::connection::count_requests;
use crate::day::SUCCEEDED;
use crate::devtools::{Browser, Tab};

fn shows(count: u64) -> String {
    format!("{LOADED} === {count}")
}

const SAID: &str = "document.querySelector('#said').textContent";

pub(crate) fn the_store_is_searched(tab: &mut Tab, served: &Served) {
    let (parent, part) = served.runtime.block_on(served.day.upgrade());
    let plain = parent.to_string().replace('-', "").to_uppercase();
    for (search, understood, count) in [
        ("SMCreate", "Name begins with SMCreate", 1),
        ("SMCreate*", "Name begins with SMCreate", 1),
        ("\"SMCreate\"", "Name is SMCreate", 0),
        ("\"SMCreateBDB\"", "Name is SMCreateBDB", 1),
        ("bdb:99", "Object is bdb:99", 1),
        ("cluster", "Object is cluster", 1),
        ("ticket=OPS-1423", "Label ticket=OPS-1423", 1),
        ("region=", "Has a label region", 4),
        (
            "label:region upgrade_n",
            "Name begins with upgrade_n \u{b7} Has a label region",
            3,
        ),
        (
            "node:1 region=eu-1",
            "Object is node:1 \u{b7} Label region=eu-1",
            1,
        ),
        (&plain, &format!("The action {parent}"), 1),
        (&part.to_string(), &format!("The action {part}"), 1),
    ] {
        set(tab, "q", search);
        let words =
            "document.querySelector('#understood').textContent.replace(/[\u{2068}\u{2069}]/g, '')";
        tab.until(&format!("{words} === {}", json!(understood)));
        if count == 0 {
            tab.until(&format!("{SAID} === 'No action matches these filters.'"));
            tab.picture("no-match");
        } else {
            tab.until(&format!("{SAID} === 'These are all.' && {}", shows(count)));
        }
    }
    set(tab, "q", "0190a0b0-0000-7000-8000-000000000000");
    tab.until(&format!(
        "{SAID} === 'There is no such action, or no longer.'"
    ));
    clear(tab);
    // This one is in the store only: the page has not loaded it.
    let first = served.day.first();
    assert_eq!(tab.eval(&row_of(first)), json!(null));
    set(tab, "q", "backup_bdb");
    set(tab, "tenant", "acme");
    set(tab, "order", "oldest");
    tab.until(&format!("{} !== null", row_of(first)));
    clear(tab);
    tiles_count_what_the_filters_match(tab);
}

fn tiles_count_what_the_filters_match(tab: &mut Tab) {
    set(tab, "tenant", "nobody");
    tab.until(&format!("{} === '0'", tile("succeeded")));
    set(tab, "tenant", "");
    tab.until(&format!("{} === '{}'", tile("succeeded"), SUCCEEDED + 1));
    click(tab, ".tile[data-state=lost]");
    tab.until(&shows(1));
    // States of one kind are combined. One of the other kind takes their place.
    click(tab, ".tile[data-state=interrupted]");
    tab.until(&shows(2));
    assert_eq!(tab.text("location.hash"), "#state=lost,interrupted");
    click(tab, ".tile[data-state=queued]");
    tab.until(&shows(4));
    assert_eq!(tab.text("location.hash"), "#state=queued");
    let pressed = "document.querySelectorAll('.tile[aria-pressed=true]').length";
    tab.until(&format!("{pressed} === 1"));
    click(tab, ".tile[data-state=queued]");
    tab.until(&format!("{LOADED} > 100"));
}

pub(crate) fn filters_order_and_range_are_in_the_address(
    tab: &mut Tab,
    browser: &Browser,
    served: &Served,
) {
    set(tab, "q", "backup_bdb bdb:4");
    set(tab, "range", "1h");
    set(tab, "order", "oldest");
    click(tab, ".tile[data-state=failed]");
    tab.until(&shows(3));
    tab.eval("document.querySelector('#rows .row').click()");
    tab.until("!document.querySelector('#detail').hidden");
    let action = tab.text("document.querySelector('#rows .row').dataset.uid");
    let address = tab.text("location.hash");
    assert_eq!(
        address,
        format!("#q=backup_bdb+bdb:4&state=failed&created=1h&order=oldest&action={action}")
    );
    // Another browser shows the same at this address.
    let mut other = browser.tab(&served.page("plane", &address));
    other.until(LIVE);
    other.until(&shows(3));
    other.until("!document.querySelector('#detail').hidden");
    other.until("document.querySelector('#history').innerText.includes('disk_full')");
    for (id, value) in [
        ("q", "backup_bdb bdb:4"),
        ("range", "1h"),
        ("order", "oldest"),
    ] {
        let field = format!("#{id}");
        let field = field.as_str().in_page();
        assert_eq!(other.text(&format!("{field}.value")), value);
    }
    assert_eq!(other.complaints, [""; 0]);
    // Back closes the action, and the filters stay.
    tab.eval("history.back()");
    tab.until("document.querySelector('#detail').hidden");
    tab.until(&shows(3));
    tab.eval("location.hash = 'state=lost,executing,interrupted'");
    tab.until(&shows(2));
    // Unknown values in the address are ignored.
    tab.eval("location.hash = 'order=up&state=gone&created=soon&span=1y&action=1'");
    tab.until(&format!("{LOADED} > 100"));
    clear(tab);
    ranges_of_both_times(tab);
}

fn ranges_of_both_times(tab: &mut Tab) {
    set(tab, "by", "finished");
    set(tab, "range", "15m");
    tab.until("location.hash === '#finished=15m'");
    tab.until("document.querySelectorAll('#rows .row').length > 10");
    // Unfinished actions have no time of completion.
    tab.until("document.querySelector('#rows .row[data-state=executing]') === null");
    set(tab, "range", "own");
    tab.until("!document.querySelector('#own').hidden");
    set(tab, "until", "2020-01-01T00:00:00");
    tab.until(&format!("{SAID} === 'No action matches these filters.'"));
    tab.until("location.hash.startsWith('#finished=..20')");
    tab.picture("chosen-times");
    clear(tab);
    tab.until("document.querySelector('#own').hidden");
}

pub(crate) fn columns_sort(tab: &mut Tab) {
    let heading = |order: &str| format!("#grid [data-order*={order}]");
    let first = "document.querySelector('#rows .row').dataset";
    let sorted = |order: &str| {
        let heading = heading(order);
        let heading = heading.as_str().in_page();
        format!("{heading}.parentElement.ariaSort")
    };
    click(tab, &heading("newest"));
    tab.until(&format!("{} === 'descending'", sorted("newest")));
    tab.until("location.hash === '#order=newest'");
    let times = |cell: &str| {
        format!("[...document.querySelectorAll('#rows .{cell} time')].map(one => one.dateTime)")
    };
    let falls = |cell: &str| {
        let times = times(cell);
        format!("{times}.every((at, n, all) => n === 0 || at <= all[n - 1])")
    };
    tab.until(&falls("created"));
    click(tab, &heading("oldest"));
    tab.until(&format!("{} === 'ascending'", sorted("oldest")));
    tab.until(&format!("{first}.state === 'failed'"));
    let times = times("created");
    tab.until(&format!(
        "{times}.every((at, n, all) => n === 0 || at >= all[n - 1])"
    ));
    click(tab, &heading("finished"));
    tab.until("location.hash === '#order=finished'");
    tab.until(&format!(
        "{first}.state !== 'failed' && {first}.state !== 'executing'"
    ));
    tab.until(&falls("ended"));
    click(tab, &heading("finished"));
    tab.until(&format!("{first}.state === 'executing'"));
    assert_eq!(tab.eval(&sorted("finished")), json!(null));
}

/// This scope has no operator detail.
pub(crate) fn filtering_by_owner_needs_operator_detail(tab: &mut Tab) {
    set(tab, "owner", "plane@node-1");
    tab.until(&format!("{SAID} === 'You may not filter by owner.'"));
    tab.until(&format!("{} === '\u{2013}'", tile("succeeded")));
    tab.picture("not-allowed");
    // A refused request is not made again.
    std::thread::sleep(std::time::Duration::from_millis(500));
    count_requests(tab);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(tab.eval("asked"), json!(0));
    clear(tab);
    let other = tab
        .complaints
        .iter()
        .find(|words| !words.contains("403") && !words.contains("404"));
    assert_eq!(other, None);
}
