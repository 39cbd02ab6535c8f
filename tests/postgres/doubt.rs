//! Commits whose request or answer is lost.

use std::time::{Duration, Instant};

use action_store::{ActionStore, ActionStoreExt, CancelRequest, NewAction, PostgresOptions};

use super::proxy::{Cut, Proxy};
use super::{Server, close_whole, new_schema, open};

/// The store looks up what became of the commit before it answers: the callers notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_looked_up() {
    let Some(server) = Server::shared("a_commit_whose_answer_is_lost_is_looked_up") else {
        return;
    };
    let schema = new_schema();
    let proxy = Proxy::start(server.port).await;
    let url = format!("postgres://actions@127.0.0.1:{}/postgres", proxy.port);
    let options = PostgresOptions::new().with_schema(&schema);
    let store = options.connect(&url).await.unwrap();
    let other = open(server, &schema).await;
    for cut in [Cut::Answer, Cut::Request, Cut::Late, Cut::Nothing] {
        for beside in [false, true] {
            proxy.cut_next(cut);
            let new = NewAction::task(format!("{cut:?}"));
            let uid = new.uid;
            let (created, _) = tokio::join!(store.create(new), async {
                // Another writer commits while it is in doubt.
                if beside {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    other.create(NewAction::task("beside")).await.unwrap();
                }
            });
            assert!(proxy.has_cut(), "{cut:?}");
            let created = created.unwrap_or_else(|error| panic!("{cut:?}: {error:?}"));
            let found = other.action(uid).await.unwrap();
            assert_eq!(found.as_ref(), Some(&created), "{cut:?}");
            assert_eq!(created.version.get(), 1);
            let request = CancelRequest::new();
            proxy.cut_next(cut);
            let cancelled = store.request_cancel(uid, request).await.unwrap();
            assert_eq!(cancelled.version.get(), 2, "{cut:?}");
        }
    }
    other.close().await.unwrap();
    close_whole(store).await;
}

/// The action is there, so the answer must not be that it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_whose_commit_fails_may_have_been_applied() {
    let Some(server) = Server::shared("a_repeat_whose_commit_fails_may_have_been_applied") else {
        return;
    };
    let proxy = Proxy::start(server.port).await;
    let url = format!("postgres://actions@127.0.0.1:{}/postgres", proxy.port);
    let options = PostgresOptions::new().with_schema(new_schema());
    let store = options.connect(&url).await.unwrap();
    let new = NewAction::task("repeated");
    store.create(new.clone()).await.unwrap();
    proxy.cut_next(Cut::Repeats);
    let error = store.create(new.clone()).await.unwrap_err();
    assert!(format!("{error:?}").contains("OutcomeUnknown"), "{error:?}");
    proxy.cut_next(Cut::Nothing);
    store.create(new).await.unwrap();
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_without_an_answer_is_given_up_before_the_call_is() {
    let name = "a_load_without_an_answer_is_given_up_before_the_call_is";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let proxy = Proxy::start(server.port).await;
    let url = format!("postgres://actions@127.0.0.1:{}/postgres", proxy.port);
    let options = PostgresOptions::new().with_schema(new_schema());
    let store = options.connect(&url).await.unwrap();
    let begun = Instant::now();
    proxy.cut_next(Cut::Silence);
    store.create(NewAction::task("silence")).await.unwrap();
    assert!(proxy.has_cut());
    let took = begun.elapsed();
    let expected = Duration::from_secs(9)..Duration::from_secs(20);
    assert!(expected.contains(&took), "{took:?}");
    close_whole(store).await;
}
