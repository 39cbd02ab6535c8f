//! The console in a browser, with a plane that records actions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use action_store::http::{AllowAll, BasicAuth, RouterOptions, console, router, router_with};
use action_store::{ActionError, ActionUid, Finish, NewAction, ObjectRef};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::day::{Day, SUCCEEDED};
use crate::devtools::{Browser, Tab};
use crate::sign_in;

const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\">";
pub(crate) const LIVE: &str = "document.documentElement.dataset.link === 'live'";

/// A plane, served at three paths. `/plane` is open. `/locked` needs a user and a
/// password. `/rough` fails on request and ends its streams early.
pub(crate) struct Served {
    runtime: Runtime,
    day: Day,
    address: SocketAddr,
    pub(crate) weather: Weather,
}

/// The status that replaces every answer, or 0 for none. [`HELD`] delays the answers to
/// queries with `name=` until it is reset.
pub(crate) type Weather = Arc<AtomicU16>;

pub(crate) const HELD: u16 = 1;

async fn whether(State(weather): State<Weather>, request: Request, next: Next) -> Response {
    let page = request.uri().path().ends_with("/console");
    let named = request.uri().query().is_some_and(|q| q.contains("name="));
    let headers = [("retry-after", "1"), ("www-authenticate", "Basic")];
    match StatusCode::from_u16(weather.load(Ordering::Relaxed)) {
        Ok(status) if !page => (status, headers, "{}").into_response(),
        _ => {
            let response = next.run(request).await;
            while named && weather.load(Ordering::Relaxed) == HELD {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            response
        }
    }
}

fn served() -> Served {
    let runtime = Runtime::new().unwrap();
    let weather = Weather::default();
    let (day, address) = runtime.block_on(async {
        let day = Day::new().await;
        day.spend().await;
        let open = router(day.store.clone(), AllowAll).merge(console());
        let ada = BasicAuth::new("ada", "päss:word").unwrap();
        let short = RouterOptions::new().with_stream_time(Duration::from_millis(1_500));
        let locked = router_with(day.store.clone(), ada, short.clone()).merge(console());
        let locked = locked.layer(from_fn_with_state(weather.clone(), whether));
        let rough = router_with(day.store.clone(), AllowAll, short).merge(console());
        let rough = rough.layer(from_fn_with_state(weather.clone(), whether));
        let app = Router::new()
            .nest("/plane", open)
            .nest("/locked", locked)
            .nest("/rough", rough);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        (day, address)
    });
    Served {
        runtime,
        day,
        address,
        weather,
    }
}

/// Expression for the text of a tile: the number of actions in a state.
fn tile(state: &str) -> String {
    format!("document.querySelector('.tile[data-state={state}] b').textContent")
}

pub(crate) fn rows(tab: &mut Tab) -> u64 {
    tab.eval("document.querySelectorAll('#rows tr').length")
        .as_u64()
        .unwrap()
}

/// Runs all steps in one browser session, because starting a browser is slow.
pub(crate) fn people_can_use_it(browser: &Browser) {
    let served = served();
    let mut tab = browser.tab(&format!("http://{}/plane/console", served.address));
    tab.until(LIVE);
    what_is_recorded_is_shown(&mut tab);
    what_changes_is_shown_without_a_reload(&mut tab, &served);
    filters_hold(&mut tab);
    keys_do_it_all(&mut tab);
    a_hostile_text_is_a_text(&mut tab, &served);
    a_phone_is_wide_enough(&mut tab);
    assert_eq!(tab.complaints, [""; 0]);
    let mut tab = browser.tab(&format!("http://{}/locked/console", served.address));
    sign_in::who_is_not_known_signs_in(&mut tab);
    sign_in::who_signs_out_leaves_nothing(&mut tab, &served);
    sign_in::who_is_known_no_more_leaves_nothing(&mut tab, &served);
    // The browser logs each 401 itself. There must be no other message.
    let other = tab.complaints.iter().find(|words| !words.contains("401"));
    assert_eq!(other, None);
    let mut tab = browser.tab(&format!("http://{}/rough/console", served.address));
    tab.until(LIVE);
    streams_end_and_go_on(&mut tab, &served);
    bad_weather_passes(&mut tab, &served);
    so_many_are_kept_and_no_more(&mut tab, &served);
}

fn what_is_recorded_is_shown(tab: &mut Tab) {
    tab.until(&format!("{} === '{SUCCEEDED}'", tile("succeeded")));
    for (state, count) in [
        ("executing", "3"),
        ("queued", "4"),
        ("failed", "3"),
        ("lost", "1"),
        ("interrupted", "1"),
        ("cancelled", "1"),
    ] {
        tab.until(&format!("{} === '{count}'", tile(state)));
    }
    assert_eq!(rows(tab), 100);
    let first = tab.text("document.querySelector('#rows tr').innerText");
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
    tab.until("document.querySelectorAll('#timeline g[data-uid]').length > 5");
    assert_eq!(
        tab.eval("document.querySelectorAll('#timeline .now').length"),
        1
    );
    tab.picture("light");
    tab.size(1600, 1000);
    tab.picture("wide");
    tab.size(1280, 900);
    tab.colours("dark");
    tab.picture("dark");
    tab.colours("light");
}

fn what_changes_is_shown_without_a_reload(tab: &mut Tab, served: &Served) {
    tab.eval("window.same = true");
    let day = &served.day;
    let new = NewAction::task("flush_bdb").with_object(ObjectRef::bdb(99));
    let uid = served.runtime.block_on(day.started(new));
    let row = row_of(uid);
    tab.until(&format!("{row}?.dataset.state === 'executing'"));
    served.runtime.block_on(day.report(uid, 42.0, "flush"));
    tab.until(&format!("{row}.innerText.includes('42 %')"));
    // Only a succeeded action shows 100 %.
    served.runtime.block_on(day.report(uid, 99.95, "sync"));
    tab.until(&format!("{row}.innerText.includes('sync')"));
    let text = tab.text(&format!("{row}.innerText"));
    assert!(text.contains("99.9 %"), "{text}");
    tab.eval(&format!("{row}.click()"));
    tab.until("document.querySelector('#history').innerText.includes('flush')");
    let error = ActionError::new("refused", "the node said no");
    served
        .runtime
        .block_on(day.finish(uid, Finish::failed(error)));
    tab.until(&format!("{row}.dataset.state === 'failed'"));
    tab.until("document.querySelector('#card .trouble')?.innerText.includes('the node said no')");
    tab.until("document.querySelector('#history li:last-child').dataset.state === 'failed'");
    tab.until(&format!("{} === '4'", tile("failed")));
    tab.until("document.querySelector('#news').textContent.includes('flush_bdb')");
    assert_eq!(tab.eval("window.same"), true);
    tab.picture("detail");
    tab.colours("dark");
    tab.picture("detail-dark");
    tab.colours("light");
    tab.eval("document.querySelector('#close').click()");
    tab.until("document.querySelector('#detail').hidden");
}

fn filters_hold(tab: &mut Tab) {
    let shows = |count: u64| format!("document.querySelectorAll('#rows tr').length === {count}");
    tab.eval(&format!("{}.click()", ".tile[data-state=lost]".in_page()));
    tab.until(&shows(1));
    assert!(
        tab.text("document.querySelector('#rows').innerText")
            .contains("SMUpgradeModule")
    );
    tab.eval(&format!("{}.click()", ".tile[data-state=lost]".in_page()));
    tab.until(&shows(100));
    for (id, value, count) in [
        ("name", "SMCreate", 1),
        ("outcome", "cancelled", 1),
        ("status", "queued", 4),
        ("text", "QUORUM", 1),
        ("object", "bdb:99", 1),
        ("tenant", "nobody", 0),
    ] {
        let set = |value: &str| {
            let field = format!("#{id}").in_page();
            let event = "new Event('input', { bubbles: true })";
            format!(
                "{field}.value = {}; {field}.dispatchEvent({event})",
                json!(value)
            )
        };
        tab.eval(&set(value));
        tab.until(&shows(count));
        tab.eval(&set(""));
        tab.until(&shows(100));
    }
    tab.eval("document.querySelector('#further').click()");
    tab.until("document.querySelectorAll('#rows tr').length === 200");
}

fn keys_do_it_all(tab: &mut Tab) {
    let focused = "document.activeElement";
    tab.eval("document.activeElement.blur()");
    tab.press("/");
    assert_eq!(tab.text(&format!("{focused}.id")), "text");
    tab.write("drain");
    tab.until("document.querySelectorAll('#rows tr').length === 2");
    tab.press("ArrowDown");
    tab.until(&format!("{focused} === document.querySelector('#rows tr')"));
    tab.press("ArrowDown");
    tab.until(&format!(
        "{focused} === document.querySelector('#rows tr:last-child')"
    ));
    tab.press("Home");
    tab.press("End");
    let row = tab.text(&format!("{focused}.dataset.uid"));
    tab.press("Enter");
    tab.until("!document.querySelector('#detail').hidden");
    tab.until(&format!("{focused}.id === 'title'"));
    tab.until(&format!("location.hash === '#action={row}'"));
    tab.until("document.querySelector('#history').innerText.includes('interrupted')");
    tab.press("Escape");
    tab.until("document.querySelector('#detail').hidden");
    assert_eq!(tab.text(&format!("{focused}.dataset.uid")), row);
    tab.press("/");
    tab.press("Escape");
    tab.until("document.querySelectorAll('#rows tr').length > 2");
    // The focused element must have a visible outline.
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

fn a_hostile_text_is_a_text(tab: &mut Tab, served: &Served) {
    let new = NewAction::task(HOSTILE)
        .with_tenant(HOSTILE)
        .with_description(HOSTILE)
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
    assert_eq!(tab.eval("document.querySelectorAll('img').length"), 0);
    assert_eq!(tab.text("document.title"), "Actions");
    tab.press("Escape");
}

fn a_phone_is_wide_enough(tab: &mut Tab) {
    tab.size(360, 740);
    tab.eval("scrollTo(0, 0)");
    let fits = "document.documentElement.scrollWidth <= 360";
    tab.until(&format!("innerWidth === 360 && {fits}"));
    tab.picture("phone");
    tab.eval("document.querySelector('#list').scrollIntoView()");
    tab.picture("phone-list");
    tab.eval("document.querySelector('#more').open = true");
    assert_eq!(tab.eval(fits), true);
    tab.eval("document.querySelectorAll('#rows tr')[9].click()");
    tab.until("document.querySelectorAll('#history li').length > 0");
    assert_eq!(tab.eval(fits), true);
    assert_eq!(tab.eval("document.querySelector('#main').inert"), true);
    tab.colours("dark");
    tab.picture("phone-detail");
    tab.press("Escape");
    tab.until("!document.querySelector('#main').inert");
    tab.colours("light");
    tab.size(1280, 900);
}

fn row_of(uid: ActionUid) -> String {
    format!("document.querySelector('tr[data-uid=\"{uid}\"]')")
}

fn streams_end_and_go_on(tab: &mut Tab, served: &Served) {
    tab.eval("window.same = true");
    let asked = "performance.getEntriesByType('resource').filter(one => \
                 one.name.includes('changes?limit=500&after=1f')).length";
    for at in 1..=3 {
        let uid = served
            .runtime
            .block_on(served.day.queued(NewAction::task("wait_long")));
        tab.until(&format!("{} !== null", row_of(uid)));
        tab.until(&format!("{asked} >= {at}"));
    }
    assert_eq!(tab.eval("window.same"), true);
}

fn bad_weather_passes(tab: &mut Tab, served: &Served) {
    for status in [503, 410, 500] {
        served.weather.store(status, Ordering::Relaxed);
        tab.until("document.querySelector('#link').textContent.includes('trying again in')");
        let uid = served
            .runtime
            .block_on(served.day.queued(NewAction::task("meanwhile")));
        assert_eq!(tab.eval(&row_of(uid)), json!(null));
        if status == 410 {
            // The page must discard its data, because it may no longer exist.
            tab.until("document.querySelectorAll('#rows tr').length === 0");
        }
        served.weather.store(0, Ordering::Relaxed);
        tab.until(LIVE);
        tab.until(&format!("{} !== null", row_of(uid)));
        tab.until(&format!("{} === '{SUCCEEDED}'", tile("succeeded")));
    }
    assert_eq!(tab.eval("window.same"), true);
}

fn so_many_are_kept_and_no_more(tab: &mut Tab, served: &Served) {
    let day = &served.day;
    served.runtime.block_on(async {
        for _ in 0..2_100 {
            let uid = day.started(NewAction::task("tick")).await;
            day.finish(uid, Finish::succeeded()).await;
        }
    });
    let last = served.runtime.block_on(day.queued(NewAction::task("last")));
    tab.until(&format!("{} !== null", row_of(last)));
    let count = "document.querySelector('#count').textContent.replace(/\\D/g, '')";
    tab.until(&format!("{count} === '2000'"));
    // Unfinished actions are discarded last.
    tab.until(&format!("{} === '3'", tile("executing")));
    tab.until("document.querySelectorAll('#timeline g[data-uid]').length <= 400");
}

pub(crate) trait InPage {
    fn in_page(&self) -> String;
}

impl InPage for str {
    /// Returns an expression for the element that a selector finds.
    fn in_page(&self) -> String {
        format!("document.querySelector({})", json!(self))
    }
}
