//! Version 1 of the format, as first written. The file is never regenerated. A reader that fails on
//! it has broken existing exports. A writer that differs from it needs a new version.

use action_store::action::LogEntryKind;
use action_store::{ActionStoreExt, MemoryStore, NewAction, Outcome, Status, transfer};

use crate::plant::{action_lines, all, text_of};

const GOLDEN: &str = include_str!("../fixtures/transfer_v1.ndjson");

#[tokio::test]
async fn version_1_is_read_and_written_again_byte_for_byte() {
    assert_eq!(transfer::VERSION, 1);
    let store = MemoryStore::new();
    let report = transfer::import(&store, &mut GOLDEN.as_bytes())
        .await
        .unwrap();
    let lines = action_lines(GOLDEN);
    assert_eq!((report.imported, report.refused), (lines.len() as u64, 0));
    let written = text_of(&store).await;
    assert_eq!(action_lines(&written), lines);
    // The lines about the store and its cursors are of another store, but of the same shape.
    let fields = |text: &str| -> Vec<Vec<String>> {
        let others = text
            .lines()
            .filter(|line| !line.starts_with("{\"action\":"));
        let keys = |line: &str| {
            line.split('"')
                .skip(1)
                .step_by(2)
                .map(String::from)
                .collect()
        };
        others.map(keys).collect()
    };
    let (golden, written) = (fields(GOLDEN), fields(&written));
    assert_eq!(golden[0][0], "action_store_export");
    assert_eq!(golden[0].len(), written[0].len());
    assert_eq!(golden.last().unwrap()[..4], written.last().unwrap()[..4]);
}

#[tokio::test]
async fn the_golden_file_has_every_field_and_word() {
    let store = MemoryStore::new();
    transfer::import(&store, &mut GOLDEN.as_bytes())
        .await
        .unwrap();
    let all = all(&store).await;
    for status in Status::ALL {
        assert!(all.iter().any(|(a, _)| a.status == *status), "{status}");
    }
    for outcome in Outcome::ALL {
        assert!(
            all.iter().any(|(a, _)| a.outcome == Some(*outcome)),
            "{outcome}"
        );
    }
    for kind in LogEntryKind::ALL {
        assert!(
            all.iter().flat_map(|(_, log)| log).any(|e| e.kind == *kind),
            "{kind}"
        );
    }
    let fields = "uid source name object related role tenant actor parent retry_of correlation \
        exclusive idempotency_key status outcome progress step description attributes result error \
        code message detail warnings owner incarnation cancel at by reason evidence end decided_by \
        created_at started_at finished_at last_seen_at version log_entries last_op digest log kind \
        op note checkpoint actions entries after checksum action_store_export store revision";
    for field in fields.split_whitespace() {
        assert!(GOLDEN.contains(&format!("\"{field}\":")), "{field}");
    }
}

/// The file of labels, which were added to version 1 before its first release. It was written once,
/// with `ACTIONS_WRITE_GOLDEN`.
#[tokio::test]
async fn labels_are_read_and_written_again_byte_for_byte() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/transfer_v1_labels.ndjson"
    );
    if std::env::var_os("ACTIONS_WRITE_GOLDEN").is_some() && !std::path::Path::new(path).exists() {
        let store = MemoryStore::new();
        let new = NewAction::task("backup_bdb").with_label("region", "eu-1");
        store
            .create(new.with_label("équipe", "a=\"b\""))
            .await
            .unwrap();
        store.create(NewAction::task("none")).await.unwrap();
        std::fs::write(path, text_of(&store).await).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert!(golden.contains(r#","labels":{"region":"eu-1","équipe":"a=\"b\""},"status""#));
    let store = MemoryStore::new();
    let mut bytes = golden.as_bytes();
    let report = transfer::import(&store, &mut bytes).await.unwrap();
    assert_eq!(report.imported, 2);
    let written = text_of(&store).await;
    assert_eq!(action_lines(&written), action_lines(&golden));
    let labels = all(&store).await[0].0.labels.clone();
    assert_eq!(labels.get("équipe"), Some("a=\"b\""));
}

/// Checkpoints and ends as the documentation of the format says, by nothing of the library.
#[test]
fn the_checksum_is_what_the_documentation_says() {
    let mut sum = uuid::Uuid::nil();
    let mut seen = 0;
    for line in GOLDEN.lines() {
        if let Some((_, rest)) = line.split_once("\"checksum\":\"")
            && !line.starts_with("{\"action\":")
        {
            assert_eq!(&rest[..36], sum.to_string());
            seen += 1;
        }
        sum = uuid::Uuid::new_v5(&sum, line.as_bytes());
    }
    assert!(seen >= 2, "{seen}");
}

/// How the golden file was made, so that one of a version 2 can be made alike.
#[tokio::test]
async fn a_planted_store_has_what_the_golden_file_has() {
    let store = MemoryStore::new();
    crate::plant::plant(&store, 55).await;
    let mut text = Vec::new();
    let mut exporter = transfer::Exporter::new(&store).with_page(25);
    exporter.write_to(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), GOLDEN.lines().count());
}
