//! Many batches in one transaction, and batches as large as they can be.

use std::sync::Arc;
use std::task::{Context, Waker};

use action_store::action::{LogEntryKind, Version};
use action_store::command::{BatchMode, OpId};
use action_store::conformance::check_store;
use action_store::owner::OwnerQuery;
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Clock, Command,
    Finish, Json, LogEntry, LogQuery, MemoryStore, NewAction, Order, Outcome, OwnerRef, Query,
    Report, SqliteOptions, SqliteStore, Timestamp,
};
use sqlx::Connection;

use super::{Dice, create, creating, ends, place, raw, reopened_and_checked, run};

/// Draws batches that meet on a few actions, owners and keys, so that many are refused.
struct Draw<'d> {
    dice: &'d Dice,
    actions: Vec<Arc<NewAction>>,
    owners: Vec<OwnerRef>,
}

impl Draw<'_> {
    fn one_of<'t, T>(&self, some: &'t [T]) -> &'t T {
        &some[usize::try_from(self.dice.roll(some.len() as u64)).unwrap()]
    }

    fn command(&self) -> Command {
        let new = self.one_of(&self.actions).clone();
        let uid = new.uid;
        let owner = self.one_of(&self.owners).clone();
        let by = match self.dice.roll(4) {
            0 => None,
            _ => Some(owner.clone()),
        };
        let change = match self.dice.roll(16) {
            0..=3 => return Command::create(new).by(by),
            4 => {
                let take_over = self.dice.roll(2) == 0;
                return Command::claim(owner).with_take_over(take_over);
            }
            5 => return Command::renew(owner),
            6 => return self.one_of_the_rare(uid, owner),
            7..=9 => Change::Start,
            10..=12 => Change::Report(Report::new().with_step(format!("s{}", self.dice.roll(4)))),
            13 => Change::RequestCancel(Default::default()),
            14 => Change::Adopt,
            _ => Change::Finish(match self.dice.roll(3) {
                0 => Finish::succeeded(),
                1 => Finish::new(Outcome::Lost),
                _ => Finish::new(Outcome::Cancelled),
            }),
        };
        let if_version = match self.dice.roll(5) {
            0 => Some(Version::new(1 + self.dice.roll(3)).unwrap()),
            _ => None,
        };
        let op = OpId::new();
        Command::apply(uid, change)
            .by(by)
            .with_op(op)
            .if_version(if_version)
    }

    fn one_of_the_rare(&self, uid: ActionUid, owner: OwnerRef) -> Command {
        match self.dice.roll(4) {
            0 => Command::release(owner),
            1 => Command::pin(uid, self.dice.roll(2) == 0),
            2 => Command::fence(owner, self.dice.roll(2)),
            _ => Command::remove(uid, Version::new(2 + self.dice.roll(3)).unwrap()),
        }
    }

    fn batch(&self) -> Batch {
        let commands = (0..1 + self.dice.roll(6)).map(|_| self.command()).collect();
        let mode = match self.dice.roll(2) {
            0 => BatchMode::All,
            _ => BatchMode::Each,
        };
        Batch::new(commands, mode)
    }
}

fn overtakes(batch: &Batch) -> bool {
    let about_owners = |command: &Command| {
        matches!(
            command,
            Command::Claim { .. } | Command::Renew(_) | Command::Release(_) | Command::Fence { .. }
        )
    };
    batch.commands.iter().all(about_owners)
}

/// All there is to see of a store.
async fn seen(store: &dyn ActionStore) -> (Vec<Arc<Action>>, Vec<LogEntry>, String) {
    let feed = Query::new().with_order(Order::Oldest).with_limit(1000);
    let actions = store.list(&feed).await.unwrap().items;
    let log = store.log(&LogQuery::all().with_limit(1000)).await.unwrap();
    assert!(log.next.is_none(), "one page holds all");
    let owners = format!("{:?}", store.all_owners(OwnerQuery::new()).await.unwrap());
    (actions, log.items, owners)
}

