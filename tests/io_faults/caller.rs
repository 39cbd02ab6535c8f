//! A caller who writes down what each answer means, and holds the store to it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use action_store::conformance::check_store;
use action_store::{
    ActionStore, ActionUid, Batch, Change, Command, Finish, LogQuery, NewAction, Order, OwnerRef,
    Query, Report, SqliteStore, StoreError, StoreErrorKind,
};

use super::tally::Tally;

/// How often a change is tried, as it is.
const TRIES: usize = 3;

/// The longest that any call may take; a store gives up on its own well before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where an action must be, and where it may be as well.
#[derive(Default, Clone, Copy)]
struct Expected {
    acknowledged: u64,
    /// The version that an unknown outcome may have led to.
    unknown: u64,
}

#[derive(Default)]
pub(crate) struct Caller {
    expected: Mutex<HashMap<ActionUid, Expected>>,
    tally: Mutex<Tally>,
    problems: Mutex<Vec<String>>,
}

/// Ignores poisoning: a panic elsewhere does not make the counts wrong.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Caller {
    pub(crate) fn count(&self, what: &str) {
        locked(&self.tally).count(what);
    }

    /// Counts something that must never be, and says what it was.
    pub(crate) fn problem(&self, what: &str, words: String) {
        self.count(what);
        locked(&self.problems).push(format!("{what}: {words}"));
    }

    pub(crate) fn end(self) -> (Tally, Vec<String>) {
        let take = |tally: Mutex<Tally>| tally.into_inner().unwrap();
        (take(self.tally), self.problems.into_inner().unwrap())
    }

    /// Counts a refusal by its kind.
    pub(crate) fn refused(&self, error: &StoreError) {
        match error.kind() {
            StoreErrorKind::Corrupt => self.count("corrupt"),
            StoreErrorKind::Unavailable => self.count("unavailable"),
            StoreErrorKind::OutcomeUnknown => self.count("unknown"),
            _ => self.count("otherwise_refused"),
        }
    }

    /// Waits for a call. None once that took too long.
    pub(crate) async fn waits<T>(&self, what: &str, call: impl Future<Output = T>) -> Option<T> {
        self.count("calls");
        let ended = tokio::time::timeout(PATIENCE, call).await;
        if ended.is_err() {
            self.problem("stuck", format!("{what} has no answer after {PATIENCE:?}"));
        }
        ended.ok()
    }

    /// Tries a change until it is acknowledged, a few times; whether it was.
    async fn change(&self, store: &SqliteStore, uid: ActionUid, to: u64, command: Command) -> bool {
        let batch = Batch::each(vec![command]);
        for _ in 0..TRIES {
            let Some(answer) = self.waits("write", store.write(batch.clone())).await else {
                return false;
            };
            let mut expected = locked(&self.expected);
            let expected = expected.entry(uid).or_default();
            match answer {
                Ok(answers) => {
                    if let Some(Err(refused)) = answers.first() {
                        let words = format!("{uid} to version {to}: {refused}");
                        self.problem("lost", words);
                        return false;
                    }
                    (expected.acknowledged, expected.unknown) = (to, 0);
                    self.count("acknowledged");
                    return true;
                }
                Err(error) => {
                    self.refused(&error);
                    if error.kind() == StoreErrorKind::OutcomeUnknown {
                        expected.unknown = to;
                    }
                }
            }
        }
        false
    }

    /// Runs an action from create to end, as far as possible.
    pub(crate) async fn live(&self, store: &SqliteStore, owner: &OwnerRef) {
        let new = NewAction::task("work").with_description("d".repeat(1500));
        let uid = new.uid;
        let apply = |change| Command::apply(uid, change).by(owner.clone());
        let create = Command::create(new);
        let report = Report::new().with_step("copy").with_description("busy");
        let changes = [
            create,
            apply(Change::Start),
            apply(Change::Report(report)),
            apply(Change::Finish(Finish::succeeded())),
        ];
        for (to, command) in (1..).zip(changes) {
            if !self.change(store, uid, to, command).await {
                return;
            }
            self.read(store, uid).await;
        }
    }

    /// Reads in every way. An answer must be true; a refusal is one.
    async fn read(&self, store: &SqliteStore, uid: ActionUid) {
        if let Some(Ok(found)) = self.waits("get", store.get(&[uid])).await {
            let version = found[0].as_ref().map_or(0, |action| action.version.get());
            self.compare("get", uid, version);
        }
        let query = Query::new().with_order(Order::Newest).with_limit(10);
        self.allowed(self.waits("list", store.list(&query)).await);
        self.allowed(self.waits("log", store.log(&LogQuery::of(uid))).await);
    }

    fn allowed<T>(&self, answer: Option<Result<T, StoreError>>) {
        if let Some(Err(error)) = answer {
            self.refused(&error);
        }
    }

    fn compare(&self, how: &str, uid: ActionUid, version: u64) {
        let expected = locked(&self.expected)[&uid];
        let Expected {
            acknowledged,
            unknown,
        } = expected;
        let words = || {
            let maybe = format!("acknowledged {acknowledged}, perhaps {unknown}");
            format!("{uid} is at {version} in {how}; {maybe}")
        };
        if version < acknowledged {
            self.problem("lost", words());
        } else if version > acknowledged.max(unknown) {
            self.problem("phantom", words());
        }
    }

    /// Makes sure that a store works: a write and each read, at the latest at the third try.
    pub(crate) async fn works(&self, store: &SqliteStore, when: &str) {
        let mut said = Vec::new();
        for _ in 0..TRIES {
            let batch = Batch::each(vec![Command::create(NewAction::task("works"))]);
            let Some(written) = self.waits("write", store.write(batch)).await else {
                return;
            };
            let Some(read) = self.waits("list", store.list(&Query::new())).await else {
                return;
            };
            match (written, read) {
                (Ok(_), Ok(_)) => return,
                (Err(error), _) | (_, Err(error)) => said.push(format!("{error:?}")),
            }
        }
        self.problem("stuck", format!("{when}: {}", said.join(", then ")));
    }

    /// Compares a store, in which nothing fails, with all that was acknowledged and refused.
    pub(crate) async fn verify(&self, store: &SqliteStore, when: &str) {
        if let Some(Err(failure)) = self.waits("check", check_store(store)).await {
            self.problem("torn", format!("{when}: {failure}"));
        }
        let uids: Vec<ActionUid> = locked(&self.expected).keys().copied().collect();
        match self.waits("get", store.get(&uids)).await {
            Some(Ok(found)) => {
                for (uid, found) in uids.iter().zip(found) {
                    let version = found.map_or(0, |action| action.version.get());
                    self.compare(when, *uid, version);
                }
            }
            Some(Err(error)) => self.problem("stuck", format!("{when}: {error:?}")),
            None => {}
        }
    }
}
