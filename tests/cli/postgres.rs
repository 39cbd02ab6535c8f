//! Commands on a store in PostgreSQL. Without a server the test is skipped, and says so.

use sqlx::{Connection, Row};

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
