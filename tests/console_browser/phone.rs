//! The page on a phone.

use crate::browser::{InPage as _, click};
use crate::devtools::Tab;
use crate::list::waits_are_readable;

pub(crate) fn a_phone_shows_the_list_first(tab: &mut Tab) {
    tab.size(360, 740);
    tab.eval("scrollTo(0, 0)");
    let fits = "document.documentElement.scrollWidth <= 360";
    tab.until(&format!("innerWidth === 360 && {fits}"));
    // Rows begin in the upper half. The timeline and the filters are a press away.
    let top = "document.querySelector('#rows').getBoundingClientRect().top";
    tab.until(&format!("{top} < innerHeight / 2"));
    tab.picture("phone");
    for closed in ["#times", "#more"] {
        assert_eq!(tab.eval(&format!("{}.open", closed.in_page())), false);
        click(tab, &format!("{closed} > summary"));
        tab.until(&format!("{}.open && {fits}", closed.in_page()));
    }
    tab.until("document.querySelectorAll('#timeline g[data-uid]').length > 5");
    tab.picture("phone-open");
    for open in ["#times", "#more"] {
        click(tab, &format!("{open} > summary"));
    }
    waits_are_readable(tab);
    tab.eval("document.querySelectorAll('#rows .row')[9].click()");
    tab.until("document.querySelectorAll('#history li').length > 0");
    assert_eq!(tab.eval(fits), true);
    assert_eq!(tab.eval("document.querySelector('#main').inert"), true);
    tab.colours("dark");
    tab.picture("phone-detail");
    tab.press("Escape");
    tab.until("!document.querySelector('#main').inert");
    tab.picture("phone-dark");
    tab.colours("light");
    tab.size(1280, 900);
    tab.until("document.querySelector('#times').open");
}
