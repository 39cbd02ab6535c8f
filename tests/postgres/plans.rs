//! No statement of a store reads more rows than it may, whatever the server knows about the tables.
//! The server chooses plans by its statistics. So the plans are checked without statistics, with
//! statistics of one action in a store that has grown since, and with true ones.
//!
//! `PLAN_ROWS` says how many actions the store has (32,000 unless set). Of the pairs of filters, one
//! in `PLAN_PAIRS` is listed (29 unless set).

mod dataset;
mod explained;

use std::collections::BTreeSet;
use std::time::Duration;

use action_store::action::ObjectSet;
use action_store::command::{CancelAll, OpId};
use action_store::owner::OwnerQuery;
use action_store::query::StateSet;
use action_store::retention::{self, Retention};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Filter, Finish,
    Limits, LogQuery, NewAction, ObjectRef, Order, Outcome, OwnerRef, PostgresOptions,
    PostgresStore, Query, Report, Source, Status, Timestamp,
};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use self::dataset::{BEGUN, Common, Dataset};
use self::explained::{Plan, Plans, Step};
use super::server::Server;
use super::{asked_for, close_whole, new_schema, sql};

/// Rows that one step of a plan may read: those that a page examines, and a page.
const MOST_ROWS: u64 = Limits::SCAN as u64 + Limits::PAGE as u64 + 1;

/// The tables with a few rows for each action.
const LARGE: [&str; 6] = [
    "actions_action",
    "actions_feed",
    "actions_key",
    "actions_label",
    "actions_log",
    "actions_touch",
];

/// The indexes of tables with a few rows, which are read when a store is opened.
const UNREAD: [&str; 3] = [
    "actions_schema_pkey",
    "actions_branch_pkey",
    "actions_branch_branch_key",
];

/// A set of states that reads several indexes.
fn mixed() -> StateSet {
    StateSet::new()
        .with_status(Status::Executing)
        .with_outcomes([Outcome::Failed, Outcome::Lost])
}

/// Filters that match half of all actions, and some that match few or none.
fn every_filter(common: &Common, uid: ActionUid, rows: usize) -> Vec<Filter> {
    let middle = Timestamp::from_seconds(BEGUN + rows as i64 / 2);
    let objects = |numbers: [u64; 2]| ObjectSet::new(numbers.map(ObjectRef::bdb));
    vec![
        Filter::Uid(uid),
        Filter::Status(Status::Queued),
        Filter::Status(Status::Executing),
        Filter::Status(Status::Completed),
        Filter::Unfinished,
        Filter::Outcome(Outcome::Failed),
        Filter::Outcome(Outcome::Succeeded),
        Filter::Outcome(Outcome::Lost),
        Filter::Source(Source::Task),
        Filter::Source(Source::Other),
        Filter::Name("n".into()),
        Filter::Name("nn7".into()),
        Filter::NamePrefix("n".into()),
        Filter::NamePrefix("nn49".into()),
        Filter::label("region", "eu-1"),
        Filter::label("region", "r-7"),
        Filter::label_key("region"),
        Filter::States(mixed()),
        Filter::States(StateSet::UNFINISHED),
        Filter::States(StateSet::new()),
        Filter::States(StateSet::ALL),
        Filter::Object(ObjectRef::bdb(1)),
        Filter::Touches(ObjectRef::bdb(1)),
        Filter::Touches(ObjectRef::bdb(7)),
        Filter::TouchesAny(objects([1, 2])),
        Filter::TouchesAny(objects([3, 4])),
        Filter::Tenant("default".into()),
        Filter::Tenant("t".into()),
        Filter::Tenant("nobody".into()),
        Filter::Actor("a".into()),
        Filter::Actor("nobody".into()),
        Filter::OwnerName(common.owner.name.clone()),
        Filter::Owner(common.owner.clone()),
        Filter::OwnerName("nobody".into()),
        Filter::Parent(common.parent),
        Filter::Parent(ActionUid::new()),
        Filter::RetryOf(common.retry_of),
        Filter::Correlation("c".into()),
        Filter::Correlation("request-7".into()),
        Filter::CreatedFrom(middle),
        Filter::CreatedBefore(middle),
        Filter::FinishedFrom(middle),
        Filter::FinishedBefore(middle),
        Filter::FinishedFrom(Timestamp::from_seconds(BEGUN + rows as i64 + 86_400)),
        Filter::CancelRequested,
    ]
}

