//! Tests that every list searches, and by the index that drives it.

use super::statistics::{SIZES, connection};
use super::{scans, steps};
use crate::backend::sql::{candidates, must_count};
use crate::backend::sqlite::list;
use crate::backend::sqlite::script::Script;
use crate::model::{
    AccessPath, ActionUid, Filter, ObjectRef, ObjectSet, Order, Outcome, OwnerRef, Query, Source,
    StateSet, Status, Timestamp,
};

/// A set of states that reads several indexes.
fn mixed() -> StateSet {
    StateSet::new()
        .with_status(Status::Executing)
        .with_outcomes([Outcome::Failed, Outcome::Lost])
}

fn every_term() -> Vec<Filter> {
    let uid = ActionUid::new();
    let owner = OwnerRef::new("o");
    vec![
        Filter::Uid(uid),
        Filter::Status(Status::Queued),
        Filter::Status(Status::Completed),
        Filter::Unfinished,
        Filter::Outcome(Outcome::Failed),
        Filter::Outcome(Outcome::Succeeded),
        Filter::Source(Source::Task),
        Filter::Name("n".into()),
        Filter::NamePrefix("n".into()),
        Filter::label("region", "eu-1"),
        Filter::label_key("region"),
        Filter::States(mixed()),
        Filter::States(StateSet::UNFINISHED),
        Filter::States(StateSet::new()),
        Filter::States(StateSet::ALL),
        Filter::Object(ObjectRef::bdb(1)),
        Filter::Touches(ObjectRef::bdb(1)),
        Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1), ObjectRef::bdb(2)])),
        Filter::Tenant("default".into()),
        Filter::Tenant("t".into()),
        Filter::Actor("a".into()),
        Filter::OwnerName(owner.name.clone()),
        Filter::Owner(owner),
        Filter::Parent(uid),
        Filter::RetryOf(uid),
        Filter::Correlation("c".into()),
        Filter::CreatedFrom(Timestamp::from_seconds(1)),
        Filter::CreatedBefore(Timestamp::from_seconds(1)),
        Filter::FinishedFrom(Timestamp::from_seconds(1)),
        Filter::FinishedBefore(Timestamp::from_seconds(1)),
        Filter::CancelRequested,
    ]
}

/// The scripts that a page may run: the counting of its indexes, and the page by each of them.
fn every_script(query: &Query) -> Vec<Script> {
    let paths = candidates(query);
    let mut scripts = Vec::new();
    for path in &paths {
        scripts.push(list::script(query, path, false).unwrap());
        // All rows are never few.
        if *path != AccessPath::All {
            scripts.push(list::script(query, path, true).unwrap());
        }
    }
    if must_count(query, &paths) {
        scripts.push(list::count_script(query, &paths).unwrap());
    }
    scripts
}

#[tokio::test]
async fn every_list_searches_by_the_index_that_drives_it() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let filters = every_term();
        for order in [Order::Newest, Order::Oldest, Order::Finished, Order::Feed] {
            for first in &filters {
                for second in &filters {
                    let query = Query::new().with_order(order);
                    let query = query.with_filter(first.clone()).with_filter(second.clone());
                    for script in every_script(&query) {
                        let found = scans(&mut connection, &script).await;
                        assert!(found.is_empty(), "{query:?}\n{}", found.join("\n"));
                    }
                }
            }
            for script in every_script(&Query::new().with_order(order)) {
                assert_eq!(scans(&mut connection, &script).await, [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn each_driving_term_uses_its_own_index() {
    let (_dir, mut connection) = connection(None).await;
    let uid = ActionUid::new();
    let owner = OwnerRef::new("o");
    let cases = [
        (vec![], "a USING INTEGER PRIMARY KEY (rowid<?)"),
        (
            vec![Filter::Unfinished],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::Status(Status::Queued)],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::Outcome(Outcome::Lost)],
            "actions_action_ended (outcome=? AND number<?)",
        ),
        (
            vec![Filter::Name("n".into())],
            "actions_action_name (name=? AND number<?)",
        ),
        (
            vec![Filter::NamePrefix("n".into())],
            "actions_action_name (name=? AND number>? AND number<?)",
        ),
        (
            vec![Filter::label("region", "eu-1")],
            "t USING PRIMARY KEY (label=? AND action<?)",
        ),
        (
            vec![Filter::label_key("region")],
            "t USING PRIMARY KEY (label=? AND action<?)",
        ),
        (
            vec![Filter::States(StateSet::UNFINISHED)],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::States(mixed())],
            "actions_action_ended (outcome=? AND number<?)",
        ),
        (vec![Filter::States(mixed())], "MERGE (UNION ALL)"),
        (
            vec![Filter::Object(ObjectRef::bdb(1))],
            "t USING PRIMARY KEY (object=? AND action<?)",
        ),
        (
            vec![Filter::Touches(ObjectRef::bdb(1))],
            "t USING PRIMARY KEY (object=? AND action<?)",
        ),
        (
            vec![Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1)]))],
            "t USING PRIMARY KEY (object=? AND action>? AND action<?)",
        ),
        (
            vec![
                Filter::Uid(uid),
                Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1)])),
            ],
            "t USING PRIMARY KEY (object=? AND action=?)",
        ),
        (
            vec![Filter::Uid(uid)],
            "u USING COVERING INDEX sqlite_autoindex_actions_action_1 (uid<?)",
        ),
        (
            vec![Filter::Tenant("t".into())],
            "actions_action_tenant (tenant=? AND number<?)",
        ),
        (
            vec![Filter::OwnerName("o".into()), Filter::Unfinished],
            "actions_action_owner (owner=? AND number<?)",
        ),
        (
            vec![
                Filter::OwnerName("o".into()),
                Filter::Unfinished,
                Filter::CancelRequested,
            ],
            "actions_action_cancel (owner=? AND number<?)",
        ),
        (
            vec![Filter::Owner(owner), Filter::Unfinished],
            "actions_action_owner (owner=? AND number<?)",
        ),
        (
            vec![Filter::Parent(uid)],
            "actions_action_parent (parent=? AND number<?)",
        ),
        (
            vec![Filter::RetryOf(uid)],
            "actions_action_retry (retry_of=? AND number<?)",
        ),
        (
            vec![Filter::Correlation("c".into())],
            "actions_action_correlation (correlation=? AND number<?)",
        ),
    ];
    for (filters, expected) in cases {
        let mut query = Query::new();
        query.filters.clone_from(&filters);
        let paths = candidates(&query);
        let script = list::script(&query, &paths[0], false).unwrap();
        let steps = steps(&mut connection, &script).await;
        let rows = steps.iter().filter(|(_, sql)| sql.contains("a.body"));
        let found: Vec<&str> = rows.map(|(step, _)| step.as_str()).collect();
        assert!(
            found.iter().any(|step| step.contains(expected)),
            "{filters:?}: {found:#?}"
        );
        // Only numbers are sorted when several objects are combined; rows never are.
        let numbers = found.iter().position(|step| *step == "SCAN n");
        let rows = &found[numbers.unwrap_or(0)..];
        assert!(
            !rows.iter().any(|step| step.contains("TEMP B-TREE")),
            "{filters:?}: {found:#?}"
        );
    }
}
