//! The console in a browser: `cargo test --all-features --test console_browser`. Without
//! a Chromium the test is skipped with a message, unless `ACTIONS_REQUIRE_TOOLS` is set.
//! The test harness cannot skip a test at run time, so this program has its own `main`.
// Helpers of tests are test code, but clippy recognises only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod axe;
mod browser;
mod connection;
mod day;
mod detail;
mod devtools;
mod finding;
mod list;
mod phone;
mod sign_in;
mod timeline;

fn main() {
    let Some(browser) = devtools::Browser::start() else {
        let required = std::env::var_os("ACTIONS_REQUIRE_TOOLS").is_some();
        assert!(
            !required,
            "ACTIONS_REQUIRE_TOOLS is set, but there is no chromium in PATH"
        );
        println!("skipped: no chromium in PATH, so the console was not tested");
        return;
    };
    browser::people_can_use_it(&browser);
    println!("test people_can_use_it ... ok");
}
