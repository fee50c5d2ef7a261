//! Simulated clusters inside the process: a number of clusters and of series in, servers on the loopback out, which
//! answer as the Prometheus servers of real clusters would. `tributary demo` puts the proxy before them; the benches
//! take the same generator ([`fleet`]) and the same server ([`server`]).

pub mod fleet;
pub mod server;

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span};

pub use crate::demo::fleet::{ClusterSpec, Generator, Shape};
pub use crate::demo::server::{SimulatedCluster, serve};

/// How often the demo's clusters scrape their own targets.
const SOURCE_INTERVAL: Duration = Duration::from_secs(15);

/// Starts `clusters` simulated clusters of `series` series each, every one on a free port of the loopback, and gives
/// their names (`cluster-1`, …) and addresses. The last of two or more fails now and then: 40 seconds in every fourth
/// minute, with 503 or a body cut short. They run until `stop` is cancelled. Must be called inside a tokio runtime.
///
/// Errors: no port could be bound.
pub fn start(
    clusters: usize,
    series: usize,
    stop: &CancellationToken,
) -> io::Result<Vec<(String, SocketAddr)>> {
    let epoch_ms = server::now_ms();
    let mut started = Vec::with_capacity(clusters);
    for number in 1..=clusters {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let spec = ClusterSpec {
            name: format!("cluster-{number}"),
            index: u32::try_from(number).unwrap_or(u32::MAX),
            shape: Shape::Demo,
            series,
            seed: 1,
            flaky: number == clusters && clusters > 1,
            source_interval: SOURCE_INTERVAL,
        };
        started.push((spec.name.clone(), address));
        let span = info_span!("simulated_cluster", cluster = spec.name);
        let cluster = Arc::new(SimulatedCluster::new(spec, epoch_ms));
        tokio::spawn(serve(listener, cluster, stop.clone()).instrument(span));
    }
    Ok(started)
}

/// What `tributary demo` prints when it is ready: where the clusters are, what to open, and the scrape config of a
/// central Prometheus. A listen address of all interfaces is shown as the loopback.
pub fn banner(scheme: &str, listen_addr: SocketAddr, clusters: &[(String, SocketAddr)]) -> String {
    let shown = reachable(listen_addr);
    let mut text = format!(
        "{} simulated clusters behind {scheme}://{shown}\n\n",
        clusters.len()
    );
    for (name, address) in clusters {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12} http://{address}");
    }
    let _ = write!(
        text,
        "
Open:
  {scheme}://{shown}/federate          everything, merged
  {scheme}://{shown}/metrics           the state of the proxy itself
  {scheme}://{shown}/api/v1/clusters   the clusters and how they do

Ask all clusters, here or with {scheme}://{shown} as a Prometheus data source of Grafana:
  tributary query {scheme}://{shown} 'sum by (cluster) (up)'

Scrape config of a central Prometheus:

{}
Stop with Ctrl-C.
",
        scrape_config(scheme, shown)
    );
    text
}

/// The scrape config with which a central Prometheus reads the merged endpoint, as YAML.
fn scrape_config(scheme: &str, target: SocketAddr) -> String {
    let scheme = match scheme {
        "http" => String::new(),
        other => format!("    scheme: {other}\n"),
    };
    format!(
        "scrape_configs:
  - job_name: tributary
    honor_labels: true                  # keep the job and instance of each cluster
    honor_timestamps: true              # keep the time at which each cluster scraped
    track_timestamps_staleness: true    # needs Prometheus 2.48 or newer; leave it out before
    scrape_interval: 15s
    metrics_path: /federate
{scheme}    static_configs:
      - targets: ['{target}']
"
    )
}

/// An address that a browser on this machine can open.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banner_names_what_to_open() {
        fn check(listen: &str, want: &str) {
            let clusters = [("cluster-1".to_owned(), "127.0.0.1:40001".parse().unwrap())];
            let text = banner("http", listen.parse().unwrap(), &clusters);
            for path in ["/federate", "/metrics", "/api/v1/clusters"] {
                assert!(text.contains(&format!("http://{want}{path} ")), "{text}");
            }
            assert!(
                text.contains("cluster-1    http://127.0.0.1:40001\n"),
                "{text}"
            );
            assert!(text.contains(&format!("- targets: ['{want}']\n")), "{text}");
        }
        check("127.0.0.1:9095", "127.0.0.1:9095");
        check("0.0.0.0:9095", "127.0.0.1:9095");
        check("[::]:9095", "[::1]:9095");
        check("10.1.2.3:80", "10.1.2.3:80");
    }

    #[test]
    fn the_scrape_config_is_yaml_that_prometheus_knows() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {
            scrape_configs: Vec<Job>,
        }
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(clippy::struct_field_names, reason = "the keys of that file")]
        struct Job {
            job_name: String,
            honor_labels: bool,
            honor_timestamps: bool,
            track_timestamps_staleness: bool,
            scrape_interval: String,
            metrics_path: String,
            static_configs: Vec<Static>,
        }
        #[derive(serde::Deserialize)]
        struct Static {
            targets: Vec<String>,
        }
        let text = scrape_config("http", "127.0.0.1:9095".parse().unwrap());
        let config: Config = serde_saphyr::from_str(&text).unwrap();
        let job = &config.scrape_configs[0];
        assert!(job.honor_labels && job.honor_timestamps && job.track_timestamps_staleness);
        assert_eq!(
            (&*job.job_name, &*job.scrape_interval, &*job.metrics_path),
            ("tributary", "15s", "/federate")
        );
        assert_eq!(job.static_configs[0].targets, ["127.0.0.1:9095"]);
        let secure = scrape_config("https", "127.0.0.1:9095".parse().unwrap());
        let line = "metrics_path: /federate\n    scheme: https\n    static_configs:";
        assert!(secure.contains(line), "{secure}");
    }

    #[tokio::test]
    async fn clusters_start_on_ports_of_their_own() {
        let stop = CancellationToken::new();
        let started = start(3, 500, &stop).unwrap();
        let names: Vec<_> = started.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cluster-1", "cluster-2", "cluster-3"]);
        for (_, address) in &started {
            tokio::net::TcpStream::connect(address).await.unwrap();
        }
        stop.cancel();
    }
}
