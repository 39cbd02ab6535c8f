//! One of the racing processes: eight tasks that send random commands.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use action_store::command::{BatchMode, Effect, OpId};
use action_store::owner::OwnerQuery;
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change,
    Command, Done, Finish, NewAction, Outcome, OwnerRef, Progress, Rejection, Report,
    SqliteOptions, SqliteStore, StoreError, StoreErrorKind,
};
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::children::{say, until_let_go};
use super::{Dice, pool, shared};

/// How many actions are raced for at a time.
const ACTIONS: u64 = 200;

/// How many tasks of each process race for them.
const TASKS: usize = 8;

/// Result of a batch.
enum Came {
    Answered(Vec<Result<Done, Rejection>>),
    RolledBack,
    Failed(StoreErrorKind),
}

impl Came {
    fn of(answer: Result<Vec<Result<Done, Rejection>>, StoreError>) -> Came {
        match answer {
            Ok(answers) => Came::Answered(answers),
            Err(error) => match error.kind() {
                kind @ (StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown) => {
                    Came::Failed(kind)
                }
                _ => panic!("{error:?}"),
            },
        }
    }
}

struct Racer {
    name: String,
    store: SqliteStore,
    /// The host's, if this one is on a host's pool.
    pool: Option<SqlitePool>,
    race: Uuid,
    /// Which action of a place is raced for now, as far as this process knows: when one is over,
    /// it is the next one's turn.
    turns: Vec<AtomicU64>,
    /// The owners that the tasks here have claimed last.
    owners: Mutex<Vec<OwnerRef>>,
    dice: Dice,
}

/// Races until the parent lets go; `more` is the racer's name, its way, the race and a seed.
pub(crate) async fn race_until_let_go(path: &Path, more: &str) {
    let words: Vec<&str> = more.split(' ').collect();
    let [name, way, race, seed] = words[..] else {
        panic!("{more:?}");
    };
    let (store, pool) = match way {
        "shared" => (shared(path).await, None),
        _ => {
            let pool = pool(path, 4).await;
            let store = SqliteOptions::new().on_pool(pool.clone()).await;
            (store.unwrap(), Some(pool))
        }
    };
    let racer = Arc::new(Racer {
        name: name.to_owned(),
        store,
        pool,
        race: race.parse().unwrap(),
        turns: (0..ACTIONS).map(|_| AtomicU64::new(0)).collect(),
        owners: Mutex::new(
            (0..TASKS)
                .map(|t| OwnerRef::new(format!("{name}-{t}")))
                .collect(),
        ),
        dice: Dice::seeded(seed.parse().unwrap()),
    });
    racer.catch_up().await;
    for task in 0..TASKS {
        let racer = racer.clone();
        tokio::spawn(async move {
            // One that fails ends the whole process, which the parent notices.
            let raced = tokio::spawn(async move { racer.race(task).await }).await;
            say(&format!("broken {raced:?}"));
            std::process::exit(1);
        });
    }
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    std::process::exit(0);
}

impl Racer {
    async fn race(&self, task: usize) {
        self.claim(task).await;
        loop {
            let commands = (0..1 + self.dice.roll(3)).map(|_| self.command(task));
            let commands: Vec<Command> = commands.collect();
            let mode = match self.dice.roll(3) {
                0 => BatchMode::All,
                _ => BatchMode::Each,
            };
            let fenced = self.write(task, Batch::new(commands, mode)).await;
            if fenced || self.dice.roll(60) == 0 {
                self.claim(task).await;
            } else if self.dice.roll(60) == 0 {
                self.fence(task).await;
            }
        }
    }

    /// A new incarnation of a task's owner.
    async fn claim(&self, task: usize) {
        let owner = OwnerRef::new(format!("{}-{task}", self.name));
        let claim = Command::claim(owner.clone());
        self.write(task, Batch::each(vec![claim])).await;
        self.owners.lock().unwrap()[task] = owner;
    }

    /// Ends the owner of any task.
    async fn fence(&self, task: usize) {
        let Ok(owners) = self.store.all_owners(OwnerQuery::new()).await else {
            return;
        };
        let alive: Vec<_> = owners
            .into_iter()
            .filter(|owner| owner.is_alive())
            .collect();
        if alive.is_empty() {
            return;
        }
        let (owner, if_renewals) = {
            let owner = self.dice.one_of(&alive);
            (owner.owner.clone(), owner.renewals)
        };
        let fence = Command::fence(owner, if_renewals);
        self.write(task, Batch::each(vec![fence])).await;
    }

    fn owner(&self, task: usize) -> OwnerRef {
        self.owners.lock().unwrap()[task].clone()
    }

    fn uid(&self, place: u64) -> ActionUid {
        self.uid_at(place, self.turns[place as usize].load(Ordering::Relaxed))
    }

    fn uid_at(&self, place: u64, turn: u64) -> ActionUid {
        let name = format!("{place}/{turn}");
        ActionUid::from_uuid(Uuid::new_v5(&self.race, name.as_bytes()))
    }

