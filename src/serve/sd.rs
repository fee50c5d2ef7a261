//! `/sd/prometheus`: the clusters as targets of a central Prometheus (`http_sd_configs`), one target each.
//!
//! A target is our own `/clusters/NAME/federate`. It carries the cluster label, so that `up` has it too. Interval and
//! timeout stay the central job's own: Prometheus drops a target whose timeout is longer than its interval, and we
//! do not know the one. A relabelling rule can take `__meta_tributary_scrape_interval` for `__scrape_interval__`.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use serde::Serialize;

use super::body::Body;
use super::gate::Gate;
use super::{Served, external, json, pass, text};

/// One element of the list that `http_sd` expects.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// The list of all clusters, by name.
pub(super) fn answer<B>(request: &Request<B>, served: &Served) -> Response<Body> {
    let external = served.external.as_ref();
    let Some((scheme, host)) = external::origin(external, served.door.scheme(), request.headers())
    else {
        let why = "your Host header names no address: send one, or start Tributary with --web.external-url\n";
        return text(StatusCode::BAD_REQUEST, why);
    };
    let prefix = external::prefix(external);
    let layout = served.store.layout();
    let gates = served.gates.list();
    let groups: Vec<_> = gates
        .iter()
        .map(|gate| group(gate, &layout.cluster_label, scheme, &host, prefix))
        .collect();
    json::answer(StatusCode::OK, &groups)
}

fn group(gate: &Gate, cluster_label: &str, scheme: &str, host: &str, prefix: &str) -> Group {
    let (name, settings) = (gate.name(), gate.settings());
    let mut path = format!("{prefix}{}", pass::PREFIX);
    pass::escape(name, &mut path);
    path.push_str("/federate");
    let own = [
        ("__scheme__", scheme),
        ("__metrics_path__", &path),
        (cluster_label, name),
        ("__meta_tributary_cluster", name),
        ("__meta_tributary_url", &settings.upstream.url),
        (
            "__meta_tributary_scrape_interval",
            &duration(settings.interval),
        ),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let constant = settings.labels.iter();
    let constant =
        constant.map(|(name, value)| (format!("__meta_tributary_label_{name}"), value.clone()));
    Group {
        targets: [host.to_owned()],
        labels: own.into_iter().chain(constant).collect(),
    }
}

/// As Prometheus writes durations: `15s`, or `1500ms`.
fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_durations_of_prometheus() {
        let check = |ms: u64, want: &str| assert_eq!(duration(Duration::from_millis(ms)), want);
        check(15_000, "15s");
        check(90_000, "90s");
        check(1500, "1500ms");
    }
}
