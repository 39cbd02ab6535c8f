use std::sync::OnceLock;

use action_store::{Finish, MemoryStore, NewAction, Outcome};
use clap::Parser;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    targets: Targets,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_was_created_after_the_beginning_is_left_alone() {
    let store = Arc::new(MemoryStore::new());
    let new = || NewAction::task("many");
    // More than a page.
    for _ in 0..PAGE {
        store.create(new()).await.unwrap();
    }
    let newest = store.create(new()).await.unwrap().uid;
    let opened = Opened {
        store: store.clone(),
        sqlite: None,
    };
    let targets = Line::parse_from(["actions", "--name", "many", "--yes"]).targets;
    let late = OnceLock::new();
    let change = |_: &Action| {
        // While the first page is changed, the newest action ceases to match.
        late.get_or_init(|| {
            block_in_place(|| {
                Handle::current().block_on(async {
                    let end = Finish::new(Outcome::Interrupted);
                    store.finish(newest, end, None).await.unwrap();
                    store.create(new()).await.unwrap().uid
                })
            })
        });
        Change::Finish(Finish::new(Outcome::Cancelled))
    };
    let work = Work {
        applied: "ended",
        change,
        already: "ended before",
        cancel: None,
        spares_living: false,
    };
    let mut report = Report::new(work.applied);
    let mut out = Out::new(false);
    by_filter(&opened, &targets, &mut report, &work, &mut out)
        .await
        .unwrap();
    assert_eq!((report.changed, report.refused), (u64::from(PAGE), 1));
    let late = store.action(*late.get().unwrap()).await.unwrap().unwrap();
    assert!(late.is_unfinished());
}
