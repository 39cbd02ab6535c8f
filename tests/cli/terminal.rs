//! The program on a terminal, which `script` provides (Debian's `bsdutils`, always installed).
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use action_store::{ActionStore, ActionStoreExt, NewAction, ObjectRef};

use crate::support::Place;

/// Runs the program on a terminal of this size. Returns what it shows there. `typed` is typed once
/// the word `until` is shown.
fn on_terminal(
    place: &Place,
    size: (u16, u16),
    arguments: &str,
    typed: Option<(&str, &str)>,
) -> String {
    let (columns, rows) = size;
    let program = env!("CARGO_BIN_EXE_actions");
    let run = format!("stty cols {columns} rows {rows}; exec {program} {arguments}");
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &run, "/dev/null"])
        .env("ACTIONS_STORE", place.address());
    script.current_dir(place.dir.path());
    script
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR");
    let mut script = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let (mut shown, mut some) = (Vec::new(), [0; 4096]);
    let mut typed = typed;
    loop {
        let count = screen.read(&mut some).unwrap();
        if count == 0 {
            break;
        }
        shown.extend_from_slice(&some[..count]);
        if let Some((until, text)) = typed
            && String::from_utf8_lossy(&shown).contains(until)
        {
            keys.write_all(text.as_bytes()).unwrap();
            typed = None;
        }
    }
    let ended = script.wait().unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(ended.success(), "{ended}: {shown}");
    shown
}

/// Removes the colours.
fn without_colours(text: &str) -> String {
    terminal::strip_ansi_codes(text).replace('\r', "")
}

async fn store_with_long_names(place: &Place) {
    let store = place.open().await;
    for name in [
        "backup_of_the_orders_database_before_the_upgrade",
        "東京のデータベース",
        "x",
    ] {
        let new = NewAction::task(name).with_object(ObjectRef::bdb(1));
        store.create(new).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_fits_the_terminal() {
    let place = Place::new();
    store_with_long_names(&place).await;
    for columns in [80, 100, 120, 200] {
        let shown = on_terminal(&place, (columns, 24), "list", None);
        let plain = without_colours(&shown);
        for line in plain.lines() {
            let width = terminal::measure_text_width(line);
            assert!(width <= columns.into(), "{width} of {columns}: {line:?}");
        }
        assert_eq!(
            plain.contains("CREATED (UTC)"),
            columns > 80,
            "{columns}: {plain}"
        );
        assert_eq!(
            plain.contains("before_the_upgrade"),
            columns == 200,
            "{columns}: {plain}"
        );
        assert_eq!(plain.contains('…'), columns < 200, "{columns}: {plain}");
        assert!(shown.contains("\u{1b}[1mUID"), "a bold head: {shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_redraws_the_screen_until_ctrl_c() {
    let place = Place::new();
    let plane = place.open().await;
    plane.create(NewAction::task("first")).await.unwrap();
    let late = {
        let plane = plane.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            plane.create(NewAction::task("second")).await.unwrap();
        })
    };
    let screen = {
        let watching = move || on_terminal(&place, (100, 10), "watch", Some(("second", "\u{3}")));
        tokio::task::spawn_blocking(watching).await.unwrap()
    };
    late.await.unwrap();
    let pictures: Vec<&str> = screen.split("\u{1b}[2J").skip(1).collect();
    assert!(pictures.len() >= 2, "{screen:?}");
    assert!(pictures[0].contains("1 unfinished"), "{}", pictures[0]);
    let last = pictures.last().unwrap();
    assert!(
        last.contains("2 unfinished") && last.contains("first"),
        "{last}"
    );
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_bar_leaves_nothing_behind() {
    let place = Place::new();
    store_with_long_names(&place).await;
    let shown = on_terminal(&place, (100, 24), "export a.ndjson", None);
    // The last line is the result, after the bar was erased.
    let last = shown.rsplit("\u{1b}[2K").next().unwrap();
    assert_eq!(
        without_colours(last).trim(),
        "exported 3 actions and 3 log entries"
    );
}
