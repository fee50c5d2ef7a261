//! What the API shows of the configuration: the clusters, and all of it as YAML. Secrets are never in it: where one
//! stands in a file, the file is named, and everything else that could be one is `<secret>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cluster::Auth;
use crate::config::{Cluster, Config, EmptyMatch, units};
use crate::scrape::learn::Learned;
use crate::scrape::rules::LabelConflict;
use crate::serve::api::{Shown, ShownCluster};
use crate::store::Typed;

/// What is shown of a configuration that applies from now on.
pub(super) fn of(config: &Config, learned: impl Fn(&str) -> Option<Arc<Learned>>) -> Shown {
    let clusters = config.clusters.iter();
    Shown {
        cluster_label: (*config.cluster_label).into(),
        yaml: yaml(config),
        read_at: SystemTime::now(),
        clusters: clusters
            .map(|cluster| {
                let learned = learned(&cluster.name).unwrap_or_default();
                (cluster.name.clone(), shown(cluster, learned))
            })
            .collect::<BTreeMap<_, _>>(),
    }
}

fn shown(cluster: &Cluster, learned: Arc<Learned>) -> ShownCluster {
    ShownCluster {
        scrape_url: format!("{}{}", cluster.url, cluster.metrics_path),
        timeout: cluster.scrape_timeout,
        labels: cluster.labels.clone(),
        learned,
    }
}

/// The configuration with every default, in the order of the file.
fn yaml(config: &Config) -> String {
    let mut out = String::from("global:\n");
    line(&mut out, "  cluster_label", &quoted(&config.cluster_label));
    let empty = match config.empty_match {
        EmptyMatch::All => "all",
        EmptyMatch::None => "none",
    };
    line(&mut out, "  empty_match", empty);
    let typed = match config.typed {
        Typed::True => "true",
        Typed::Full => "full",
        Typed::False => "false",
    };
    line(&mut out, "  typed", typed);
    out.push_str("clusters:\n");
    for cluster in &config.clusters {
        write_cluster(&mut out, cluster);
    }
    out
}

fn write_cluster(out: &mut String, cluster: &Cluster) {
    let duration = units::format_duration;
    line(out, "- name", &quoted(&cluster.name));
    if cluster.replicas.is_empty() {
        line(out, "  url", &quoted(&cluster.url));
    } else {
        line(out, "  replicas", &list(&cluster.replicas));
    }
    line(out, "  metrics_path", &quoted(&cluster.metrics_path));
    line(out, "  match", &list(&cluster.matches));
    line(out, "  scrape_interval", &duration(cluster.scrape_interval));
    line(out, "  scrape_timeout", &duration(cluster.scrape_timeout));
    line(out, "  stale_after", &duration(cluster.stale_after));
    line(out, "  labels", &map(&cluster.labels));
    if let Some(external) = &cluster.external_labels {
        line(out, "  external_labels", &map(external));
    }
    line(out, "  replica_labels", &list(&cluster.replica_labels));
    let conflict = match cluster.cluster_label_conflict {
        LabelConflict::Rename => "rename",
        LabelConflict::Honor => "honor",
        LabelConflict::Override => "override",
    };
    line(out, "  cluster_label_conflict", conflict);
    let switches = [
        ("honor_timestamps", cluster.honor_timestamps),
        ("follow_redirects", cluster.follow_redirects),
        ("normalize_le", cluster.normalize_le),
        ("query", cluster.query),
    ];
    for (key, on) in switches {
        line(out, &format!("  {key}"), &on.to_string());
    }
    let limits = [
        ("body_size_limit", cluster.body_size_limit),
        (
            "compressed_body_size_limit",
            cluster.compressed_body_size_limit,
        ),
        ("series_limit", cluster.series_limit),
        ("label_limit", cluster.label_limit),
        ("label_name_length_limit", cluster.label_name_length_limit),
        ("label_value_length_limit", cluster.label_value_length_limit),
    ];
    for (key, limit) in limits {
        line(out, &format!("  {key}"), &limit.to_string());
    }
    write_auth(out, cluster);
    if !cluster.http_headers.is_empty() {
        let names = cluster.http_headers.iter();
        let names: Vec<String> = names
            .map(|(name, _)| format!("{}: <secret>", quoted(name)))
            .collect();
        line(out, "  http_headers", &format!("{{{}}}", names.join(", ")));
    }
    // What the rules are made of is not kept as text; what they do is.
    let actions = cluster.rules.iter();
    let actions: Vec<String> = actions
        .map(|rule| {
            format!(
                "{{action: {}}}",
                format!("{:?}", rule.action()).to_lowercase()
            )
        })
        .collect();
    let actions = format!("[{}]", actions.join(", "));
    line(out, "  metric_relabel_configs", &actions);
}

/// The kind of the credentials, and nothing that must not be known.
fn write_auth(out: &mut String, cluster: &Cluster) {
    match &cluster.auth {
        Some(Auth::Header { scheme, .. }) => {
            let value = format!("{{type: {}, credentials: <secret>}}", quoted(scheme));
            line(out, "  authorization", &value);
        }
        Some(Auth::Basic { username, .. }) => {
            let value = format!("{{username: {}, password: <secret>}}", quoted(username));
            line(out, "  basic_auth", &value);
        }
        Some(Auth::OAuth2(oauth2)) => {
            let value = format!(
                "{{client_id: {}, client_secret: <secret>, token_url: {}, scopes: {}}}",
                quoted(&oauth2.client_id),
                quoted(&oauth2.token_url),
                list(&oauth2.scopes)
            );
            line(out, "  oauth2", &value);
        }
        None => {}
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key}: {value}");
}

/// A text that is the same in JSON and YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn map(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}: {}", quoted(name), quoted(value));
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    #[test]
    fn no_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("token", "sesame");
        file(
            "t.yaml",
            "clusters:\n- name: a\n  url: https://a:9090\n  labels: {region: \"eu\\\"west\"}\n  \
             authorization: {credentials_file: token}\n  \
             http_headers: {X-Tenant: {values: [hidden]}}\n",
        );
        let config = config::build(Some(&folder.path().join("t.yaml")), &Flags::default()).unwrap();
        let shown = of(&config, |_| None);
        assert!(!shown.yaml.contains("sesame") && !shown.yaml.contains("hidden"));
        assert_eq!(shown.yaml.matches("<secret>").count(), 2, "{}", shown.yaml);
        let read: serde_json::Value = serde_saphyr::from_str(&shown.yaml).unwrap();
        assert_eq!(read["clusters"][0]["labels"]["region"], "eu\"west");
        assert_eq!(shown.clusters["a"].scrape_url, "https://a:9090/federate");
    }
}
