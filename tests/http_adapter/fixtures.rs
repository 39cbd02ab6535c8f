//! Recorded actions produce exactly the documented payloads.

use action_store::ActionStoreExt as _;
use action_store::http::StatusVocabulary;
use action_store::{Finish, NewAction, ObjectRef, Progress, Report, Timestamp};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::support::{Plane, compact, get, ok, on_each_store, uid};

on_each_store! {
    the_actions_of_a_database_match_their_documentation,
    the_payloads_of_version_2_match_their_documentation,
}

const ACTIONS: &str = include_str!("../fixtures/v1_actions.json");
const ACTION: &str = include_str!("../fixtures/v1_actions_uid.json");
const OF_BDB: &str = include_str!("../fixtures/v1_actions_bdb.json");
const V2_ACTIONS: &str = include_str!("../fixtures/v2_actions.json");
const V2_ACTION: &str = include_str!("../fixtures/v2_actions_uid.json");
const NOT_FOUND: &str = include_str!("../fixtures/v1_action_not_found.json");

/// The payloads as a typed client would declare them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Actions {
    actions: Vec<Task>,
    #[serde(rename = "state-machines")]
    state_machines: Vec<StateMachine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    action_uid: String,
    name: String,
    node_uid: String,
    progress: String,
    status: String,
    task_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateMachine {
    action_uid: String,
    heartbeat: u64,
    name: String,
    object_name: String,
    progress: Box<RawValue>,
    status: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updating {
    action_uid: String,
    heartbeat: u64,
    name: String,
    object_name: String,
    pending_ops: serde_json::Map<String, serde_json::Value>,
    progress: f64,
    state: String,
    status: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct V2Action {
    action_type: String,
    action_uid: String,
    additional_info: AdditionalInfo,
    creation_time: u64,
    name: String,
    progress: f64,
    status: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdditionalInfo {
    object_type: String,
    object_uid: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotFound {
    description: String,
    error_code: String,
}

#[track_caller]
fn recoded<T: Serialize + DeserializeOwned>(text: &str) -> String {
    serde_json::to_string(&serde_json::from_str::<T>(text).unwrap()).unwrap()
}

/// Records the actions of the documents: a database is created, then two nodes are
/// retried.
async fn recorded() -> Plane {
    let plane = Plane::new().await;
    plane
        .clock
        .set(Timestamp::from_micros(1_650_378_870_250_000));
    let create = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1))
        .with_uid(uid("a10586b1-60bc-428e-9bc6-392eb5f0d8ae"));
    let create = plane.started(create).await;
    plane
        .clock
        .set(Timestamp::from_micros(1_650_378_874_999_999));
    plane.finish(create, Finish::succeeded()).await;
    plane.clock.set(Timestamp::from_seconds(1_650_400_000));
    for (node, text) in [
        (1, "661697c5-c747-41bd-ab81-ffc8fd13c494"),
        (2, "159ca2f8-7bf3-4cda-97e8-4eb560665c28"),
    ] {
        let new = NewAction::task("retry_bdb").with_object(ObjectRef::node(node));
        plane.succeeded(new.with_uid(uid(text))).await;
    }
    plane
}

#[tokio::test]
async fn the_list_matches_its_documentation() {
    let app = recorded().await.router();
    let body = ok(get(&app, "/v1/actions").await);
    assert_eq!(body, compact(ACTIONS));
}

#[tokio::test]
async fn an_action_matches_its_documentation() {
    let app = recorded().await.router();
    let path = "/v1/actions/159ca2f8-7bf3-4cda-97e8-4eb560665c28";
    assert_eq!(ok(get(&app, path).await), compact(ACTION));
}

/// A database is being updated.
async fn the_actions_of_a_database_match_their_documentation(plane: Plane) {
    plane.clock.set(Timestamp::from_seconds(1_703_067_900));
    let update = NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(1))
        .with_uid(uid("8afc7f70-f3ae-4244-a5e9-5133e78b2e97"));
    let update = plane.started(update).await;
    plane
        .clock
        .set(Timestamp::from_micros(1_703_067_908_400_000));
    let half = Report::new().with_progress(Progress::percent(50.0).unwrap());
    plane.report(update, half.with_step("proxy_policy")).await;
    let app = plane.router_in(StatusVocabulary::Vendor);
    let body = ok(get(&app, "/v1/actions/bdb/1").await);
    assert_eq!(body, compact(OF_BDB));
    assert_eq!(recoded::<Vec<Updating>>(&body), compact(OF_BDB));
}

async fn the_payloads_of_version_2_match_their_documentation(plane: Plane) {
    plane
        .clock
        .set(Timestamp::from_micros(1_742_595_918_999_999));
    let retry = NewAction::task("retry_bdb").with_object(ObjectRef::node(1));
    let retry = retry.with_uid(uid("6155403f-c26f-40ab-8afc-23ed663973f6"));
    let retry = plane.queued(retry).await;
    plane.clock.set(Timestamp::from_seconds(1_742_595_930));
    plane.store.start(retry, &plane.owner).await.unwrap();
    plane.finish(retry, Finish::succeeded()).await;
    // Version 2 has one vocabulary, independent of the vocabulary of version 1.
    for words in [StatusVocabulary::Lifecycle, StatusVocabulary::Vendor] {
        let app = plane.router_in(words);
        let list = ok(get(&app, "/v2/actions").await);
        assert_eq!(list, compact(V2_ACTIONS));
        assert_eq!(recoded::<Vec<V2Action>>(&list), compact(V2_ACTIONS));
        let one = ok(get(&app, &format!("/v2/actions/{retry}")).await);
        assert_eq!(one, compact(V2_ACTION));
    }
}

#[tokio::test]
async fn the_404_matches_its_documentation() {
    let app = recorded().await.router();
    let answer = get(&app, "/v1/actions/5a42fabf-c603-4950-88d9-3a3148a5d763").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    answer.assert_framed();
    assert_eq!(answer.body, compact(NOT_FOUND));
    let answer = get(&app, "/v2/actions/5a42fabf-c603-4950-88d9-3a3148a5d763").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.body, compact(NOT_FOUND));
}

#[test]
fn the_documented_payloads_survive_decoding_and_encoding() {
    assert_eq!(recoded::<Actions>(ACTIONS), compact(ACTIONS));
    assert_eq!(recoded::<Task>(ACTION), compact(ACTION));
    assert_eq!(recoded::<Vec<Updating>>(OF_BDB), compact(OF_BDB));
    assert_eq!(recoded::<Vec<V2Action>>(V2_ACTIONS), compact(V2_ACTIONS));
    assert_eq!(recoded::<V2Action>(V2_ACTION), compact(V2_ACTION));
    assert_eq!(recoded::<NotFound>(NOT_FOUND), compact(NOT_FOUND));
}

#[tokio::test]
async fn a_typed_client_decodes_every_answer() {
    let app = recorded().await.router();
    let body = ok(get(&app, "/v1/actions").await);
    assert_eq!(recoded::<Actions>(&body), compact(ACTIONS));
}
