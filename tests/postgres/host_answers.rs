//! The answers in a host's transaction, beside those of `write`.

use action_store::action::Version;
use action_store::query::Revision;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Finish, LogQuery,
    NewAction, Order, Outcome, OwnerRef, Query,
};
use sqlx::Connection;

use super::host::host;
use super::{Server, close_whole, new_schema, open};

/// Answers without what differs by its time and its random parts.
fn outline<R: std::fmt::Debug>(
    answers: &[Result<action_store::Done, R>],
) -> Vec<Result<(String, u64, String), String>> {
    let one = |answer: &Result<action_store::Done, R>| match answer {
        Ok(done) => {
            let action: Option<&Action> = done.action.as_deref();
            let (version, status) = action.map(|a| (a.version.get(), a.status)).unzip();
            Ok((
                format!("{:?}", done.effect),
                version.unwrap_or(0),
                format!("{status:?}"),
            ))
        }
        Err(rejection) => {
            let rejection = format!("{rejection:?}");
            let end = rejection.find([' ', '(']).unwrap_or(rejection.len());
            Err(rejection[..end].to_owned())
        }
    };
    answers.iter().map(one).collect()
}

/// Batches that create, repeat, change, clash, are refused, pin and remove.
fn story(owner: &OwnerRef) -> Vec<Batch> {
    let a = NewAction::task("a").with_idempotency_key("key");
    let b = NewAction::task("b").with_idempotency_key("key");
    let (uid, again) = (a.uid, a.clone());
    let start = Command::apply(uid, Change::Start).by(owner.clone());
    let stranger = Command::apply(uid, Change::Start).by(OwnerRef::new("stranger"));
    let end = Command::apply(uid, Change::Finish(Finish::succeeded())).by(owner.clone());
    let late = Command::apply(uid, Change::Finish(Finish::new(Outcome::Cancelled)));
    let short = NewAction::task("c").with_exclusive("c");
    let other = short.uid;
    let cancel = Change::Finish(Finish::new(Outcome::Cancelled));
    let cancel = Command::apply(other, cancel);
    let remove = |uid, version| Command::remove(uid, Version::new(version).unwrap());
    let missing = Command::apply(ActionUid::new(), Change::Start).by(owner.clone());
    vec![
        Batch::each(vec![Command::create(a), Command::create(again)]),
        Batch::each(vec![Command::create(b), stranger]),
        Batch::all(vec![start.clone(), missing.clone()]),
        Batch::each(vec![start.clone(), start]),
        Batch::each(vec![missing, end.clone()]),
        Batch::each(vec![end, late]),
        Batch::each(vec![Command::pin(uid, true), remove(uid, 3)]),
        Batch::each(vec![Command::pin(uid, false), Command::create(short)]),
        Batch::each(vec![remove(uid, 2), remove(uid, 3), remove(uid, 3)]),
        Batch::each(vec![
            Command::pin(uid, true),
            cancel,
            remove(other, 2),
            Command::create(NewAction::task("d")),
        ]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_in_a_hosts_transaction_are_those_of_write() {
    let name = "the_answers_in_a_hosts_transaction_are_those_of_write";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let owner = OwnerRef::new("plane");
    let mut outcomes = Vec::new();
    // By `write`, in one transaction of the host, and in one transaction for each batch.
    for way in 0..3 {
        let store = open(server, &new_schema()).await;
        store.command(Command::claim(owner.clone())).await.unwrap();
        let mut connection = host(server).await;
        let mut answers = Vec::new();
        let batches = story(&owner);
        match way {
            0 => {
                for batch in batches {
                    answers.push(outline(&store.write(batch).await.unwrap()));
                }
            }
            1 => {
                let mut transaction = connection.begin().await.unwrap();
                for batch in batches {
                    let answer = store.write_in(&mut transaction, batch).await.unwrap();
                    answers.push(outline(&answer));
                }
                transaction.commit().await.unwrap();
            }
            _ => {
                for batch in batches {
                    let mut transaction = connection.begin().await.unwrap();
                    let answer = store.write_in(&mut transaction, batch).await.unwrap();
                    answers.push(outline(&answer));
                    transaction.commit().await.unwrap();
                    // Stamps the change, so that the action can be removed.
                    store.list(&Query::new()).await.unwrap();
                }
            }
        }
        let page = store.list(&Query::new()).await.unwrap();
        let log = store.log(&LogQuery::all()).await.unwrap();
        let feed = store
            .list(&Query::new().with_order(Order::Feed))
            .await
            .unwrap();
        assert_eq!(feed.items, page.items);
        let kinds: Vec<_> = log.items.iter().map(|e| (e.kind, e.version)).collect();
        let pruned = page.at.pruned_through > Revision::ZERO;
        outcomes.push((answers, page.items.len(), kinds, page.at.actions, pruned));
        close_whole(store).await;
    }
    assert!(outcomes[0].0.iter().flatten().any(Result::is_err));
    assert_eq!(outcomes[1], outcomes[0]);
    assert_eq!(outcomes[2], outcomes[0]);
}
