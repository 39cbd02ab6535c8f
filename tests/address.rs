//! Store addresses: what they mean, and which part of a wrong one an error names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use action_store::address::{SqliteAddress, SqliteMode, StoreAddress};
use action_store::{ActionStoreExt, NewAction, StoreErrorKind, connect};

fn read(text: &str) -> Result<StoreAddress, String> {
    text.parse::<StoreAddress>().map_err(|e| e.to_string())
}

fn sqlite(text: &str) -> SqliteAddress {
    match read(text) {
        Ok(StoreAddress::Sqlite(address)) => address,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_path_is_taken_as_written_up_to_the_question_mark() {
    for (text, path) in [
        ("sqlite:plane.db", "plane.db"),
        ("sqlite:/var/lib/plane.db", "/var/lib/plane.db"),
        ("sqlite://plane.db", "plane.db"),
        ("sqlite:///var/lib/plane.db?mode=ro", "/var/lib/plane.db"),
        ("sqlite:a b/c%3Fd%25e.db", "a b/c?d%e.db"),
        ("sqlite:C:/plane.db", "C:/plane.db"),
        ("sqlite:%C3%A9t%c3%a9.db", "été.db"),
    ] {
        assert_eq!(sqlite(text).path, Path::new(path), "{text}");
    }
}

#[test]
fn parameters_say_how_the_file_is_opened() {
    let bare = sqlite("sqlite:a.db");
    assert_eq!((bare.mode, bare.create, bare.timeout), (None, true, None));
    let all = sqlite("sqlite:a.db?create=false&timeout=1500ms&mode=shared");
    assert_eq!(all.mode, Some(SqliteMode::Shared));
    assert_eq!(all.timeout, Some(Duration::from_millis(1500)));
    assert!(!all.create);
    assert_eq!(
        sqlite("sqlite:a.db?timeout=2s").timeout,
        Some(Duration::from_secs(2))
    );
    for (word, mode) in [
        ("exclusive", SqliteMode::Exclusive),
        ("ro", SqliteMode::ReadOnly),
    ] {
        assert_eq!(sqlite(&format!("sqlite:a?mode={word}")).mode, Some(mode));
    }
}

#[test]
fn an_address_is_written_as_it_is_read() {
    for text in [
        "memory:",
        "sqlite:plane.db",
        "sqlite:a b%3F%25.db?mode=shared&create=false&timeout=1500ms",
        "postgres://db.example/plane",
    ] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
}

#[test]
fn an_error_names_the_part_that_is_wrong() {
    for (text, message) in [
        ("", "scheme: the address is empty; write sqlite:PATH"),
        (
            "plane.db",
            "scheme: \"plane.db\" has none; a file is written sqlite:plane.db",
        ),
        (
            "mysql://x",
            "scheme: is \"mysql\"; must be sqlite, postgres or memory",
        ),
        (
            "memory:x",
            "path: is \"x\"; a store in memory has none: write memory:",
        ),
        ("sqlite:", "path: is empty; write sqlite:PATH"),
        ("sqlite://", "path: is empty; write sqlite:PATH"),
        (
            "sqlite::memory:",
            "path: SQLite in memory is not offered; write memory:",
        ),
        (
            "sqlite:100%.db",
            "path: a % must be followed by two hexadecimal digits; write % as %25",
        ),
        (
            "sqlite:a%+1b.db",
            "path: a % must be followed by two hexadecimal digits; write % as %25",
        ),
        ("sqlite:%ff.db", "path: is not UTF-8"),
        (
            "sqlite:a?mode=rw",
            "mode: is \"rw\"; must be exclusive, shared or ro",
        ),
        ("sqlite:a?mode=ro&mode=ro", "mode: is given twice"),
        (
            "sqlite:a?create=yes",
            "create: is \"yes\"; must be true or false",
        ),
        (
            "sqlite:a?timeout=0s",
            "timeout: is \"0s\"; write 30s or 500ms, and not zero",
        ),
        (
            "sqlite:a?timeout=+1s",
            "timeout: is \"+1s\"; write 30s or 500ms, and not zero",
        ),
        (
            "sqlite:a?cache=shared",
            "parameter: \"cache\" is unknown; use mode, create or timeout",
        ),
        (
            "sqlite:a?",
            "parameter: \"\" is unknown; use mode, create or timeout",
        ),
        (
            "postgres:plane",
            "host: is missing; write postgres://HOST/DATABASE",
        ),
    ] {
        assert_eq!(read(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn a_password_is_never_written() {
    for text in [
        "postgres://ada:s3cret@db.example:5432/plane?sslmode=require",
        "postgresql://ada:s3c/r@s3cret@db.example/plane",
        "postgres://db.example/plane?user=ada&password=s3cret",
        "postgres://ada:s3c#ret@db.example/plane",
        "postgres://ada:s3c?ret@db.example/plane?sslmode=require",
        "postgres://ada:s3c/r#e?t@s3c@db.example/plane#s3c",
    ] {
        let address = read(text).unwrap();
        for written in [address.to_string(), format!("{address:?}")] {
            assert!(!written.contains("s3c"), "{written}");
            assert!(written.contains("db.example"), "{written}");
            assert!(!written.contains("ret"), "{written}");
        }
    }
}

#[test]
fn an_at_sign_that_may_be_in_a_password_of_the_parameters_ends_no_user() {
    let address = read("postgres://db.example/plane?user=ada&password=s3c@ret").unwrap();
    assert_eq!(address.to_string(), "postgres://...");
}

#[tokio::test]
async fn a_store_in_memory_is_new_each_time() {
    let [one, other] = [connect("memory:").await, connect("memory:").await].map(Result::unwrap);
    let action = one.create(NewAction::task("backup_bdb")).await.unwrap();
    assert!(one.action(action.uid).await.unwrap().is_some());
    assert!(other.action(action.uid).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_address_opens_nothing() {
    let error = connect("sqlite:a?mode=rw").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "connect: mode: is \"rw\"; must be exclusive, shared or ro"
    );
    let address = "postgres://ada:s3cret@127.0.0.1:1/plane";
    let error = connect(address).await.unwrap_err();
    let expected = match cfg!(feature = "postgres") {
        true => StoreErrorKind::Unavailable,
        false => StoreErrorKind::Unsupported,
    };
    assert_eq!(error.kind(), expected);
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[cfg(feature = "sqlite-unbundled")]
#[tokio::test]
async fn a_sqlite_address_opens_the_file_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |query: &str| format!("sqlite:{}/a.db{query}", dir.path().display());
    let error = connect(&at("?create=false")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.is_in_use());
    assert!(!dir.path().join("a.db").exists());

    let shared = connect(&at("?mode=shared")).await.unwrap();
    assert!(shared.capabilities().shared);
    let action = shared.create(NewAction::task("backup_bdb")).await.unwrap();
    let reader = connect(&at("?mode=ro")).await.unwrap();
    assert!(reader.action(action.uid).await.unwrap().is_some());
    let refused = reader.create(NewAction::task("x")).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    shared.close().await.unwrap();

    let alone = connect(&at("")).await.unwrap();
    assert!(!alone.capabilities().shared);
    let second = connect(&at("?mode=exclusive&timeout=1s"))
        .await
        .unwrap_err();
    assert_eq!(second.kind(), StoreErrorKind::Unavailable);
    assert!(second.is_in_use());
}

#[cfg(not(feature = "sqlite-unbundled"))]
#[tokio::test]
async fn without_sqlite_an_error_names_the_feature() {
    let error = connect("sqlite:a.db").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("`sqlite`"), "{error}");
}
