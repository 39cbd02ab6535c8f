//! Openers that come together, hostile settings, and roles that may not create anything.

use action_store::{
    ActionStore, ActionStoreExt, Durability, NewAction, PostgresOptions, PostgresStore, Query,
    StoreErrorKind as ErrorKind,
};
use sqlx::Row;

use super::{Server, close_whole, new_schema, open, sql};

#[tokio::test(flavor = "multi_thread")]
async fn eight_openers_at_once_find_one_store() {
    let Some(server) = Server::shared("eight_openers_at_once_find_one_store") else {
        return;
    };
    for _ in 0..5 {
        let schema = new_schema();
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let (options, url) = (PostgresOptions::new().with_schema(&schema), server.url());
                tokio::spawn(async move { options.connect(&url).await.unwrap() })
            })
            .collect();
        let mut stores = Vec::new();
        for opener in openers {
            stores.push(opener.await.unwrap());
        }
        for store in &stores {
            store.create(NewAction::task("a")).await.unwrap();
        }
        for store in stores {
            let page = store.list(&Query::new()).await.unwrap();
            assert_eq!(page.items.len(), 8);
            close_whole(store).await;
        }
    }
}

/// A role whose search path begins with a schema that has a table, a function and an operator of
/// the names that the store uses.
#[tokio::test]
async fn a_hostile_search_path_changes_nothing() {
    let Some(server) = Server::shared("a_hostile_search_path_changes_nothing") else {
        return;
    };
    let (schema, evil) = (new_schema(), new_schema());
    let hostile = format!(
        "CREATE SCHEMA {evil};
         CREATE TABLE {evil}.actions_action (number bigint, uid uuid, body bytea);
         CREATE TABLE {evil}.actions_commit (number bigint);
         CREATE TABLE {evil}.actions_store (id bigint);
         CREATE FUNCTION {evil}.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
         CREATE FUNCTION {evil}.octet_length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 0';
         CREATE FUNCTION {evil}.no(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
         CREATE OPERATOR {evil}.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = {evil}.no);
         CREATE ROLE {evil} LOGIN SUPERUSER;
         ALTER ROLE {evil} SET search_path = {evil}, pg_catalog, public;
         ALTER ROLE {evil} SET bytea_output = escape;
         ALTER ROLE {evil} SET standard_conforming_strings = off;
         ALTER ROLE {evil} SET default_transaction_isolation = serializable;
         ALTER ROLE {evil} SET default_transaction_read_only = on;
         ALTER ROLE {evil} SET DateStyle = 'SQL, DMY';
         ALTER ROLE {evil} SET extra_float_digits = 0;
         ALTER ROLE {evil} SET quote_all_identifiers = on"
    );
    sql(&server.url(), hostile).await.unwrap();
    let options = PostgresOptions::new().with_schema(&schema);
    let store = options.connect(&server.url_of(&evil)).await.unwrap();
    let text = r#"a '\' "$1" \x41 {b,c} $$ ; ' quote"#;
    let new = NewAction::task(text)
        .with_description(text)
        .with_tenant(text);
    let action = store.create(new.with_actor("\\")).await.unwrap();
    assert_eq!(&*action.name, text);
    assert_eq!(store.action(action.uid).await.unwrap(), Some(action));
    close_whole(store).await;
    let in_evil = format!("SELECT count(*) FROM {evil}.actions_action");
    let rows = sql(&server.url(), in_evil).await.unwrap();
    assert_eq!(rows[0].get::<i64, _>(0), 0);
}

