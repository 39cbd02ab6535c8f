//! Several planes over one PostgreSQL database.

use std::path::Path;

use action_store::{ActionStoreExt, Outcome, connect};

use super::postgres::Server;
use super::{Plane, begin_large};

/// Starts the plane of a node. A silence of three seconds ends its owner.
fn start(data: &Path, node: &str, url: &str) -> Plane {
    let data = data.join(node);
    let options = ["--store", url, "--node", node, "--lease", "3"];
    Plane::start_with(&data, &options)
}

#[tokio::test]
async fn an_action_of_a_killed_plane_is_settled_by_the_other_one() {
    let name = "an_action_of_a_killed_plane_is_settled_by_the_other_one";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (data, url) = (directory.path(), server.url());
    // Both begin on an empty database, and create its tables together.
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| start(data, "1", &url));
        let second = start(data, "2", &url);
        (first.join().unwrap(), second)
    });

    // Each shows the actions of the other. A cancel request at the one reaches the work at the other.
    let (here, _) = begin_large(&second);
    let cancel = format!("/v1/actions/{here}/cancel");
    assert_eq!(first.read(here)["status"], "executing");
    assert_eq!(first.order("POST", &cancel, ""), here);
    assert_eq!(second.ended(here)["status"], "cancelled");

    let (lost, bdb) = begin_large(&first);
    assert_eq!(second.read(lost)["status"], "executing");
    let delete = format!("/v1/bdbs/{bdb}");
    assert_eq!(second.ask("DELETE", &delete, "").unwrap(), None, "its key");
    first.kill();
    let ended = second.ended(lost);
    assert_eq!(ended["status"], "failed", "{ended}");
    let line = second.says(|line| line.contains(&lost.to_string()));
    let owner = "its owner plane@node-1/";
    for part in [owner, "is fenced, last seen ", "decided by plane@node-2"] {
        assert!(line.contains(part), "{line} does not say {part}");
    }
    // Its key went with it.
    second.order("DELETE", &delete, "");

    // The plane comes back, and finds its action as the other one has settled it.
    drop(first);
    let first = start(data, "1", &url);
    assert_eq!(first.read(lost), ended);
    let node = first.order("POST", "/v1/nodes/1/actions/check", "");
    assert_eq!(second.ended(node)["status"], "completed");
    let store = connect(&url).await.unwrap();
    let action = store.action(lost).await.unwrap().unwrap();
    assert_eq!(action.outcome, Some(Outcome::Lost));
    let evidence = action.evidence.as_ref().unwrap();
    assert_eq!(&*evidence.owner.name, "plane@node-1");
    store.close().await.unwrap();
}
