//! Metrics for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use action_store::observe::{Observed, describe_metrics};
use action_store::{ActionStore, SqliteStore, StoreError, Tracker};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the buckets in seconds, from a commit to a long operation.
const SECONDS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0];

/// Interval between two summaries of the recorder's samples.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of this process.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let durations = Matcher::Suffix("duration".to_owned());
    let prometheus = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(durations, &SECONDS)?
        .install_recorder()?;
    describe_metrics();
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            // Without it, the samples take more and more memory between two scrapes.
            upkeep.run_upkeep();
            tokio::time::sleep(UPKEEP).await;
        }
    });
    Ok(prometheus)
}

/// Everything that a scrape reads.
#[derive(Clone)]
pub(crate) struct Metrics {
    prometheus: PrometheusHandle,
    store: Arc<Observed<Arc<dyn ActionStore>>>,
    /// The store's file, if it is this plane's alone.
    file: Option<Arc<SqliteStore>>,
    tracker: Tracker,
}

impl Metrics {
    pub(crate) fn new(
        prometheus: PrometheusHandle,
        store: Arc<Observed<Arc<dyn ActionStore>>>,
        file: Option<Arc<SqliteStore>>,
        tracker: Tracker,
    ) -> Metrics {
        Metrics {
            prometheus,
            store,
            file,
            tracker,
        }
    }

    /// Sets the gauges, and returns all metrics as text.
    pub(crate) async fn render(&self) -> Result<String, StoreError> {
        self.store.record_gauges().await?;
        self.tracker.health().record_gauges();
        if let Some(file) = &self.file {
            file.diagnostics().await?.record_gauges();
        }
        Ok(self.prometheus.render())
    }
}
