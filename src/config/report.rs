//! What `tributary check-config` prints for a good file: a line for the file, one for each cluster, then the warnings.

use std::fmt::Write as _;

use super::units::{format_duration, format_size};
use super::{Auth, Cluster, Config};
use crate::cluster::proxy::Proxy;

/// Selectors of a cluster that are shown.
const SHOWN_MAX: usize = 4;

/// The text for `file` (as it was named), which ends with a line end.
pub fn describe(file: &str, config: &Config) -> String {
    let count = config.clusters.len();
    let mut text = format!("{file}: ok, {count} cluster{}\n", plural(count));
    for cluster in &config.clusters {
        writeln!(text, "  {}", describe_cluster(cluster)).expect("writing to a String cannot fail");
    }
    for warning in config
        .warnings
        .iter()
        .cloned()
        .chain(relabel_warning(config))
    {
        writeln!(text, "warning: {warning}").expect("writing to a String cannot fail");
    }
    text
}

/// `eu: https://…/federate every 15s, timeout 13s500ms; 1 selector; …`.
fn describe_cluster(cluster: &Cluster) -> String {
    let Cluster {
        name, metrics_path, ..
    } = cluster;
    let url = if cluster.replicas.is_empty() {
        cluster.url.clone()
    } else {
        format!("one of {}, each with ", cluster.replicas.join(" "))
    };
    let (interval, timeout) = (
        format_duration(cluster.scrape_interval),
        format_duration(cluster.scrape_timeout),
    );
    let mut text = format!("{name}: {url}{metrics_path} every {interval}, timeout {timeout}; ");
    text.push_str(&selectors(&cluster.matches));
    for part in details(cluster) {
        text.push_str("; ");
        text.push_str(&part);
    }
    text
}

/// The selectors, or how many they are where a line would not hold them.
fn selectors(matches: &[String]) -> String {
    if matches.len() > SHOWN_MAX {
        return format!("{} selectors", matches.len());
    }
    matches.join(" ")
}

/// What is set for the cluster and is not the rule.
fn details(cluster: &Cluster) -> Vec<String> {
    let mut parts = Vec::new();
    if !cluster.labels.is_empty() {
        let labels: Vec<_> = cluster
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        parts.push(format!("adds {}", labels.join(" ")));
    }
    if !cluster.rules.is_empty() {
        parts.push(format!(
            "{} relabel rule{}",
            cluster.rules.len(),
            plural(cluster.rules.len())
        ));
    }
    if !cluster.query {
        parts.push("no queries".to_owned());
    }
    match &cluster.auth {
        Some(Auth::Header { scheme, .. }) => parts.push(format!("{scheme} token")),
        Some(Auth::Basic { username, .. }) => parts.push(format!("basic auth as {username:?}")),
        Some(Auth::OAuth2(oauth2)) => parts.push(format!("OAuth2 as {:?}", oauth2.client_id)),
        None => {}
    }
    let tls = &cluster.link.tls;
    if tls.own.is_some() {
        parts.push("client certificate".to_owned());
    }
    if tls.insecure_skip_verify {
        parts.push("any server certificate".to_owned());
    }
    match &cluster.link.proxy {
        Proxy::None => {}
        Proxy::Environment => parts.push("proxy of the environment".to_owned()),
        Proxy::At(at) => parts.push(format!("through {}", at.url)),
    }
    if cluster.body_size_limit > 0 {
        parts.push(format!(
            "at most {} a body",
            format_size(cluster.body_size_limit)
        ));
    }
    if cluster.series_limit > 0 {
        parts.push(format!("at most {} series", cluster.series_limit));
    }
    parts
}

/// Relabelling does not reach what clusters answer themselves, which surprises those who hide data with it.
fn relabel_warning(config: &Config) -> Option<String> {
    let names: Vec<_> = config
        .clusters
        .iter()
        .filter(|c| c.query && !c.rules.is_empty())
        .map(|c| c.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("metric_relabel_configs of {names} concern the federated path only; answers that come from the clusters themselves do not pass them: query: false hides those")
    })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
