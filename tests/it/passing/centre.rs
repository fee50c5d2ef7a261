//! A central Prometheus that finds one target for each cluster at `/sd/prometheus`: a cluster that is lost is
//! `up == 0` there within two rounds, and the others go on.
//!
//! Two centres look at the same Tributary. The one that stamps samples itself (`honor_timestamps: false`) marks the lost
//! series stale at once. The one that keeps our timestamps, which Debian's 2.42 never marks stale, shows them until its
//! lookback ends.

use std::time::Duration;

use crate::support::app::Running;
use crate::support::process::installed;
use crate::support::prometheus::Prometheus;
use crate::support::{eventually, now_ms, until};

const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL_MS: i64 = 2_000;
const LOOKBACK_MS: i64 = 12_000;
const CLUSTERS: [&str; 3] = ["eu", "us", "asia-1"];

/// For what two rounds are made of on a busy machine: a round of ours, one of the centre, both begun just before.
const TWO_ROUNDS_MS: i64 = 2 * INTERVAL_MS + 1_500;

struct Setup {
    stamping: Prometheus,
    keeping: Prometheus,
    _tributary: Running,
    sources: Vec<Prometheus>,
}

impl Setup {
    fn start() -> Self {
        let source = |_| {
            let yaml = "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: node, static_configs: [{targets: ['SELF']}]}]\n";
            Prometheus::start(yaml, &[])
        };
        let sources: Vec<_> = CLUSTERS.iter().map(source).collect();
        let clusters = CLUSTERS.iter().zip(&sources);
        let items = clusters.map(|(name, source)| {
            format!("  - {{name: {name}, url: 'http://{}'}}\n", source.address)
        });
        let yaml = format!(
            "global: {{scrape_interval: {INTERVAL_MS}ms, match: ['{{job=\"node\",__name__=~\"up|go_goroutines\"}}']}}\nclusters:\n{}",
            items.collect::<String>()
        );
        let tributary = Running::start(&yaml);
        let centre = |honor_timestamps: bool| {
            let yaml = format!(
                "scrape_configs:
  - job_name: tributary
    scrape_interval: {INTERVAL_MS}ms
    scrape_timeout: {INTERVAL_MS}ms
    honor_labels: true
    honor_timestamps: {honor_timestamps}
    http_sd_configs: [{{url: 'http://{}/sd/prometheus', refresh_interval: 5s}}]
    relabel_configs: [{{source_labels: [__meta_tributary_scrape_interval], target_label: interval}}]
",
                tributary.address
            );
            Prometheus::start(&yaml, &[&format!("--query.lookback-delta={LOOKBACK_MS}ms")])
        };
        Self {
            stamping: centre(false),
            keeping: centre(true),
            _tributary: tributary,
            sources,
        }
    }

    fn centres(&self) -> [&Prometheus; 2] {
        [&self.stamping, &self.keeping]
    }
}

/// A value at a time; none where there is none.
fn value(centre: &Prometheus, expression: &str, at_ms: i64) -> Option<String> {
    let found = centre.query(expression, at_ms);
    assert!(found.len() <= 1, "{expression}: {found:?}");
    Some(found.first()?["value"][1].as_str().unwrap().to_owned())
}

fn up(centre: &Prometheus, cluster: &str) -> Option<String> {
    let up = format!("up{{job=\"tributary\",cluster=\"{cluster}\"}}");
    value(centre, &up, now_ms())
}

/// The series that were federated from a cluster.
fn federated(cluster: &str) -> String {
    format!("count({{job=\"node\",cluster=\"{cluster}\"}})")
}

fn wait_for_up(centre: &Prometheus, cluster: &str, want: &str) {
    eventually(&format!("up == {want} for {cluster}"), PATIENCE, || {
        let up = up(centre, cluster);
        if up.as_deref() == Some(want) {
            Ok(())
        } else {
            Err(format!("{up:?}"))
        }
    });
}

