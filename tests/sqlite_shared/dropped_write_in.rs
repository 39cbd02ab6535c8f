//! `write_in` dropped after every number of polls: in the host's transaction if it has answered, out
//! of it otherwise.

use action_store::{Batch, SqliteStore};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::drops::{POLLS, ROUNDS, WAYS, Way, claimed, is_whole, pair, victim};
use super::{poll_times, raw, run};

/// How a host ends the transaction in which a `write_in` was dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Commit,
    RollBack,
    Drop,
}

/// Writes in a transaction on one connection, drops that after so many polls, and ends it. Says
/// whether `write_in` had answered.
async fn write_in_dropped(
    store: &SqliteStore,
    connection: &mut SqliteConnection,
    batch: Batch,
    polls: usize,
    end: End,
) -> bool {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    run(
        &mut transaction,
        "INSERT INTO host (name) VALUES ('before')",
    )
    .await;
    let answer = poll_times(store.write_in(&mut transaction, batch), polls).await;
    if let Some(answers) = &answer {
        let answers = answers.as_ref().unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    // The host can go on in its transaction, even if the write inside it was dropped.
    run(&mut transaction, "INSERT INTO host (name) VALUES ('after')").await;
    match end {
        End::Commit => transaction.commit().await.unwrap(),
        End::RollBack => transaction.rollback().await.unwrap(),
        End::Drop => drop(transaction),
    }
    answer.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_is_in_the_hosts_transaction_if_and_only_if_it_has_answered() {
    for way in [Way::Shared, WAYS[2], WAYS[3]] {
        let mut v = victim(way).await;
        let owner = claimed(&v.store).await;
        let mut host = raw(&v.place.path).await;
        run(&mut host, "CREATE TABLE host (name TEXT)").await;
        let (mut there, mut not, mut rows) = (0, 0, 0);
        for polls in 0..POLLS {
            let mut answered = true;
            for end in [End::Commit, End::Commit, End::RollBack, End::Drop] {
                let what = format!("write_in on {way:?}, {polls} polls, {end:?}");
                let (batch, uids) = pair(&owner);
                let had_answered = match &v.pool {
                    Some(pool) => {
                        let mut connection = pool.acquire().await.unwrap();
                        write_in_dropped(&v.store, &mut connection, batch, polls, end).await
                    }
                    None => write_in_dropped(&v.store, &mut host, batch, polls, end).await,
                };
                answered &= had_answered;
                v.next_calls(&what).await;
                let whole = is_whole(&v.store, &uids, &what).await;
                if end == End::Commit {
                    rows += 2;
                    // Dropped means out, answered means in.
                    assert_eq!(whole, had_answered, "{what}: there, answered");
                    match whole {
                        true => there += 1,
                        false => not += 1,
                    }
                } else {
                    assert!(!whole, "{what}: it is there all the same");
                }
                let count = sqlx::query_scalar("SELECT count(*) FROM host");
                let count: i64 = count.fetch_one(&mut host).await.unwrap();
                assert_eq!(count, rows, "{what}: the host's own rows");
            }
            if answered {
                break;
            }
            assert!(polls + 1 < POLLS, "never answered on {way:?}");
        }
        assert!(there > 0 && not > 0, "{there} there, {not} not");
        host.close().await.unwrap();
        v.end(&format!("write_in on {way:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_that_waits_for_another_writer_is_in_if_and_only_if_it_has_answered() {
    let v = victim(Way::Shared).await;
    let owner = claimed(&v.store).await;
    let (mut host, mut other) = (raw(&v.place.path).await, raw(&v.place.path).await);
    run(&mut host, "CREATE TABLE host (name TEXT)").await;
    let (mut dropped, mut answered) = (0, 0);
    for polls in 0..POLLS {
        let mut all_answered = true;
        for _ in 0..ROUNDS {
            let what = format!("write_in beside another writer, {polls} polls");
            run(&mut other, "BEGIN IMMEDIATE").await;
            run(&mut other, "INSERT INTO host (name) VALUES ('other')").await;
            let mut transaction = host.begin().await.unwrap();
            let (batch, uids) = pair(&owner);
            let (answer, _) = tokio::join!(
                poll_times(v.store.write_in(&mut transaction, batch), polls),
                run(&mut other, "COMMIT"),
            );
            let has_answered = answer.map(Result::unwrap).is_some();
            transaction.commit().await.unwrap();
            let whole = is_whole(&v.store, &uids, &what).await;
            assert_eq!(whole, has_answered, "{what}: there, answered");
            match has_answered {
                true => answered += 1,
                false => dropped += 1,
            }
            all_answered &= has_answered;
        }
        if all_answered {
            break;
        }
        assert!(polls + 1 < POLLS, "never answered");
    }
    assert!(dropped > 0 && answered > 0, "{dropped}, {answered}");
    host.close().await.unwrap();
    other.close().await.unwrap();
    v.end("write_in beside another writer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_in_leaves_an_earlier_one_of_the_same_transaction() {
    let v = victim(Way::Shared).await;
    let owner = claimed(&v.store).await;
    let mut host = raw(&v.place.path).await;
    for polls in 0..POLLS {
        let what = format!("a second write_in, {polls} polls");
        let mut transaction = host.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let (first, first_uids) = pair(&owner);
        v.store.write_in(&mut transaction, first).await.unwrap();
        let (second, second_uids) = pair(&owner);
        let answer = poll_times(v.store.write_in(&mut transaction, second), polls).await;
        transaction.commit().await.unwrap();
        assert!(is_whole(&v.store, &first_uids, &what).await, "{what}");
        let whole = is_whole(&v.store, &second_uids, &what).await;
        assert_eq!(whole, answer.is_some(), "{what}: there, answered");
        if whole {
            break;
        }
        assert!(polls + 1 < POLLS, "never answered");
    }
    host.close().await.unwrap();
    v.end("two write_in in one transaction").await;
}
