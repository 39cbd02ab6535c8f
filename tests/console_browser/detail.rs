//! One action, for a caller who may see operator detail.

use action_store::{NewAction, ObjectRef};
use serde_json::json;

use crate::browser::{InPage as _, LIVE, LOADED, Served, clear, click, row_of, set};
use crate::connection::count_requests;
use crate::devtools::{Browser, Tab};

const CARD: &str = "document.querySelector('#card').innerText";

pub(crate) fn all_of_an_action_is_shown(browser: &Browser, served: &Served) {
    let mut tab = browser.tab(&served.page("ops", "#q=upgrade_cluster"));
    tab.until(LIVE);
    tab.until(&format!("{LOADED} === 1"));
    click(&mut tab, "#rows .row");
    tab.until(&format!("{CARD}.includes('ticket=OPS-1423')"));
    // A number that a float cannot hold keeps its digits.
    tab.until(&format!("{CARD}.includes('12345678901234567890')"));
    tab.until(&format!("{CARD}.includes('plane@node-1')"));
    let uid = tab.text("document.querySelector('#rows .row').dataset.uid");
    uids_are_copied(&mut tab, &uid);
    parts_are_shown_and_listed(&mut tab, &uid);
    what_is_expected_is_beside_the_progress(&mut tab);
    what_is_expected_is_in_the_rows(&mut tab);
    evidence_is_shown(&mut tab);
    filters_are_a_press_away(&mut tab);
    filters_find_any_text(&mut tab, served);
    an_absent_action_is_said_to_be_absent(&mut tab);
    let other = tab.complaints.iter().find(|words| !words.contains("404"));
    assert_eq!(other, None);
}

fn uids_are_copied(tab: &mut Tab, uid: &str) {
    tab.allow_clipboard();
    tab.tap("#copy");
    tab.until("document.querySelector('#copy').textContent === 'Copied'");
    assert_eq!(tab.text("navigator.clipboard.readText()"), uid);
    // A page without TLS has no clipboard. It copies the selection.
    tab.eval("navigator.clipboard.writeText('')");
    tab.eval("Object.defineProperty(navigator, 'clipboard', { configurable: true, value: undefined }); 0");
    tab.until("document.querySelector('#copy').textContent === 'Copy'");
    tab.tap("#copy");
    tab.until("document.querySelector('#copy').textContent === 'Copied'");
    tab.eval("delete navigator.clipboard");
    assert_eq!(tab.text("navigator.clipboard.readText()"), uid);
}

fn parts_are_shown_and_listed(tab: &mut Tab, parent: &str) {
    let parts = "document.querySelector('#parts').innerText";
    tab.until(&format!("{parts}.includes('2 executing, 1 succeeded')"));
    tab.picture("parts");
    tab.eval("document.querySelector('#parts > button').click()");
    tab.until(&format!("{LOADED} === 3"));
    tab.until(&format!("location.hash.includes('parent={parent}')"));
    tab.until("document.querySelector('#chips').innerText.includes('Parts of')");
    // The part that has succeeded has a result, and leads back to the whole.
    tab.eval("document.querySelector('#rows .row[data-state=succeeded]').click()");
    tab.until(&format!("{CARD}.includes('\"version\": \"7.22.0\"')"));
    tab.until(&format!("{CARD}.includes('Part of')"));
    tab.eval("[...document.querySelectorAll('#facts .linked')].find(one => one.innerText.includes('upgrade_cluster')).click()");
    tab.until(&format!("location.hash.endsWith('action={parent}')"));
    tab.eval("document.querySelector('#chips button').click()");
    tab.until("!location.hash.includes('parent=')");
    tab.press("Escape");
    clear(tab);
}

fn what_is_expected_is_beside_the_progress(tab: &mut Tab) {
    set(tab, "q", "backup_bdb");
    tab.until("document.querySelector('#rows .row')?.dataset.state === 'executing'");
    tab.until("document.querySelector('#rows .row .name').innerText === 'backup_bdb'");
    click(tab, "#rows .row");
    let rest = "(document.querySelector('#card [data-rest]')?.textContent ?? '')";
    tab.until(&format!(
        "/^(usually about|slower than usual, up to) .+ more$|^.+ longer than usual$/.test({rest})"
    ));
    // It counts, as long as the page is live.
    let before = tab.text(rest);
    tab.until(&format!("{rest} !== {}", json!(before)));
    tab.press("Escape");
}

