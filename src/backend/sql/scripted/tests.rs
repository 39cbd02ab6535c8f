//! Tests of the writer: blocked batches, doubt, and closing.

use super::*;

#[tokio::test]
async fn a_blocked_batch_is_tried_again_and_holds_nobody_up() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocked = [vec![0], vec![0], vec![]].into();
    let store = start(&engine);
    let order = Mutex::new(Vec::new());
    let write = async |name| {
        let answer = create(&store).await;
        order.lock().unwrap().push(name);
        answer
    };
    // Sent in sequence, before the writer runs.
    let (blocked, other) = tokio::join!(write("blocked"), write("other"));
    assert!(is_applied(&blocked) && is_applied(&other));
    assert_eq!(*order.lock().unwrap(), ["other", "blocked"]);
    assert_eq!(engine.0.lock().unwrap().loads, [2, 1, 1]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_stays_blocked_is_withdrawn() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(engine.0.lock().unwrap().loads.len() > 1);
    // Its caller is gone, so the store can end.
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_another_one_disturbed_is_tried_again() {
    let engine = Scripted::default();
    let again = (Phase::Before, Failure::Again);
    engine.0.lock().unwrap().failures = [again, again].into();
    let store = start(&engine);
    assert!(is_applied(&create(&store).await));
    assert_eq!(engine.0.lock().unwrap().loads.len(), 3);
    engine.0.lock().unwrap().failures = [again, again, again].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    engine.0.lock().unwrap().failures = [(Phase::Before, Failure::Broken)].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(engine.0.lock().unwrap().loads.len(), 7);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_may_have_been_applied_is_not_withdrawn_when_it_is_blocked() {
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Commit, Failure::Broken));
        script.verdicts.push_back(Verdict::Overtaken);
        // The first load finds it free, and all others find it blocked.
        script.blocked.push_back(Vec::new());
        script.blocks_all = true;
    }
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert!(engine.0.lock().unwrap().loads.len() > 2);
    engine.0.lock().unwrap().blocks_all = false;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_outcome_cannot_be_found_out_is_unknown() {
    let engine = Scripted::default();
    let commit = (Phase::Commit, Failure::Broken);
    engine.0.lock().unwrap().failures = [commit, commit].into();
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    engine.0.lock().unwrap().verdicts = [Verdict::NotApplied].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

/// A time-out that no test reaches.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_error_after_a_doubtful_commit_does_not_say_that_nothing_was_applied() {
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Commit, Failure::Broken));
        script.verdicts.push_back(Verdict::Overtaken);
        let gone = StoreError::new(ErrorKind::Unavailable, "write", "the database is gone");
        let gone = gone.with_source(std::io::Error::other("the cable is cut"));
        script.connections = [None, Some(gone)].into();
    }
    let store = start_with(&engine, LONG);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(error.to_string(), "write: the database is gone");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the cable is cut");
    // The next batch has nothing to do with it.
    let gone = StoreError::new(ErrorKind::Unavailable, "write", "the database is gone");
    engine.0.lock().unwrap().connections = [Some(gone)].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_commit_was_refused_can_be_withdrawn() {
    // Of two batches, the first is tried alone for a long time.
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Before, Failure::OfOne));
        script.pauses = [Duration::ZERO, Duration::from_millis(300)].into();
    }
    let store = start(&engine);
    let (first, second) = tokio::join!(create(&store), create(&store));
    assert_eq!(first.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Unavailable);
    store.close().await.unwrap();
    assert_eq!(engine.0.lock().unwrap().loads, [2, 1]);

    // One that is tried again, and then found blocked.
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Before, Failure::Again));
        script.blocked.push_back(Vec::new());
        script.blocks_all = true;
    }
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_blocked_batch_is_dropped_once_its_caller_has_gone() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = Arc::new(start_with(&engine, LONG));
    let caller = {
        let store = store.clone();
        tokio::spawn(async move { create(&store).await })
    };
    let loads = || engine.0.lock().unwrap().loads.len();
    while loads() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    caller.abort();
    let dropped = async {
        while store.queued_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let dropped = tokio::time::timeout(Duration::from_secs(5), dropped).await;
    assert!(dropped.is_ok(), "still tried after {} loads", loads());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_close_does_not_wait_for_a_transaction_of_the_host() {
    for in_doubt in [false, true] {
        let engine = Scripted::default();
        {
            let mut script = engine.0.lock().unwrap();
            script.blocks_all = true;
            if in_doubt {
                script.failures.push_back((Phase::Commit, Failure::Broken));
                script.verdicts.push_back(Verdict::Overtaken);
                script.blocked.push_back(Vec::new());
            }
        }
        let store = start_with(&engine, LONG);
        let close = async {
            while engine.0.lock().unwrap().loads.len() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let closed = tokio::time::timeout(Duration::from_secs(5), store.close()).await;
            closed.expect("the close waits for the host").unwrap();
        };
        let (answer, ()) = tokio::join!(create(&store), close);
        let expected = match in_doubt {
            true => ErrorKind::OutcomeUnknown,
            false => ErrorKind::Closed,
        };
        assert_eq!(answer.unwrap_err().kind(), expected);
    }
}

#[tokio::test]
async fn a_close_tries_a_blocked_batch_once_more() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = start_with(&engine, LONG);
    let close = async {
        while engine.0.lock().unwrap().loads.len() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        engine.0.lock().unwrap().blocks_all = false;
        store.close().await.unwrap();
    };
    let (answer, ()) = tokio::join!(create(&store), close);
    assert!(is_applied(&answer));
}