/// A store whose plans are read, and what was wrong with them.
struct Checked<'s> {
    store: &'s PostgresStore,
    plans: Plans,
    /// The state of the store and of its statistics.
    state: String,
    rows: usize,
    wrong: Vec<String>,
    /// The tables and indexes that were read.
    read: BTreeSet<String>,
    count: usize,
}

impl Checked<'_> {
    /// Checks the plans of what was sent since the last call.
    async fn check(&mut self, what: &str) {
        for plan in self.plans.take().await {
            self.count += 1;
            let steps = plan.scans().flat_map(|step| [&step.table, &step.index]);
            self.read.extend(steps.filter(|of| !of.is_empty()).cloned());
            let faults = faults(&plan, self.rows);
            if !faults.is_empty() {
                let Plan { sql, json, .. } = &plan;
                let (state, faults) = (&self.state, faults.join(", "));
                self.wrong
                    .push(format!("{state}: {what}: {faults}\n{sql}\n{json:#}\n"));
            }
        }
    }

    async fn list(&mut self, query: Query) {
        let page = self.store.list(&query).await.unwrap();
        self.check(&format!("{query:?}")).await;
        if page.next.is_some() {
            let query = query.with_after(page.next);
            self.store.list(&query).await.unwrap();
            self.check(&format!("{query:?}")).await;
        }
    }
}

/// Returns the faults of a plan in a store of so many actions.
fn faults(plan: &Plan, rows: usize) -> Vec<String> {
    let mut faults = Vec::new();
    for Step {
        kind,
        table,
        index,
        rows: read,
        ..
    } in &plan.steps
    {
        let of = format!("{kind} {table} {index}");
        if *read > MOST_ROWS {
            faults.push(format!("{of} reads {read} rows"));
        }
        if kind.ends_with("Seq Scan") && LARGE.contains(&table.as_str()) && rows > 1000 {
            faults.push(format!("{of} reads the whole table"));
        }
    }
    // An index that skips entries shows no rows of them. Each row that is found costs a path
    // through an index, and a row of the table.
    let found = plan.scans().map(|step| step.rows + step.loops);
    let most = 5 * found.sum::<u64>() + 200;
    // The statements inside triggers and functions have plans of their own.
    let is_own = plan.json["Node Type"] != "ModifyTable" && plan.scans().next().is_some();
    if plan.blocks > most && is_own {
        faults.push(format!("{} blocks; at most {most} are useful", plan.blocks));
    }
    faults
}

const ORDERS: [Order; 4] = [Order::Newest, Order::Oldest, Order::Finished, Order::Feed];

/// Writes in a host's transaction, whose settings may be any.
async fn write_in_a_hosts_transaction(checked: &mut Checked<'_>, url: &str) {
    let store = checked.store;
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let new = NewAction::task("h").with_idempotency_key("host's");
    let uid = new.uid;
    let batch = Batch::each(vec![Command::create(new)]);
    store.write_in(&mut transaction, batch).await.unwrap();
    transaction.commit().await.unwrap();
    // Stamps it.
    store
        .finish(uid, Finish::new(Outcome::Cancelled), None)
        .await
        .unwrap();
    let version = store.action(uid).await.unwrap().unwrap().version;
    let mut transaction = connection.begin().await.unwrap();
    let batch = Batch::each(vec![Command::remove(uid, version)]);
    store.write_in(&mut transaction, batch).await.unwrap();
    transaction.commit().await.unwrap();
    connection.close().await.unwrap();
    store.changed(None).await.unwrap();
    checked.check("host").await;
}

