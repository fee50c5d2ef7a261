//! What the window holds, as it is when `/metrics` is asked for.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::{Held, Window};

/// Shows a window on a registry.
#[derive(Debug)]
pub struct WindowMetrics(pub Arc<Window>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCluster {
    cluster: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPart {
    cluster: Arc<str>,
    part: &'static str,
}

/// Name, HELP and reading of what is counted per cluster.
type Counted = (&'static str, &'static str, fn(&Held) -> u64);

const COUNTED: [Counted; 2] = [
    (
        "tributary_window_samples",
        "Samples in the window",
        |held| held.samples,
    ),
    (
        "tributary_window_series",
        "Series in the window, those that have ended among them",
        |held| held.series,
    ),
];

impl Collector for WindowMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let clusters = self.0.held();
        for (name, help, reading) in COUNTED {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (cluster, held) in &clusters {
                let of = OfCluster {
                    cluster: cluster.clone(),
                };
                ConstGauge::new(reading(held) as f64).encode(family.encode_family(&of)?)?;
            }
        }
        let help = "Memory that the window takes: sealed rounds, rounds not yet sealed, labels";
        let unit = Some(&Unit::Bytes);
        let mut family =
            encoder.encode_descriptor("tributary_window", help, unit, MetricType::Gauge)?;
        for (cluster, held) in &clusters {
            let parts = [
                ("chunks", held.chunk_bytes),
                ("columns", held.column_bytes),
                ("labels", held.label_bytes),
            ];
            for (part, bytes) in parts {
                let of = OfPart {
                    cluster: cluster.clone(),
                    part,
                };
                ConstGauge::new(bytes as f64).encode(family.encode_family(&of)?)?;
            }
        }
        let help = "When the oldest round of the window began, since 1970";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor(
            "tributary_window_oldest_round",
            help,
            unit,
            MetricType::Gauge,
        )?;
        for (cluster, held) in &clusters {
            let Some(oldest_ms) = held.oldest_ms else {
                continue;
            };
            let of = OfCluster {
                cluster: cluster.clone(),
            };
            ConstGauge::new(oldest_ms as f64 / 1000.0).encode(family.encode_family(&of)?)?;
        }
        let length = ConstGauge::new(self.0.length().as_secs_f64());
        let help = "How long rounds are kept: less than --storage.window while memory is short";
        let family =
            encoder.encode_descriptor("tributary_window_length", help, unit, MetricType::Gauge)?;
        length.encode(family)?;
        let shortened = ConstCounter::new(self.0.times_shortened());
        let help = "Times that the window was made shorter because memory was short";
        let name = "tributary_window_shortened";
        let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        shortened.encode(family)
    }
}
