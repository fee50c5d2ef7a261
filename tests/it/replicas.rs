//! A pair of real servers with `prometheus_replica` labels behind Tributary, and a real centre behind that: the loss of
//! either replica renames nothing, misses nothing for longer than a round, and puts nothing out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::app::Running;
use crate::support::process::installed;
use crate::support::prometheus::{NodeExporter, Prometheus};
use crate::support::{eventually, http, now_ms};

/// The sources scrape and evaluate every 3 s, Tributary and the centre ask every second.
const ROUND_MS: i64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Counters of the centre for what it could not take.
const REFUSED: [&str; 4] = [
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
];

/// One of a pair: both scrape the same exporters and evaluate the same rules, at the same moments, with results of
/// their own.
fn source(name: &str, exporters: &[NodeExporter], folder: &std::path::Path) -> Prometheus {
    let targets: Vec<_> = exporters
        .iter()
        .map(|e| format!("'{}'", e.address))
        .collect();
    let rules = folder.join("rules.yaml");
    let yaml = "groups: [{name: g, interval: 3s, rules: [{record: 'job:up:time', expr: 'time() + scalar(sum(timestamp(up)))'}]}]";
    fs::write(&rules, yaml).unwrap();
    let yaml = format!(
        "global:
  scrape_interval: 3s
  evaluation_interval: 3s
  external_labels: {{prometheus: monitoring/k8s, prometheus_replica: {name}}}
rule_files: ['{}']
scrape_configs:
  - job_name: node
    static_configs: [{{targets: [{}]}}]
",
        rules.display(),
        targets.join(", ")
    );
    Prometheus::start(&yaml, &[])
}

/// What a watch over `/federate` has seen of every series: its last timestamp, and when it was there last.
#[derive(Default)]
struct Watch {
    last: BTreeMap<String, (i64, i64)>,
    longest_gap_ms: i64,
}

impl Watch {
    fn look(&mut self, tributary: &Running) {
        let now = now_ms();
        let page = tributary.federate("match[]=%7Bjob=%22node%22%7D&match[]=job:up:time");
        for line in page
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("tributary_"))
        {
            let (front, time) = line.rsplit_once(' ').unwrap();
            let labels = front.rsplit_once(' ').unwrap().0;
            let time: i64 = time.parse().unwrap();
            let entry = self.last.entry(labels.to_owned()).or_insert((time, now));
            assert!(time >= entry.0, "{labels}: {} then {time}", entry.0);
            *entry = (time, now);
        }
        let gaps = self.last.values().map(|(_, seen)| now - seen);
        self.longest_gap_ms = self.longest_gap_ms.max(gaps.max().unwrap_or(0));
    }

    fn names(&self) -> BTreeSet<&str> {
        self.last.keys().map(String::as_str).collect()
    }
}

fn used(tributary: &Running) -> String {
    let answer = http::get(tributary.address, "/api/v1/clusters")
        .unwrap()
        .body;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["data"]["clusters"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Watches for a while.
fn watch(seen: &mut Watch, tributary: &Running, ms: i64) {
    let end = now_ms() + ms;
    while now_ms() < end {
        seen.look(tributary);
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
fn the_loss_of_a_replica_is_not_seen_at_the_centre() {
    if !installed(&["prometheus", "prometheus-node-exporter"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let exporters = [NodeExporter::start(), NodeExporter::start()];
    let mut pair = ["a", "b"].map(|name| source(name, &exporters, folder.path()));
    let urls = pair
        .each_ref()
        .map(|source| format!("http://{}", source.address));
    let tributary = Running::start(&format!(
        "global: {{scrape_interval: {ROUND_MS}ms}}\nclusters: [{{name: c, replicas: ['{}', '{}']}}]\n",
        urls[0], urls[1]
    ));
    let centre = Prometheus::start(
        &format!(
            "scrape_configs:
  - {{job_name: t, scrape_interval: 1s, honor_labels: true, metrics_path: /federate, static_configs: [{{targets: ['{}']}}]}}
",
            tributary.address
        ),
        &[],
    );
    eventually("all targets and the rule at the centre", PATIENCE, || {
        let found = centre
            .query("up{job=\"node\"} or job:up:time", now_ms())
            .len();
        if found == 3 { Ok(()) } else { Err(found) }
    });
    thread::sleep(Duration::from_secs(7));
    let mut seen = Watch::default();
    watch(&mut seen, &tributary, 4_000);
    let names: BTreeSet<String> = seen.names().into_iter().map(str::to_owned).collect();
    assert!(names.len() > 500, "{} series", names.len());
    assert!(!names.iter().any(|name| name.contains("prometheus_replica")));
    for (lost, kept) in [(0, 1), (1, 0)] {
        assert_eq!(used(&tributary), urls[lost]);
        pair[lost].kill();
        watch(&mut seen, &tributary, 12_000);
        assert_eq!(used(&tributary), urls[kept]);
        pair[lost].restart();
        // It must have all targets again before the other goes.
        watch(&mut seen, &tributary, 10_000);
        assert_eq!(used(&tributary), urls[kept], "the one in use stays so");
    }
    let renamed: Vec<_> = seen
        .names()
        .into_iter()
        .filter(|name| !names.contains(*name))
        .collect();
    println!(
        "{} series, the longest gap {} ms, new names {renamed:?}",
        names.len(),
        seen.longest_gap_ms
    );
    assert!(renamed.is_empty(), "{renamed:?}");
    assert!(
        seen.longest_gap_ms <= ROUND_MS + 700,
        "{}",
        seen.longest_gap_ms
    );
    let page = http::get(centre.address, "/metrics").unwrap().body;
    for counter in REFUSED {
        let line = page.lines().find(|line| line.starts_with(counter));
        println!("{line:?}");
        assert_eq!(line, Some(&*format!("{counter} 0")));
    }
    let metrics = http::get(tributary.address, "/metrics").unwrap().body;
    let switches = "tributary_cluster_replica_switches_total{cluster=\"c\",reason=\"failed\"} 2";
    assert!(metrics.contains(switches), "{metrics}");
}
