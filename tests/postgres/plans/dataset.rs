//! A store in which half of all actions match each filter, so that no index finds few rows.

use std::sync::Arc;

use action_store::action::Labels;
use action_store::command::Effect;
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Command,
    Finish, LogEntry, LogQuery, MemoryStore, NewAction, ObjectRef, OwnerRef, PostgresStore,
    Timestamp,
};

pub(super) const OWNER: &str = "o";
/// The creation of the first action, in seconds. Each further action is a second later.
pub(super) const BEGUN: i64 = 1_700_000_000;

/// The values that half of all actions have.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) parent: ActionUid,
    pub(super) retry_of: ActionUid,
    pub(super) owner: OwnerRef,
}

/// Templates of actions, recorded by a store.
pub(super) struct Dataset {
    patterns: Vec<(Arc<Action>, Vec<LogEntry>)>,
    pub(super) common: Common,
    /// The actions of the store.
    pub(super) uids: Vec<ActionUid>,
}

impl Dataset {
    pub(super) async fn record() -> Dataset {
        let store = MemoryStore::new();
        let owner = OwnerRef::new(OWNER);
        store.command(Command::claim(owner.clone())).await.unwrap();
        let mut patterns = Vec::new();
        for kind in 0..5 {
            let uid = store.create(NewAction::task("n")).await.unwrap().uid;
            if kind > 0 {
                store.start(uid, &owner).await.unwrap();
            }
            if kind == 1 {
                let request = CancelRequest::new();
                store.request_cancel(uid, request).await.unwrap();
            }
            let end = match kind {
                3 => Some(Finish::failed(ActionError::new("broken", "it broke"))),
                4 => Some(Finish::succeeded()),
                _ => None,
            };
            if let Some(end) = end {
                store.finish(uid, end, Some(&owner)).await.unwrap();
            }
            let action = store.action(uid).await.unwrap().unwrap();
            patterns.push((action, store.log(&LogQuery::of(uid)).await.unwrap().items));
        }
        let common = Common {
            parent: ActionUid::new(),
            retry_of: ActionUid::new(),
            owner,
        };
        Dataset {
            patterns,
            common,
            uids: Vec::new(),
        }
    }

    fn import(&mut self, row: usize) -> Command {
        let bits = mix(row as u64);
        // Of ten: two queued or executing without a request, two with one, four failed, two
        // succeeded.
        let kind = [0, 2, 1, 1, 3, 3, 3, 3, 4, 4][(bits >> 32) as usize % 10];
        let (action, log) = &self.patterns[kind];
        let (mut action, mut log) = (Action::clone(action), log.clone());
        let is = |bit: u32| bits >> bit & 1 == 0;
        let rare = row % 500;
        let text = |bit: u32, common: &str, rest: &str| -> Arc<str> {
            match is(bit) {
                true => common.into(),
                false => format!("{rest}{rare}").into(),
            }
        };
        action.uid = ActionUid::new();
        action.name = text(0, "n", "nn");
        action.tenant = if is(1) { "t".into() } else { "default".into() };
        action.actor = Some(text(2, "a", "actor-"));
        action.correlation = Some(text(3, "c", "request-"));
        action.object = Some(ObjectRef::bdb(if is(4) { 1 } else { 2 + rare as u64 }));
        action.parent = is(5).then_some(self.common.parent);
        action.retry_of = is(6).then_some(self.common.retry_of);
        action.labels = Labels::new().with("region", text(7, "eu-1", "r-"));
        let at = Timestamp::from_seconds(BEGUN + row as i64);
        action.created_at = at;
        action.last_seen_at = at;
        for time in [&mut action.started_at, &mut action.finished_at] {
            *time = time.map(|_| at);
        }
        for entry in &mut log {
            entry.uid = action.uid;
            entry.at = at;
        }
        self.uids.push(action.uid);
        Command::import(action, log)
    }

    /// Adds actions until there are so many.
    pub(super) async fn grow(&mut self, store: &PostgresStore, rows: usize) {
        while self.uids.len() < rows {
            let from = self.uids.len();
            let commands = (from..rows.min(from + 1000)).map(|row| self.import(row));
            let batch = Batch::each(commands.collect());
            for answer in store.write(batch).await.unwrap() {
                assert_eq!(answer.unwrap().effect, Effect::Applied);
            }
        }
    }
}

/// Mixes a number into a pseudo-random one (SplitMix64).
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
