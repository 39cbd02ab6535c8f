//! A file is damaged: bits flip, pages are lost, exchanged or cut off. Each answer is right, or says
//! that the store is damaged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_store::action::ObjectSet;
use action_store::owner::{Owner, OwnerQuery};
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Change, Command, Cursor, Filter,
    Finish, Json, LogEntry, LogQuery, NewAction, ObjectRef, Order, Outcome, OwnerRef, Page, Query,
    RelatedObject, Report, SqliteOptions, SqliteStore, StoreError, StoreErrorKind, Timestamp,
};

use super::attack::{Dice, asked_for, raw, run};
use super::place;

const ACTIONS: usize = 1000;
const PAGE: usize = 4096;

/// One way to damage a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { byte: usize, bit: u8 },
    Zero { page: usize },
    Swap { page: usize, other: usize },
    Truncate { pages: usize },
}

impl Damage {
    fn draw(dice: &Dice, pages: usize) -> Damage {
        // Not the first page: a file without its header is not a database.
        let page = || 1 + dice.roll(pages as u64 - 1) as usize;
        match dice.roll(4) {
            0 => Damage::Flip {
                byte: PAGE + dice.roll(((pages - 1) * PAGE) as u64) as usize,
                bit: dice.roll(8) as u8,
            },
            1 => Damage::Zero { page: page() },
            2 => Damage::Swap {
                page: page(),
                other: page(),
            },
            _ => Damage::Truncate { pages: page() },
        }
    }

    fn apply(self, file: &mut Vec<u8>) {
        match self {
            Damage::Flip { byte, bit } => file[byte] ^= 1 << bit,
            Damage::Zero { page } => file[page * PAGE..][..PAGE].fill(0),
            Damage::Swap { page, other } => {
                for byte in 0..PAGE {
                    file.swap(page * PAGE + byte, other * PAGE + byte);
                }
            }
            Damage::Truncate { pages } => file.truncate(pages * PAGE),
        }
    }
}

/// Writes a store of completed and unfinished actions, some with a result that needs pages of its
/// own.
async fn fill(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    for number in 0..ACTIONS {
        let object = ObjectRef::bdb(number as u64 % 50);
        let mut new = NewAction::state_machine(format!("SM{}", number % 7), object)
            .with_description(format!("action {number}"))
            .with_label("region", ["eu", "us", "ap"][number % 3]);
        if number % 4 == 0 {
            new = new.with_related(RelatedObject::new("node", node(number % 9)));
        }
        if number % 5 == 0 {
            let request = format!("request {}", number / 20);
            new = new.with_tenant("other").with_correlation(request);
        }
        let uid = new.uid;
        let apply = |change| Command::apply(uid, change).by(owner.clone());
        let create = Command::create(new).by(owner.clone());
        let step = Report::new().with_step(format!("step {number}"));
        let mut commands = vec![create, apply(Change::Start), apply(Change::Report(step))];
        match number % 10 {
            0 => {}
            1 => {
                let error = ActionError::new("broken", "it broke");
                let end = Finish::new(Outcome::Failed).with_error(error);
                commands.push(apply(Change::Finish(end)));
            }
            2 => {
                let long = format!("\"{}\"", "x".repeat(9000));
                let end = Finish::succeeded().with_result(Json::new(long).unwrap());
                commands.push(apply(Change::Finish(end)));
            }
            _ => commands.push(apply(Change::Finish(Finish::succeeded()))),
        }
        let batch = action_store::Batch::all(commands);
        for answer in store.write(batch).await.unwrap() {
            answer.unwrap();
        }
    }
    store.close().await.unwrap();
}

fn node(number: usize) -> ObjectRef {
    ObjectRef::new("node", &number.to_string()).unwrap()
}

/// Lists in all orders, by each kind of index. Several filters make the store count the rows of
/// their indexes first.
fn queries(uids: &[ActionUid]) -> Vec<(String, Query)> {
    let mut queries = Vec::new();
    let region = || Filter::label("region", "eu");
    let several = [
        vec![region(), Filter::Name("SM3".into())],
        vec![Filter::Touches(node(3)), Filter::Tenant("other".into())],
        vec![region(), Filter::Outcome(Outcome::Failed)],
    ];
    let orders = [Order::Newest, Order::Oldest, Order::Finished, Order::Feed];
    for order in orders {
        let query = Query::new().with_order(order).with_limit(200);
        queries.push((format!("{order:?}"), query.clone()));
        for filters in several.clone() {
            let what = format!("{order:?}, {filters:?}");
            let add = |query: Query, filter| query.with_filter(filter);
            queries.push((what, filters.into_iter().fold(query.clone(), add)));
        }
        for filter in [
            region(),
            Filter::Label {
                key: "region".into(),
                value: None,
            },
            Filter::Touches(node(4)),
            Filter::TouchesAny(ObjectSet::new([node(0), ObjectRef::bdb(9)])),
            Filter::Tenant("other".into()),
            Filter::Correlation("request 7".into()),
            Filter::NamePrefix("SM".into()),
            Filter::Uid(uids[100]),
            Filter::Unfinished,
            Filter::Outcome(Outcome::Failed),
            Filter::Name("SM3".into()),
            Filter::Object(ObjectRef::bdb(7)),
            Filter::Touches(ObjectRef::bdb(8)),
            Filter::CreatedFrom(Timestamp::from_seconds(1)),
            Filter::FinishedBefore(Timestamp::from_seconds(4_000_000_000)),
        ] {
            let what = format!("{order:?}, {filter:?}");
            queries.push((what, query.clone().with_filter(filter)));
        }
    }
    queries
}

