//! `/-/healthy` and the rounds while two clients read gzip answers and one reads slowly, measured on simulated
//! clusters.
//!
//! The bars hold for a release build: set `TRIBUTARY_RELEASE_TESTS` to the path of one. Without it a small fleet runs
//! in the build of the tests, with bars that only catch what blocks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::faults::http::{self, Connection};
use crate::faults::program::Program;
use crate::faults::proxy::wait;

/// What is measured, and what must hold.
struct Trial {
    binary: PathBuf,
    clusters: usize,
    series: usize,
    time: Duration,
    /// The slowest health probe.
    probe_max: Duration,
    late_max: f64,
}

fn trial() -> Trial {
    if let Some(binary) = std::env::var_os("TRIBUTARY_RELEASE_TESTS") {
        return Trial {
            binary: binary.into(),
            clusters: 10,
            series: 20_000,
            time: Duration::from_secs(40),
            probe_max: Duration::from_millis(50),
            late_max: 0.0,
        };
    }
    Trial {
        binary: env!("CARGO_BIN_EXE_tributary").into(),
        clusters: 3,
        series: 1000,
        time: Duration::from_secs(5),
        probe_max: Duration::from_secs(1),
        late_max: f64::INFINITY,
    }
}

/// What the readers got.
#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    whole: AtomicUsize,
    refused: AtomicUsize,
    bytes: AtomicUsize,
}

#[test]
fn health_probes_and_rounds_are_in_time_beside_readers() {
    let trial = trial();
    let program = Program::demo(&trial.binary, trial.clusters, trial.series, "2s");
    let address = program.address();
    wait("the program to be ready", || {
        match program.get("/-/ready").status {
            200 => Ok(()),
            status => Err(status),
        }
    });
    let counts = Arc::new(Counts::default());
    let readers: Vec<_> = [read_gzip, read_gzip, read_slowly]
        .into_iter()
        .map(|read: fn(SocketAddr, &Counts)| {
            let counts = counts.clone();
            thread::spawn(move || read(address, &counts))
        })
        .collect();
    let mut probes = probe(address, trial.time);
    counts.stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    let metrics = program.get("/metrics").text();
    let late = total(&metrics, "tributary_cluster_rounds_late_total{");
    let rounds = total(&metrics, "tributary_cluster_rounds_total{");
    probes.sort_unstable();
    let worst = probes[probes.len() - 1];
    println!(
        "{} x {} series: {} probes, median {:?}, 99 % {:?}, worst {worst:?}; {late} of {rounds} rounds late; \
         {} gzip answers ({} MB), {} refused",
        trial.clusters,
        trial.series,
        probes.len(),
        probes[probes.len() / 2],
        probes[probes.len() * 99 / 100],
        counts.whole.load(Ordering::Relaxed),
        counts.bytes.load(Ordering::Relaxed) >> 20,
        counts.refused.load(Ordering::Relaxed),
    );
    assert!(rounds >= (trial.clusters * 2) as f64, "{rounds} rounds");
    assert!(counts.whole.load(Ordering::Relaxed) >= 2);
    assert!(worst <= trial.probe_max, "{worst:?}");
    assert!(late <= trial.late_max, "{late} rounds were late");
}

/// How long each probe took, on a connection of its own.
fn probe(address: SocketAddr, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let mut probes = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let answer = http::request(address, "GET", "/-/healthy", &[]).unwrap();
        probes.push(begin.elapsed());
        assert_eq!(answer.status, 200);
        thread::sleep(Duration::from_millis(5));
    }
    probes
}

fn read_gzip(address: SocketAddr, counts: &Counts) {
    while !counts.stop.load(Ordering::Relaxed) {
        let answer =
            http::request(address, "GET", "/federate", &["Accept-Encoding: gzip"]).unwrap();
        if answer.status == 200 {
            counts.whole.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(answer.body.len(), Ordering::Relaxed);
        } else {
            assert_eq!(answer.status, 503);
            counts.refused.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Reads some, waits, reads on, until the server has enough of it; then again.
fn read_slowly(address: SocketAddr, counts: &Counts) {
    while !counts.stop.load(Ordering::Relaxed) {
        let mut connection = Connection::open(address).unwrap();
        connection
            .ask("GET", "/federate", &["Connection: close"])
            .unwrap();
        while !counts.stop.load(Ordering::Relaxed) && matches!(connection.read(64 << 10), Ok(1..)) {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The sum over all series whose lines begin so.
fn total(metrics: &str, start: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(start));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}
