//! Counters of the scrape loops.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dashmap::DashSet;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::replica::Why;
use super::report::Dropped;
use super::status::Success;
use crate::store::Store;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCluster {
    cluster: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithReason {
    cluster: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    cluster: Arc<str>,
    phase: &'static str,
}

const PHASES: [&str; 4] = ["wait", "read", "parse", "publish"];

type Seconds = Counter<f64, AtomicU64>;
type SecondsGauge = Gauge<f64, AtomicU64>;

/// All counters, by cluster.
#[derive(Debug, Default)]
pub struct ScrapeMetrics {
    rounds: Family<OfCluster, Counter>,
    failures: Family<WithReason, Counter>,
    /// The classes of errors that there were, to find their counters again.
    reasons: DashSet<(Arc<str>, &'static str)>,
    last_error: Family<WithReason, Gauge>,
    late: Family<OfCluster, Counter>,
    phases: Family<OfPhase, Seconds>,
    duration: Family<OfCluster, SecondsGauge>,
    wire_bytes: Family<OfCluster, Counter>,
    decoded_bytes: Family<OfCluster, Counter>,
    samples: Family<OfCluster, Counter>,
    dropped: Family<WithReason, Counter>,
    series: Family<OfCluster, Gauge>,
    added: Family<OfCluster, Counter>,
    removed: Family<OfCluster, Counter>,
    matched: Family<OfCluster, Counter>,
    access_stale: Family<OfCluster, Gauge>,
    switches: Family<WithReason, Counter>,
    replica: Family<OfCluster, Gauge>,
}

impl ScrapeMetrics {
    /// Counters at zero, shown by `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let m = Self::default();
        let r = registry.sub_registry_with_prefix("tributary_cluster");
        r.register("rounds", "Rounds ended, well or not", m.rounds.clone());
        r.register(
            "round_failures",
            "Rounds that gave no snapshot, by class of error",
            m.failures.clone(),
        );
        r.register(
            "last_error",
            "1 for the class of the last round's error, 0 for earlier ones",
            m.last_error.clone(),
        );
        r.register(
            "rounds_late",
            "Rounds that began more than a tenth of the interval late",
            m.late.clone(),
        );
        r.register_with_unit(
            "phase",
            "Time in the phases of rounds",
            Unit::Seconds,
            m.phases.clone(),
        );
        r.register_with_unit(
            "last_round",
            "Duration of the last round",
            Unit::Seconds,
            m.duration.clone(),
        );
        r.register_with_unit(
            "wire",
            "Body bytes received, as on the wire",
            Unit::Bytes,
            m.wire_bytes.clone(),
        );
        r.register_with_unit(
            "decoded",
            "Body bytes received, decoded",
            Unit::Bytes,
            m.decoded_bytes.clone(),
        );
        r.register("samples", "Samples that left a round", m.samples.clone());
        r.register(
            "samples_dropped",
            "Samples that entered a round and did not leave it",
            m.dropped.clone(),
        );
        r.register("series", "Series in the last snapshot", m.series.clone());
        r.register(
            "series_added",
            "Series that were not in the round before",
            m.added.clone(),
        );
        r.register(
            "series_removed",
            "Series that were in the round before only",
            m.removed.clone(),
        );
        r.register(
            "lines_matched",
            "Lines that stood where they stood in the round before",
            m.matched.clone(),
        );
        r.register(
            "access_stale",
            "1 while a file with a secret, certificate or key cannot be used and older content holds",
            m.access_stale.clone(),
        );
        r.register(
            "replica_switches",
            "Times that another replica was taken, by what was wrong with the one given up",
            m.switches.clone(),
        );
        r.register(
            "replica_used",
            "Place of the replica in use among those of the configuration, from 0",
            m.replica.clone(),
        );
        m
    }

    /// Makes a cluster's counters visible before its first round.
    pub fn register(&self, cluster: &str) {
        let of = of(cluster);
        self.rounds.get_or_create(&of).inc_by(0);
        self.late.get_or_create(&of).inc_by(0);
        self.samples.get_or_create(&of).inc_by(0);
        for reason in Dropped::ALL {
            self.dropped
                .get_or_create(&with_reason(cluster, reason.reason()))
                .inc_by(0);
        }
    }

    /// Takes the counters of a cluster away that is no more.
    pub fn forget(&self, cluster: &str) {
        let of = of(cluster);
        let counters = [
            &self.rounds,
            &self.late,
            &self.wire_bytes,
            &self.decoded_bytes,
            &self.samples,
            &self.added,
            &self.removed,
            &self.matched,
        ];
        for counter in counters {
            counter.remove(&of);
        }
        self.duration.remove(&of);
        for gauge in [&self.series, &self.replica, &self.access_stale] {
            gauge.remove(&of);
        }
        for why in Why::ALL {
            self.switches.remove(&with_reason(cluster, why.reason()));
        }
        for phase in PHASES {
            let cluster = of.cluster.clone();
            self.phases.remove(&OfPhase { cluster, phase });
        }
        for reason in Dropped::ALL {
            self.dropped.remove(&with_reason(cluster, reason.reason()));
        }
        self.reasons.retain(|(of, reason)| {
            let ours = **of == *cluster;
            if ours {
                self.failures.remove(&with_reason(cluster, reason));
                self.last_error.remove(&with_reason(cluster, reason));
            }
            !ours
        });
    }

    /// Makes the counters of a cluster with replicas visible.
    pub(super) fn register_replicas(&self, cluster: &str, used: usize) {
        for why in Why::ALL {
            self.switches
                .get_or_create(&with_reason(cluster, why.reason()))
                .inc_by(0);
        }
        self.use_replica(cluster, used);
    }

    pub(super) fn switched(&self, cluster: &str, why: Why, to: usize) {
        self.switches
            .get_or_create(&with_reason(cluster, why.reason()))
            .inc();
        self.use_replica(cluster, to);
    }

    fn use_replica(&self, cluster: &str, used: usize) {
        self.replica
            .get_or_create(&of(cluster))
            .set(i64::try_from(used).unwrap_or(i64::MAX));
    }

    pub(super) fn access(&self, cluster: &str, is_stale: bool) {
        self.access_stale
            .get_or_create(&of(cluster))
            .set(i64::from(is_stale));
    }

    pub(super) fn late(&self, cluster: &str) {
        self.late.get_or_create(&of(cluster)).inc();
    }

    pub(super) fn failed(
        &self,
        cluster: &str,
        reason: &'static str,
        duration: Duration,
        before: Option<&'static str>,
    ) {
        self.ended(cluster, duration, before);
        self.reasons.insert((cluster.into(), reason));
        self.failures
            .get_or_create(&with_reason(cluster, reason))
            .inc();
        self.last_error
            .get_or_create(&with_reason(cluster, reason))
            .set(1);
    }

    pub(super) fn succeeded(
        &self,
        cluster: &str,
        success: &Success,
        duration: Duration,
        before: Option<&'static str>,
    ) {
        let Success {
            report,
            wire,
            phases,
            ..
        } = success;
        self.ended(cluster, duration, before);
        let of = of(cluster);
        let times = [phases.wait, phases.read, phases.parse, phases.publish];
        for (phase, time) in PHASES.into_iter().zip(times) {
            let of = OfPhase {
                cluster: cluster.into(),
                phase,
            };
            self.phases.get_or_create(&of).inc_by(time.as_secs_f64());
        }
        self.wire_bytes.get_or_create(&of).inc_by(wire.compressed);
        self.decoded_bytes.get_or_create(&of).inc_by(wire.decoded);
        self.samples.get_or_create(&of).inc_by(report.kept);
        self.series
            .get_or_create(&of)
            .set(i64::try_from(report.kept).unwrap_or(i64::MAX));
        self.added.get_or_create(&of).inc_by(report.added);
        self.removed.get_or_create(&of).inc_by(report.removed);
        self.matched.get_or_create(&of).inc_by(report.matched);
        for reason in Dropped::ALL {
            let count = report.dropped(reason);
            if count > 0 {
                self.dropped
                    .get_or_create(&with_reason(cluster, reason.reason()))
                    .inc_by(count);
            }
        }
    }

    /// `before` is the class of the last error.
    fn ended(&self, cluster: &str, duration: Duration, before: Option<&'static str>) {
        self.rounds.get_or_create(&of(cluster)).inc();
        self.duration
            .get_or_create(&of(cluster))
            .set(duration.as_secs_f64());
        if let Some(reason) = before {
            self.last_error
                .get_or_create(&with_reason(cluster, reason))
                .set(0);
        }
    }
}

/// State and age of every cluster, as the store has them when `/metrics` is asked for.
#[derive(Debug)]
pub struct Snapshots(pub Arc<Store>);

impl Collector for Snapshots {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let view = self.0.view(Instant::now());
        let (name, help) = ("tributary_cluster_up", "Whether the last round succeeded");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for seen in &view.clusters {
            let up = ConstGauge::new(i64::from(seen.slot.is_up()));
            up.encode(family.encode_family(&of(seen.slot.name()))?)?;
        }
        let name = "tributary_cluster_snapshot_age";
        let help = "Time since the last snapshot was published";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for seen in &view.clusters {
            let Some(age) = seen.age else { continue };
            let age = ConstGauge::new(age.as_secs_f64());
            age.encode(family.encode_family(&of(seen.slot.name()))?)?;
        }
        Ok(())
    }
}

