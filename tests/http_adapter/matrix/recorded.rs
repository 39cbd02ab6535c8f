//! The recorded actions. The actions that each role may see are computed from these.

use std::time::Duration;

use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, Command, Finish, NewAction, ObjectRef,
    OwnerRef, RelatedObject, Source,
};

/// The detail of every recorded error.
pub(super) const DETAIL: &str = "SECRET-DETAIL";

/// An action as it was recorded.
pub(super) struct Recorded {
    pub(super) uid: ActionUid,
    pub(super) name: &'static str,
    pub(super) tenant: &'static str,
    pub(super) touches: Vec<&'static str>,
    pub(super) failed: bool,
    /// The parity of its place among the actions of its tenant, which is also a label.
    pub(super) parity: usize,
    pub(super) parent: Option<ActionUid>,
}

/// The recorded actions, and the ones that were removed.
pub(super) struct History {
    pub(super) all: Vec<Recorded>,
    pub(super) removed: Vec<ActionUid>,
    /// An action of `acme` that has parts.
    pub(super) parent: ActionUid,
    /// Creation time of the youngest removed action in microseconds.
    floor: i64,
}

impl History {
    /// True if the time in a uid is not after that of the youngest removed action.
    pub(super) fn is_gone(&self, uid: &str) -> bool {
        let millis = i64::from_str_radix(&uid[..13].replace('-', ""), 16);
        millis.is_ok_and(|millis| millis * 1_000 <= self.floor)
    }
}

/// Records actions of each tenant, on its own and on shared objects, unfinished and
/// failed. Removes some that are older than the actions of the last tenants.
pub(super) async fn record(store: &dyn ActionStore) -> History {
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let (mut recorded, mut removed, mut floor) = (Vec::new(), Vec::new(), 0);
    let mut of_acme = None;
    for tenant in ["default", "acme", "globex"] {
        let mut parent = None;
        for (number, touches) in [
            vec![],
            vec!["bdb:1"],
            vec!["bdb:2"],
            vec!["node:1", "bdb:1"],
            vec!["crdb:x", "bdb:2", "bdb:1"],
            vec!["cluster"],
            vec![if tenant == "acme" { "bdb:4" } else { "bdb:5" }],
        ]
        .into_iter()
        .enumerate()
        {
            let mut objects = touches
                .iter()
                .map(|text| text.parse::<ObjectRef>().unwrap());
            let mut new = match objects.next() {
                None => NewAction::task("t"),
                Some(object) if number % 2 == 0 => NewAction::state_machine("SM", object),
                Some(object) => NewAction::new(Source::Other, "o").with_object(object),
            };
            let name = match (&new.object, number % 2) {
                (None, _) => "t",
                (_, 0) => "SM",
                _ => "o",
            };
            new = new.with_tenant(tenant).with_label("group", tenant);
            new = new.with_label("parity", (number % 2).to_string());
            new.parent = parent;
            for object in objects {
                new = new.with_related(RelatedObject::new("with", object));
            }
            let failed = number != 2;
            let uid = store.create(new).await.unwrap().uid;
            store.start(uid, &owner).await.unwrap();
            if failed {
                let error = ActionError::new("broken", "it broke").with_detail(DETAIL);
                let finish = Finish::failed(error);
                store.finish(uid, finish, Some(&owner)).await.unwrap();
            }
            recorded.push(Recorded {
                parity: number % 2,
                parent,
                uid,
                name,
                tenant,
                touches,
                failed,
            });
            // It stays executing, and the later ones are its parts.
            if !failed {
                parent = Some(uid);
            }
        }
        if tenant == "acme" {
            of_acme = parent;
        }
        if tenant != "globex" {
            let new = NewAction::task("t").with_tenant(tenant);
            let gone = store.create(new).await.unwrap();
            let error = ActionError::new("a", "b");
            let ended = store.finish(gone.uid, Finish::failed(error), None);
            let if_version = ended.await.unwrap().version;
            let uid = gone.uid;
            let remove = Command::remove(uid, if_version);
            store.command(remove).await.unwrap();
            removed.push(uid);
            floor = gone.created_at.as_micros();
            // The next uid needs a later millisecond.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    History {
        all: recorded,
        removed,
        parent: of_acme.unwrap(),
        floor,
    }
}
