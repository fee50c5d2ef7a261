//! Counters of queries.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::query::Engine;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Instant,
    Range,
}

impl Of {
    fn as_str(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Range => "range",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// Queries by kind and result, and how long they took.
#[derive(Debug)]
pub struct QueryMetrics {
    queries: Family<Ended, Counter>,
    durations: Family<OfKind, Histogram, fn() -> Histogram>,
}

impl QueryMetrics {
    /// Counters at zero, shown by `registry`, with what `engine` does at the moment.
    pub fn new(registry: &mut Registry, engine: &Engine) -> Self {
        let queries = Family::default();
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| {
            Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0])
        });
        let query = registry.sub_registry_with_prefix("tributary");
        let help = "Queries that have ended: success, or the type of their error";
        query.register("queries", help, Family::clone(&queries));
        query.register_with_unit(
            "query_duration",
            "Time from the start of a query to its value, which is then written",
            Unit::Seconds,
            Family::clone(&durations),
        );
        registry.register_collector(Box::new(Now(engine.clone())));
        Self { queries, durations }
    }

    /// A query begins. One that is given up counts as canceled.
    pub(super) fn begin(&self, of: Of) -> Running<'_> {
        Running {
            metrics: self,
            kind: of.as_str(),
            result: "canceled",
            begin: Instant::now(),
        }
    }

    fn ended(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.queries.get_or_create(&Ended { kind, result }).inc();
        let durations = self.durations.get_or_create(&OfKind { kind });
        durations.observe(took.as_secs_f64());
    }
}

/// A query under way, counted when this is dropped.
#[derive(Debug)]
pub(super) struct Running<'m> {
    metrics: &'m QueryMetrics,
    kind: &'static str,
    result: &'static str,
    begin: Instant,
}

impl Running<'_> {
    pub(super) fn end(mut self, result: Result<(), &'static str>) {
        self.result = result.err().unwrap_or("success");
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        self.metrics.ended(self.kind, self.result, took);
    }
}

/// What the engine does when `/metrics` is asked for.
#[derive(Debug)]
struct Now(Engine);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Queries that are evaluated at this moment";
        let name = "tributary_queries_running";
        let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(self.0.running() as f64).encode(family)?;
        let help = "Memory that all queries hold at this moment";
        let unit = Some(&Unit::Bytes);
        let family =
            encoder.encode_descriptor("tributary_query_memory", help, unit, MetricType::Gauge)?;
        ConstGauge::new(self.0.held_bytes() as f64).encode(family)
    }
}
