//! Commits whose request or answer is lost.

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
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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