/// Lists by each filter, and by each two of them, or by one of so many pairs.
async fn list_everything(checked: &mut Checked<'_>, dataset: &Dataset, every: usize) {
    let uid = dataset.uids[dataset.uids.len() / 2];
    let filters = every_filter(&dataset.common, uid, dataset.uids.len());
    for order in ORDERS {
        let query = || Query::new().with_order(order);
        checked.list(query()).await;
        let requested = query().with_filter(Filter::CancelRequested);
        let requested = requested.with_filter(Filter::Unfinished);
        let name = dataset.common.owner.name.clone();
        checked
            .list(requested.with_filter(Filter::OwnerName(name)))
            .await;
        for (place, first) in filters.iter().enumerate() {
            checked.list(query().with_filter(first.clone())).await;
            let others = filters[place + 1..].iter().enumerate();
            for (_, second) in others.filter(|(other, _)| (other + 7 * place) % every == 0) {
                let query = query().with_filter(first.clone());
                let query = query.with_filter(second.clone());
                checked.store.list(&query).await.unwrap();
                checked.check(&format!("{query:?}")).await;
            }
        }
    }
}

async fn read_everything(checked: &mut Checked<'_>, dataset: &Dataset) {
    let store = checked.store;
    let middle = dataset.uids[dataset.uids.len() / 2];
    store.get(&[middle]).await.unwrap();
    let many: Vec<ActionUid> = dataset.uids.iter().copied().take(1000).collect();
    store.get(&many).await.unwrap();
    store.get(&[ActionUid::new()]).await.unwrap();
    checked.check("get").await;
    for query in [
        LogQuery::of(middle),
        LogQuery::of(ActionUid::new()),
        LogQuery::all(),
    ] {
        let page = store.log(&query.with_limit(2)).await.unwrap();
        let next = page.next;
        if next.is_some() {
            store.log(&LogQuery::all().with_after(next)).await.unwrap();
        }
        checked.check("log").await;
    }
    let named = || OwnerQuery::new().with_name("o");
    for query in [
        OwnerQuery::new(),
        OwnerQuery::active(),
        named(),
        named().with_limit(1),
    ] {
        store.owners(&query).await.unwrap();
        checked.check("owners").await;
    }
    for filters in [
        vec![],
        vec![Filter::Name("n".into())],
        vec![Filter::Tenant("t".into())],
    ] {
        for bound in [100, 10_000] {
            store.count(&filters, bound).await.unwrap();
            checked.check("counts").await;
        }
    }
    let at = store.changed(None).await.unwrap().revision;
    let waited = tokio::time::timeout(Duration::from_millis(50), store.changed(Some(at))).await;
    assert!(waited.is_err());
    checked.check("changed").await;
    for policy in [
        Retention::new(),
        Retention::new().with_keep_last(3),
        Retention::keep_all().with_cap(Some(dataset.uids.len().div_ceil(2) as u64)),
    ] {
        let now = Timestamp::from_seconds(BEGUN + dataset.uids.len() as i64 + 86_400 * 3650);
        let mut plan = retention::plan(store, &policy, now);
        for _ in 0..5 {
            let page = plan.next().await.unwrap();
            checked.check("retention").await;
            if page.is_none() {
                break;
            }
        }
    }
    retention::history_complete_since(store).await.unwrap();
    let request = CancelRequest::new();
    let all = CancelAll::new(request).with_filter(Filter::Tenant("t".into()));
    let all = all.with_dry_run(true).with_limit(10);
    assert!(store.cancel_all(&all).await.error.is_none());
    checked.check("cancel all").await;
}

