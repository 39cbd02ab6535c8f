//! Captures the metrics, the events and the spans of some work on this thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use action_store::observe::describe_metrics;
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::guide::line;

/// A metric with its attributes.
pub(crate) struct Metric {
    name: String,
    kind: &'static str,
    unit: &'static str,
    attributes: BTreeMap<String, String>,
    value: DebugValue,
}

/// An event or a span with its fields.
#[derive(Clone)]
struct Record {
    is_event: bool,
    name: String,
    level: String,
    fields: BTreeMap<String, String>,
}

pub(crate) struct Captured {
    metrics: Vec<Metric>,
    records: Vec<Record>,
}

impl Captured {
    /// Captures what some work reports. It must stay on this thread.
    pub(crate) fn of(work: fn()) -> Captured {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let records = Records::default();
        let subscriber = tracing_subscriber::registry().with(records.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        metrics::with_local_recorder(&recorder, || {
            describe_metrics();
            work();
        });
        drop(guard);
        let metrics = snapshotter.snapshot().into_vec().into_iter();
        let metrics = metrics.map(|(key, unit, description, value)| {
            let (kind, key) = key.into_parts();
            assert!(description.is_some(), "{key} has no description");
            let attributes = key.labels();
            Metric {
                name: key.name().to_owned(),
                kind: match kind {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge => "gauge",
                    MetricKind::Histogram => "histogram",
                },
                unit: match unit.unwrap() {
                    metrics::Unit::Count => "",
                    unit => unit.as_str(),
                },
                attributes: attributes
                    .map(|label| (label.key().to_owned(), label.value().to_owned()))
                    .collect(),
                value,
            }
        });
        let records = records.0.lock().unwrap().clone();
        Captured {
            metrics: metrics.collect(),
            records,
        }
    }

    /// Returns the metrics as rows of the guide.
    pub(crate) fn metrics(&self) -> BTreeSet<String> {
        let row = |metric: &Metric| {
            let cells = [&*metric.name, metric.kind, metric.unit].map(str::to_owned);
            line(&cells, metric.attributes.keys().map(String::as_str))
        };
        self.metrics.iter().map(row).collect()
    }

    /// Returns the events as rows of the guide.
    pub(crate) fn events(&self) -> BTreeSet<String> {
        self.rows(true)
    }

    /// Returns the spans as rows of the guide.
    pub(crate) fn spans(&self) -> BTreeSet<String> {
        self.rows(false)
    }

    fn rows(&self, events: bool) -> BTreeSet<String> {
        let records = self.records.iter().filter(|r| r.is_event == events);
        let row = |record: &Record| {
            let fields = record.fields.keys().map(String::as_str);
            let cells = [record.name.clone(), record.level.clone()];
            line(&cells, fields.filter(|field| *field != "message"))
        };
        records.map(row).collect()
    }

    /// Returns all texts that were reported.
    pub(crate) fn values(&self) -> BTreeSet<String> {
        let metrics = self.metrics.iter().flat_map(|m| m.attributes.values());
        let records = self.records.iter().flat_map(|r| r.fields.values());
        metrics.chain(records).cloned().collect()
    }

    /// Returns the value of the metric with one attribute of this value, or with none.
    pub(crate) fn value(&self, name: &str, attribute: &str) -> &DebugValue {
        let is = |metric: &&Metric| {
            let mut values = metric.attributes.values();
            metric.name == name && (attribute.is_empty() || values.any(|v| v == attribute))
        };
        let found = self.metrics.iter().find(is);
        &found
            .unwrap_or_else(|| panic!("no {name} {attribute}"))
            .value
    }
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Record>>>);

impl Records {
    fn add(&self, metadata: &Metadata<'_>, visit: impl FnOnce(&mut dyn Visit)) {
        // The libraries below report for themselves.
        if metadata.target() != "action_store" {
            return;
        }
        let mut fields = Fields::default();
        visit(&mut fields);
        self.0.lock().unwrap().push(Record {
            is_event: metadata.is_event(),
            name: metadata.name().to_owned(),
            level: metadata.level().to_string().to_lowercase(),
            fields: fields.0,
        });
    }
}

impl<S: Subscriber> Layer<S> for Records {
    fn on_new_span(&self, span: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.add(span.metadata(), |visit| span.record(visit));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.add(event.metadata(), |visit| event.record(visit));
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
