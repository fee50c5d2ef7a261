//! Two Tributaries side by side behind one address, as README.md advises, between real Prometheus servers: what a
//! centre loses when the one that it asks ends.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::support::app::Running;
use super::support::process::installed;
use super::support::prometheus::Prometheus;
use super::support::{eventually, http, now_ms, until};

/// Of the source, of both Tributaries and of the centre.
const INTERVAL_MS: i64 = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// One series of the source.
const SERIES: &str = r#"process_cpu_seconds_total{cluster="a",job="source"}"#;

/// What a Service does that keeps clients where they are: each connection goes to the first that takes it.
fn one_address(backends: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = backends
                .iter()
                .find_map(|address| TcpStream::connect(address).ok());
            if let Some(server) = server {
                forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                forward(server, client);
            }
        }
    });
    address
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // An error is an end as well.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

/// The times of the series' samples in the last minute, in milliseconds.
fn times(centre: &Prometheus) -> Vec<i64> {
    let found = centre.query(&format!("{SERIES}[1m]"), now_ms());
    assert!(found.len() <= 1, "{found:?}");
    let values = found
        .first()
        .map(|series| series["values"].as_array().unwrap().clone());
    let seconds = |sample: &serde_json::Value| sample[0].as_f64().unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of this century"
    )]
    let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
    values
        .unwrap_or_default()
        .iter()
        .map(seconds)
        .map(millis)
        .collect()
}

/// The sum of a counter of the centre itself, over its labels.
fn own_counter(centre: &Prometheus, name: &str) -> f64 {
    let page = http::get(centre.address, "/metrics").unwrap().body;
    let lines = page.lines().filter(|line| line.starts_with(name));
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    lines.map(value).sum()
}

#[test]
fn a_centre_loses_a_round_at_most_when_its_instance_ends() {
    if !installed(&["prometheus"]) {
        return;
    }
    let seconds = INTERVAL_MS / 1000;
    let global = format!("global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}\n");
    let source = Prometheus::start(
        &format!(
            "{global}scrape_configs: [{{job_name: source, static_configs: [{{targets: [SELF]}}]}}]\n"
        ),
        &[],
    );
    let ours = format!(
        "{global}clusters: [{{name: a, url: 'http://{}'}}]\n",
        source.address
    );
    let first = Running::start(&ours);
    let second = Running::start(&ours);
    let address = one_address([first.address, second.address]);
    let centre = Prometheus::start(
        &format!(
            "{global}scrape_configs:\n- job_name: tributary\n  honor_labels: true\n  metrics_path: /federate\n  \
             static_configs: [{{targets: ['{address}']}}]\n"
        ),
        &[],
    );
    eventually("samples through the first", PATIENCE, || {
        let count = times(&centre).len();
        if count >= 5 {
            Ok(())
        } else {
            Err(format!("{count} samples"))
        }
    });
    drop(first);
    let ended = now_ms();
    until(ended + 5 * INTERVAL_MS);
    let series = second
        .federate("")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .count();

    let times = times(&centre);
    let after = times.iter().filter(|&&time| time > ended).count();
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    println!("longest gap {longest} ms, {after} samples since the end of the first");
    assert!(after >= 2, "{times:?}, ended at {ended}");
    // One round is lost where the other instance is behind; a busy machine may be late by another.
    assert!(
        longest <= 3 * INTERVAL_MS + 500,
        "{longest} ms without a sample: {times:?}"
    );
    let refused = own_counter(
        &centre,
        "prometheus_target_scrapes_sample_out_of_order_total",
    );
    println!("{refused} samples out of order, {series} series");
    assert!(
        refused <= series as f64,
        "{refused} samples out of order of {series} series"
    );
}