#[tokio::test]
async fn a_role_without_ddl_rights_verifies_a_schema_that_the_host_created() {
    let Some(server) = Server::shared("a_role_without_ddl_rights_verifies_a_schema") else {
        return;
    };
    let schema = new_schema();
    let role = format!("{schema}_role");
    let options = || PostgresOptions::new().with_schema(&schema).verify_schema();
    let plain = server.url_of(&role);
    sql(&server.url(), format!("CREATE ROLE {role} LOGIN"))
        .await
        .unwrap();
    let nothing = options().connect(&plain).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Incompatible, "{nothing}");
    let denied = PostgresOptions::new()
        .with_schema(&schema)
        .connect(&plain)
        .await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Unavailable);
    let mut steps = format!("CREATE SCHEMA {schema};\n");
    steps.extend(PostgresStore::schema(&schema).unwrap());
    steps.push_str(&format!(
        ";\nGRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
         REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}"
    ));
    sql(&server.url(), steps).await.unwrap();
    let store = options().connect(&plain).await.unwrap();
    let action = store.create(NewAction::task("a")).await.unwrap();
    assert_eq!(store.action(action.uid).await.unwrap(), Some(action));
    close_whole(store).await;

    for (change, part) in [
        (
            "DROP INDEX #.actions_action_name",
            "index actions_action_name",
        ),
        (
            "DROP TRIGGER actions_log_kept ON #.actions_log",
            "trigger actions_log_kept",
        ),
        (
            "ALTER TABLE #.actions_action DISABLE TRIGGER actions_action_forward",
            "trigger actions_action_forward",
        ),
        (
            "ALTER TABLE #.actions_action DROP CONSTRAINT actions_action_evidence",
            "constraint actions_action_evidence",
        ),
        (
            "ALTER TABLE #.actions_feed ALTER revision DROP NOT NULL",
            "column actions_feed.revision",
        ),
        (
            "CREATE OR REPLACE FUNCTION #.actions_refuse() RETURNS trigger LANGUAGE plpgsql \
             AS 'BEGIN RETURN NEW; END'",
            "function actions_refuse",
        ),
        ("DROP VIEW #.actions_history", "view actions_history"),
    ] {
        let broken = new_schema();
        let whole = PostgresOptions::new().with_schema(&broken);
        let store = whole.clone().connect(&server.url()).await.unwrap();
        store.close().await.unwrap();
        let store = whole
            .clone()
            .verify_schema()
            .connect(&server.url())
            .await
            .unwrap();
        store.close().await.unwrap();
        sql(&server.url(), change.replace('#', &broken))
            .await
            .unwrap();
        let error = whole
            .verify_schema()
            .connect(&server.url())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{change}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_the_store_cannot_use_is_refused() {
    let Some(server) = Server::shared("what_the_store_cannot_use_is_refused") else {
        return;
    };
    for name in ["", "A", "1a", "a-b", "pg_a", "a\"b", "a b", &"a".repeat(32)] {
        let options = PostgresOptions::new().with_schema(name);
        let error = options.connect(&server.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        assert!(PostgresStore::schema(name).is_err(), "{name:?}");
    }
    let error = PostgresStore::connect("postgres://u:secret@:x/")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{error:?}").contains("secret"));
    let error = PostgresStore::connect("postgres://127.0.0.1:1/a")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    // A newer library wrote the store.
    let schema = new_schema();
    open(server, &schema).await.close().await.unwrap();
    let newer = format!("INSERT INTO {schema}.actions_schema VALUES (2, 2, 2, 0)");
    sql(&server.url(), newer).await.unwrap();
    let options = PostgresOptions::new().with_schema(&schema);
    let error = options.connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);

    // A database in another encoding cannot hold all texts.
    let latin = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    sql(&server.url(), latin).await.unwrap();
    let url = server.url().replace("/postgres", "/latin");
    let url = url.replace("latin://", "postgres://");
    let error = PostgresStore::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
}

#[tokio::test]
async fn the_durability_is_what_the_server_is_set_to() {
    let Some(server) = Server::shared("the_durability_is_what_the_server_is_set_to") else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    let capabilities = store.capabilities();
    assert_eq!(capabilities.durability, Durability::Disk);
    assert!(capabilities.shared);
    store.close().await.unwrap();
    let role = format!("{schema}_role");
    let careless = format!(
        "CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET synchronous_commit = off"
    );
    sql(&server.url(), careless).await.unwrap();
    let options = PostgresOptions::new().with_schema(&schema);
    let store = options.connect(&server.url_of(&role)).await.unwrap();
    assert_eq!(store.capabilities().durability, Durability::Process);
    store.close().await.unwrap();
}

/// Other programs cannot break the rules.
#[tokio::test]
async fn the_schema_refuses_what_the_model_refuses() {
    let Some(server) = Server::shared("the_schema_refuses_what_the_model_refuses") else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    let end = action_store::Finish::new(action_store::Outcome::Cancelled);
    let done = store.create(NewAction::task("done")).await.unwrap();
    store.finish(done.uid, end, None).await.unwrap();
    let pinned = store.create(NewAction::task("pinned")).await.unwrap();
    let end = action_store::Finish::new(action_store::Outcome::Cancelled);
    store.finish(pinned.uid, end, None).await.unwrap();
    store.pin(pinned.uid, true).await.unwrap();
    store.create(NewAction::task("queued")).await.unwrap();
    for attack in [
        "UPDATE #.actions_action SET outcome = 1 WHERE name = 'done'",
        "UPDATE #.actions_action SET status = 2, version = 2 WHERE name = 'queued'",
        "UPDATE #.actions_action SET status = 1, version = 2 WHERE name = 'queued'",
        "UPDATE #.actions_action SET progress = 1, version = 2 WHERE name = 'queued'",
        "UPDATE #.actions_action SET body = 'a' WHERE name = 'queued'",
        "UPDATE #.actions_action SET name = 'other', version = 2 WHERE name = 'queued'",
        "DELETE FROM #.actions_action WHERE name = 'queued'",
        "DELETE FROM #.actions_action WHERE name = 'pinned'",
        "DELETE FROM #.actions_log",
        "UPDATE #.actions_log SET note = 'x'",
        "UPDATE #.actions_commit SET revision = revision + 1",
        "TRUNCATE #.actions_action",
        "TRUNCATE #.actions_log",
    ] {
        let refused = sql(&server.url(), attack.replace('#', &schema)).await;
        let error = refused.expect_err(attack);
        let code = error.as_database_error().and_then(|error| error.code());
        let code = code.unwrap_or_default().into_owned();
        assert!(code.starts_with("23"), "{attack}: {error}");
    }
    close_whole(store).await;
}

#[tokio::test]
async fn an_address_opens_the_store_in_its_usual_schema() {
    let Some(server) = Server::shared("an_address_opens_the_store_in_its_usual_schema") else {
        return;
    };
    let store = action_store::connect(&server.url()).await.unwrap();
    let action = store.create(NewAction::task("a")).await.unwrap();
    let usual = PostgresStore::connect(&server.url()).await.unwrap();
    assert_eq!(usual.action(action.uid).await.unwrap(), Some(action));
    store.close().await.unwrap();
    close_whole(usual).await;
}