/// Every answer of a whole store.
struct Answers {
    lists: BTreeMap<String, Result<Vec<Arc<Action>>, StoreError>>,
    found: Vec<Result<Option<Arc<Action>>, StoreError>>,
    owners: Result<Vec<Owner>, StoreError>,
    log: Result<Vec<LogEntry>, StoreError>,
    logs: Vec<Result<Vec<LogEntry>, StoreError>>,
}

/// Reads all pages. More pages than there can be are an endless list.
async fn all_pages<T, F>(read: impl Fn(Option<Cursor>) -> F) -> Result<Vec<T>, StoreError>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let (mut items, mut after) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = read(after).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(items)
}

async fn ask(store: &SqliteStore, uids: &[ActionUid]) -> Answers {
    let mut lists = BTreeMap::new();
    for (what, query) in queries(uids) {
        let page = async |after| store.list(&query.clone().with_after(after)).await;
        lists.insert(what, all_pages(page).await);
    }
    let entries = async |query: LogQuery| {
        let page = async |after| {
            let mut query = query.clone().with_limit(200);
            query.after = after;
            store.log(&query).await
        };
        all_pages(page).await
    };
    let (mut found, mut logs) = (Vec::new(), Vec::new());
    for uid in uids.iter().step_by(7) {
        found.push(store.action(*uid).await);
        logs.push(entries(LogQuery::of(*uid)).await);
    }
    let owners = async |after| store.owners(&OwnerQuery::new().with_after(after)).await;
    Answers {
        lists,
        found,
        owners: all_pages(owners).await,
        log: entries(LogQuery::all()).await,
        logs,
    }
}

/// Counts of the answers.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    refused: u64,
    wrong: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, refused, wrong) = (self.right, self.refused, self.wrong.len());
        write!(
            f,
            "{right} right, {refused} refused, {wrong} wrong or short"
        )
    }
}

impl Tally {
    fn add<T: PartialEq>(
        &mut self,
        what: &str,
        found: &Result<T, StoreError>,
        whole: &Result<T, StoreError>,
    ) {
        match found {
            Ok(found) if whole.as_ref().is_ok_and(|whole| whole == found) => self.right += 1,
            Err(error) if error.kind() == StoreErrorKind::Corrupt => self.refused += 1,
            Ok(_) => self.wrong.push(what.to_owned()),
            Err(error) => self.wrong.push(format!("{what}: {error}")),
        }
    }

    fn compare(&mut self, found: &Answers, whole: &Answers) {
        for (what, list) in &found.lists {
            self.add(what, list, &whole.lists[what]);
        }
        for (found, whole) in found.found.iter().zip(&whole.found) {
            self.add("get", found, whole);
        }
        self.add("owners", &found.owners, &whole.owners);
        self.add("log", &found.log, &whole.log);
        for (found, whole) in found.logs.iter().zip(&whole.logs) {
            self.add("log of an action", found, whole);
        }
    }
}

#[tokio::test]
async fn every_answer_of_a_damaged_store_is_right_or_says_so() {
    let whole = place();
    fill(&whole.path).await;
    let store = SqliteStore::open(&whole.path).await.unwrap();
    let all = Query::new().with_limit(1000);
    let uids: Vec<ActionUid> = store
        .list(&all)
        .await
        .unwrap()
        .items
        .iter()
        .map(|a| a.uid)
        .collect();
    assert_eq!(uids.len(), ACTIONS);
    let right = ask(&store, &uids).await;
    store.close().await.unwrap();
    let bytes = std::fs::read(&whole.path).unwrap();

    let dice = Dice::new();
    let (mut tally, mut unopened) = (Tally::default(), 0);
    for round in 0..asked_for("ACTIONS_DAMAGE", 40) {
        let damage = Damage::draw(&dice, bytes.len() / PAGE);
        let mut file = bytes.clone();
        damage.apply(&mut file);
        let place = place();
        std::fs::write(&place.path, &file).unwrap();
        let work = async {
            let store = match SqliteStore::open(&place.path).await {
                Ok(store) => store,
                Err(error) => {
                    let kinds = [StoreErrorKind::Corrupt, StoreErrorKind::Incompatible];
                    assert!(kinds.contains(&error.kind()), "{damage:?}: {error:?}");
                    return None;
                }
            };
            let answers = ask(&store, &uids).await;
            let _refused = store.close().await;
            Some(answers)
        };
        let answers = tokio::time::timeout(Duration::from_secs(60), work).await;
        let Some(answers) = answers.unwrap_or_else(|_| panic!("{damage:?}: no answer")) else {
            unopened += 1;
            continue;
        };
        let before = tally.wrong.len();
        tally.compare(&answers, &right);
        for what in tally.wrong.iter().skip(before) {
            println!("round {round}, {damage:?}: {what}");
        }
    }
    println!("{tally}; {unopened} not opened");
    assert!(tally.wrong.is_empty(), "{tally}");
}