    fn command(&self, task: usize) -> Command {
        let place = self.dice.roll(ACTIONS);
        let uid = self.uid(place);
        // Usually under the task's own name; sometimes under another name, or under none.
        let by = match self.dice.roll(10) {
            0 => None,
            1 => Some(self.owner(self.dice.roll(TASKS as u64) as usize)),
            _ => Some(self.owner(task)),
        };
        let change = match self.dice.roll(24) {
            0..=4 => {
                let new = NewAction::task("race").with_uid(uid);
                let new = new.with_exclusive(format!("place:{place}"));
                return Command::create(new).by(by.filter(|_| self.dice.roll(2) == 0));
            }
            5..=9 => Change::Start,
            10..=12 => {
                let progress = Progress::from_hundredths(self.dice.roll(10_001) as u16);
                Change::Report(Report::new().with_progress(progress.unwrap()))
            }
            13 | 14 => Change::Report(Report::new().with_step(format!("s{}", self.dice.roll(9)))),
            15 => Change::RequestCancel(CancelRequest::new().with_by(&*self.name)),
            16 | 17 => Change::Adopt,
            18 => return Command::renew(self.owner(task)),
            19 => Change::Finish(Finish::new(Outcome::Lost).with_decided_by(&*self.name)),
            20 => Change::Finish(Finish::failed(ActionError::new("race", "it was lost"))),
            21 => Change::Finish(Finish::new(Outcome::Cancelled)),
            22 => Change::Finish(Finish::new(Outcome::Interrupted)),
            _ => Change::Finish(Finish::succeeded()),
        };
        Command::apply(uid, change).by(by)
    }

    /// Writes a batch, and prints the attempt and its result. Returns true if the writer was
    /// fenced.
    async fn write(&self, task: usize, batch: Batch) -> bool {
        let about = |command: &Command| match command {
            Command::Create { new, .. } => Some((new.uid, None)),
            Command::Apply { uid, op, .. } => Some((*uid, Some(*op))),
            _ => None,
        };
        let about: Vec<_> = batch.commands.iter().map(about).collect();
        let mut line = format!("try {task}");
        for (uid, _) in about.iter().flatten() {
            line.push_str(&format!(" {uid}"));
        }
        say(&line);
        let mode = batch.mode;
        let begun = Instant::now();
        let came = match &self.pool {
            // One of them works in the host's own transactions.
            Some(pool) if task == 0 => self.write_in(pool, batch).await,
            _ => Came::of(self.store.write(batch).await),
        };
        let mut line = format!("did {task} {}", begun.elapsed().as_micros());
        let mut fenced = false;
        match came {
            Came::Answered(answers) => {
                line.push_str(" ok");
                for (about, answer) in about.iter().zip(answers) {
                    fenced |= matches!(answer, Err(Rejection::Fenced { .. }));
                    line.push_str(&self.told(mode, about.and_then(|(_, op)| op), &answer));
                }
            }
            Came::RolledBack => line.push_str(" rolled-back"),
            Came::Failed(StoreErrorKind::OutcomeUnknown) => line.push_str(" unknown"),
            Came::Failed(_) => line.push_str(" unavailable"),
        }
        say(&line);
        fenced
    }

    async fn write_in(&self, pool: &SqlitePool, batch: Batch) -> Came {
        let Ok(mut transaction) = pool.begin_with("BEGIN IMMEDIATE").await else {
            return Came::Failed(StoreErrorKind::Unavailable);
        };
        let answers = self.store.write_in(&mut transaction, batch).await;
        // Hosts take their time.
        tokio::time::sleep(Duration::from_micros(self.dice.roll(2000))).await;
        if self.dice.roll(5) == 0 {
            transaction.rollback().await.unwrap();
            return Came::RolledBack;
        }
        match transaction.commit().await {
            Ok(()) => Came::of(answers),
            Err(_) => Came::Failed(StoreErrorKind::OutcomeUnknown),
        }
    }

    /// One answer in a word; learns from it which actions are over.
    fn told(&self, mode: BatchMode, op: Option<OpId>, answer: &Result<Done, Rejection>) -> String {
        let current = match answer {
            Ok(done) => done.action.as_ref(),
            // If one refusal refuses the whole batch, the state shown in it may never have existed.
            Err(_) if mode == BatchMode::All => None,
            Err(Rejection::Conflict { current, .. }) => Some(current),
            Err(Rejection::Fenced { current, .. }) => current.as_ref(),
            Err(_) => None,
        };
        let outcome = current.and_then(|action| action.outcome);
        let how = outcome.map_or("-".to_owned(), |outcome| outcome.to_string());
        if let (Some(action), Some(_)) = (current, outcome) {
            self.is_over(action);
        }
        match (answer, current) {
            (Ok(done), Some(action)) if done.effect == Effect::Applied => {
                let op = op.map_or("-".to_owned(), |op| op.to_string());
                let (uid, version) = (action.uid, action.version);
                format!(" applied:{uid}:{version}:{how}:{op}")
            }
            (Ok(_), Some(action)) => format!(" already:{}:{how}", action.uid),
            (Ok(_), None) => " owner".to_owned(),
            (Err(_), Some(action)) => format!(" refused:{}:{how}", action.uid),
            (Err(_), None) => " refused".to_owned(),
        }
    }

    /// It is the next one's turn at that place.
    fn is_over(&self, action: &Action) {
        for place in 0..ACTIONS {
            let turn = self.turns[place as usize].load(Ordering::Relaxed);
            if self.uid_at(place, turn) == action.uid {
                let (here, next) = (&self.turns[place as usize], turn + 1);
                // Another task may have seen it too.
                let _seen = here.compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Finds out whose turn it is, after a kill.
    async fn catch_up(&self) {
        loop {
            let uids: Vec<ActionUid> = (0..ACTIONS).map(|place| self.uid(place)).collect();
            let found = match self.store.get(&uids).await {
                Ok(found) => found,
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                    continue;
                }
            };
            let over = found.iter().flatten().filter(|a| !a.is_unfinished());
            let over: Vec<_> = over.collect();
            over.iter().for_each(|action| self.is_over(action));
            if over.is_empty() {
                return;
            }
        }
    }
}
