//! The tables of the guide list what is reported, and only that. No text of an action is reported.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captured;
mod guide;
mod scenario;

use std::collections::BTreeSet;

use captured::Captured;

#[test]
fn the_guide_lists_what_is_reported_and_only_that() {
    let captured = Captured::of(scenario::run);
    for (reported, heading) in [
        (captured.metrics(), "Metrics"),
        (captured.events(), "Events"),
        (captured.spans(), "Spans"),
    ] {
        let listed = guide::rows(heading);
        let missing: BTreeSet<_> = listed.difference(&reported).collect();
        let unlisted: BTreeSet<_> = reported.difference(&listed).collect();
        assert!(missing.is_empty(), "not reported: {missing:#?}");
        assert!(unlisted.is_empty(), "not in the guide: {unlisted:#?}");
    }
    let values = captured.values();
    assert!(values.contains("backup_bdb"), "{values:?}");
    for secret in scenario::SECRETS {
        let shown = values.iter().find(|value| value.contains(secret));
        assert_eq!(shown, None, "{secret} is reported");
    }
    scenario::check_numbers(&captured);
}