/// Writes ten actions of one name, and damages the file by SQL.
pub(super) async fn damaged(path: &Path, sql: &str) -> Vec<ActionUid> {
    let store = SqliteStore::open(path).await.unwrap();
    let owner = OwnerRef::new("plane");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let mut uids = Vec::new();
    for _ in 0..10 {
        let new = NewAction::task("backup");
        uids.push(new.uid);
        store.create(new).await.unwrap();
    }
    store.close().await.unwrap();
    let mut other = raw(path).await;
    for statement in sql.split(';') {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut other)
            .await
            .unwrap();
    }
    sqlx::Connection::close(other).await.unwrap();
    uids
}

/// Replaces an index by one that lacks the rows of action 3, under the text of the whole index.
pub(super) fn without_three(index: &str, on: &str, column: &str) -> String {
    format!(
        "CREATE TABLE old AS SELECT sql FROM sqlite_master WHERE name = '{index}'; \
         DROP INDEX {index}; CREATE INDEX {index} ON {on} WHERE {column} <> 3; \
         PRAGMA writable_schema = ON; \
         UPDATE sqlite_master SET sql = (SELECT sql FROM old) WHERE name = '{index}'; \
         PRAGMA writable_schema = OFF; DROP TABLE old"
    )
}

#[tokio::test]
async fn a_list_is_right_although_its_index_lacks_rows() {
    let place = place();
    let index = without_three(
        "actions_action_name",
        "actions_action (name, number)",
        "number",
    );
    damaged(&place.path, &index).await;
    let named = Query::new().with_filter(Filter::Name("backup".into()));
    for (bytes, checks) in [(u64::MAX, false), (0, true)] {
        let options = SqliteOptions::new().with_check_bytes(bytes);
        let store = options.open(&place.path).await.unwrap();
        if checks {
            assert_eq!(store.diagnostics().await.unwrap().damaged, 0);
            assert!(store.check().await.unwrap().damaged > 0);
        }
        assert!(store.diagnostics().await.unwrap().damaged > 0);
        assert_eq!(store.list(&named).await.unwrap().items.len(), 10);
        // An order that only an index has.
        let finished = named.clone().with_order(Order::Finished);
        let refused = store.list(&finished).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
        // The feed is another table, and whole.
        let feed = named.clone().with_order(Order::Feed);
        assert_eq!(store.list(&feed).await.unwrap().items.len(), 10);
        store.close().await.unwrap();
    }
    // Repaired while the store is open, which the next check notices.
    let store = SqliteStore::open(&place.path).await.unwrap();
    let mut other = raw(&place.path).await;
    run(&mut other, "REINDEX actions_action_name").await;
    assert_eq!(store.check().await.unwrap().damaged, 0);
    let finished = named.with_order(Order::Finished);
    assert_eq!(store.list(&finished).await.unwrap().items.len(), 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_log_without_all_of_its_entries_is_refused() {
    let place = place();
    let index = without_three(
        "actions_log_action",
        "actions_log (action, version, (kind = 7))",
        "action",
    );
    let uids = damaged(&place.path, &index).await;
    let store = SqliteStore::open(&place.path).await.unwrap();
    let log = async |uid| store.log(&LogQuery::of(uid)).await;
    let refused = log(uids[2]).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
    assert_eq!(log(uids[3]).await.unwrap().items.len(), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_feed_that_lacks_an_action_is_refused() {
    let place = place();
    damaged(&place.path, "DELETE FROM actions_feed WHERE action = 3").await;
    let store = SqliteStore::open(&place.path).await.unwrap();
    // A full page, which does not show how many come after it.
    let feed = Query::new().with_order(Order::Feed).with_limit(5);
    let refused = store.list(&feed).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
    assert_eq!(store.list(&Query::new()).await.unwrap().items.len(), 10);
    store.close().await.unwrap();
}
