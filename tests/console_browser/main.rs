//! The console in a browser: `cargo test --all-features --test console_browser`. Without a Chromium
//! it is skipped, and says so, unless `ACTIONS_REQUIRE_TOOLS` is set; the test harness knows no
//! such end, so this has a main of its own.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod day;
mod devtools;
mod sign_in;

fn main() {
    let Some(browser) = devtools::Browser::start() else {
        let required = std::env::var_os("ACTIONS_REQUIRE_TOOLS").is_some();
        assert!(!required, "there must be a chromium here");
        println!("skipped: no chromium, so nobody has looked at the console");
        return;
    };
    browser::people_can_use_it(&browser);
    println!("test people_can_use_it ... ok");
}
