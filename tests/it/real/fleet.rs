//! The servers of the test: sources that scrape every 10 s, Tributary every 4 s, centres every 2 s.

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::app::Running;
use crate::support::prometheus::{NodeExporter, Prometheus};

pub(super) const CLUSTERS: [&str; 3] = ["cluster-1", "cluster-2", "cluster-3"];
pub(super) const SOURCE_INTERVAL_MS: i64 = 10_000;
pub(super) const STALE_AFTER: Duration = Duration::from_secs(12);

/// Job of the centres' own scrapes.
pub(super) const CENTRE_JOB: &str = "centre";

/// All servers; they end when this is dropped, those that ask before those that are asked.
pub(super) struct Fleet {
    /// Federates the sources itself.
    pub(super) direct: Prometheus,
    /// Scrapes Tributary.
    pub(super) through: Prometheus,
    pub(super) tributary: Running,
    /// By the order of [`CLUSTERS`].
    pub(super) sources: Vec<Prometheus>,
    _exporters: Vec<NodeExporter>,
}

impl Fleet {
    pub(super) fn start() -> Self {
        let exporters: Vec<_> = CLUSTERS.iter().map(|_| NodeExporter::start()).collect();
        let sources: Vec<_> = exporters.iter().map(source).collect();
        let tributary = Running::start(&tributary_config(&sources));
        let direct = CLUSTERS.iter().zip(&sources).map(|(cluster, source)| {
            format!(
                "{{targets: ['{}'], labels: {{cluster: {cluster}}}}}",
                source.address
            )
        });
        let direct = centre(&direct.collect::<Vec<_>>().join(", "));
        let through = centre(&format!("{{targets: ['{}']}}", tributary.address));
        Self {
            direct,
            through,
            tributary,
            sources,
            _exporters: exporters,
        }
    }

    /// The lines of `/federate` that belong to a cluster, our own families aside.
    fn of(&self, cluster: &str) -> Vec<String> {
        let label = format!("cluster=\"{cluster}\"");
        let page = self.tributary.federate("");
        let lines = page
            .lines()
            .filter(|line| line.contains(&label) && !line.starts_with("tributary_"));
        lines.map(str::to_owned).collect()
    }

    /// How many there are.
    pub(super) fn lines_of(&self, cluster: &str) -> usize {
        self.of(cluster).len()
    }

    /// The newest timestamp among them.
    pub(super) fn newest_ms(&self, cluster: &str) -> Option<i64> {
        let time = |line: &String| line.rsplit_once(' ')?.1.parse().ok();
        self.of(cluster).iter().filter_map(time).max()
    }

    /// What `tributary_cluster_up` says.
    pub(super) fn up(&self, cluster: &str) -> Option<f64> {
        let begin = format!("tributary_cluster_up{{cluster=\"{cluster}\"}} ");
        let page = self.tributary.federate("match[]=tributary_cluster_up");
        let value = page.lines().find_map(|line| line.strip_prefix(&begin))?;
        value.split(' ').next()?.parse().ok()
    }
}

fn source(exporter: &NodeExporter) -> Prometheus {
    let yaml = format!(
        "global:
  scrape_interval: {SOURCE_INTERVAL_MS}ms
  scrape_timeout: 5s
  external_labels: {{prometheus: monitoring/k8s, prometheus_replica: prometheus-k8s-0}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ['{}']}}]
  - job_name: prometheus
    static_configs: [{{targets: ['SELF']}}]
",
        exporter.address
    );
    Prometheus::start(&yaml, &[])
}

fn tributary_config(sources: &[Prometheus]) -> String {
    let mut yaml = format!(
        "global: {{scrape_interval: 4s, typed: false, stale_after: {}s}}\nclusters:\n",
        STALE_AFTER.as_secs()
    );
    for (cluster, source) in CLUSTERS.iter().zip(sources) {
        let address = source.address;
        writeln!(yaml, "  - {{name: {cluster}, url: 'http://{address}'}}").unwrap();
    }
    yaml
}

/// A central Prometheus that federates everything from these targets.
fn centre(targets: &str) -> Prometheus {
    let yaml = format!(
        "scrape_configs:
  - job_name: {CENTRE_JOB}
    scrape_interval: 2s
    scrape_timeout: 2s
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{{__name__=~\".+\"}}']}}
    static_configs: [{targets}]
"
    );
    Prometheus::start(&yaml, &[])
}
