//! Counters of the HTTP face.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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

/// Requests by handler and code, and how long their headers took.
#[derive(Debug)]
pub struct ServeMetrics {
    requests: Family<OfAnswer, Counter>,
    durations: Family<OfHandler, Histogram, fn() -> Histogram>,
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
        Self {
            requests,
            durations,
        }
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
