//! `export`, `import`, `copy`, `backup`.

use std::process::Stdio;

use action_store::{ActionStore, ActionStoreExt, NewAction, SqliteStore};
use serde_json::json;

use crate::support::{Place, Running, actions, ran, uids};

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_into_another_store() {
    let place = Place::new();
    place.filled().await;
    let done = place.json(&["export", "a.ndjson"]);
    assert_eq!(done[0]["actions"], 5);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path("a.ndjson"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "it has details of errors");
    }
    let taken = place.run(&["export", "a.ndjson"]).ends(1);
    assert!(
        taken.err.contains("hint: choose a new file"),
        "{}",
        taken.err
    );

    let import = ["--store", "sqlite:other.db", "import", "a.ndjson"];
    let first = place.json(&import);
    let expected = json!({"imported": 5, "already": 0, "refused": 0, "rejections": []});
    assert_eq!(first, [expected]);
    let again = place.run(&import).ends(0);
    assert_eq!(
        again.out,
        "imported 0 actions; 5 were there already, 0 were refused\n"
    );
    let [here, there] = [vec!["list"], vec!["--store", "sqlite:other.db", "list"]];
    assert_eq!(uids(&place.json(&here)), uids(&place.json(&there)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_flows_through_pipes() {
    let place = Place::new();
    place.filled().await;
    let exported = place.run(&["export", "--status", "completed"]).ends(0);
    assert!(
        exported.err.contains("exported 2 actions"),
        "{}",
        exported.err
    );
    let mut command = place.command(&["--store", "sqlite:other.db", "import", "-"]);
    command.stdin(Stdio::piped());
    let mut import = Running::start(command);
    import.tell(&exported.out);
    let done = import.end().ends(0);
    assert!(done.out.starts_with("imported 2 actions"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_is_continued() {
    let place = Place::new();
    let store = place.open().await;
    let new = (0..250).map(|_| action_store::Command::create(NewAction::task("many")));
    store
        .write_repeating(action_store::Batch::each(new.collect()))
        .await
        .unwrap();
    store.close().await.unwrap();
    place.run(&["export", "whole.ndjson"]).ends(0);
    let whole = std::fs::read_to_string(place.path("whole.ndjson")).unwrap();
    std::fs::write(place.path("part.ndjson"), &whole[..whole.len() * 2 / 3]).unwrap();
    place.run(&["export", "part.ndjson", "--resume"]).ends(0);
    let continued = std::fs::read_to_string(place.path("part.ndjson")).unwrap();
    assert!(continued == whole, "the two exports differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_export_ends_with_1_and_names_the_line() {
    let place = Place::new();
    place.filled().await;
    place.run(&["export", "a.ndjson"]).ends(0);
    let text = std::fs::read_to_string(place.path("a.ndjson")).unwrap();
    std::fs::write(
        place.path("b.ndjson"),
        text.replacen("disk_full", "disk_foul", 1),
    )
    .unwrap();
    let import = ["--store", "sqlite:other.db", "import", "b.ndjson"];
    let ran = place.run(&import).ends(1);
    assert!(ran.err.contains("b.ndjson: line "), "{}", ran.err);
    assert!(ran.err.contains("their checksum differs"), "{}", ran.err);
    let ran = place
        .run(&["--store", "sqlite:new.db", "import", "none.ndjson"])
        .ends(1);
    assert!(ran.err.contains("none.ndjson: "), "{}", ran.err);
    assert!(
        !place.path("new.db").exists(),
        "a wrong file must not create a store"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_refused_ends_with_4() {
    let place = Place::new();
    let filled = place.filled().await;
    place.run(&["export", "a.ndjson"]).ends(0);
    let other = SqliteStore::open(place.path("other.db")).await.unwrap();
    other
        .create(NewAction::task("another").with_uid(filled.failed))
        .await
        .unwrap();
    other.close().await.unwrap();
    let ran = place
        .run(&["--store", "sqlite:other.db", "import", "a.ndjson"])
        .ends(4);
    assert!(
        ran.out
            .contains("4 actions; 0 were there already, 1 were refused"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains(&filled.failed.to_string()), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_compares_the_two_stores_and_ends_with_6_if_they_differ() {
    let place = Place::new();
    let filled = place.filled().await;
    let done = place.json(&["copy", "sqlite:other.db"]);
    assert_eq!(
        (&done[0]["verified"], &done[0]["faithful"]),
        (&json!(5), &json!(true))
    );
    let again = place.run(&["copy", "sqlite:other.db"]).ends(0);
    assert!(
        again
            .out
            .contains("5 actions are the same in both stores, 0 differ"),
        "{again:?}"
    );

    // It has no parts, which would get the request too.
    place.run(&["cancel", &filled.part.to_string()]).ends(0);
    let ran = place.run(&["copy", "sqlite:other.db", "--json"]).ends(6);
    let found = ran.one()["differences"].clone();
    assert_eq!(
        found,
        json!([{"uid": filled.part.to_string(), "how": "behind"}])
    );
    let table = place.run(&["copy", "sqlite:other.db"]).ends(6);
    assert!(
        table.out.contains(&format!("{}  behind", filled.part)),
        "{}",
        table.out
    );
    let memory = ran_copy("memory:", "memory:");
    assert!(memory.err.contains("the same address"), "{memory:?}");
}

fn ran_copy(from: &str, to: &str) -> crate::support::Ran {
    ran(actions(&["--store", from, "copy", to])).ends(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_store() {
    let place = Place::new();
    place.filled().await;
    let done = place.json(&["backup", "copy.db"]);
    assert!(done[0]["bytes"].as_u64().unwrap() > 0);
    let copied = place.json(&["--store", "sqlite:copy.db", "list"]);
    assert_eq!(uids(&copied), uids(&place.json(&["list"])));
    let taken = place.run(&["backup", "copy.db"]).ends(5);
    assert!(taken.err.contains("copy.db: "), "{}", taken.err);
    assert!(taken.err.contains("choose a new path"), "{}", taken.err);
}
