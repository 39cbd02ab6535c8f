//! Work in a `tracing` span can be found by that span: the example of the option, with the usual
//! subscriber of a host.

use std::collections::BTreeSet;

use action_store::{ActionStoreExt, Filter, NewAction, Query, Tracker, TrackerOptions};
use tracing::{Instrument as _, Span, info_span};

use crate::spy::Spy;

#[tokio::test]
async fn actions_carry_the_number_of_the_span_they_were_begun_in() {
    let _subscribed = tracing::subscriber::set_default(tracing_subscriber::registry());
    let options = TrackerOptions::new().with_correlation(|| {
        let span = Span::current().id()?;
        Some(format!("span-{}", span.into_u64()).into())
    });
    let store = Spy::new();
    let tracker = Tracker::start_with(store.clone(), "plane", options);
    let tracker = tracker.await.unwrap();
    let (first, second) = (info_span!("request"), info_span!("request"));
    let begun = tracker.begin(NewAction::task("a"));
    let begun = begun.instrument(first.clone()).await.unwrap();
    let queued = tracker.enqueue(NewAction::task("b"));
    let queued = queued.instrument(second.clone()).await.unwrap();
    // A part of it, although it is begun outside of the span.
    let child = begun.begin_child(NewAction::task("c")).await.unwrap();
    let without = tracker.begin(NewAction::task("d")).await.unwrap();
    assert_eq!(without.action().correlation, None);
    // Parts of what has none, and a whole family.
    let part = without.begin_child(NewAction::task("e"));
    let part = part.instrument(second.clone()).await.unwrap();
    let third = info_span!("request");
    let family = tracker.begin_with_children(NewAction::task("f"), vec![NewAction::task("g")]);
    let (parent, children) = family.instrument(third.clone()).await.unwrap();
    for (span, uids) in [
        (first, vec![begun.uid(), child.uid()]),
        (second, vec![queued.uid, part.uid()]),
        (third, vec![parent.uid(), children[0].uid]),
    ] {
        let text = format!("span-{}", span.id().unwrap().into_u64());
        let query = Query::new().with_filter(Filter::Correlation(text.into()));
        let found = store.pages(query).collect().await.unwrap();
        let found: BTreeSet<_> = found.iter().map(|action| action.uid).collect();
        assert_eq!(found, uids.into_iter().collect());
    }
}
