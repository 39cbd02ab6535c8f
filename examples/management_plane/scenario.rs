//! What the plane does when it is started by hand: real operations, two of which have to fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::{Action, ActionStore, ActionUid, Outcome, Progress};

use crate::plane::{Operation, Plane};
use crate::screen::Screen;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who asks for it, on record.
const ACTOR: &str = "scenario";
const ROWS: u64 = 80_000;

/// How an action should end.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Succeeded,
    /// With this code.
    Failed(&'static str),
}

impl Expected {
    fn met_by(self, action: &Action) -> bool {
        let code = action.error.as_ref().map(|error| &*error.code);
        match self {
            Expected::Succeeded => {
                action.outcome == Some(Outcome::Succeeded) && action.progress == Progress::DONE
            }
            Expected::Failed(expected) => {
                action.outcome == Some(Outcome::Failed) && code == Some(expected)
            }
        }
    }
}

/// How it went.
pub(crate) struct Ended {
    /// Whether every action ended as it should have.
    pub(crate) right: bool,
    /// A database that is there and whole.
    pub(crate) bdb: u64,
}

pub(crate) async fn run(plane: &Arc<Plane>) -> Result<Ended, Failure> {
    let mut scenario = Scenario {
        plane,
        screen: Screen::new(),
        all: Vec::new(),
        right: true,
    };
    let mut uids = Vec::new();
    let mut creations = Vec::new();
    for (name, rows) in [
        ("orders", ROWS),
        ("sessions", ROWS / 2),
        ("catalog", ROWS / 2),
        ("archive", ROWS),
    ] {
        let uid = plane.catalogue.next_uid().await?;
        let name = name.to_owned();
        creations.push((Operation::Create { uid, name, rows }, Expected::Succeeded));
        uids.push(uid);
    }
    let [orders, sessions, catalog, archive] = uids[..] else {
        return Err("four databases".into());
    };
    scenario
        .block("Creating four databases, two at a time", creations)
        .await?;

    let missing = plane.catalogue.next_uid().await?;
    let backups = vec![
        (Operation::Backup { uid: orders }, Expected::Succeeded),
        (Operation::Check { uid: sessions }, Expected::Succeeded),
        (Operation::Backup { uid: catalog }, Expected::Succeeded),
        (
            Operation::Backup { uid: missing },
            Expected::Failed("bdb_not_found"),
        ),
    ];
    let title = format!("Backing up, checking; there is no database {missing}");
    scenario.block(&title, backups).await?;

    let file = plane.catalogue.file(archive);
    let damaged = tokio::task::spawn_blocking(move || damage(&file)).await?;
    scenario.right &= damaged.is_ok();
    let checks = vec![
        (Operation::Check { uid: orders }, Expected::Succeeded),
        (
            Operation::Check { uid: archive },
            Expected::Failed("bdb_corrupt"),
        ),
        (Operation::Delete { uid: catalog }, Expected::Succeeded),
    ];
    let title =
        format!("Checking after database {archive} was damaged on purpose, deleting {catalog}");
    scenario.block(&title, checks).await?;

    let deleted: PathBuf = plane.catalogue.file(catalog);
    scenario.right &= !deleted.exists();
    let right = scenario.end().await?;
    Ok(Ended { right, bdb: orders })
}

struct Scenario<'p> {
    plane: &'p Arc<Plane>,
    screen: Screen,
    all: Vec<ActionUid>,
    right: bool,
}

impl Scenario<'_> {
    /// Has operations done and shows how they go, until all of them are over.
    async fn block(
        &mut self,
        title: &str,
        operations: Vec<(Operation, Expected)>,
    ) -> Result<(), Failure> {
        self.screen.title(title)?;
        let (mut uids, mut expected) = (Vec::new(), Vec::new());
        for (operation, end) in operations {
            uids.push(self.plane.accept(operation, ACTOR).await?.uid);
            expected.push(end);
        }
        let store = self.plane.tracker.store();
        let actions = loop {
            let actions: Vec<Arc<Action>> = store.get(&uids).await?.into_iter().flatten().collect();
            self.screen.show(&actions)?;
            if actions.iter().all(|action| !action.is_unfinished()) {
                break actions;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let met = expected
            .iter()
            .zip(&actions)
            .all(|(end, action)| end.met_by(action));
        self.right &= met && actions.len() == uids.len();
        self.all.extend(uids);
        Ok(())
    }

    async fn end(mut self) -> Result<bool, Failure> {
        let actions = self.plane.tracker.store().get(&self.all).await?;
        let actions: Vec<Arc<Action>> = actions.into_iter().flatten().collect();
        self.screen.title("What is on record")?;
        self.screen.table(&actions)?;
        let verdict = match self.right {
            true => "Every action ended as it should; two of them had to fail.",
            false => "NOT every action ended as it should.",
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
