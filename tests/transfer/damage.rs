//! Text that is not what was written.

use action_store::{ActionStore, MemoryStore, Query, StoreErrorKind, transfer};
use transfer::TransferError;

use crate::plant::{plant, text_of};

/// An export in pages of ten.
async fn planted() -> (MemoryStore, String) {
    let store = MemoryStore::new();
    plant(&store, 33).await;
    let mut text = Vec::new();
    let mut exporter = transfer::Exporter::new(&store).with_page(10);
    let count = exporter.write_to(&mut text).await.unwrap();
    assert_eq!(count.actions, 34);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 1 + 34 + 3 + 1);
    (store, text)
}

/// How many lines end before a byte.
fn newlines(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at];
    before.iter().filter(|byte| **byte == b'\n').count()
}

/// Imports a text into an empty store. Returns the result and the number of imported actions.
async fn import(text: &[u8]) -> (Result<transfer::Imported, TransferError>, usize) {
    let to = MemoryStore::new();
    let came = transfer::import(&to, &mut { text }).await;
    let page = to.list(&Query::new().with_limit(1000)).await.unwrap();
    (came, page.items.len())
}

async fn refused(lines: &[&str]) -> (u64, StoreErrorKind, String) {
    let text = lines.join("\n");
    match import(text.as_bytes()).await.0 {
        Err(TransferError::Line { line, kind, reason }) => (line, kind, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_truncated_text_is_recognised_wherever_it_is_cut() {
    let (_, text) = planted().await;
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    // Without its last newline it is whole.
    assert_eq!(
        import(text.trim_end().as_bytes()).await.0.unwrap().imported,
        34
    );
    let (&whole, cuts) = ends.split_last().unwrap();
    assert_eq!(whole, text.len());
    for (lines, cut) in cuts.iter().enumerate() {
        let (came, entered) = import(&text.as_bytes()[..*cut]).await;
        let cut_off = came.unwrap_err();
        assert_eq!(cut_off.kind(), StoreErrorKind::Corrupt);
        assert!(
            matches!(cut_off, TransferError::CutOff { lines: found } if found == lines as u64 + 1),
            "{cut_off}"
        );
        // Actions before the last valid checkpoint are there, and later ones are not. The text has
        // a header, then a checkpoint after every ten actions.
        assert_eq!(entered, lines / 11 * 10);
    }
    for cut in (1..text.len() - 1).step_by(2003) {
        if !ends.contains(&cut) {
            assert!(import(&text.as_bytes()[..cut]).await.0.is_err(), "{cut}");
        }
    }
    assert!(matches!(
        import(b"").await.0,
        Err(TransferError::CutOff { lines: 0 })
    ));
}

#[tokio::test]
async fn a_flipped_bit_is_recognised_before_anything_of_its_page_is_entered() {
    let (_, text) = planted().await;
    let mut checked = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate().step_by(499) {
        let mut damaged = text.clone().into_bytes();
        damaged[at] = byte ^ 1;
        let (came, entered) = import(&damaged).await;
        let line = newlines(&text, at);
        let error = came.expect_err(&format!("a flip at byte {at}, in line {}", line + 1));
        assert!(matches!(error, TransferError::Line { .. }), "{error}");
        assert!(
            entered <= line.saturating_sub(1) / 11 * 10,
            "{at}: {entered}"
        );
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[tokio::test]
async fn lines_that_were_lost_repeated_or_displaced_are_recognised() {
    let (_, text) = planted().await;
    let lines: Vec<&str> = text.lines().collect();
    let mut lost = lines.clone();
    lost.remove(5);
    let mut repeated = lines.clone();
    repeated.insert(5, lines[5]);
    let mut displaced = lines.clone();
    displaced.swap(4, 5);
    for (changed, at) in [(lost, 11), (repeated, 13), (displaced, 12)] {
        let (line, kind, reason) = refused(&changed).await;
        assert_eq!((line, kind), (at, StoreErrorKind::Corrupt), "{reason}");
        assert!(reason.contains("lines 2 to"), "{reason}");
    }
    let mut twice = lines.clone();
    twice.extend(&lines);
    let (line, kind, _) = refused(&twice).await;
    assert_eq!(
        (line, kind),
        (lines.len() as u64 + 1, StoreErrorKind::Corrupt)
    );
    // A whole page is missing, with its checkpoint.
    let mut page = lines.clone();
    page.drain(12..23);
    assert_eq!(refused(&page).await.1, StoreErrorKind::Corrupt);
    // No checkpoints: more would have to be held than a page may have.
    let endless: Vec<&str> = std::iter::once(lines[0])
        .chain(std::iter::repeat_n(lines[2], 1001))
        .collect();
    let (line, _, reason) = refused(&endless).await;
    assert_eq!(line, 1002, "{reason}");
}

#[tokio::test]
async fn another_version_and_another_text_are_refused_by_name() {
    let (_, text) = planted().await;
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: &str| {
        let mut changed: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        changed[at] = line.to_owned();
        changed
    };
    let one = lines[1];
    let cases = [
        (
            0,
            r#"{"action_store_export":2,"store":7,"new":1}"#.to_owned(),
            StoreErrorKind::Incompatible,
            "version 2",
        ),
        (
            0,
            lines[0].replace("\"revision\"", "\"extra\":1,\"revision\""),
            StoreErrorKind::Incompatible,
            "unknown field `extra`",
        ),
        (
            0,
            r#"{"actions":[]}"#.to_owned(),
            StoreErrorKind::Incompatible,
            "not an export",
        ),
        (
            0,
            "SQLite format 3".to_owned(),
            StoreErrorKind::Corrupt,
            "not an export",
        ),
        (
            1,
            one.replacen("\"uid\"", "\"colour\":\"red\",\"uid\"", 1),
            StoreErrorKind::Incompatible,
            "unknown field `colour`",
        ),
        (
            1,
            one.replacen("\"kind\"", "\"colour\":\"red\",\"kind\"", 1),
            StoreErrorKind::Incompatible,
            "unknown field `colour`",
        ),
        (
            1,
            one.replacen("\"status\":\"queued\"", "\"status\":\"paused\"", 1),
            StoreErrorKind::Incompatible,
            "\"paused\" is not a known status",
        ),
        (
            1,
            one.replacen("\"version\":1", "\"version\":0", 1),
            StoreErrorKind::Invalid,
            "version",
        ),
        (
            1,
            one.replacen("\"uid\":\"", "\"uid\":\"X", 1),
            StoreErrorKind::Invalid,
            "uid",
        ),
        (
            1,
            one.replacen("\"progress\":0", "\"progress\":10001", 1),
            StoreErrorKind::Invalid,
            "progress",
        ),
        (
            1,
            one.replacen("\"log_entries\":1", "\"log_entries\":0", 1),
            StoreErrorKind::Invalid,
            "log_entries",
        ),
        (
            1,
            one.replacen("\"log\":[{", "\"log\":[],\"log\":[{", 1),
            StoreErrorKind::Incompatible,
            "duplicate field",
        ),
        (
            1,
            one[..one.len() - 9].to_owned(),
            StoreErrorKind::Corrupt,
            "EOF",
        ),
        (1, String::new(), StoreErrorKind::Corrupt, "EOF"),
        (
            1,
            lines[0].to_owned(),
            StoreErrorKind::Corrupt,
            "second header",
        ),
    ];
    for (at, line, kind, says) in cases {
        assert_ne!(line, lines[at]);
        let changed = with(at, &line);
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        let (number, found, reason) = refused(&changed).await;
        assert_eq!((number, found), (at as u64 + 1, kind), "{reason}");
        assert!(reason.contains(says), "{reason}");
        assert_eq!(import(changed.join("\n").as_bytes()).await.1, 0);
    }
}

#[tokio::test]
async fn line_ends_of_another_system_and_empty_lines_at_the_end_do_no_harm() {
    let (_, text) = planted().await;
    let text = text.replace('\n', "\r\n") + "\r\n\n";
    assert_eq!(import(text.as_bytes()).await.0.unwrap().imported, 34);
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let mut text = text_of(&MemoryStore::new()).await.into_bytes();
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    text.truncate(header);
    text.resize(header + 17 * 1024 * 1024, b' ');
    let error = import(&text).await.0.unwrap_err();
    assert!(matches!(
        error,
        TransferError::Line {
            line: 2,
            kind: StoreErrorKind::Corrupt,
            ..
        }
    ));
}

#[tokio::test]
async fn an_export_that_was_broken_off_goes_on_from_its_last_checkpoint() {
    let (store, whole) = planted().await;
    for cut in (0..=whole.len()).step_by(2003).chain([whole.len()]) {
        let mut text = whole.as_bytes()[..cut].to_vec();
        let point = transfer::resume_point(&mut text.as_slice()).unwrap();
        let lines = newlines(&whole, cut);
        let Some(point) = point else {
            assert!(lines < 12, "no point after {lines} lines");
            continue;
        };
        assert_eq!(point.lines, (lines as u64 - 1) / 11 * 11 + 1);
        assert_eq!(
            point.checkpoint.count().actions,
            (point.lines - 1) / 11 * 10
        );
        text.truncate(point.bytes as usize);
        let mut exporter = transfer::Exporter::resume(&store, &point).with_page(10);
        exporter.write_to(&mut text).await.unwrap();
        assert!(text == whole.as_bytes(), "cut at {cut}");
    }
    // Lines after the damage are not imported.
    let at = whole
        .lines()
        .take(15)
        .map(|line| line.len() + 1)
        .sum::<usize>()
        + 100;
    let mut damaged = whole.clone().into_bytes();
    damaged[at] ^= 1;
    let point = transfer::resume_point(&mut damaged.as_slice())
        .unwrap()
        .unwrap();
    assert_eq!(point.lines, 12);
    // Another store does not take the cursor.
    let (other, _) = planted().await;
    let refused = transfer::Exporter::resume(&other, &point).next().await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Invalid);
}

#[tokio::test]
async fn a_checkpoint_that_counts_too_many_entries_does_not_overflow_the_count() {
    let (store, text) = planted().await;
    let begin = text.find("{\"checkpoint\"").unwrap();
    let end = begin + text[begin..].find('\n').unwrap() + 1;
    // The checksum covers the lines before a checkpoint, not the checkpoint itself.
    let from = text[begin..end].find("\"entries\":").unwrap() + begin + "\"entries\":".len();
    let to = from + text[from..].find(',').unwrap();
    let forged = format!("{}{}{}", &text[..from], u64::MAX, &text[to..end]);
    let point = transfer::resume_point(&mut forged.as_bytes())
        .unwrap()
        .unwrap();
    assert_eq!(point.bytes, forged.len() as u64);
    let mut exporter = transfer::Exporter::resume(&store, &point).with_page(10);
    let mut rest = Vec::new();
    let count = exporter.write_to(&mut rest).await.unwrap();
    assert_eq!((count.actions, count.entries), (34, u64::MAX));
    // An import counts for itself and notices.
    let whole = [forged.as_bytes(), &rest].concat();
    let (came, entered) = import(&whole).await;
    assert_eq!(came.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(entered, 0);
}