#[test]
fn a_lost_cluster_is_down_at_the_centre_within_two_rounds() {
    if !installed(&["prometheus"]) {
        return;
    }
    let mut setup = Setup::start();
    for centre in setup.centres() {
        for cluster in CLUSTERS {
            wait_for_up(centre, cluster, "1");
            eventually("series of each cluster", PATIENCE, || {
                let count = value(centre, &federated(cluster), now_ms());
                if count.as_deref() == Some("2") {
                    Ok(())
                } else {
                    Err(format!("{count:?}"))
                }
            });
        }
        let interval = centre.query("count by (interval) (up{job=\"tributary\"})", now_ms());
        assert_eq!(
            interval[0]["metric"]["interval"], "2s",
            "a rule can use what the target says of itself"
        );
    }
    let killed_ms = now_ms();
    setup.sources[1].kill();
    let lost_ms = lost(&setup, killed_ms);
    series_end(&setup, lost_ms);
    setup.sources[1].restart();
    let restarted_ms = now_ms();
    for centre in setup.centres() {
        wait_for_up(centre, CLUSTERS[1], "1");
    }
    println!("up again {} ms after the restart", now_ms() - restarted_ms);
    others_stay(&setup, killed_ms);
}

/// Until both centres say 0; when each said so first.
fn lost(setup: &Setup, killed_ms: i64) -> [i64; 2] {
    until(killed_ms + TWO_ROUNDS_MS);
    setup.centres().map(|centre| {
        let end = killed_ms + TWO_ROUNDS_MS;
        let up = format!(
            "up{{job=\"tributary\",cluster=\"{}\"}}[{TWO_ROUNDS_MS}ms]",
            CLUSTERS[1]
        );
        let found = centre.query(&up, end);
        let samples = found[0]["values"].as_array().unwrap();
        let zero = samples.iter().find(|sample| sample[1] == "0");
        let zero = zero.unwrap_or_else(|| panic!("still up after {TWO_ROUNDS_MS} ms: {samples:?}"));
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
        let at_ms = (zero[0].as_f64().unwrap() * 1000.0).round() as i64;
        println!("down {} ms after the kill", at_ms - killed_ms);
        at_ms
    })
}

/// At the centre that stamps samples itself with the failed scrape; at the other when its lookback is over.
fn series_end(setup: &Setup, lost_ms: [i64; 2]) {
    let lost = federated(CLUSTERS[1]);
    assert_eq!(
        value(&setup.stamping, &lost, lost_ms[0] - INTERVAL_MS / 2).as_deref(),
        Some("2")
    );
    assert_eq!(
        value(&setup.stamping, &lost, lost_ms[0]),
        None,
        "marked stale"
    );
    assert_eq!(
        value(&setup.keeping, &lost, lost_ms[1]).as_deref(),
        Some("2"),
        "2.42 marks no series with timestamps"
    );
    until(lost_ms[1] + LOOKBACK_MS);
    assert_eq!(
        value(&setup.keeping, &lost, lost_ms[1] + LOOKBACK_MS),
        None,
        "gone with the lookback"
    );
    // What we write without timestamps ends with the failed scrape at both.
    for (centre, lost_ms) in setup.centres().into_iter().zip(lost_ms) {
        let own = format!("tributary_cluster_up{{cluster=\"{}\"}}", CLUSTERS[1]);
        assert_eq!(value(centre, &own, lost_ms), None);
    }
}

fn others_stay(setup: &Setup, killed_ms: i64) {
    let end = now_ms();
    let stretch = end - killed_ms;
    for centre in setup.centres() {
        for cluster in [CLUSTERS[0], CLUSTERS[2]] {
            let lowest = format!(
                "min_over_time(up{{job=\"tributary\",cluster=\"{cluster}\"}}[{stretch}ms])"
            );
            assert_eq!(
                value(centre, &lowest, end).as_deref(),
                Some("1"),
                "{cluster}"
            );
            assert_eq!(
                value(centre, &federated(cluster), end).as_deref(),
                Some("2"),
                "{cluster}"
            );
        }
    }
}