/// The page asks for the executing rows in the window, and does not ask for them all the time.
fn what_is_expected_is_in_the_rows(tab: &mut Tab) {
    clear(tab);
    let rest = "([...document.querySelectorAll('#rows .rest')].map(one => one.textContent).find(Boolean) ?? '')";
    tab.until(&format!("/^(about|up to) .+ more$|^.+ over$/.test({rest})"));
    // All of them have been asked for.
    std::thread::sleep(std::time::Duration::from_secs(4));
    count_requests(tab);
    let before = tab.text(rest);
    tab.until(&format!("{rest} !== {}", json!(before)));
    // Only those whose time has passed are asked for again.
    assert!(tab.eval("asked").as_u64().unwrap() <= 3);
    tab.picture("expected");
}

fn evidence_is_shown(tab: &mut Tab) {
    set(tab, "q", "SMUpgradeModule");
    tab.until(&format!("{LOADED} === 1"));
    click(tab, "#rows .row");
    tab.until(&format!(
        "{CARD}.includes('owner plane@node-2') || {CARD}.includes('plane@node-2\u{2069}')"
    ));
    tab.until(&format!("{CARD}.includes('fenced')"));
    tab.picture("evidence");
    tab.press("Escape");
}

fn filters_are_a_press_away(tab: &mut Tab) {
    set(tab, "q", "node:2");
    tab.until("document.querySelector('#rows .row').innerText.includes('node:2')");
    click(tab, "#rows .row");
    tab.until("document.querySelector('#facts .chip') !== null");
    click(tab, "#facts .chip");
    tab.until("location.hash.startsWith('#q=region%3Deu-1')");
    tab.until(&format!("{LOADED} === 4"));
    tab.eval("[...document.querySelectorAll('#facts .linked')].find(one => one.innerText.includes('plane@node-1')).click()");
    tab.until("location.hash.includes('owner=plane')");
    tab.until(&format!("{LOADED} === 4"));
    tab.press("Escape");
    clear(tab);
}

/// Texts that a search would read as something else, unless they are written as what they are.
fn filters_find_any_text(tab: &mut Tab, served: &Served) {
    for (number, (object, key, value)) in [
        ("bdb:two words", "plain", "1"),
        ("label:7", "zone=", "a b"),
        ("object:bdb:1", "a:b", "c"),
        ("bdb:a \"quoted\" one", "two words", "a \"quoted\" one"),
        ("a=b:c", "label:x", "y=z"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("strange_{number}");
        let (key, value) = match key.strip_suffix('=') {
            Some(key) => (key, value),
            None => (key, value),
        };
        let new = NewAction::task(name.clone())
            .with_object(object.parse::<ObjectRef>().unwrap())
            .with_label(key, value);
        served.runtime.block_on(served.day.queued(new));
        for (filter, words) in [
            ("#facts .linked", format!("Object is {object}")),
            ("#facts .chip", format!("Label {key}={value}")),
        ] {
            set(tab, "q", &name);
            tab.until(&format!(
                "{LOADED} === 1 && document.querySelector('#rows .name').textContent.includes({})",
                json!(name)
            ));
            click(tab, "#rows .row");
            tab.until(&format!("{} !== null", filter.in_page()));
            click(tab, filter);
            let understood = "document.querySelector('#understood').textContent.replace(/[\u{2068}\u{2069}]/g, '')";
            tab.until(&format!("{understood} === {}", json!(words)));
            tab.until(&format!("{LOADED} === 1"));
            tab.until(&format!(
                "document.querySelector('#rows .name').textContent.includes({})",
                json!(name)
            ));
            tab.press("Escape");
        }
    }
    clear(tab);
}

fn an_absent_action_is_said_to_be_absent(tab: &mut Tab) {
    let absent = action_store::ActionUid::new();
    tab.eval(&format!("location.hash = 'action={absent}'"));
    tab.until("document.querySelector('#unread').textContent === 'This action is not there, or no longer.'");
    assert_eq!(tab.eval(&row_of(absent)), json!(null));
    assert_eq!(
        tab.text(&format!("{}.textContent", "#title".in_page())),
        "Action"
    );
    tab.picture("absent");
    tab.press("Escape");
    tab.until("document.querySelector('#detail').hidden");
}
