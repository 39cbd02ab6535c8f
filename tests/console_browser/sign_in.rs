//! Signing in and out: the dialog cannot be bypassed, and signing out removes all data.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::browser::{HELD, InPage as _, LIVE, LOADED, Served, rows, set};
use crate::devtools::Tab;

pub(crate) fn who_is_not_known_signs_in(tab: &mut Tab) {
    tab.until("document.querySelector('#signin').open");
    assert_eq!(rows(tab), 0);
    tab.picture("sign-in");
    let focused = "document.activeElement.id";
    // The dialog cannot be closed, and the field for the token is visible.
    for _ in 0..3 {
        tab.press("Escape");
        std::thread::sleep(Duration::from_millis(100));
        tab.until("document.querySelector('#signin').matches(':modal')");
        assert_eq!(tab.text(focused), "user");
    }
    tab.eval("document.querySelector('input[value=bearer]').click()");
    // The first token is not a valid header value, so it is not sent.
    for (token, refused) in [("t\u{f6}ken", NO_TOKEN), ("token", NOT_ACCEPTED)] {
        tab.eval("document.querySelector('#token').focus()");
        tab.write(token);
        tab.press("Enter");
        tab.until(&format!(
            "document.querySelector('#refused').textContent === '{refused}'"
        ));
        assert_eq!(tab.text(focused), "token");
        tab.eval("document.querySelector('#token').value = ''");
    }
    tab.eval("document.querySelector('input[value=basic]').click()");
    sign_in(tab, "ada", "wrong");
    tab.until("document.querySelector('#refused').textContent !== ''");
    assert_eq!(tab.text(focused), "password");
    assert_eq!(rows(tab), 0);
    sign_in(tab, "ada", "päss:word");
    tab.until(LIVE);
    tab.until(&format!("{LOADED} > 100"));
    let kept = "JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])";
    assert_eq!(tab.text(kept), "[0,0,\"\"]");
}

const NOT_ACCEPTED: &str = "These were not accepted.";
const NO_TOKEN: &str = "A token has no such characters.";

/// Signs in with keyboard events, like a user.
fn sign_in(tab: &mut Tab, user: &str, password: &str) {
    let field = "#user".in_page();
    tab.eval(&format!(
        "{field}.focus(); {field}.value = document.querySelector('#refused').textContent = ''"
    ));
    tab.write(user);
    tab.press("Tab");
    tab.write(password);
    tab.press("Enter");
}

/// A pending answer at the time of signing out must not be shown to the next user.
pub(crate) fn who_signs_out_leaves_nothing(tab: &mut Tab, served: &Served) {
    served.weather.store(HELD, Ordering::Relaxed);
    tab.eval("document.querySelector('#rows .row').click()");
    tab.until("document.querySelectorAll('#history li').length > 0");
    set(tab, "q", "backup_bdb");
    tab.until("document.querySelector('#said').textContent === 'Loading'");
    tab.eval("document.querySelector('#leave').click()");
    tab.until("document.querySelector('#signin').open");
    served.weather.store(0, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(500));
    leaves_nothing(tab);
    sign_in(tab, "ada", "päss:word");
    tab.until(&format!("{LOADED} > 100"));
}

pub(crate) fn who_is_known_no_more_leaves_nothing(tab: &mut Tab, served: &Served) {
    tab.eval("document.querySelector('#rows .row').click()");
    tab.until("document.querySelectorAll('#history li').length > 0");
    served.weather.store(401, Ordering::Relaxed);
    tab.until("document.querySelector('#signin').open");
    leaves_nothing(tab);
    served.weather.store(0, Ordering::Relaxed);
    sign_in(tab, "ada", "päss:word");
    tab.until(&format!("{LOADED} > 100"));
    // The open action stays open for a user who may see it.
    tab.until("document.querySelectorAll('#history li').length > 0");
}

fn leaves_nothing(tab: &mut Tab) {
    tab.until(
        "document.querySelectorAll('#rows .row, #history li, #card *, #parts *').length === 0",
    );
}
