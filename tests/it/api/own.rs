//! Our own metrics are found by queries.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{PATIENCE, asked, data, fleet};
use crate::support::eventually;
use crate::support::http;

/// The samples of an instant query, as pairs of cluster and value.
fn found(query: &str) -> Vec<(String, String)> {
    let answer = data(fleet(), "/api/v1/query", &[("query", query)]);
    let samples = answer["result"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    samples
        .map(|one| (text(&one["metric"]["cluster"]), text(&one["value"][1])))
        .collect()
}

/// The names of all metrics.
fn names() -> BTreeSet<String> {
    let names = data(fleet(), "/api/v1/label/__name__/values", &[]);
    let names = names.as_array().unwrap().iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

#[test]
fn queries_find_what_our_metrics_page_says() {
    let of = |clusters: [&str; 2]| clusters.map(|name| (name.to_owned(), "1".to_owned()));
    let both = of(["cluster-1", "cluster-2"]);
    assert_eq!(
        found("tributary_window_length_seconds"),
        [(String::new(), "900".to_owned())]
    );
    // Those that /federate carries too are there once.
    for name in [
        "tributary_cluster_up",
        "tributary_cluster_snapshot_age_seconds",
    ] {
        let mut count = found(&format!("count by (cluster) ({name})"));
        count.sort();
        assert_eq!(count, both, "{name}");
    }
    // Some appear with the first request of their kind, and are looked at every 15 seconds.
    eventually("all of the page", PATIENCE, || {
        let page = http::get(fleet(), "/metrics").unwrap().body;
        let names = names();
        let told = page.lines().filter(|line| line.starts_with("tributary_"));
        let told: BTreeSet<&str> = told
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let mut lacking = told.iter().filter(|name| !names.contains(**name));
        assert!(told.len() > 30, "{told:?}");
        lacking
            .next()
            .map_or(Ok(()), |name| Err(format!("{name} is lacking")))
    });
    let federated = http::get(fleet(), "/federate").unwrap().body;
    assert!(
        !federated.contains("tributary_window"),
        "they are of no cluster"
    );
}

#[test]
fn what_they_lack_is_said() {
    let query = [("query", "increase(tributary_cluster_rounds_total[1h])")];
    let (status, answer) = asked(fleet(), "/api/v1/query", &query);
    let warnings = answer["warnings"].to_string();
    assert_eq!(status, 200, "{answer}");
    assert!(warnings.contains("Tributary itself"), "{warnings}");
    let (_, answer) = asked(fleet(), "/api/v1/query", &[("query", "increase(up[1h])")]);
    let warnings = answer["warnings"].to_string();
    assert!(!warnings.contains("itself"), "{warnings}");
}
