//! Counters of the HTTP face.

use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    handler: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHandler {
    handler: &'static str,
}

/// 1 and -1: whether the web configuration holds; 0: there is none, and nothing is shown.
#[derive(Clone, Debug, Default)]
struct Followed(Arc<AtomicI8>);

impl Collector for Followed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let state = self.0.load(Ordering::Relaxed);
        if state == 0 {
            return Ok(());
        }
        let metric = ConstGauge::new(i64::from(state > 0));
        let family = encoder.encode_descriptor(
            "tributary_web_config_last_reload_successful",
            "Whether the web configuration is used as it stands in its files",
            None,
            metric.metric_type(),
        )?;
        metric.encode(family)
    }
}

/// Requests by handler and code, and how long their headers took.
#[derive(Debug)]
pub struct ServeMetrics {
    requests: Family<OfAnswer, Counter>,
    durations: Family<OfHandler, Histogram, fn() -> Histogram>,
    door: Followed,
    handshakes_failed: Counter,
}

impl ServeMetrics {
    /// Counters at zero, shown by `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let requests = Family::default();
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| {
            Histogram::new([0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0])
        });
        let http = registry.sub_registry_with_prefix("tributary_http");
        http.register("requests", "Requests answered", Family::clone(&requests));
        let help = "Time from the head of a request to the head of its answer";
        http.register_with_unit(
            "request_duration",
            help,
            Unit::Seconds,
            Family::clone(&durations),
        );
        let handshakes_failed = Counter::default();
        http.register(
            "handshakes_failed",
            "Connections that ended before TLS was agreed on",
            handshakes_failed.clone(),
        );
        let door = Followed::default();
        registry.register_collector(Box::new(door.clone()));
        Self {
            requests,
            durations,
            door,
            handshakes_failed,
        }
    }

    /// Notes whether the web configuration holds as it stands in its files.
    pub fn door_followed(&self, is_followed: bool) {
        let state = if is_followed { 1 } else { -1 };
        self.door.0.store(state, Ordering::Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    pub(super) fn answered(&self, handler: &'static str, status: StatusCode, duration: Duration) {
        self.requests
            .get_or_create(&OfAnswer {
                handler,
                code: status.as_u16(),
            })
            .inc();
        self.durations
            .get_or_create(&OfHandler { handler })
            .observe(duration.as_secs_f64());
    }
}
