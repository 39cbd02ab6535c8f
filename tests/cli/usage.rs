//! Exit codes, addresses, help, pipes.

use std::io::Read;
use std::process::Stdio;

use action_store::{ActionStore, ActionStoreExt, NewAction};

use crate::support::{Place, actions, ran};

const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_to_do() {
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["list"], "add --store sqlite:PATH, or set ACTIONS_STORE"),
        (
            &["--store", "plane.db", "list"],
            "a file is written sqlite:plane.db",
        ),
        (
            &["--store", "sqlite:a?mode=rw", "list"],
            "must be exclusive, shared or ro",
        ),
        (
            &["--store", "memory:", "list", "--since", "yesterday"],
            "write 2h (before now)",
        ),
        (
            &["--store", "memory:", "list", "--status", "running"],
            "queued, executing, completed",
        ),
        (
            &["--store", "memory:", "list", "--after", "x"],
            "this is not a cursor",
        ),
        (&["--store", "memory:", "list", "--limit", "0"], "'0'"),
        (
            &["--store", "memory:", "show", "7"],
            "not the uid of an action",
        ),
        (
            &["--store", "memory:", "backup", "copy.db"],
            "works on a SQLite store only",
        ),
        (&["--store", "memory:", "watch"], "needs a terminal"),
        (
            &["--store", "memory:", "cancel"],
            "neither uids nor filters",
        ),
        (
            &["--store", "memory:", "cancel", UNKNOWN, "--name", "x"],
            "filters do not apply",
        ),
        (
            &["--store", "memory:", "erase", "--yes"],
            "takes exactly one filter",
        ),
        (
            &["--store", "memory:", "copy", "memory:"],
            "the same address",
        ),
        (
            &["--store", "sqlite:a?mode=ro", "pin", UNKNOWN],
            "mode=ro forbids it",
        ),
    ] {
        let ran = ran(actions(arguments)).ends(2);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_ends_with_3() {
    let place = Place::new();
    place.filled().await;
    for command in ["show", "history", "watch", "cancel", "settle", "pin"] {
        let ran = place.run(&[command, UNKNOWN]).ends(3);
        assert!(ran.err.contains(UNKNOWN), "{command}: {}", ran.err);
    }
}

#[test]
fn a_store_that_is_not_there_ends_with_5_and_is_not_created() {
    let place = Place::new();
    for arguments in [
        &["list"][..],
        &["pin", UNKNOWN],
        &["check"],
        &["prune", "--yes"],
    ] {
        let ran = place.run(arguments).ends(5);
        assert!(ran.err.contains("there is no store at "), "{}", ran.err);
        assert!(ran.err.contains("hint: check the path"), "{}", ran.err);
    }
    assert!(!place.path("plane.db").exists());
}

#[test]
fn a_store_of_another_kind_ends_with_1() {
    let place = Place::new();
    std::fs::write(
        place.path("plane.db"),
        "not a database, but long enough to look at",
    )
    .unwrap();
    let ran = place.run(&["list"]).ends(1);
    assert!(ran.err.starts_with("error: sqlite:"), "{}", ran.err);
}

#[test]
fn a_server_that_does_not_answer_ends_with_5_and_no_password_is_written() {
    // Nothing listens at this port.
    let ran = ran_on("postgres://ada:s3cret@127.0.0.1:1/plane");
    let (code, why) = match cfg!(feature = "postgres") {
        true => (5, "the connection to the server failed"),
        false => (1, "PostgreSQL"),
    };
    let ran = ran.ends(code);
    assert!(ran.err.contains(why), "{}", ran.err);
    assert!(!ran.err.contains("s3cret"), "{}", ran.err);
}

fn ran_on(address: &str) -> crate::support::Ran {
    ran(actions(&["--store", address, "list"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    let store = place.open().await;
    let batch = (0..1000).map(|_| action_store::Command::create(NewAction::task("many")));
    store
        .write_repeating(action_store::Batch::each(batch.collect()))
        .await
        .unwrap();
    store.close().await.unwrap();
    for arguments in [
        &["list", "--all"][..],
        &["list", "--all", "--json"],
        &["export", "-"],
    ] {
        let mut command = place.command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut head = [0; 100];
        // Dropped at the end of this line, as by `head`.
        child.stdout.take().unwrap().read_exact(&mut head).unwrap();
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{arguments:?}");
    }
}

#[test]
fn help_documents_the_exit_codes_and_has_examples() {
    let help = ran(actions(&["--help"])).ends(0).out;
    for part in [
        "Exit codes:",
        "Examples:",
        "an expired cursor",
        "5  the store is missing",
        "ACTIONS_STORE",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for command in [
        "list", "show", "watch", "tail", "counts", "cancel", "settle", "pin", "prune", "erase",
        "export", "import", "copy", "backup", "serve",
    ] {
        let help = ran(actions(&[command, "--help"])).ends(0).out;
        assert!(help.contains("Examples:\n  "), "{command}: {help}");
    }
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ran(actions(&["completions", shell])).ends(0).out;
        assert!(script.contains("diagnostics"), "{shell}");
    }
}

#[test]
fn a_mistyped_address_is_refused_without_its_password() {
    let mistyped = "postgressql://ada:s3cret@db.example/plane";
    let mut by_variable = actions(&["list"]);
    by_variable.env("ACTIONS_STORE", mistyped);
    for command in [
        by_variable,
        actions(&["--store", mistyped, "list"]),
        actions(&["--store", mistyped, "schema"]),
        actions(&["--store", "memory:", "copy", mistyped]),
    ] {
        let ran = ran(command).ends(2);
        assert!(ran.err.contains("must be sqlite, postgres"), "{}", ran.err);
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    }
}

#[test]
fn a_path_that_is_no_store_is_said_to_be_wrong() {
    let place = Place::new();
    std::fs::write(place.path("notes.txt"), "not a database ".repeat(100)).unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    for (address, code, hint) in [
        ("sqlite:notes.txt", 1, "hint: check the path; if this is"),
        ("sqlite:folder", 5, "hint: this is a directory"),
    ] {
        for arguments in [&["list"][..], &["prune", "--yes"]] {
            let arguments = [&["--store", address], arguments].concat();
            let ran = place.run(&arguments).ends(code);
            assert!(ran.err.contains(hint), "{address}: {}", ran.err);
        }
    }
}

#[test]
fn a_mistyped_word_is_answered_with_the_words_that_there_are() {
    for (arguments, words) in [
        (["list", "--outcome", "lost,fail"], "'failed'"),
        (
            ["counts", "--status", "ended"],
            "queued, executing, completed",
        ),
        (["list", "--source", "job"], "task, state-machine, other"),
        (["settle", "--as", "lots"], "'lost'"),
    ] {
        let ran = ran(actions(&arguments)).ends(2);
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
}

#[test]
fn help_shows_the_global_options_apart_from_the_options_of_a_command() {
    let help = ran(actions(&["list", "-h"])).ends(0).out;
    let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("{part}: {help}"));
    let places = [
        "--order",
        "--wide",
        "--status",
        "Global options:",
        "--store",
    ]
    .map(at);
    assert!(places.is_sorted(), "{help}");
}
