//! One hour of a plane's records, with a manual clock that is set to past times.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use action_store::{
    ActionError, ActionStoreExt as _, ActionUid, Clock, Command, Finish, Json, MemoryStore,
    NewAction, ObjectRef, Outcome, OwnerRef, Progress, Report, Source, Timestamp,
};

/// Number of succeeded actions.
pub(crate) const SUCCEEDED: usize = 300;

/// Number of failed actions: one of them five hours ago.
pub(crate) const FAILED: &str = "4";

pub(crate) struct Day {
    pub(crate) store: Arc<MemoryStore>,
    clock: Clock,
    begun: Timestamp,
    owner: OwnerRef,
    /// The first succeeded action.
    first: OnceLock<ActionUid>,
}

impl Day {
    pub(crate) async fn new() -> Day {
        let begun = Timestamp::from(SystemTime::now());
        let clock = Clock::manual(begun);
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let owner = OwnerRef::new("plane@node-1");
        let day = Day {
            store,
            clock,
            begun,
            owner,
            first: OnceLock::new(),
        };
        day.claim(&day.owner).await;
        day
    }

    async fn claim(&self, owner: &OwnerRef) {
        let claim = Command::claim(owner.clone());
        self.store.command(claim).await.unwrap();
    }

    /// Sets the clock to this many seconds before now.
    pub(crate) fn ago(&self, seconds: i64) {
        let micros = self.begun.as_micros() - seconds * 1_000_000;
        self.clock.set(Timestamp::from_micros(micros));
    }

    pub(crate) async fn queued(&self, new: NewAction) -> ActionUid {
        self.store.create(new).await.unwrap().uid
    }

    pub(crate) async fn started(&self, new: NewAction) -> ActionUid {
        let uid = self.queued(new).await;
        self.store.start(uid, &self.owner).await.unwrap();
        uid
    }

    pub(crate) async fn report(&self, uid: ActionUid, percent: f64, step: &str) {
        let progress = Progress::percent(percent).unwrap();
        let report = Report::new().with_progress(progress).with_step(step);
        self.store.report(uid, report, &self.owner).await.unwrap();
    }

    pub(crate) async fn finish(&self, uid: ActionUid, finish: Finish) {
        let by = Some(&self.owner);
        self.store.finish(uid, finish, by).await.unwrap();
    }

    /// Records an action that its owner leaves behind, and a successor that declares it
    /// lost.
    async fn lost(&self, new: NewAction) {
        let (first, next) = (OwnerRef::new("plane@node-2"), OwnerRef::new("plane@node-2"));
        self.claim(&first).await;
        let uid = self.queued(new).await;
        self.store.start(uid, &first).await.unwrap();
        self.claim(&next).await;
        let error = ActionError::new("lost", "the plane ended unexpectedly");
        let lost = Finish::new(Outcome::Lost).with_error(error);
        self.store.finish(uid, lost, Some(&next)).await.unwrap();
    }

    /// Records an executing action with three parts. The first has succeeded. Returns
    /// its uid and the uid of that part.
    pub(crate) async fn upgrade(&self) -> (ActionUid, ActionUid) {
        let attributes = r#"{"to":"7.22.0","serial":12345678901234567890}"#;
        let new = NewAction::task("upgrade_cluster")
            .with_object("cluster".parse::<ObjectRef>().unwrap())
            .with_description("Upgrade all nodes, one after the other")
            .with_label("region", "eu-1")
            .with_label("ticket", "OPS-1423")
            .with_attributes(Json::new(attributes).unwrap());
        let parent = self.started(new).await;
        let mut parts = Vec::new();
        for node in 1..=3 {
            let node: ObjectRef = format!("node:{node}").parse().unwrap();
            let new = NewAction::task("upgrade_node").with_object(node);
            let new = new.with_label("region", "eu-1").with_parent(parent);
            parts.push(self.started(new).await);
        }
        let result = Json::new(r#"{"version":"7.22.0"}"#).unwrap();
        let finish = Finish::succeeded().with_result(result);
        self.finish(parts[0], finish).await;
        (parent, parts[0])
    }

    /// Records the hour: hundreds of succeeded actions and a few of every other kind.
    pub(crate) async fn spend(&self) {
        const NAMES: [(&str, i64); 5] = [
            ("backup_bdb", 40),
            ("check_integrity", 9),
            ("SMUpdateBDB", 14),
            ("rebalance_shards", 70),
            ("rotate_certificates", 4),
        ];
        self.ago(5 * 3_600);
        let uid = self.started(database("check_integrity", 3)).await;
        let error = ActionError::new("checksum", "page 17 is damaged");
        self.finish(uid, Finish::failed(error)).await;
        for at in 0..SUCCEEDED {
            let number = i64::try_from(at).unwrap();
            let (name, length) = NAMES[at % NAMES.len()];
            let seconds = 3_300 - number * 11;
            self.ago(seconds);
            let uid = self.queued(database(name, at)).await;
            self.first.get_or_init(|| uid);
            self.ago(seconds - number % 4);
            self.store.start(uid, &self.owner).await.unwrap();
            self.report(uid, 50.0, "copy").await;
            let end = (seconds - 4 - length * (3 + number % 5) / 4).max(2);
            self.ago(end);
            self.finish(uid, Finish::succeeded()).await;
        }
        self.troubles().await;
        self.unfinished().await;
        self.ago(0);
    }

    /// The first succeeded action. It is of `acme`, and far down in the list.
    pub(crate) fn first(&self) -> ActionUid {
        *self.first.get().unwrap()
    }

    async fn troubles(&self) {
        for (seconds, code, message) in [
            (
                2_900,
                "disk_full",
                "no space left while writing snapshot 14",
            ),
            (610, "quorum_lost", "2 of 3 nodes do not answer"),
            (95, "timeout", "the replica was not in step after 30 s"),
        ] {
            self.ago(seconds);
            let uid = self.started(database("backup_bdb", 3)).await;
            self.report(uid, 62.5, "write_snapshot").await;
            self.ago(seconds - 55);
            let error = ActionError::new(code, message);
            self.finish(uid, Finish::failed(error)).await;
        }
        self.ago(1_700);
        self.lost(database("SMUpgradeModule", 5)).await;
        self.ago(1_690);
        for (name, outcome) in [
            ("import_dataset", Outcome::Cancelled),
            ("drain_node", Outcome::Interrupted),
        ] {
            let uid = self.started(database(name, 2)).await;
            self.finish(uid, Finish::new(outcome)).await;
        }
    }

    async fn unfinished(&self) {
        for (seconds, name, percent, step) in [
            (340, "rebalance_shards", 71.25, "move_slots"),
            (120, "SMCreateBDB", 33.3, "wait_for_persistence"),
            (48, "backup_bdb", 14.29, "write_snapshot"),
        ] {
            self.ago(seconds);
            let uid = self.started(database(name, 7)).await;
            self.report(uid, percent, step).await;
        }
        for (at, name) in ["backup_bdb", "check_integrity", "delete_bdb", "drain_node"]
            .into_iter()
            .enumerate()
        {
            self.ago(30);
            self.queued(database(name, at)).await;
        }
    }
}

/// A new action on a database of a tenant, both chosen by number.
fn database(name: &str, number: usize) -> NewAction {
    let tenant = ["acme", "globex", "initech"][number % 3];
    let bdb = ObjectRef::bdb(u64::try_from(number % 23).unwrap() + 1);
    let source = match name.starts_with("SM") {
        true => Source::StateMachine,
        false => Source::Task,
    };
    NewAction::new(source, name)
        .with_object(bdb)
        .with_tenant(tenant)
        .with_actor("ada@example.org")
}
