//! Commands on a store in PostgreSQL. Without a server the test is skipped, and says so.

use serde_json::json;
use sqlx::{Connection, Executor, Row};

use crate::postgres_server::Server;
use crate::support::{Place, actions, ran};

async fn has_schema(url: &str) -> bool {
    let mut connection = sqlx::postgres::PgConnection::connect(url).await.unwrap();
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'actions'";
    let row = sqlx::query(count).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get::<i64, _>(0) == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_command_that_creates_makes_a_schema() {
    let test = "only_a_command_that_creates_makes_a_schema";
    let Some(server) = Server::shared(test) else {
        return;
    };
    let place = Place::new();
    place.filled().await;
    place.run(&["export", "all.ndjson"]).ends(0);
    let url = server.url();
    let run = |arguments: &[&str]| {
        let mut command = actions(&[&["--store", &url], arguments].concat());
        command.current_dir(place.dir.path());
        ran(command)
    };
    for arguments in [
        &["list"][..],
        &["settle", "--unfinished"],
        &["cancel", "--unfinished", "--yes"],
        &["prune", "--yes"],
    ] {
        let ran = run(arguments).ends(1);
        assert!(ran.err.contains("has no store"), "{}", ran.err);
        assert!(ran.err.contains("hint: check the address"), "{}", ran.err);
        assert!(!has_schema(&url).await, "{arguments:?}");
    }
    run(&["import", "all.ndjson"]).ends(0);
    assert_eq!(run(&["list", "--json"]).ends(0).json().len(), 5);
    run(&["cancel", "--unfinished", "--yes"]).ends(0);
}

/// Runs commands on a schema that has the actions of a filled place. `None` without a server.
async fn imported(test: &str) -> Option<(Place, String)> {
    let server = Server::shared(test)?;
    let url = server.url();
    let url = database(&url, test).await;
    let place = Place::new();
    place.filled().await;
    place.run(&["export", "all.ndjson"]).ends(0);
    place
        .run(&["--store", &url, "import", "all.ndjson"])
        .ends(0);
    Some((place, url))
}

/// Creates a database for one test.
async fn database(url: &str, name: &str) -> String {
    let mut connection = sqlx::postgres::PgConnection::connect(url).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    url.replace("/postgres", &format!("/{name}"))
}

/// Damages an action, past the triggers of the schema.
async fn damage(url: &str) {
    let mut connection = sqlx::postgres::PgConnection::connect(url).await.unwrap();
    let damage = "SET session_replication_role = replica;
        UPDATE actions.actions_action SET name = 'other' WHERE name = 'backup_bdb'";
    connection.execute(sqlx::raw_sql(damage)).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reads_a_whole_store_and_says_what_it_did_not_check() {
    let Some((place, url)) = imported("check_reads").await else {
        return;
    };
    let check = ["--store", &url, "check"];
    let sound = place.json(&check)[0].clone();
    assert_eq!(sound["examined"], "values");
    assert_eq!(
        (&sound["actions"], &sound["damaged"]),
        (&json!(5), &json!(0))
    );
    let entries = place.json(&["check"])[0]["entries"].clone();
    assert_eq!(sound["entries"], entries);
    let ran = place.run(&check).ends(0);
    for part in [
        "read 5 actions, ",
        "no damage was found",
        "not checked: ",
        "pg_amcheck",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    damage(&url).await;
    let ran = place.run(&[&check[..], &["--json"]].concat()).ends(6);
    assert_eq!(
        (&ran.one()["actions"], &ran.one()["damaged"]),
        (&json!(3), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_prints_what_the_library_applies_to_a_schema() {
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let place = Place::new();
    let steps = place.json(&["--store", url, "schema"]);
    let texts: Vec<&str> = steps
        .iter()
        .map(|step| step["sql"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        action_store::PostgresStore::schema("actions").unwrap()
    );
}
