//! `list`, `show`, `history`, `counts`, `diagnostics`, `schema`, `check`.

use action_store::{ActionError, ActionStore, ActionStoreExt, NewAction, Outcome, SqliteStore};
use serde_json::json;

use crate::support::{Place, uids};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_table_of_what_is_there_newest_first() {
    let place = Place::new();
    let filled = place.filled().await;
    let ran = place.run(&["list"]).ends(0);
    let head = ran.out.lines().next().unwrap();
    let words: Vec<&str> = head.split_whitespace().collect();
    let expected = [
        "UID", "STATUS", "%", "NAME", "OBJECT", "CREATED", "(UTC)", "TOOK",
    ];
    assert_eq!(words, expected);
    let rows = ran.rows();
    assert_eq!(rows.len(), 5);
    assert_eq!(
        rows[0][..5],
        [
            &filled.failed.to_string(),
            "failed",
            "0",
            "check_bdb",
            "bdb:1"
        ]
    );
    assert_eq!(
        rows[3][..4],
        [
            &filled.executing.to_string(),
            "executing",
            "42.5",
            "SMCreateBDB"
        ]
    );
    assert_eq!(rows[4][1..5], ["queued", "0", "drain_node", "node:7"]);
    // Each column begins at one place, whatever the lengths.
    for column in ["STATUS", "NAME", "OBJECT", "CREATED"] {
        let at = head.find(column).unwrap();
        for line in ran.out.lines().skip(1) {
            assert_eq!(&line[at - 2..at], "  ", "{column} in {line:?}");
            assert_ne!(&line[at..=at], " ", "{column} in {line:?}");
        }
    }
    assert!(
        ran.out.lines().all(|line| line == line.trim_end()),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}'), "colours only on a terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders_are_those_of_the_store() {
    let place = Place::new();
    let filled = place.filled().await;
    let [queued, executing, part, succeeded, failed] = [
        filled.queued,
        filled.executing,
        filled.part,
        filled.succeeded,
        filled.failed,
    ]
    .map(|uid| uid.to_string());
    let parent = executing.clone();
    for (arguments, found) in [
        (&["--unfinished"][..], vec![&part, &executing, &queued]),
        (&["--status", "queued"], vec![&queued]),
        (&["--outcome", "failed"], vec![&failed]),
        (&["--source", "state-machine"], vec![&executing]),
        (&["--name", "backup_bdb"], vec![&succeeded]),
        (&["--object", "bdb:1"], vec![&failed, &executing]),
        (&["--touches", "node:7"], vec![&queued]),
        (&["--tenant", "acme"], vec![&succeeded]),
        (&["--actor", "bob"], vec![&executing]),
        (
            &["--owner", "plane@host-1", "--status", "executing"],
            vec![&part, &executing],
        ),
        (&["--parent", &parent], vec![&part]),
        (
            &["--order", "oldest", "--limit", "2"],
            vec![&queued, &executing],
        ),
        (&["--order", "finished"], vec![&failed, &succeeded]),
        (&["--since", "1h", "--limit", "1"], vec![&failed]),
        (&["--until", "1h"], vec![]),
        (
            &[
                "--since",
                "2026-01-31",
                "--until",
                "2026-01-31T10:00:00+01:00",
            ],
            vec![],
        ),
        (&["--finished-since", "1h"], vec![&failed, &succeeded]),
        (&["--cancel-requested"], vec![]),
    ] {
        let listed = place.json(&[&["list"], arguments].concat());
        assert_eq!(
            uids(&listed).iter().collect::<Vec<_>>(),
            found,
            "{arguments:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_names_of_the_struct_and_embeds_json() {
    let place = Place::new();
    let filled = place.filled().await;
    let executing = filled.executing.to_string();
    let shown = place.json(&["show", &executing])[0].clone();
    assert_eq!(shown["uid"], json!(executing));
    assert_eq!(shown["source"], "state-machine");
    assert_eq!(shown["status"], "executing");
    assert_eq!(shown["progress"], json!(42.5));
    assert_eq!(shown["step"], "load_rows");
    assert_eq!(shown["attributes"], json!({"rows": [1, 2]}));
    assert_eq!(shown["warnings"], json!(["one node is slow"]));
    assert_eq!(shown["owner"]["name"], "plane@host-1");
    assert_eq!(shown["parts"]["executing"], 1);
    assert_eq!(
        shown.get("outcome"),
        None,
        "a field without a value is left out"
    );
    let created: jiff::Timestamp = shown["created_at"].as_str().unwrap().parse().unwrap();
    assert!(created.as_second() > 1_760_000_000);

    // A list leaves the large fields out, unless it is asked for them.
    let error = |arguments: &[&str]| place.json(arguments)[0]["error"].clone();
    let list = ["list", "--outcome", "failed"];
    assert_eq!(
        error(&list),
        json!({"code": "disk_full", "message": "the disk is full"})
    );
    let full = error(&[&list[..], &["--full"]].concat());
    assert_eq!(full["detail"], "/dev/sdb: ENOSPC");
    let succeeded = place.json(&["show", &filled.succeeded.to_string()]);
    assert_eq!(succeeded[0]["result"], json!({"bytes": 9}));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_everything_with_the_zone_of_each_time() {
    let place = Place::new();
    let filled = place.filled().await;
    let ran = place.run(&["show", &filled.failed.to_string()]).ends(0);
    for part in [
        "status          completed: failed",
        "error           disk_full: the disk is full",
        "error detail    /dev/sdb: ENOSPC",
        " UTC (",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = place.run(&["show", &filled.executing.to_string()]).ends(0);
    assert!(
        ran.out.contains("parts           1 executing\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("progress        42.5 %\n"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_is_read_in_any_spelling() {
    let place = Place::new();
    let uid = place.filled().await.failed.to_string();
    for spelling in [uid.to_uppercase(), uid.replace('-', "")] {
        assert_eq!(
            place.json(&["show", &spelling])[0]["uid"],
            json!(uid),
            "{spelling}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_has_each_entry_of_the_log() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.failed.to_string();
    let entries = place.json(&["history", &uid]);
    let kinds: Vec<&str> = entries
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["created", "started", "finished"]);
    assert_eq!(entries[2]["outcome"], "failed");
    let ran = place.run(&["history", &uid]).ends(0);
    let rows = ran.rows();
    assert_eq!(rows[2][2..4], ["finished", "failed"]);
    assert_eq!(rows[2].last(), Some(&"disk_full: the disk is full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_leads_to_the_next_one() {
    let place = Place::new();
    let store = place.open().await;
    for _ in 0..7 {
        store.create(NewAction::task("many")).await.unwrap();
    }
    store.close().await.unwrap();
    let all = uids(&place.json(&["list", "--all"]));
    assert_eq!(all.len(), 7);
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = vec!["list", "--limit", "3", "--json"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let ran = place.run(&arguments).ends(0);
        found.extend(uids(&ran.json()));
        let Some((_, rest)) = ran.err.split_once("--after ") else {
            break;
        };
        after = Some(rest.split(',').next().unwrap().to_owned());
    }
    assert_eq!(found, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_result_says_so_and_prints_nothing() {
    let place = Place::new();
    place.filled().await;
    let ran = place.run(&["list", "--name", "no such name"]).ends(0);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "no action matches\n")
    );
    assert_eq!(place.json(&["list", "--name", "no such name"]).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_up_to_the_bound_and_say_so_beyond() {
    let place = Place::new();
    place.filled().await;
    let exactly = |number: u64| json!({ "number": number, "exact": true });
    let counts = place.json(&["counts"])[0].clone();
    let expected = json!({
        "queued": exactly(1), "executing": exactly(2), "succeeded": exactly(1), "failed": exactly(1),
        "cancelled": exactly(0), "interrupted": exactly(0), "lost": exactly(0), "total": exactly(5),
    });
    assert_eq!(counts, expected);
    // The newest of the three unfinished ones, which executes, and the two completed ones.
    let bounded = place.run(&["counts", "--bound", "1", "--json"]).ends(0);
    let counts = bounded.one();
    assert_eq!(counts["total"], json!({ "number": 3, "exact": false }));
    assert_eq!(counts["failed"], exactly(1));
    let unfinished = ["queued", "executing"].map(|word| counts[word].clone());
    assert!(
        unfinished.iter().all(|count| count["exact"] == false),
        "{counts}"
    );
    assert!(bounded.err.contains("raise --bound"), "{}", bounded.err);
    let table = place.run(&["counts", "--bound", "1"]).ends(0);
    assert_eq!(table.rows().last().unwrap()[..], ["total", ">= 3"]);
    let filtered = place.json(&["counts", "--object", "bdb:1"]);
    assert_eq!(filtered[0]["total"], exactly(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_find_by_labels_prefixes_and_sets_of_states() {
    let place = Place::new();
    let store = place.open().await;
    let new = |name: &str| NewAction::task(name);
    let labelled = new("SMResize").with_label("region", "eu-1");
    let labelled = labelled.with_label("tier", "gold");
    let one = store.create(labelled).await.unwrap();
    let other = store.create(new("SMBackup").with_label("region", "us-1"));
    let other = other.await.unwrap();
    let third = store.create(new("backup")).await.unwrap();
    let end = |outcome| action_store::Finish::new(outcome);
    store
        .finish(other.uid, end(Outcome::Cancelled), None)
        .await
        .unwrap();
    let failed = end(Outcome::Failed).with_error(ActionError::new("e", "it failed"));
    store.finish(third.uid, failed, None).await.unwrap();
    store.close().await.unwrap();
    let [one, other, third] = [one, other, third].map(|action| action.uid.to_string());
    for (arguments, found) in [
        (&["--label", "region=eu-1"][..], vec![&one]),
        (&["--label", "region"], vec![&other, &one]),
        (&["--label", "region", "--label", "tier=gold"], vec![&one]),
        (&["--label", "region=eu-2"], vec![]),
        (&["--name", "SM*"], vec![&other, &one]),
        (&["--name", "SM"], vec![]),
        (&["--outcome", "failed,cancelled"], vec![&third, &other]),
        (&["--status", "queued,executing"], vec![&one]),
        (
            &["--status", "completed", "--outcome", "failed"],
            vec![&third],
        ),
    ] {
        let arguments = [&["list"], arguments].concat();
        let listed = place.json(&arguments);
        let uids: Vec<_> = listed.iter().map(|a| a["uid"].as_str().unwrap()).collect();
        assert_eq!(uids, found, "{arguments:?}");
    }
    let counts = place.json(&["counts", "--label", "region"]);
    assert_eq!(counts[0]["total"], json!({ "number": 2, "exact": true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn diagnostics_show_the_store_and_its_living_owners() {
    let place = Place::new();
    let filled = place.filled().await;
    let state = place.json(&["diagnostics"])[0].clone();
    assert_eq!(state["access"], "read-only");
    assert_eq!(state["file"], "same");
    assert_eq!(state["actions"], 5);
    assert_eq!(state["damaged"], 0);
    assert_eq!(state["owners"][0]["name"], "plane@host-1");
    let incarnation = filled.owner.incarnation.to_string();
    assert_eq!(state["owners"][0]["incarnation"], json!(incarnation));
    let ran = place.run(&["diagnostics"]).ends(0);
    assert!(ran.out.contains("plane@host-1"), "{}", ran.out);
    assert!(ran.out.contains("RENEWED (UTC)"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_prints_what_the_library_applies() {
    let place = Place::new();
    let steps = place.json(&["schema"]);
    let texts: Vec<&str> = steps
        .iter()
        .map(|step| step["sql"].as_str().unwrap())
        .collect();
    assert_eq!(texts, SqliteStore::schema());
    let ran = place.run(&["schema"]).ends(0);
    assert!(ran.out.contains("CREATE TABLE"), "{}", ran.out);
    assert!(!place.path("plane.db").exists(), "it needs no store");
    let none = place.run(&["--store", "memory:", "schema"]).ends(2);
    assert!(none.err.contains("has no schema"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_damage_and_says_so_in_its_exit_code() {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    let place = Place::new();
    place.filled().await;
    let sound = place.json(&["check"])[0].clone();
    assert_eq!(
        (&sound["actions"], &sound["damaged"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(sound["examined"], "rows");
    let ran = place.run(&["check"]).ends(0);
    assert!(ran.out.contains("no damage was found"), "{}", ran.out);

    let file = SqliteConnectOptions::new().filename(place.path("plane.db"));
    let mut connection = file.connect().await.unwrap();
    let damage = "DELETE FROM actions_feed WHERE action = (SELECT max(number) FROM actions_action)";
    sqlx::query(damage).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let ran = place.run(&["check", "--json"]).ends(6);
    assert_eq!(ran.one()["damaged"], 1);
    assert!(ran.one()["findings"][0].as_str().unwrap().contains("feed"));
    assert!(ran.err.contains("hint: restore a backup"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_shown() {
    let place = Place::new();
    let store = place.open().await;
    let new = NewAction::task("a").with_label("region", "eu-1");
    let uid = store
        .create(new.with_label("team", "storage"))
        .await
        .unwrap();
    let uid = uid.uid.to_string();
    store.close().await.unwrap();
    let labels = json!({"region": "eu-1", "team": "storage"});
    assert_eq!(place.json(&["show", &uid])[0]["labels"], labels);
    assert_eq!(place.json(&["list"])[0]["labels"], labels);
    let ran = place.run(&["show", &uid]).ends(0);
    let lines = "labels          region=eu-1\n                team=storage\n";
    assert!(ran.out.contains(lines), "{}", ran.out);
}
