//! The suite itself does not panic, whatever a store answers: it says what it expected and what it
//! found. Every case runs on stores whose answers have the wrong length, or values at the ends of
//! their ranges.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/steps.rs"]
mod steps;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::action::Version;
use action_store::conformance::{Case, Method, Subject, cases, check_store};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Clock, Done, LogEntry, LogQuery,
    MemoryStore, NewAction, Page, Query, Rejection, StoreError, Timestamp,
};
use async_trait::async_trait;

/// A fault in the answers of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// There is nothing in them. A list of one item for each question has nothing at all.
    Empty,
    /// The last item is missing.
    OneTooFew,
    /// Only the first item is there.
    OnlyTheFirst,
    /// Everything is there twice.
    Doubled,
    /// Each question is answered with nothing.
    Missing,
    /// Pages say that they are the last.
    NoFurtherPage,
    /// Pages go on where they began.
    Endless,
    /// Numbers are as low as they can be.
    Lowest,
    /// Numbers are as high as they can be.
    Highest,
}

use How::{
    Doubled, Empty, Endless, Highest, Lowest, Missing, NoFurtherPage, OneTooFew, OnlyTheFirst,
};

/// Faults of a list in which each item answers a question.
const ANSWERS: &[How] = &[
    Empty,
    OneTooFew,
    OnlyTheFirst,
    Doubled,
    Missing,
    Lowest,
    Highest,
];

/// Faults of a page.
const PAGES: &[How] = &[
    Empty,
    OneTooFew,
    OnlyTheFirst,
    Doubled,
    NoFurtherPage,
    Endless,
    Lowest,
    Highest,
];

/// Every way in which a store is broken here; none for capabilities.
const BROKEN: &[(Option<Method>, &[How])] = &[
    (None, &[Lowest, Highest]),
    (Some(Method::Write), ANSWERS),
    (Some(Method::Get), ANSWERS),
    (Some(Method::List), PAGES),
    (Some(Method::Log), PAGES),
    (
        Some(Method::Owners),
        &[Empty, OneTooFew, OnlyTheFirst, Doubled, Highest],
    ),
    (Some(Method::Changed), &[Lowest, Highest]),
];

/// The one fault of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    method: Option<Method>,
    how: How,
    /// So many calls of the method are answered as they should be: what comes first in a case
    /// would hide the rest of it.
    after: usize,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<MemoryStore>,
    way: Way,
    calls: AtomicUsize,
}

impl Broken {
    fn new(inner: Arc<MemoryStore>, way: Way) -> Broken {
        let calls = AtomicUsize::new(0);
        Broken { inner, way, calls }
    }

    fn how(&self, method: Method) -> Option<How> {
        let this = self.way.method == Some(method);
        let broken = this && self.calls.fetch_add(1, Ordering::Relaxed) >= self.way.after;
        broken.then_some(self.way.how)
    }

    fn position(how: How, at: &mut Position) {
        let revision = match how {
            Lowest => Revision::ZERO,
            Highest => Revision::new(u64::MAX),
            _ => return,
        };
        (at.revision, at.pruned_through) = (revision, revision);
        at.pruned_created = Some(Timestamp::from_micros(match how {
            Lowest => i64::MIN,
            _ => i64::MAX,
        }));
    }

    fn page<T: Clone>(how: How, after: Option<action_store::Cursor>, page: &mut Page<T>) {
        lengths(how, &mut page.items);
        match how {
            NoFurtherPage => page.next = None,
            Endless => page.next = page.next.map(|next| after.unwrap_or(next)),
            Missing => page.items.clear(),
            _ => {}
        }
        Broken::position(how, &mut page.at);
    }
}

fn lengths<T: Clone>(how: How, items: &mut Vec<T>) {
    match how {
        Empty => items.clear(),
        OneTooFew => drop(items.pop()),
        OnlyTheFirst => items.truncate(1),
        Doubled => items.extend(items.clone()),
        _ => {}
    }
}

/// An action whose numbers are at the end of what they can be.
fn numbers(how: How, action: &mut Arc<Action>) {
    let (version, entries, micros) = match how {
        Lowest => (Version::FIRST, 0, i64::MIN),
        Highest => (Version::MAX, u32::MAX, i64::MAX),
        _ => return,
    };
    let at = Timestamp::from_micros(micros);
    let action = Arc::make_mut(action);
    (action.version, action.log_entries) = (version, entries);
    (action.created_at, action.last_seen_at) = (at, at);
    action.started_at = action.started_at.map(|_| at);
    action.finished_at = action.finished_at.map(|_| at);
}