/// Writes each kind of command, and leaves as many actions behind as before.
async fn write_everything(checked: &mut Checked<'_>, dataset: &Dataset) {
    let store = checked.store;
    let owner = OwnerRef::new("p");
    let claim = Command::claim(owner.clone()).with_take_over(true);
    store.command(claim).await.unwrap();
    store.command(Command::renew(owner.clone())).await.unwrap();
    checked.check("claim").await;
    let new = || {
        NewAction::state_machine("w", ObjectRef::bdb(1))
            .with_parent(dataset.common.parent)
            .with_label("region", "eu-1")
            .exclusive_on_object()
            .with_idempotency_key("key")
    };
    let action = new();
    let uid = action.uid;
    store.create(action).await.unwrap();
    checked.check("create").await;
    // Found by its key.
    store.create(new()).await.unwrap();
    checked.check("create again").await;
    store.start(uid, &owner).await.unwrap();
    let step = Change::Report(Report::new().with_step("step"));
    let step = Command::apply(uid, step)
        .by(owner.clone())
        .with_op(OpId::new());
    store.command(step.clone()).await.unwrap();
    store.command(step).await.unwrap();
    // Enough for the log to lose its oldest ones.
    let steps = (0..Limits::LOG_ENTRIES + 4).map(|step| {
        let report = Report::new().with_step(format!("{step}"));
        Command::apply(uid, Change::Report(report)).by(owner.clone())
    });
    let steps: Vec<Command> = steps.collect();
    for steps in steps.chunks(100) {
        store.write(Batch::all(steps.to_vec())).await.unwrap();
    }
    store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap();
    checked.check("life").await;
    store.pin(uid, true).await.unwrap();
    store.pin(uid, false).await.unwrap();
    let version = store.action(uid).await.unwrap().unwrap().version;
    store.command(Command::remove(uid, version)).await.unwrap();
    checked.check("remove").await;
    store.command(Command::release(owner)).await.unwrap();
    checked.check("release").await;
    let uids = dataset.uids.iter().copied().take(100);
    let noted = uids.map(|uid| Command::pin(uid, true)).collect();
    store.write(Batch::each(noted)).await.unwrap();
    checked.check("many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_reads_a_bounded_number_of_rows_by_an_index() {
    let name = "every_statement_reads_a_bounded_number_of_rows_by_an_index";
    if Server::shared(name).is_none() {
        return;
    }
    let rows = usize::try_from(asked_for("PLAN_ROWS", 32_000)).unwrap();
    let server = explained::server();
    let schema = new_schema();
    let options = PostgresOptions::new().with_schema(&schema);
    let filling = options.clone().connect(&server.url()).await.unwrap();
    let url = explained::url(&server);
    let store = options.connect(&url).await.unwrap();
    let mut dataset = Dataset::record().await;
    dataset.grow(&filling, 1).await;
    let mut checked = Checked {
        store: &store,
        plans: Plans::of(&server).await,
        state: String::new(),
        rows: 1,
        wrong: Vec::new(),
        read: BTreeSet::new(),
        count: 0,
    };
    let tables =
        format!("SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = '{schema}'::regnamespace");
    let analyze = format!(
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT c.oid::regclass::text FROM pg_class AS c \
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' LOOP \
         EXECUTE 'ANALYZE ' || name; END LOOP; END $$"
    );
    let forget = format!(
        "DELETE FROM pg_statistic WHERE starelid IN ({tables}); \
         UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid IN ({tables})"
    );
    let steps = [
        (1, None, "one action, never analyzed"),
        (1, Some(&analyze), "one action, analyzed"),
        (rows, None, "analyzed with one action"),
        (rows, Some(&forget), "never analyzed"),
        (rows, Some(&analyze), "analyzed"),
    ];
    let every = usize::try_from(asked_for("PLAN_PAIRS", 29)).unwrap();
    for (rows, before, state) in steps {
        dataset.grow(&filling, rows).await;
        if let Some(sql) = before {
            checked.plans.run(sql.clone()).await;
        }
        (checked.rows, checked.state) = (rows, state.to_owned());
        checked.plans.take().await;
        read_everything(&mut checked, &dataset).await;
        write_everything(&mut checked, &dataset).await;
        write_in_a_hosts_transaction(&mut checked, &url).await;
        list_everything(&mut checked, &dataset, every).await;
    }
    let Checked {
        wrong, read, count, ..
    } = checked;
    let first = wrong.first().map_or("", String::as_str);
    let heads = wrong.iter().filter_map(|wrong| wrong.lines().next());
    let heads: BTreeSet<&str> = heads.collect();
    assert!(
        wrong.is_empty(),
        "{} of {count} plans: {heads:#?}\n{first}",
        wrong.len()
    );
    // No index is there in vain, and nothing was left out above.
    let indexes = format!(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid \
         WHERE c.relnamespace = '{schema}'::regnamespace"
    );
    let indexes = sql(&server.url(), indexes).await.unwrap();
    let indexes = indexes.iter().map(|row| row.get::<String, _>(0));
    let unread: Vec<String> = indexes.filter(|index| !read.contains(index)).collect();
    assert_eq!(unread, UNREAD);
    filling.close().await.unwrap();
    close_whole(store).await;
}
