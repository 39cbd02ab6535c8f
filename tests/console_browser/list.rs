//! The list: rows, live changes, keys, foreign texts, and very many actions.

use action_store::{ActionError, Finish, NewAction, ObjectRef};
use serde_json::json;

use crate::browser::{InPage as _, LOADED, Served, clear, row_of, rows, set, tile};
use crate::day::{FAILED, SUCCEEDED};
use crate::devtools::Tab;

const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\">";

pub(crate) fn what_is_recorded_is_shown(tab: &mut Tab) {
    tab.until(&format!("{} === '{SUCCEEDED}'", tile("succeeded")));
    for (state, count) in [
        ("executing", "3"),
        ("queued", "4"),
        ("failed", FAILED),
        ("lost", "1"),
        ("interrupted", "1"),
        ("cancelled", "1"),
    ] {
        tab.until(&format!("{} === '{count}'", tile(state)));
    }
    // The unfinished ones and a page of the others.
    tab.until(&format!("{LOADED} === 107"));
    let first = tab.text("document.querySelector('#rows .row').innerText");
    for part in [
        "executing",
        "backup_bdb",
        "write_snapshot",
        "bdb:8",
        "globex",
        "14.2 %",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    let zone = tab.text("document.querySelector('#zone').textContent");
    assert!(zone.starts_with("Times are in "), "{zone}");
    let exact = tab.text("document.querySelector('#rows time').title");
    assert!(exact.contains(" UTC"), "{exact}");
    tab.until("/^\\d+ s ago$/.test(document.querySelector('#rows time').textContent)");
    waits_are_readable(tab);
    tab.picture("light");
    tab.size(1600, 1000);
    tab.picture("wide");
    tab.size(1280, 900);
    tab.colours("dark");
    tab.picture("dark");
    tab.colours("light");
}

/// No waiting time of a queued action is cut off.
pub(crate) fn waits_are_readable(tab: &mut Tab) {
    let waits = "[...document.querySelectorAll('#rows .row[data-state=queued] .took')]";
    tab.until(&format!("{waits}.length === 4"));
    tab.until(&format!(
        "{waits}.every(one => /^waits \\d+ (s|min \\d\\d s)$/.test(one.textContent) \
         && one.scrollWidth <= one.clientWidth)"
    ));
}

pub(crate) fn what_changes_is_shown_without_a_reload(tab: &mut Tab, served: &Served) {
    tab.eval("window.same = true");
    let day = &served.day;
    let new = NewAction::task("flush_bdb").with_object(ObjectRef::bdb(99));
    let uid = served.runtime.block_on(day.started(new));
    let row = row_of(uid);
    tab.until(&format!("{row}?.dataset.state === 'executing'"));
    served.runtime.block_on(day.report(uid, 42.0, "flush"));
    tab.until(&format!("{row}.innerText.includes('42 %')"));
    // Only 100 % is 100 %.
    served.runtime.block_on(day.report(uid, 99.96, "sync"));
    tab.until(&format!("{row}.innerText.includes('sync')"));
    let text = tab.text(&format!("{row}.innerText"));
    assert!(text.contains("99.9 %"), "{text}");
    tab.eval(&format!("{row}.click()"));
    tab.until("document.querySelector('#history').innerText.includes('flush')");
    assert!(
        !tab.text("document.querySelector('#detail').innerText")
            .contains("100 %")
    );
    let error = ActionError::new("refused", "the node said no");
    served
        .runtime
        .block_on(day.finish(uid, Finish::failed(error)));
    tab.until(&format!("{row}.dataset.state === 'failed'"));
    tab.until("document.querySelector('#card .trouble')?.innerText.includes('the node said no')");
    tab.until("document.querySelector('#history li:last-child').dataset.state === 'failed'");
    tab.until(&format!("{} === '5'", tile("failed")));
    tab.until("document.querySelector('#news').textContent.includes('flush_bdb')");
    assert_eq!(tab.eval("window.same"), true);
    tab.picture("detail");
    tab.colours("dark");
    tab.picture("detail-dark");
    tab.colours("light");
    tab.eval("document.querySelector('#close').click()");
    tab.until("document.querySelector('#detail').hidden");
}

pub(crate) fn keys_do_it_all(tab: &mut Tab) {
    let focused = "document.activeElement";
    tab.eval("document.activeElement.blur()");
    tab.press("/");
    assert_eq!(tab.text(&format!("{focused}.id")), "q");
    tab.write("drain");
    tab.until(&format!("{LOADED} === 2"));
    tab.until("document.querySelector('#understood').textContent.startsWith('Name begins with')");
    tab.press("ArrowDown");
    let at = |index: u64| format!("{focused}.ariaRowIndex === '{index}'");
    tab.until(&at(2));
    tab.press("ArrowDown");
    tab.until(&at(3));
    tab.press("Home");
    tab.until(&at(2));
    tab.press("End");
    tab.until(&at(3));
    let row = tab.text(&format!("{focused}.dataset.uid"));
    tab.press("Enter");
    tab.until("!document.querySelector('#detail').hidden");
    tab.until(&format!("{focused}.id === 'title'"));
    tab.until(&format!("location.hash.endsWith('action={row}')"));
    tab.until("document.querySelector('#history').innerText.includes('interrupted')");
    tab.press("Escape");
    tab.until("document.querySelector('#detail').hidden");
    assert_eq!(tab.text(&format!("{focused}.dataset.uid")), row);
    tab.press("/");
    tab.press("Escape");
    tab.until(&format!("{LOADED} > 100"));
    keys_go_beyond_the_window(tab);
    // The focused element must have a visible outline.
    tab.press("/");
    tab.press("Tab");
    let outline = format!("getComputedStyle({focused}).outlineStyle");
    assert_eq!(tab.text(&outline), "solid");
    // The first Tab stop is the link that skips to the list.
    tab.eval("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)");
    assert_eq!(
        tab.text("document.querySelector('a, button').className"),
        "skip"
    );
}

fn keys_go_beyond_the_window(tab: &mut Tab) {
    tab.eval("document.querySelector('#rows .row').focus()");
    for _ in 0..5 {
        tab.press("PageDown");
    }
    let focused = "document.activeElement";
    tab.until(&format!("{focused}.ariaRowIndex === '52'"));
    let bounds = format!("{focused}.getBoundingClientRect()");
    tab.until(&format!(
        "{bounds}.top >= 0 && {bounds}.bottom <= innerHeight"
    ));
    // The row with the focus stays in the document, wherever the window is.
    let uid = tab.text(&format!("{focused}.dataset.uid"));
    tab.eval("scrollTo(0, 0)");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(tab.text(&format!("{focused}.dataset.uid")), uid);
}

pub(crate) fn a_hostile_text_is_a_text(tab: &mut Tab, served: &Served) {
    let new = NewAction::task(HOSTILE)
        .with_tenant(HOSTILE)
        .with_description(HOSTILE)
        .with_label("region", HOSTILE)
        .with_object(ObjectRef::new("bdb", HOSTILE).unwrap());
    let day = &served.day;
    let uid = served.runtime.block_on(day.started(new));
    served.runtime.block_on(day.report(uid, 1.0, HOSTILE));
    let failed = Finish::failed(ActionError::new(HOSTILE, HOSTILE));
    served.runtime.block_on(day.finish(uid, failed));
    let row = row_of(uid);
    tab.until(&format!("{row}?.dataset.state === 'failed'"));
    let name = tab.text(&format!("{row}.querySelector('.name').textContent"));
    assert_eq!(name, HOSTILE);
    tab.eval(&format!("{row}.click()"));
    tab.until("document.querySelector('#history').innerText.includes('onerror')");
    assert_eq!(
        tab.text("document.querySelector('#title').textContent"),
        HOSTILE
    );
    tab.press("Escape");
    tab.until("document.querySelector('#detail').hidden");
    // A search for it is a text, too.
    set(tab, "q", &format!("\"{HOSTILE}\""));
    tab.until("document.querySelector('#understood').textContent.includes('onerror')");
    clear(tab);
    assert_eq!(tab.eval("document.querySelectorAll('img').length"), 0);
    assert_eq!(tab.text("document.title"), "Actions");
}

pub(crate) fn a_text_from_right_to_left_is_isolated(tab: &mut Tab, served: &Served) {
    let name = "גיבוי (1)!";
    let new = NewAction::task(name).with_description("שלב 2 (מתוך 3)!");
    let uid = served.runtime.block_on(served.day.started(new));
    let row = row_of(uid);
    tab.until(&format!("{row} !== null"));
    for part in [".name", ".note", ".tenant"] {
        let inner = format!("{row}.querySelector('{part}').firstElementChild");
        let isolation = format!("getComputedStyle({inner}).unicodeBidi");
        assert_eq!(tab.text(&isolation), "isolate", "{part}");
    }
    // On the timeline the text is between the marks of an isolate.
    let bar = format!("#timeline g[data-uid=\"{uid}\"] .words")
        .as_str()
        .in_page();
    tab.until(&format!("{bar}?.textContent.startsWith('\\u2068')"));
    tab.eval(&format!("{row}.click()"));
    let title = "#title".in_page();
    tab.until(&format!("{title}.textContent === {}", json!(name)));
    assert_eq!(
        tab.text(&format!("getComputedStyle({title}).direction")),
        "rtl"
    );
    tab.picture("right-to-left");
    tab.press("Escape");
    served
        .runtime
        .block_on(served.day.finish(uid, Finish::succeeded()));
    tab.until(&format!("{row}?.dataset.state === 'succeeded'"));
}

pub(crate) fn so_many_are_kept_and_no_more(tab: &mut Tab, served: &Served) {
    let day = &served.day;
    served.runtime.block_on(async {
        for _ in 0..10_100 {
            let uid = day.started(NewAction::task("tick")).await;
            day.finish(uid, Finish::succeeded()).await;
        }
    });
    let last = served.runtime.block_on(day.queued(NewAction::task("last")));
    tab.until(&format!("{} !== null", row_of(last)));
    tab.until(&format!("{} === '10,402'", tile("succeeded")));
    tab.until(&format!("{LOADED} > 10000"));
    tab.until(&format!("{} === '6'", tile("executing")));
    tab.until("document.querySelectorAll('#timeline g[data-uid]').length <= 400");
    for at in [0, 5_000, 9_990, 20] {
        tab.eval(&format!(
            "scrollTo(0, {}.getBoundingClientRect().top + scrollY + {at} * 52)",
            "#rows".in_page()
        ));
        // The row at that place is in the window, and few others are in the document.
        tab.until(&format!(
            "document.elementFromPoint(400, 100).closest('.row')?.ariaRowIndex >= {at}"
        ));
        assert!(rows(tab) < 60, "{} rows at {at}", rows(tab));
    }
    changes_leave_time(tab, served);
    older_ones_are_found_by_a_filter(tab);
}

/// Two changes a second keep the page's main thread busy for less than 30 % of the time.
fn changes_leave_time(tab: &mut Tab, served: &Served) {
    let busy = tab.busy(|_| {
        for _ in 0..10 {
            let uid = served
                .runtime
                .block_on(served.day.started(NewAction::task("tock")));
            std::thread::sleep(std::time::Duration::from_millis(500));
            served
                .runtime
                .block_on(served.day.finish(uid, Finish::succeeded()));
        }
    });
    assert!(busy > 0.0 && busy < 30.0, "{busy} %");
}

fn older_ones_are_found_by_a_filter(tab: &mut Tab) {
    set(tab, "q", "checksum_none");
    tab.until("document.querySelector('#said').textContent === 'No action matches these filters.'");
    set(tab, "q", "SMUpgrade");
    tab.until(&format!("{LOADED} === 1"));
    // A count beyond the bound is shown as a lower bound.
    set(tab, "q", "tick");
    tab.until(&format!("{} === '10,000+'", tile("succeeded")));
}
