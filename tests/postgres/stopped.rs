//! A process that is stopped while it may hold the lock of all writers.

use std::path::Path;
use std::time::{Duration, Instant};

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Filter, Finish,
    NewAction, Outcome, OwnerRef, PostgresOptions, Query, Report, StoreErrorKind,
};

use super::children::{Child, say};
use super::host_limits::create_large;
use super::proxy::{Cut, Proxy};
use super::{Server, close_whole, new_schema, open};

/// Number of large actions that each transaction of the child loads and writes: 6 MB.
const LARGE: usize = 100;

/// Writes large transactions as an owner until it hears that it was fenced.
pub(crate) async fn write_until_fenced(url: &Path, schema: &str) {
    let options = PostgresOptions::new().with_schema(schema);
    let store = options.connect(url.to_str().unwrap()).await.unwrap();
    let owner = OwnerRef::new("stopped");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let uids = create_large(&store, LARGE).await;
    let start = |uid: &ActionUid| Command::apply(*uid, Change::Start).by(owner.clone());
    let batch = Batch::all(uids.iter().map(start).collect());
    store.write(batch).await.unwrap();
    say("ready");
    for round in 0.. {
        let report = || Change::Report(Report::new().with_description(format!("{round}")));
        let report = |uid: &ActionUid| Command::apply(*uid, report()).by(owner.clone());
        let mut commands: Vec<Command> = uids.iter().map(report).collect();
        let small = NewAction::task("small");
        let start = Command::apply(small.uid, Change::Start).by(owner.clone());
        commands.extend([Command::create(small).by(owner.clone()), start]);
        match store.write(Batch::all(commands)).await {
            Ok(answers) if answers.iter().all(Result::is_ok) => {}
            Ok(_) => break,
            Err(error) => assert_ne!(error.kind(), StoreErrorKind::Closed, "{error}"),
        }
    }
    say("fenced");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_loses_the_lock_and_writes_nothing_later() {
    let name = "a_process_that_is_stopped_loses_the_lock_and_writes_nothing_later";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let mut late = 0;
    let mut waits = Vec::new();
    for round in 0..2_u64 {
        let schema = new_schema();
        let store = open(server, &schema).await;
        let mut child = Child::start("writer", Path::new(&server.url()), &schema);
        assert_eq!(child.heard().as_deref(), Some("ready"));
        tokio::time::sleep(Duration::from_millis(300 + 330 * round)).await;
        child.stop();
        let begun = Instant::now();
        let heir = OwnerRef::new("stopped");
        while let Err(error) = store.command(Command::claim(heir.clone())).await {
            assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        }
        waits.push(begun.elapsed());
        let left = Query::new()
            .with_filter(Filter::Unfinished)
            .with_limit(1000);
        let left = store.pages(left).collect().await.unwrap();
        let mut settled = Vec::new();
        for action in left {
            let lost = Finish::new(Outcome::Lost);
            settled.push(store.finish(action.uid, lost, None).await.unwrap());
        }
        assert!(settled.len() >= LARGE);
        let at = store.changed(None).await.unwrap().revision;
        child.go_on();
        assert_eq!(child.heard().as_deref(), Some("fenced"));
        assert!(child.ended().success());
        late += store.changed(None).await.unwrap().revision.get() - at.get();
        for lost in settled {
            let now = store.action(lost.uid).await.unwrap().unwrap();
            late += u64::from(now.version != lost.version);
        }
        close_whole(store).await;
    }
    println!("late writes accepted {late}; the heir waited {waits:?}");
    assert_eq!(late, 0);
}

/// The server is in the middle of sending, so it does not count as idle.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_while_it_receives_data_loses_the_lock() {
    let name = "a_process_that_is_stopped_while_it_receives_data_loses_the_lock";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let proxy = Proxy::start(server.port).await;
    let url = format!("postgres://actions@127.0.0.1:{}/postgres", proxy.port);
    let options = PostgresOptions::new().with_schema(&schema);
    let stopped = options.connect(&url).await.unwrap();
    let store = open(server, &schema).await;
    let uids = create_large(&store, 300).await;
    let cancel = || Change::RequestCancel(CancelRequest::new());
    let cancel = |uid: &ActionUid| Command::apply(*uid, cancel());
    let batch = Batch::all(uids.iter().map(cancel).collect());
    proxy.cut_next(Cut::Unread);
    let large = tokio::spawn(async move {
        let answer = stopped.write(batch).await;
        (stopped, answer)
    });
    while !proxy.has_cut() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    while let Err(error) = store.create(NewAction::task("other")).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
    }
    let waited = begun.elapsed();
    println!("the other store waited {waited:?}");
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    let (stopped, answer) = large.await.unwrap();
    // Tried again on another connection.
    assert!(answer.unwrap().iter().all(Result::is_ok));
    stopped.close().await.unwrap();
    close_whole(store).await;
}
