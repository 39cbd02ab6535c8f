//! The scenario that the plane runs at its start: real operations. Some must fail.

use std::io;
use std::path::Path;
use std::sync::Arc;

use action_store::expectations::Expectations;
use action_store::{Action, ActionStore, ActionUid, CancelRequest, Outcome, Progress};

use crate::Failure;
use crate::catalogue::Bdb;
use crate::plane::{Operation, Plane};
use crate::screen::Screen;

/// The actor of the recorded actions.
const ACTOR: &str = "scenario";
const ROWS: u64 = 80_000;

/// The expected outcome of an action, and the error code if it must fail.
type End = (Outcome, &'static str);

fn is_met((outcome, code): &End, action: &Action) -> bool {
    let error = action.error.as_ref().map(|error| &*error.code);
    let right_error = *outcome != Outcome::Failed || error == Some(code);
    let whole = *outcome != Outcome::Succeeded || action.progress == Progress::DONE;
    action.outcome == Some(*outcome) && right_error && whole
}

/// Returns true if every action ended as expected, and the uid of an intact database.
pub(crate) async fn run(plane: &Arc<Plane>) -> Result<(bool, u64), Failure> {
    let (done, cancelled) = ((Outcome::Succeeded, ""), (Outcome::Cancelled, ""));
    let failed = |code| (Outcome::Failed, code);
    let mut scenario = Scenario {
        plane,
        screen: Screen::new(),
        all: Vec::new(),
        right: true,
    };
    let uid = || plane.catalogue.next_uid();
    let (orders, sessions, catalog) = (uid().await?, uid().await?, uid().await?);
    let (archive, metrics, staging) = (uid().await?, uid().await?, uid().await?);
    let missing = uid().await?;
    let create = |name: &str, rows| {
        let name = name.to_owned();
        Operation::Create(Bdb { name, rows })
    };
    let creations = vec![
        (orders, create("orders", ROWS), done),
        (staging, create("staging", 100 * ROWS), cancelled),
        (sessions, create("sessions", ROWS / 2), done),
        (catalog, create("catalog", ROWS / 2), done),
        (archive, create("archive", ROWS), done),
        (metrics, create("metrics", ROWS / 8), done),
    ];
    let title = "Creating databases, two at a time; one is cancelled";
    scenario.block(title, creations).await?;

    let backups = vec![
        (orders, Operation::Backup, done),
        (sessions, Operation::Check, done),
        (catalog, Operation::Backup, done),
        (missing, Operation::Backup, failed("bdb_not_found")),
        (plane.node, Operation::CheckNode, done),
    ];
    let title = format!("Backing up, checking; there is no database {missing}");
    scenario.block(&title, backups).await?;

    damage(&plane.catalogue.file(archive))?;
    let checks = vec![
        (orders, Operation::Check, done),
        (archive, Operation::Check, failed("bdb_corrupt")),
        (catalog, Operation::Delete, done),
    ];
    let title =
        format!("Checking after database {archive} was damaged on purpose, deleting {catalog}");
    scenario.block(&title, checks).await?;

    scenario.right &= !plane.catalogue.file(catalog).exists();
    Ok((scenario.end().await?, orders))
}

struct Scenario<'p> {
    plane: &'p Arc<Plane>,
    screen: Screen,
    all: Vec<ActionUid>,
    right: bool,
}

impl Scenario<'_> {
    /// Starts operations and shows their progress until all have ended.
    async fn block(
        &mut self,
        title: &str,
        operations: Vec<(u64, Operation, End)>,
    ) -> Result<(), Failure> {
        self.screen.title(title)?;
        let tracker = &self.plane.tracker;
        // Watches before the first operation starts, so that no change is missed.
        let mut changes = tracker.watcher().watch_all(None).await?;
        let (mut actions, mut ends, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (bdb, operation, end) in operations {
            let action = self.plane.accept(bdb, operation, ACTOR).await?;
            if end.0 == Outcome::Cancelled {
                // A second operation on the same database is refused with the conflicting
                // action.
                let second = self.plane.accept(bdb, Operation::Check, ACTOR).await;
                let holder = second.err().and_then(|error| error.current().cloned());
                self.right &= holder.is_some_and(|holder| holder.uid == action.uid);
                let request = CancelRequest::new().with_by(ACTOR).with_reason("too large");
                tracker.cancel(action.uid, request).await?;
            }
            expected.push(Expectations::of(tracker.store(), action.name.clone()).await?);
            ends.push(end);
            actions.push(action);
        }
        self.screen.show(&actions, &expected)?;
        while actions.iter().any(|action| action.is_unfinished()) {
            let changed = changes.next().await?;
            if let Some(action) = actions.iter_mut().find(|action| action.uid == changed.uid) {
                *action = changed;
                self.screen.show(&actions, &expected)?;
            }
        }
        self.right &= ends
            .iter()
            .zip(&actions)
            .all(|(end, action)| is_met(end, action));
        self.all.extend(actions.iter().map(|action| action.uid));
        Ok(())
    }

    async fn end(mut self) -> Result<bool, Failure> {
        let actions = self.plane.tracker.store().get(&self.all).await?;
        let actions: Vec<Arc<Action>> = actions.into_iter().flatten().collect();
        self.screen.title("Recorded actions")?;
        self.screen.table(&actions)?;
        let verdict = match self.right {
            true => "Every action ended as expected; two of them had to fail.",
            false => "Some actions did NOT end as expected.",
        };
        self.screen.title(verdict)?;
        Ok(self.right)
    }
}

/// Overwrites pages in the middle of a file.
fn damage(path: &Path) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    let middle = file.metadata()?.len() / 2 / 4096 * 4096;
    file.seek(SeekFrom::Start(middle))?;
    file.write_all(&[0xff; 16 * 4096])?;
    file.sync_all()
}
