//! The engine over the window against a real Prometheus over blocks: the same samples in both, the same queries, the
//! same answers up to a relative difference of 1e-9.
//!
//! Simulated clusters go round by round through the real round into the window; the lines of the same bodies, stamped
//! here by plain string work, go through promtool into blocks that a Prometheus serves. Pods end, begin, pause and
//! restart their counters within the stretch that is looked at.
//!
//! The server may be a 2.x, whose windows include their left end. So no time of evaluation, less any range, offset or
//! lookback (all multiples of 5 s), is the time of a sample; this is computed from the samples, not hoped for.
//!
//! OpenMetrics has no stale markers, so blocks made from it have none, where the window has one at the end of every
//! series. With a lookback of one interval (`15s` in the table) a sample is too old for both by then. Queries with the
//! lookback of five minutes (`5m`) ask for what never ends, or at least five minutes after the ends.

mod compare;
mod samples;
mod table;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tributary::pool::Pool;
use tributary::query::recent::{OnMissing, Recent};
use tributary::query::{Engine, Query, Settings, When};

use self::compare::{Answer, Compared};
use self::samples::{CHANGES_END, INTERVAL_MS, ROUNDS, START_MS, Samples};
use self::table::{Entry, Kind, Lookback};
use super::support::process::installed;
use super::support::prometheus::Prometheus;

/// As many queries as must be there, those of them left out that `absent` answers.
const QUERIES_MIN: usize = 150;

const DIFFERENCE_MAX: f64 = 1e-9;

#[test]
fn answers_are_those_of_a_real_prometheus() {
    if !installed(&["prometheus", "promtool"]) {
        return;
    }
    let entries = table::read();
    let samples = Samples::generate();
    let servers = [Lookback::Interval, Lookback::Default].map(|lookback| {
        let flag = format!("--query.lookback-delta={}", lookback.text());
        Prometheus::start_filled("scrape_configs: []", &[&flag], |data| {
            to_blocks(&samples.open_metrics, data);
        })
    });
    let (engine, recent, runtime) = ours(&samples);
    let mut compared = Compared::default();
    let mut wrong = Vec::new();
    for entry in &entries {
        let server = &servers[usize::from(entry.lookback == Lookback::Default)];
        for when in times(entry, samples.residue_ms) {
            let query = Query {
                lookback: Some(entry.lookback.duration()),
                ..Query::new(&entry.text, when)
            };
            let ours = runtime.block_on(engine.run(&recent, &query));
            let checked = ours.map_err(|error| error.to_string()).and_then(|ours| {
                let theirs = Answer::theirs(server.address, &entry.text, when)?;
                compared.add(&Answer::ours(ours), &theirs, &entry.text)
            });
            if let Err(why) = checked {
                wrong.push(format!("{} at {when:?}: {why}", entry.text));
            }
        }
    }
    println!(
        "{} queries, {} series compared, {} values, largest relative difference {:e}",
        entries.len(),
        compared.series,
        compared.values,
        compared.difference
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared.difference <= DIFFERENCE_MAX);
    let counted = entries.iter().filter(|entry| !entry.is_about_absence());
    let distinct: HashSet<&str> = counted.map(|entry| entry.text.as_str()).collect();
    assert!(distinct.len() >= QUERIES_MIN);
}

/// promtool's own blocks of a text.
fn to_blocks(text: &str, data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples");
    fs::write(&file, text).unwrap();
    let done = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, data])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// How far instant selectors look back where nothing else is said.
const LOOKBACK_MS: i64 = 300_000;

/// The engine, the window as its source, and what it runs on.
fn ours(samples: &Samples) -> (Engine, Recent, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let pool = Pool::new(runtime.handle().clone(), 1);
    let engine = Engine::new(Settings::default(), pool.clone());
    let view = samples.window.view(at_ms(ROUNDS - 1));
    let (cluster_label, missing) = ("cluster".into(), Vec::new());
    let recent = Recent::new(
        view.into(),
        cluster_label,
        pool,
        LOOKBACK_MS,
        missing,
        OnMissing::Fail,
    );
    (engine, recent, runtime)
}

/// When a round begins.
fn at_ms(round: i64) -> i64 {
    START_MS + round * INTERVAL_MS
}

/// The times at which a query is asked: the last that there are samples for, and, where ends do not matter, the middle
/// of the changes; ranges over everything, or over what follows five minutes after the changes.
fn times(entry: &Entry, residue_ms: i64) -> Vec<When> {
    let at = |round| at_ms(round) + residue_ms;
    let last = at(ROUNDS - 2);
    let after_ends = at(CHANGES_END + 21);
    match (entry.kind, entry.lookback) {
        (Kind::Instant, Lookback::Default) => vec![When::Instant(last)],
        (Kind::Instant, Lookback::Interval) => {
            vec![When::Instant(at(CHANGES_END - 3)), When::Instant(last)]
        }
        (Kind::Range, lookback) => {
            let start_ms = match lookback {
                Lookback::Default => after_ends,
                Lookback::Interval => at(6),
            };
            vec![When::Range {
                start_ms,
                end_ms: last,
                step_ms: Duration::from_secs(15).as_millis().try_into().unwrap(),
            }]
        }
    }
}
