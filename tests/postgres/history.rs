//! The answers of several stores about one action fit into one order.
//!
//! Each answer shows an action at a version. Ordered by these versions, the answers must agree with
//! time: a call that began after another one was answered shows no earlier version, and a change
//! shows a later one. Each version has one change, and every answer at a version shows the same.
//! Then the history of the action is linearizable: a change takes effect at its version, and a read
//! after the change whose version it shows.
//!
//! `ACTIONS_RACE_SECONDS` says how long the stores write (3 unless set).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::command::OpId;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Change, Command, NewAction, OwnerRef,
    PostgresStore, Query, Report,
};

use super::{Server, asked_for, close_whole, new_schema, open_several};

const STORES: usize = 3;
const TASKS: usize = 4;
const ACTIONS: usize = 200;
/// Half of all calls are about these, so that they meet.
const BUSY: usize = 4;

/// An answer about an action.
#[derive(Debug, Clone)]
struct Answer {
    called: Instant,
    answered: Instant,
    version: u64,
    /// The step of the action at this version.
    step: Option<Arc<str>>,
    is_change: bool,
}

/// Returns the rules that the answers about one action break.
fn violations(mut answers: Vec<Answer>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut changes, mut steps) = (HashMap::new(), HashMap::new());
    for answer in &answers {
        if answer.is_change
            && let Some(other) = changes.insert(answer.version, answer)
        {
            wrong.push(format!("two changes: {other:?}, {answer:?}"));
        }
        let step = steps.entry(answer.version).or_insert(&answer.step);
        if *step != &answer.step {
            wrong.push(format!("two states: {step:?}, {answer:?}"));
        }
    }
    let mut by_end = answers.clone();
    by_end.sort_by_key(|answer| answer.answered);
    answers.sort_by_key(|answer| answer.called);
    let (mut ended, mut latest) = (by_end.iter().peekable(), 0);
    for answer in &answers {
        while let Some(before) = ended.next_if(|before| before.answered < answer.called) {
            latest = before.version.max(latest);
        }
        let least = latest + u64::from(answer.is_change);
        if answer.version < least {
            wrong.push(format!("version {latest} was shown before {answer:?}"));
        }
    }
    wrong
}

#[test]
fn the_checker_finds_what_no_order_explains() {
    let begun = Instant::now();
    let answer = |called, answered, version, step: &str, is_change| Answer {
        called: begun + Duration::from_millis(called),
        answered: begun + Duration::from_millis(answered),
        version,
        step: Some(step.into()),
        is_change,
    };
    let wrong = |answers: &[Answer]| violations(answers.to_vec()).len();
    let change = answer(0, 10, 2, "a", true);
    // At the same time a read may show either; afterwards only the later one.
    assert_eq!(wrong(&[change.clone(), answer(5, 20, 1, "", false)]), 0);
    assert_eq!(wrong(&[change.clone(), answer(11, 20, 1, "", false)]), 1);
    // A later read shows no earlier version than one before it.
    let read = answer(1, 2, 2, "a", false);
    assert_eq!(
        wrong(&[change.clone(), read, answer(3, 9, 1, "", false)]),
        1
    );
    // A change of a version that was there before it began; one version of two changes.
    let read = answer(0, 1, 3, "b", false);
    assert_eq!(wrong(&[read.clone(), answer(2, 3, 3, "b", true)]), 1);
    assert_eq!(wrong(&[change.clone(), answer(0, 9, 2, "a", true)]), 1);
    assert_eq!(wrong(&[change, answer(0, 9, 2, "b", false)]), 1);
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

type Seen = Vec<(ActionUid, Answer)>;

/// Reads and changes actions until the time is over. Returns all answers.
async fn ask(
    store: Arc<PostgresStore>,
    owner: OwnerRef,
    uids: Arc<Vec<ActionUid>>,
    seed: u64,
    end: Instant,
) -> Seen {
    let (mut dice, mut seen) = (Dice(seed), Seen::new());
    let show = |called, action: &Action, is_change| {
        let answer = Answer {
            called,
            answered: Instant::now(),
            version: action.version.get(),
            step: action.step.clone(),
            is_change,
        };
        (action.uid, answer)
    };
    while Instant::now() < end {
        let uid = match dice.roll(2) {
            0 => uids[dice.roll(BUSY)],
            _ => uids[dice.roll(ACTIONS)],
        };
        let called = Instant::now();
        let turn = dice.roll(8);
        if turn == 0 {
            let page = store.list(&Query::new().with_limit(100)).await.unwrap();
            seen.extend(page.items.iter().map(|action| show(called, action, false)));
            continue;
        }
        let now = store.action(uid).await.unwrap().unwrap();
        seen.push(show(called, &now, false));
        if turn < 4 {
            continue;
        }
        let report = Report::new().with_step(OpId::new().to_string());
        let mut command = Command::apply(uid, Change::Report(report)).by(owner.clone());
        let is_guarded = turn < 6;
        if is_guarded {
            command = command.if_version(now.version);
        }
        let called = Instant::now();
        match store.command_on_action(command).await {
            Ok(action) => seen.push(show(called, &action, true)),
            Err(error) => {
                let current = error.current().unwrap_or_else(|| panic!("{error:?}"));
                assert!(is_guarded && current.version != now.version, "{error:?}");
                seen.push(show(called, current, false));
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_several_stores_about_an_action_fit_into_one_order() {
    let name = "the_answers_of_several_stores_about_an_action_fit_into_one_order";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let stores = open_several(server, &schema, STORES).await;
    let owner = OwnerRef::new("plane");
    stores[0]
        .command(Command::claim(owner.clone()))
        .await
        .unwrap();
    let mut uids = Vec::new();
    for _ in 0..ACTIONS {
        let action = stores[0].create(NewAction::task("asked")).await.unwrap();
        stores[0].start(action.uid, &owner).await.unwrap();
        uids.push(action.uid);
    }
    let uids = Arc::new(uids);
    let end = Instant::now() + Duration::from_secs(asked_for("ACTIONS_RACE_SECONDS", 3));
    let mut tasks = Vec::new();
    for (store, task) in stores.iter().cycle().zip(0..(STORES * TASKS) as u64) {
        let asking = ask(store.clone(), owner.clone(), uids.clone(), task, end);
        tasks.push(tokio::spawn(asking));
    }
    let (mut answers, mut changes) = (HashMap::<_, Vec<_>>::new(), 0);
    for task in tasks {
        for (uid, answer) in task.await.unwrap() {
            changes += usize::from(answer.is_change);
            answers.entry(uid).or_default().push(answer);
        }
    }
    let count: usize = answers.values().map(Vec::len).sum();
    let wrong: Vec<String> = answers.into_values().flat_map(violations).collect();
    println!("{count} answers, {changes} changes, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(changes > 100, "{changes}");
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
