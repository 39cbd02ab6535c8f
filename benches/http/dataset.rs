//! Content of the stores.

use action_store::{
    ActionError, ActionStore, ActionUid, Batch, Change, Command, Finish, Json, NewAction,
    ObjectRef, OwnerRef, RelatedObject, Report,
};

/// Commands per batch.
const BATCH: usize = 900;

/// Optional content of the actions in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Plain,
    /// Attributes of about 200 bytes, with a pending operation.
    Attributes,
}

const ATTRIBUTES: &str = r#"{"module_uid":"a1b2c3d4","module_name":"search","semantic_version":"2.10.9","shards":[1,2,3,4],"placement":{"zone":"eu-west-1a","policy":"dense"},"dry_run":false,"note":"resize to three shards of 4 GB"}"#;
const PENDING: &str = r#"{"pending_ops":{"3":{"heartbeat":1700000000,"op_name":"wait_for_sync","progress":12.5,"snapshot":{"shards":[1,2,3,4],"node":7},"status_code":0,"status_description":"syncing shards"}}}"#;

/// Owner that executes and completes the actions.
pub async fn claim(store: &dyn ActionStore) -> OwnerRef {
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    write(store, vec![claim]).await;
    owner
}

pub async fn write(store: &dyn ActionStore, commands: Vec<Command>) {
    for answer in store.write(Batch::each(commands)).await.unwrap() {
        answer.unwrap();
    }
}

pub fn create(new: NewAction) -> Command {
    Command::create(new)
}

pub fn apply(uid: ActionUid, change: Change, owner: Option<&OwnerRef>) -> Command {
    Command::apply(uid, change).by(owner.cloned())
}

/// Fills a store with tasks and state machines in turn. Of ten actions, one is executing, one
/// failed and eight succeeded. Every other one belongs to the tenant `acme`, the rest to `globex`.
pub async fn fill(store: &dyn ActionStore, rows: usize, load: Load) -> Vec<ActionUid> {
    let owner = claim(store).await;
    let (mut uids, mut commands) = (Vec::with_capacity(rows), Vec::new());
    for row in 0..rows {
        let number = row as u64;
        let mut new = match row / 2 % 2 {
            0 => NewAction::task("backup_bdb").with_object(ObjectRef::node(number % 50)),
            _ => NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(number % 100)),
        };
        new = new
            .with_tenant(["acme", "globex"][row % 2])
            .with_related(RelatedObject::new("with", ObjectRef::bdb(number % 97)));
        if load == Load::Attributes {
            let json = if row / 2 % 2 == 0 {
                ATTRIBUTES
            } else {
                PENDING
            };
            new = new.with_attributes(Json::new(json).unwrap());
        }
        let uid = new.uid;
        uids.push(uid);
        commands.push(create(new));
        commands.push(apply(uid, Change::Start, Some(&owner)));
        let end = match row % 10 {
            4 => Change::Report(Report::new().with_step("proxy_policy")),
            7 => Change::Finish(Finish::failed(ActionError::new(
                "disk_full",
                "there is no space left on node 7 for the backup of database 12",
            ))),
            _ => Change::Finish(Finish::succeeded()),
        };
        commands.push(apply(uid, end, Some(&owner)));
        if commands.len() >= BATCH {
            write(store, std::mem::take(&mut commands)).await;
        }
    }
    write(store, commands).await;
    uids
}
