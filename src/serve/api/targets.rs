//! `targets` and `scrape_pools`: each cluster as a target of ours, so that Prometheus' clients can show its health.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::Uri;
use serde::Serialize;
use tokio::time::Instant;

use super::error::ApiError;
use super::params::Form;
use super::time::format_time;
use super::write::Reply;
use super::{Served, Shown, ShownCluster};
use crate::scrape::status::{State, Status};
use crate::store::Seen;

/// The pool that all clusters belong to.
const POOL: &str = "clusters";

/// What Go writes for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
struct Targets {
    #[serde(rename = "activeTargets")]
    active: Vec<Target>,
    #[serde(rename = "droppedTargets")]
    dropped: [(); 0],
    #[serde(rename = "droppedTargetCounts")]
    dropped_counts: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    discovered_labels: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scrape_pool: &'static str,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

/// The clusters; `state=dropped` and other pools have none.
pub(super) fn targets(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    let state = form.get("state").to_lowercase();
    let pool = form.get("scrapePool");
    let wanted = matches!(&*state, "" | "any" | "active") && matches!(pool, "" | POOL);
    let (shown, statuses) = (served.api.shown.load(), served.statuses.load());
    let view = served.store.view(Instant::now());
    let known = |seen: &Seen| {
        let name = seen.slot.name();
        let cluster = shown.clusters.get(name)?;
        Some(target(name, &shown, cluster, statuses.get(name)?))
    };
    Reply::json(&Targets {
        active: if wanted {
            view.clusters.iter().filter_map(known).collect()
        } else {
            Vec::new()
        },
        dropped: [],
        dropped_counts: BTreeMap::from([(POOL, 0)]),
    })
}

/// The one pool.
pub(super) fn pools() -> Result<Reply, ApiError> {
    Reply::json(&BTreeMap::from([("scrapePools", [POOL])]))
}

fn target(name: &str, shown: &Shown, cluster: &ShownCluster, status: &Status) -> Target {
    let state: State = State::clone(&status.load());
    let uri: Uri = cluster.scrape_url.parse().unwrap_or_default();
    let address = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut labels: BTreeMap<String, String> = cluster.labels.iter().cloned().collect();
    labels.insert(shown.cluster_label.to_string(), name.to_owned());
    labels.insert("instance".into(), address.clone());
    labels.insert("job".into(), POOL.into());
    let discovered = [
        ("__address__", address),
        ("__metrics_path__", uri.path().to_owned()),
        (
            "__scheme__",
            uri.scheme_str().unwrap_or_default().to_owned(),
        ),
        ("job", POOL.to_owned()),
    ];
    let discovered = discovered
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let failure = state.failure.as_ref().filter(|_| state.failing);
    let success = state.success.as_ref().map(|success| success.at);
    let last = failure.map(|failure| failure.at).or(success);
    Target {
        discovered_labels: discovered.collect(),
        labels,
        scrape_pool: POOL,
        scrape_url: cluster.scrape_url.clone(),
        global_url: cluster.scrape_url.clone(),
        last_error: failure
            .map(|failure| failure.message.clone())
            .unwrap_or_default(),
        last_scrape: last.map_or_else(|| NEVER.to_owned(), format_time),
        last_scrape_duration: state.duration.as_secs_f64(),
        health: match (state.rounds, state.failing) {
            (0, _) => "unknown",
            (_, true) => "down",
            (_, false) => "up",
        },
        scrape_interval: duration(status.interval),
        scrape_timeout: duration(cluster.timeout),
    }
}

/// As Prometheus writes durations: `1m30s`.
pub(super) fn duration(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            let _ = write!(text, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |ms, want: &str| assert_eq!(duration(Duration::from_millis(ms)), want);
        check(0, "0s");
        check(15_000, "15s");
        check(90_500, "1m30s500ms");
        check(86_400_000, "1d");
    }
}
