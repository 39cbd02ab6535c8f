//! A report never fails the work: what does not fit is cut, and the action says so.

use std::sync::Arc;

use action_store::{
    ActionStore, CancelRequest, Finish, Json, NewAction, Outcome, Progress, Report,
};

use crate::spy::{Spy, tracker};

/// Largest batch, in bytes.
const BATCH: usize = 8 * 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn a_job_whose_reports_do_not_fit_still_succeeds() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let prose = "x".repeat(5000);
    let new = NewAction::task("backup").with_description(prose.as_str());
    let uid = new.uid;
    let done = tracker
        .run(new, async |action| {
            action.step("s".repeat(479)).await?;
            action.step("two\nlines").await?;
            action.step("").await?;
            action.warn(prose.as_str()).await?;
            action.warn("a\0b").await?;
            action
                .report(Report::new().with_description(prose.as_str()))
                .await?;
            let huge = "y".repeat(70_000);
            for attributes in [Json::of(&[huge]), Json::of(&["\0"]), Json::new("[]")] {
                action
                    .report(Report::new().with_attributes(attributes))
                    .await?;
            }
            let report = Report::new().with_progress(Progress::percent(100.1));
            action.report(report).await?;
            // More than one batch may have.
            let huge: Arc<str> = "z".repeat(BATCH + 1).into();
            action
                .report(Report::new().with_description(huge.clone()))
                .await?;
            action.warn(huge.clone()).await?;
            action.step(huge.clone()).await?;
            let child = NewAction::task("copy").with_description(huge);
            action.begin_child(child).await?.succeed().await?;
            Ok(())
        })
        .await;
    done.unwrap();
    let ended = store.now(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    assert!(ended.step.as_ref().unwrap().ends_with("z [cut]"));
    let kinds: Vec<&str> = (ended.warnings.iter())
        .map(|warning| warning.split(": ").next().unwrap())
        .map(|kind| if kind.len() > 60 { "cut" } else { kind })
        .collect();
    let expected = [
        "description was cut",
        "step was cut",
        "step was changed",
        "step was left out",
        "cut",
        "a\u{fffd}b",
        "attributes were left as they were",
        "progress was left as it was",
        "cut",
    ];
    assert_eq!(kinds, expected);
    let size = "attributes were left as they were: json: has 70004 bytes; the limit is 65536";
    assert_eq!(&*ended.warnings[6], size);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_does_not_fit_is_left_out_and_the_end_recorded() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    for result in [Json::of(&"y".repeat(70_000)), Json::of("\0")] {
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        let ended = action.succeed_with(result).await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Succeeded));
        assert_eq!(ended.result, None);
        assert_eq!(ended.warnings.len(), 1);
        assert!(ended.warnings[0].starts_with("result was left out: json: "));
    }
    // As is one with more warnings than a batch may have.
    let warning: Arc<str> = "w".repeat(BATCH).into();
    let warned = (0..40).fold(Finish::succeeded(), |finish, _| {
        finish.with_warning(warning.clone())
    });
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let ended = action.finish(warned).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    assert_eq!(ended.warnings.len(), 2, "the same one is not kept twice");
}

#[tokio::test(start_paused = true)]
async fn prepared_actions_and_cancel_requests_are_cut_as_well() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let prose = "x".repeat(BATCH + 1);
    let prepared = tracker
        .prepare(NewAction::task("backup").with_description(prose.as_str()))
        .unwrap();
    for answer in store.write(prepared.batch()).await.unwrap() {
        answer.unwrap();
    }
    let action = tracker.begin(prepared).await.unwrap();
    let uid = action.uid();
    assert_eq!(action.action().warnings.len(), 1);
    let why = CancelRequest::new().with_reason(prose.as_str());
    let asked = tracker.cancel(uid, why).await.unwrap();
    assert!(
        asked
            .cancel
            .as_ref()
            .unwrap()
            .reason
            .as_ref()
            .unwrap()
            .ends_with(" [cut]")
    );
    action.cancelled().await.unwrap();
}