fn of(cluster: &str) -> OfCluster {
    OfCluster {
        cluster: cluster.into(),
    }
}

fn with_reason(cluster: &str, reason: &'static str) -> WithReason {
    WithReason {
        cluster: cluster.into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::store::snapshot::Snapshot;
    use crate::store::{Layout, SlotSettings, Typed};

    #[test]
    fn a_cluster_shows_whether_it_is_up_and_how_old_its_snapshot_is() {
        let settings = |name: &str| SlotSettings {
            name: name.into(),
            stale_after: Duration::from_secs(60),
            labels_all: true,
        };
        let layout = Layout {
            cluster_label: "cluster".into(),
            typed: Typed::True,
        };
        let store = Arc::new(Store::new(layout.clone()));
        store.replace(vec![settings("a"), settings("b")], layout, |_| false);
        store.publish(
            &store.slot("a").unwrap(),
            Snapshot::default(),
            Instant::now(),
        );
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Snapshots(store)));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        assert!(
            page.contains("tributary_cluster_up{cluster=\"a\"} 1\n"),
            "{page}"
        );
        assert!(
            page.contains("tributary_cluster_up{cluster=\"b\"} 0\n"),
            "{page}"
        );
        let age = "tributary_cluster_snapshot_age_seconds{cluster=";
        assert!(page.contains(&format!("{age}\"a\"}} 0")), "{page}");
        assert!(!page.contains(&format!("{age}\"b\"}}")), "{page}");
    }
}