#[tokio::test]
async fn two_hundred_batches_in_one_transaction_come_out_as_one_after_the_other() {
    let dice = Dice::new();
    let (mut refused, mut accepted) = (0, 0);
    for round in 0..6 {
        let place = place();
        let clock = Clock::manual(Timestamp::from_seconds(1_760_400_087));
        let options = SqliteOptions::new().with_clock(clock.clone());
        let store = options.open(&place.path).await.unwrap();
        let memory = MemoryStore::with_clock(clock);
        let mut other = raw(&place.path).await;
        let actions = (0..30).map(|n| {
            let new = NewAction::task("a").with_exclusive(format!("k{}", n % 20));
            Arc::new(match n % 3 {
                0 => new.with_idempotency_key(format!("i{}", n % 9)),
                _ => new,
            })
        });
        let names = ["a", "a", "b", "c", "c"];
        let draw = Draw {
            dice: &dice,
            actions: actions.collect(),
            owners: names.map(OwnerRef::new).into(),
        };
        for group in 0..2 {
            let batches: Vec<Batch> = (0..200).map(|_| draw.batch()).collect();
            run(&mut other, "BEGIN IMMEDIATE").await;
            let first = creating(NewAction::task("blocked"));
            let mut context = Context::from_waker(Waker::noop());
            let mut blocked = Box::pin(store.write(first.clone()));
            assert!(blocked.as_mut().poll(&mut context).is_pending());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let mut writes: Vec<_> = Vec::new();
            for batch in &batches {
                // Unconstrained: tokio's budget would hold some back, and change their order.
                let write = tokio::task::unconstrained(store.write(batch.clone()));
                let mut write = Box::pin(write);
                assert!(write.as_mut().poll(&mut context).is_pending());
                writes.push((batch, write));
            }
            run(&mut other, "ROLLBACK").await;
            ends(blocked).await.unwrap();
            memory.write(first).await.unwrap();
            // The lane of the owners goes first.
            let (owners, rest): (Vec<_>, Vec<_>) =
                writes.into_iter().partition(|(batch, _)| overtakes(batch));
            for (batch, write) in owners.into_iter().chain(rest) {
                let expected = memory.write(batch.clone()).await.unwrap();
                let found = ends(write).await.unwrap();
                assert_eq!(found, expected, "round {round}, group {group}: {batch:?}");
                refused += found.iter().filter(|answer| answer.is_err()).count();
                accepted += found.iter().filter(|answer| answer.is_ok()).count();
            }
        }
        assert_eq!(seen(&store).await, seen(&memory).await, "round {round}");
        check_store(&store).await.unwrap();
        other.close().await.unwrap();
        store.close().await.unwrap();
    }
    assert!(refused > 500 && accepted > 500, "{refused}, {accepted}");
}

#[tokio::test]
async fn the_largest_batches_of_the_worst_texts_come_back_byte_for_byte() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    // Text that grows when it is encoded as JSON, or that JSON or SQL could misread.
    let nasty = "\u{1}\u{7f}\u{ffff}\u{10ffff}\"'\\;--$1?1\u{2028}\r\n\u{feff}%_";
    let text: String = nasty.chars().cycle().take(2600).collect();
    assert!(text.len() <= 4096, "{}", text.len());
    let json = Json::of(&std::collections::BTreeMap::from([(nasty, &text[..])])).unwrap();
    let actions: Vec<NewAction> = (0..1000)
        .map(|_| {
            NewAction::task("'); DROP TABLE actions_action; --")
                .with_description(text.clone())
                .with_actor("\u{ffff}\"'\\")
                .with_correlation("$1 ?1 :a @b")
        })
        .collect();
    let batch = Batch::all(actions.iter().cloned().map(create).collect());
    let answers = ends(store.write(batch)).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let uids: Vec<ActionUid> = actions.iter().map(|new| new.uid).collect();
    let found = store.get(&uids).await.unwrap();
    for (found, answer) in found.into_iter().zip(answers) {
        let found = found.unwrap();
        assert_eq!(Some(&found), answer.unwrap().action.as_ref());
        assert_eq!(found.description.as_deref(), Some(&*text));
    }
    let some: Vec<NewAction> = (0..100)
        .map(|_| NewAction::task("a").with_attributes(json.clone()))
        .collect();
    for new in some {
        let action = store.create(new).await.unwrap();
        let found = store.action(action.uid).await.unwrap().unwrap();
        assert_eq!(found.attributes.as_ref(), Some(&json));
        let error = ActionError::new("E", text.clone()).with_detail(text.clone());
        let end = Finish::new(Outcome::Cancelled).with_error(error);
        let end = end.with_result(json.clone()).with_warning(text.clone());
        let ended = store.finish(action.uid, end, None).await.unwrap();
        let found = store.action(action.uid).await.unwrap().unwrap();
        assert_eq!(found, ended);
    }
    store.close().await.unwrap();
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, 1100);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_ends_of_every_number_come_back_as_they_are() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let at = Timestamp::from_micros(at);
        for version in [1, 1 << 53, (1 << 53) + 1, 1 << 62] {
            let memory = MemoryStore::with_clock(Clock::manual(at));
            let new = NewAction::task("a");
            let created = memory.create(new).await.unwrap();
            let mut action = Action::clone(&created);
            action.version = Version::new(version).unwrap();
            action.log_entries = u32::MAX;
            let mut entry = LogEntry::new(LogEntryKind::Created, &action, at);
            entry.op = Some(OpId::new());
            let (action, log) = (Arc::new(action), vec![entry]);
            let import = Command::import(action.clone(), log.clone());
            store.command(import).await.unwrap();
            let found = store.action(action.uid).await.unwrap();
            assert_eq!(found, Some(action.clone()));
            let page = store.log(&LogQuery::of(action.uid)).await.unwrap();
            assert_eq!(page.items, log);
            // It can go on from there.
            let end = Finish::new(Outcome::Cancelled);
            let ended = store.finish(action.uid, end, None).await.unwrap();
            assert_eq!(ended.version.get(), version + 1);
            let found = store.action(action.uid).await.unwrap();
            assert_eq!(found, Some(ended));
        }
    }
    store.close().await.unwrap();
}
