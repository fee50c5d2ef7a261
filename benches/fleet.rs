//! A fleet of simulated clusters in one process, for benches and for trying the proxy by hand: flags in, one HTTP
//! server per cluster out, which serve until the process is killed.
//!
//! ```text
//! cargo run --release --example fleet -- --shape plain --clusters 20 --series 48000 --base-port 19100
//! ```
//!
//! Cluster n listens on the base port plus n. It prints a line `cluster-01 http://127.0.0.1:19101` per cluster, then
//! `ready`. One thread serves the sockets and one makes bodies, so that the fleet cannot take the machine from what is
//! measured on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tributary::demo::{ClusterSpec, Shape, SimulatedCluster, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "fleet", about = "Serves a fleet of simulated clusters")]
struct Flags {
    /// What the bodies look like.
    #[arg(long, value_enum, default_value = "plain")]
    shape: ShapeName,
    /// How many clusters.
    #[arg(long, default_value_t = 20)]
    clusters: u16,
    /// Series of each cluster.
    #[arg(long, default_value_t = 48_000)]
    series: usize,
    /// Cluster n listens on this port plus n.
    #[arg(long, default_value_t = 19_100)]
    base_port: u16,
    /// How often the clusters scrape their own targets: 15s, 500ms, 1m.
    #[arg(long, default_value = "15s", value_parser = duration)]
    interval: Duration,
    /// Whether to answer in gzip who accepts it.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    gzip: bool,
    /// Level of gzip; Prometheus takes 6, which costs the fleet more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    gzip_level: u32,
    /// Two fleets of one seed and start are equal.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The last cluster fails now and then.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    flaky: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShapeName {
    Demo,
    Plain,
    Real,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(&flags))
}

#[expect(clippy::print_stdout, reason = "the lines that the bench waits for")]
async fn run(flags: &Flags) -> anyhow::Result<()> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    let epoch_ms = i64::try_from(since.as_millis()).context("the clock is far ahead")?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    for number in 1..=flags.clusters {
        let port = flags
            .base_port
            .checked_add(number)
            .context("the base port is too high")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let spec = flags.spec(number);
        println!("{} http://{address}", spec.name);
        let level = if flags.gzip { flags.gzip_level } else { 0 };
        let cluster = SimulatedCluster::new(spec, epoch_ms).with_gzip_level(level);
        tasks.spawn(serve(listener, Arc::new(cluster), stop.clone()));
    }
    println!("ready");
    tasks.close();
    tasks.wait().await;
    Ok(())
}

impl Flags {
    fn spec(&self, number: u16) -> ClusterSpec {
        ClusterSpec {
            name: format!("cluster-{number:02}"),
            index: u32::from(number),
            shape: match self.shape {
                ShapeName::Demo => Shape::Demo,
                ShapeName::Plain => Shape::Plain,
                ShapeName::Real => Shape::Real,
            },
            series: self.series,
            seed: self.seed,
            flaky: self.flaky && number == self.clusters,
            source_interval: self.interval,
        }
    }
}

/// A duration as Prometheus' flags have it, of one unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("not a duration: {text:?}"))?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        _ => return Err(format!("unknown unit in {text:?}: ms, s and m are known")),
    };
    if duration.is_zero() {
        Err("must not be zero".to_owned())
    } else {
        Ok(duration)
    }
}
