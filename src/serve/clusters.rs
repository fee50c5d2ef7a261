//! `/api/v1/clusters`: every cluster's last rounds, in the envelope of Prometheus' API.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;

use super::Served;
use super::body::Body;
use crate::scrape::report::Dropped;
use crate::scrape::status::{State, Status};
use crate::store::Seen;

#[derive(Serialize)]
struct Envelope<'a> {
    status: &'static str,
    data: Clusters<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clusters<'a> {
    clusters: Vec<Cluster<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster<'a> {
    name: &'a str,
    url: &'a str,
    replicas: Vec<Replica<'a>>,
    last_switch: Option<LastSwitch<'a>>,
    access_error: Option<String>,
    up: bool,
    scrape_interval_seconds: f64,
    rounds: u64,
    last_round_seconds: f64,
    snapshot_age_seconds: Option<f64>,
    newest_sample_ms: Option<i64>,
    series: Option<u64>,
    dropped: BTreeMap<&'static str, u64>,
    quarantined: Vec<String>,
    bad_line: Option<String>,
    wire_bytes: Option<u64>,
    decoded_bytes: Option<u64>,
    phase_seconds: BTreeMap<&'static str, f64>,
    last_error: Option<LastError>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastError {
    reason: &'static str,
    message: String,
    /// Seconds since 1970.
    time: f64,
    /// Whether the last round was the one that failed.
    current: bool,
}

#[derive(Serialize)]
struct Replica<'a> {
    url: &'a str,
    used: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastSwitch<'a> {
    from: &'a str,
    to: &'a str,
    /// What was wrong with the one given up: `failed`, `stale`, `empty` or `smaller`.
    reason: &'static str,
    message: String,
    /// Seconds since 1970.
    time: f64,
}

/// The state of every cluster.
pub(super) fn answer(served: &Served) -> Response<Body> {
    let view = served.store.view(Instant::now());
    let statuses = served.statuses.load();
    let clusters = view
        .clusters
        .iter()
        .filter_map(|seen| Some(cluster(seen, statuses.get(seen.slot.name())?)))
        .collect();
    let body = serde_json::to_vec(&Envelope {
        status: "success",
        data: Clusters { clusters },
    });
    let mut response = Response::new(Body::full(body.unwrap_or_default().into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn cluster<'a>(seen: &'a Seen, status: &'a Status) -> Cluster<'a> {
    let state: State = State::clone(&status.load());
    let success = state.success;
    let report = success.as_ref().map(|success| &success.report);
    let dropped = |reason: Dropped| {
        (
            reason.reason(),
            report.map_or(0, |report| report.dropped(reason)),
        )
    };
    let phases = success
        .as_ref()
        .map(|success| success.phases)
        .unwrap_or_default();
    let phases = [
        ("wait", phases.wait),
        ("read", phases.read),
        ("parse", phases.parse),
        ("publish", phases.publish),
    ];
    let url = |number: usize| status.replicas.get(number).unwrap_or(&status.url).as_str();
    let replicas = status.replicas.iter().enumerate();
    let replicas = replicas.map(|(number, url)| Replica {
        url,
        used: number == state.used,
    });
    Cluster {
        name: seen.slot.name(),
        url: url(state.used),
        replicas: replicas.collect(),
        last_switch: state.last_switch.map(|switch| LastSwitch {
            from: url(switch.from),
            to: url(switch.to),
            reason: switch.why.reason(),
            message: switch.message,
            time: seconds(switch.at),
        }),
        access_error: state.access_error.as_deref().cloned(),
        up: seen.slot.is_up(),
        scrape_interval_seconds: status.interval.as_secs_f64(),
        rounds: state.rounds,
        last_round_seconds: state.duration.as_secs_f64(),
        snapshot_age_seconds: seen.age.map(|age| age.as_secs_f64()),
        newest_sample_ms: success.as_ref().and_then(|success| success.newest_ms),
        series: seen.snapshot.as_ref().map(|snapshot| snapshot.series),
        dropped: Dropped::ALL
            .into_iter()
            .map(dropped)
            .filter(|(_, count)| *count > 0)
            .collect(),
        quarantined: report
            .map(|report| report.quarantined.clone())
            .unwrap_or_default(),
        bad_line: report.and_then(|report| report.first_bad_line.clone()),
        wire_bytes: success.as_ref().map(|success| success.wire.compressed),
        decoded_bytes: success.as_ref().map(|success| success.wire.decoded),
        phase_seconds: phases
            .into_iter()
            .map(|(name, time)| (name, time.as_secs_f64()))
            .collect(),
        last_error: state.failure.map(|failure| LastError {
            reason: failure.reason,
            message: failure.message,
            time: seconds(failure.at),
            current: state.failing,
        }),
    }
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}
