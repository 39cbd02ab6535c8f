//! Compares a page of a thousand actions from memory with `serde_json::to_vec` of the same content
//! in plain structs. The difference is the cost beyond serialization.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use action_store::MemoryStore;
use action_store::http::{AllowAll, router};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::dataset::{Load, fill};
use crate::middle::middle;
use crate::{Options, ask, met};

/// Target: minimum speed as a share of the comparison.
const LEAST: f64 = 0.8;

#[derive(Serialize, Deserialize)]
struct V1List {
    actions: Vec<Task>,
    #[serde(rename = "state-machines")]
    state_machines: Vec<StateMachine>,
}

#[derive(Serialize, Deserialize)]
struct Task {
    action_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    name: String,
    node_uid: String,
    progress: String,
    status: String,
    task_id: String,
    #[serde(flatten)]
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct StateMachine {
    action_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    heartbeat: i64,
    name: String,
    object_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_ops: Option<Box<RawValue>>,
    progress: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    status: String,
}

#[derive(Serialize, Deserialize)]
struct V2Action {
    action_type: String,
    action_uid: String,
    additional_info: Info,
    creation_time: i64,
    name: String,
    progress: f64,
    status: String,
}

#[derive(Serialize, Deserialize)]
struct Info {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    object_type: String,
    object_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_ops: Option<Box<RawValue>>,
}

pub async fn measure(options: &Options) {
    println!(
        "\npages: 1000 of {} actions in memory, in this process",
        options.size
    );
    for load in [Load::Plain, Load::Attributes] {
        let store = Arc::new(MemoryStore::new());
        fill(&*store, options.size.max(2_000), load).await;
        compare::<V1List>(options, &store, "/v1/actions", load).await;
        compare::<Vec<V2Action>>(options, &store, "/v2/actions", load).await;
    }
}

async fn compare<T: Serialize + DeserializeOwned>(
    options: &Options,
    store: &Arc<MemoryStore>,
    path: &str,
    load: Load,
) {
    let app = router(store.clone(), AllowAll);
    let (status, _, body) = ask(&app, path).await;
    assert_eq!(status, 200);
    let plain: T = serde_json::from_slice(&body).unwrap();
    // Verify equal content: the same length, and the same value when parsed.
    let written = serde_json::to_vec(&plain).unwrap();
    assert_eq!(written.len(), body.len(), "{path}");
    let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&written), value(&body));
    let (mut pages, mut plains, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut times = [0.0; 2];
        for side in [round % 2, 1 - round % 2] {
            let (begun, mut count) = (Instant::now(), 0);
            while begun.elapsed() < options.time / 2 {
                match side {
                    0 => assert_eq!(ask(&app, path).await.2.len(), body.len()),
                    _ => assert_eq!(serde_json::to_vec(&plain).unwrap().len(), body.len()),
                }
                count += 1;
            }
            times[side] = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        }
        pages.push(times[0]);
        plains.push(times[1]);
        ratios.push(times[1] / times[0]);
    }
    let [page, plain, ratio] = [pages, plains, ratios].map(|values| middle(values.into_iter()));
    let size = body.len() / 1024;
    println!(
        "  {path}, {load:?}, {size} KiB: a page {page:.0} us, to_vec alone {plain:.0} us, {ratio:.2} x as fast"
    );
    met(&format!("at least {LEAST} x as fast"), ratio >= LEAST);
}