#[async_trait]
impl ActionStore for Broken {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        if self.way.method.is_none() {
            let most = if self.way.how == Lowest {
                0
            } else {
                usize::MAX
            };
            (capabilities.max_commands, capabilities.max_bytes) = (most, most);
        }
        capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let mut answers = self.inner.write(batch).await?;
        let Some(how) = self.how(Method::Write) else {
            return Ok(answers);
        };
        lengths(how, &mut answers);
        for done in answers.iter_mut().flatten() {
            match &mut done.action {
                found if how == Missing => *found = None,
                Some(action) => numbers(how, action),
                None => {}
            }
        }
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        let mut found = self.inner.get(uids).await?;
        let Some(how) = self.how(Method::Get) else {
            return Ok(found);
        };
        lengths(how, &mut found);
        for found in &mut found {
            match found {
                found if how == Missing => *found = None,
                Some(action) => numbers(how, action),
                None => {}
            }
        }
        Ok(found)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut page = self.inner.list(query).await?;
        if let Some(how) = self.how(Method::List) {
            Broken::page(how, query.after, &mut page);
            page.items
                .iter_mut()
                .for_each(|action| numbers(how, action));
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let mut page = self.inner.log(query).await?;
        let Some(how) = self.how(Method::Log) else {
            return Ok(page);
        };
        Broken::page(how, query.after, &mut page);
        for entry in &mut page.items {
            match how {
                Lowest => (entry.version, entry.at) = (Version::FIRST, i64_time(i64::MIN)),
                Highest => (entry.version, entry.at) = (Version::MAX, i64_time(i64::MAX)),
                _ => {}
            }
        }
        Ok(page)
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        let mut page = self.inner.owners(query).await?;
        if let Some(how) = self.how(Method::Owners) {
            Broken::page(how, query.after, &mut page);
            if how == Highest {
                for owner in &mut page.items {
                    owner.renewals = u64::MAX;
                    owner.renewed_at = i64_time(i64::MAX);
                }
            }
        }
        Ok(page)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let mut at = self.inner.changed(after).await?;
        if let Some(how) = self.how(Method::Changed) {
            Broken::position(how, &mut at);
        }
        Ok(at)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

fn i64_time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// How many calls are right first. `BROKEN_AFTER=0,1,2,3` runs what it says.
fn afters() -> Vec<usize> {
    let said = std::env::var("BROKEN_AFTER");
    let said = said.as_deref().unwrap_or("0,3");
    said.split(',')
        .map(|after| after.parse().unwrap())
        .collect()
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for (method, hows) in BROKEN {
        for how in *hows {
            // Capabilities are no call.
            let afters = if method.is_none() { vec![0] } else { afters() };
            ways.extend(afters.into_iter().map(|after| Way {
                method: *method,
                how: *how,
                after,
            }));
        }
    }
    ways
}

thread_local! {
    /// The case that this thread runs, for the panic hook.
    static AT_WORK: Cell<Option<(Way, &'static str)>> = const { Cell::new(None) };
}

/// The panics of all threads: which case, where.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A runtime whose time passes when there is nothing else to do: cases wait without waiting.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Runs every case on stores that are broken in one way: how many failed.
fn run_all(way: Way) -> usize {
    let mut failed = 0;
    // These cases write tens of thousands of actions, and then call `list` only.
    let is_for_lists = |case: &&Case| case.group() == "scan";
    let lists = way.method == Some(Method::List);
    for case in cases().iter().filter(|case| lists || !is_for_lists(case)) {
        AT_WORK.set(Some((way, case.name())));
        let open = move || async move {
            let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
            let kept = Arc::new(MemoryStore::with_clock(clock.clone()));
            let broken = Broken::new(kept.clone(), way);
            let reopen = move || std::future::ready(Ok(Broken::new(kept.clone(), way)));
            Subject::new(broken).with_clock(clock).with_reopen(reopen)
        };
        // A panic is in the list of its hook, and fails one case only.
        let ran = std::panic::catch_unwind(|| runtime().block_on(case.run(&open)));
        if let Ok(Err(failure)) = &ran {
            let text = failure.to_string();
            assert!(
                text.contains("expected: ") && text.contains("found: "),
                "{text}"
            );
            // A case that does not end has no failed step.
            let step = steps::is_at_a_step(failure) || text.contains("the end of the case");
            assert!(step, "not at a step: {text}");
        }
        failed += usize::from(!matches!(ran, Ok(Ok(_))));
    }
    AT_WORK.set(None);
    failed
}

#[test]
fn no_case_panics_whatever_a_store_answers() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match AT_WORK.get() {
        Some((way, case)) => {
            let mut panics = PANICS.lock().unwrap();
            panics.push(format!("{way:?} in {case}: {panic}"));
        }
        None => usual(panic),
    }));
    let queue = Arc::new(Mutex::new(ways()));
    let (ended, ends) = channel();
    for _ in 0..4 {
        let (queue, ended) = (queue.clone(), ended.clone());
        std::thread::spawn(move || {
            loop {
                let next = queue.lock().unwrap().pop();
                let Some(way) = next else { break };
                ended.send((way, run_all(way))).unwrap();
            }
        });
    }
    drop(ended);
    let mut failed = BTreeMap::new();
    loop {
        match ends.recv_timeout(Duration::from_secs(300)) {
            Ok((way, count)) => drop(failed.insert(format!("{way:?}"), count)),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("a case does not end; through: {failed:?}"),
        }
    }
    let panics = PANICS.lock().unwrap();
    assert!(
        panics.is_empty(),
        "{} panics:\n{}",
        panics.len(),
        panics.join("\n")
    );
    assert_eq!(failed.len(), ways().len());
    let unnoticed: Vec<_> = failed.iter().filter(|(_, count)| **count == 0).collect();
    assert!(unnoticed.is_empty(), "no case fails: {unnoticed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_check_of_a_store_does_not_panic_either() {
    for way in ways() {
        let inner = Arc::new(MemoryStore::new());
        let new = |_| action_store::Command::create(NewAction::task("a"));
        inner
            .write(Batch::all((0..3).map(new).collect()))
            .await
            .unwrap();
        let store = Broken::new(inner, way);
        // The verdict depends on the fault. Only a panic is wrong.
        let checked = tokio::spawn(async move { check_store(&store).await });
        assert!(checked.await.is_ok(), "{way:?}");
    }
}
