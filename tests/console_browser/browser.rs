//! The console in a browser, with a plane that records actions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use action_store::ActionUid;
use action_store::http::{
    AllowAll, BasicAuth, RouterOptions, Scope, StatusVocabulary, console, router, router_with,
};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::day::Day;
use crate::devtools::{Browser, Tab};
use crate::{axe, connection, detail, finding, list, phone, sign_in, timeline};

pub(crate) const LIVE: &str = "document.documentElement.dataset.link === 'live'";

/// A plane, served at four paths. `/plane` is open. `/ops` shows operator detail, in the vendor's
/// words. `/locked` needs a user and a password. `/rough` fails on request and ends its streams
/// early.
pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) day: Day,
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
        let operators = |_: &Parts, _| Ok(Scope::everything().with_operator_detail());
        let vendor = RouterOptions::new().with_vocabulary(StatusVocabulary::Vendor);
        let ops = router_with(day.store.clone(), operators, vendor).merge(console());
        let ada = BasicAuth::new("ada", "päss:word").unwrap();
        let short = RouterOptions::new().with_stream_time(Duration::from_millis(1_500));
        let locked = router_with(day.store.clone(), ada, short.clone()).merge(console());
        let locked = locked.layer(from_fn_with_state(weather.clone(), whether));
        let rough = router_with(day.store.clone(), AllowAll, short).merge(console());
        let rough = rough.layer(from_fn_with_state(weather.clone(), whether));
        let app = Router::new()
            .nest("/plane", open)
            .nest("/ops", ops)
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

impl Served {
    /// Returns the address of a page, with a view.
    pub(crate) fn page(&self, plane: &str, view: &str) -> String {
        format!("http://{}/{plane}/console{view}", self.address)
    }
}

/// Expression for the text of a tile: the number of actions in a state.
pub(crate) fn tile(state: &str) -> String {
    format!("document.querySelector('.tile[data-state={state}] b').textContent")
}

/// Expression for the number of actions in the list.
pub(crate) const LOADED: &str =
    "Number(document.querySelector('#count').textContent.replace(/\\D/g, ''))";

/// Number of rows in the document.
pub(crate) fn rows(tab: &mut Tab) -> u64 {
    tab.eval("document.querySelectorAll('#rows .row').length")
        .as_u64()
        .unwrap()
}

pub(crate) fn row_of(uid: ActionUid) -> String {
    format!("document.querySelector('.row[data-uid=\"{uid}\"]')")
}

/// Sets a field, as if a person had typed the value or chosen it.
pub(crate) fn set(tab: &mut Tab, id: &str, value: &str) {
    let (field, value) = (format!("#{id}").in_page(), json!(value));
    tab.eval(&format!(
        "{field}.value = {value}; {field}.dispatchEvent(new Event('input', {{ bubbles: true }})); \
         {field}.dispatchEvent(new Event('change', {{ bubbles: true }}))"
    ));
}

pub(crate) fn click(tab: &mut Tab, selector: &str) {
    tab.eval(&format!("{}.click()", selector.in_page()));
}

/// Shows all actions again.
pub(crate) fn clear(tab: &mut Tab) {
    click(tab, "#clear");
    tab.until("location.hash.length < 2");
    tab.until(&format!("{LOADED} > 100"));
}

/// Runs all steps in one browser session, because starting a browser is slow.
pub(crate) fn people_can_use_it(browser: &Browser) {
    let served = served();
    let mut tab = browser.tab(&served.page("plane", ""));
    tab.until(LIVE);
    list::what_is_recorded_is_shown(&mut tab);
    timeline::what_matters_is_shown_first(&mut tab);
    list::what_changes_is_shown_without_a_reload(&mut tab, &served);
    finding::the_store_is_searched(&mut tab, &served);
    finding::filters_order_and_range_are_in_the_address(&mut tab, browser, &served);
    finding::columns_sort(&mut tab);
    list::keys_do_it_all(&mut tab);
    list::a_hostile_text_is_a_text(&mut tab, &served);
    list::a_text_from_right_to_left_is_isolated(&mut tab, &served);
    connection::a_paused_page_stands_still(&mut tab, &served);
    phone::a_phone_shows_the_list_first(&mut tab);
    // The browser logs the one search for an absent action.
    let other = tab.complaints.iter().find(|words| !words.contains("404"));
    assert_eq!(other, None);
    finding::filtering_by_owner_needs_operator_detail(&mut tab);
    detail::all_of_an_action_is_shown(browser, &served);
    axe::nothing_is_out_of_reach(browser, &served);
    let mut tab = browser.tab(&served.page("locked", ""));
    sign_in::who_is_not_known_signs_in(&mut tab);
    sign_in::who_signs_out_leaves_nothing(&mut tab, &served);
    sign_in::who_is_known_no_more_leaves_nothing(&mut tab, &served);
    // The browser logs each 401 itself. There must be no other message.
    let other = tab.complaints.iter().find(|words| !words.contains("401"));
    assert_eq!(other, None);
    let mut tab = browser.tab(&served.page("rough", ""));
    tab.until(LIVE);
    connection::streams_end_and_go_on(&mut tab, &served);
    connection::bad_weather_passes(&mut tab, &served);
    connection::without_a_connection_nothing_moves(&mut tab);
    connection::a_hidden_page_makes_no_requests(&mut tab);
    let mut open = browser.tab(&served.page("plane", ""));
    open.until(LIVE);
    connection::a_paused_page_holds_a_bounded_number_of_changes(&mut open, &served);
    assert_eq!(open.complaints, [""; 0]);
    list::so_many_are_kept_and_no_more(&mut tab, &served);
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
