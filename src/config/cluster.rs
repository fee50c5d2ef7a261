//! One cluster of the list: its keys (or the flag `--cluster NAME=URL`) and what holds globally in, a [`Cluster`] in
//! which every setting is decided out.

use std::path::Path;
use std::time::Duration;

use super::access::{self, Access};
use super::check::{self, BaseUrl};
use super::decode::{Field, Section};
use super::global::Global;
use super::problem::Problems;
use super::shared::{self, Shared, timeout_fits};
use super::{Cluster, rules};
use crate::relabel::Rule;

/// Keys of a cluster that are not [`shared::KEYS`] or [`access::KEYS`].
pub(super) const KEYS: &[&str] = &[
    "name",
    "url",
    "labels",
    "external_labels",
    "metrics_path",
    "honor_timestamps",
    "follow_redirects",
    "normalize_le",
    "metric_relabel_configs",
];

/// What to write instead of keys that a scrape configuration of Prometheus has, or that stand elsewhere.
const HINTS: &[(&str, &str)] = &[
    ("job_name", "write name"),
    ("static_configs", "write url, one cluster for each address"),
    ("targets", "write url, one cluster for each address"),
    ("scheme", "write it as part of url"),
    ("params", "write the selectors as match"),
    ("match[]", "write match"),
    (
        "honor_labels",
        "labels are always kept; cluster_label_conflict decides about the cluster label",
    ),
    ("sample_limit", "write series_limit"),
    (
        "relabel_configs",
        "write metric_relabel_configs, which change series",
    ),
    (
        "bearer_token",
        "secrets are read from files only: write authorization: {credentials_file: …}",
    ),
    (
        "bearer_token_file",
        "write authorization: {credentials_file: …}",
    ),
    (
        "username",
        "write basic_auth: {username: …, password_file: …}",
    ),
    (
        "headers",
        "write http_headers: {NAME: {values: [text], files: [path]}}",
    ),
    ("ca_file", "write tls_config: {ca_file: …}"),
    ("typed", "write it under global"),
    ("cluster_label", "write it under global"),
    ("replica_labels", "write it under global"),
    ("empty_match", "write it under global"),
    ("metadata_refresh_interval", "write it under global"),
];

/// Longest body in decoded bytes where nothing else is written.
const BODY_SIZE_LIMIT: u64 = 1 << 30;
/// Shortest default of `stale_after`.
const STALE_AFTER_MIN: Duration = Duration::from_secs(60);
/// What is asked of a cluster where no selector is written: everything.
const MATCH_ALL: &str = r#"{__name__=~".+"}"#;

/// What was written for one cluster.
struct Written {
    name: String,
    url: BaseUrl,
    shared: Shared,
    access: Access,
    labels: Vec<(String, String)>,
    external_labels: Option<Vec<(String, String)>>,
    metrics_path: Option<String>,
    honor_timestamps: Option<bool>,
    follow_redirects: Option<bool>,
    normalize_le: Option<bool>,
    rules: Vec<Rule>,
}

/// Reads one item of `clusters`. `None` when it lacks its name, which has been noted. One with other faults is read on,
/// so that a second one of its name is noted too. What may be a mistake but need not be goes to `warnings`.
pub(super) fn read(
    field: &Field<'_>,
    global: &Global,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> Option<Cluster> {
    let section = field.section(&[KEYS, shared::KEYS, access::KEYS], HINTS)?;
    let name = section
        .require("name", "write a name for the cluster")
        .map(|field| field.parse(check::cluster_name));
    let url = section
        .require("url", "write the address of its Prometheus")
        .map(|field| field.parse(check::base_url));
    let written = Written {
        name: name.flatten().unwrap_or_default(),
        url: url.flatten().unwrap_or_else(|| BaseUrl {
            text: String::new(),
            exposed: false,
        }),
        shared: Shared::read(&section),
        access: Access::read(&section, folder),
        labels: section
            .get("labels")
            .map(|field| labels(field, global))
            .unwrap_or_default(),
        external_labels: section.get("external_labels").map(external_labels),
        metrics_path: section.read("metrics_path", check::metrics_path),
        honor_timestamps: section.flag("honor_timestamps"),
        follow_redirects: section.flag("follow_redirects"),
        normalize_le: section.flag("normalize_le"),
        rules: section
            .get("metric_relabel_configs")
            .map(rules::read)
            .unwrap_or_default(),
    };
    check_timeout(&section, &written.shared, global);
    if written.name.is_empty() {
        return None;
    }
    warn(&written, warnings);
    Some(resolve(written, global))
}

/// Reads `NAME=URL` of the flag `--cluster`.
pub(super) fn from_flag(text: &str, global: &Global, problems: &Problems) -> Option<Cluster> {
    let note = |error: String| problems.outside("--cluster", error);
    let Some((name, url)) = text.split_once('=') else {
        note(format!(
            "{} has no `=`; write NAME=URL, such as eu=https://prometheus.eu.example.com",
            shown(text)
        ));
        return None;
    };
    let name = check::cluster_name(name).map_err(note).ok();
    let url = check::base_url(url).map_err(note).ok();
    let written = Written {
        name: name?,
        url: url?,
        shared: Shared::default(),
        access: Access::default(),
        labels: Vec::new(),
        external_labels: None,
        metrics_path: None,
        honor_timestamps: None,
        follow_redirects: None,
        normalize_le: None,
        rules: Vec::new(),
    };
    Some(resolve(written, global))
}

/// The text, unless a password may stand in it.
fn shown(text: &str) -> String {
    if text.contains('@') {
        "the value".to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Decides every setting: the cluster's own, else the global one, else the default.
fn resolve(written: Written, global: &Global) -> Cluster {
    let own_timeout = written.shared.scrape_timeout;
    let shared = written.shared.over(&global.shared);
    let interval = shared.scrape_interval.unwrap_or_default();
    // As in Prometheus, a timeout that was written for all clusters bends to the shorter interval of one.
    let inherited = global
        .shared
        .scrape_timeout
        .map(|timeout| timeout.min(interval));
    let selectors = shared.selectors.unwrap_or_else(match_all);
    let body_size_limit = shared.body_size_limit.unwrap_or(BODY_SIZE_LIMIT);
    Cluster {
        name: written.name,
        url: written.url.text,
        metrics_path: written
            .metrics_path
            .unwrap_or_else(|| "/federate".to_owned()),
        scrape_interval: interval,
        scrape_timeout: own_timeout.or(inherited).unwrap_or(interval * 9 / 10),
        matches: selectors
            .iter()
            .map(|selector| selector.text.clone())
            .collect(),
        match_matchers: selectors
            .into_iter()
            .map(|selector| selector.matchers)
            .collect(),
        labels: written.labels,
        external_labels: written.external_labels,
        replica_labels: global.replica_labels.clone(),
        cluster_label_conflict: shared.cluster_label_conflict.unwrap_or_default(),
        honor_timestamps: written.honor_timestamps.unwrap_or(true),
        follow_redirects: written.follow_redirects.unwrap_or(false),
        normalize_le: written.normalize_le.unwrap_or(false),
        rules: written.rules,
        on_bad_line: shared.on_bad_line.unwrap_or_default(),
        compression: shared.compression.unwrap_or_default(),
        body_size_limit,
        compressed_body_size_limit: shared.compressed_body_size_limit.unwrap_or(body_size_limit),
        series_limit: shared.series_limit.unwrap_or(0),
        label_limit: shared.label_limit.unwrap_or(0),
        label_name_length_limit: shared.label_name_length_limit.unwrap_or(0),
        label_value_length_limit: shared.label_value_length_limit.unwrap_or(0),
        stale_after: shared
            .stale_after
            .unwrap_or_else(|| STALE_AFTER_MIN.max(interval * 2)),
        metadata_refresh_interval: global.metadata_refresh_interval,
        ca_file: written.access.ca_file,
        auth: written.access.auth,
        http_headers: written.access.http_headers,
    }
}

fn match_all() -> Vec<check::Selector> {
    vec![check::selector(MATCH_ALL).expect("the selector of everything is a selector")]
}

/// A timeout that stands at the cluster must fit the interval that the cluster ends up with.
fn check_timeout(section: &Section<'_>, own: &Shared, global: &Global) {
    let interval = own.scrape_interval.or(global.shared.scrape_interval);
    if let (Some(timeout), Some(interval)) = (own.scrape_timeout, interval)
        && let Err(text) = timeout_fits(timeout, interval)
        && let Some(field) = section.get("scrape_timeout")
    {
        field.fail(text);
    }
}

/// Labels that we add to every series of the cluster.
fn labels(field: &Field<'_>, global: &Global) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if name == global.cluster_label {
            field.fail("is the cluster label, which always holds the cluster's name; change name or global.cluster_label");
        } else if global.replica_labels.iter().any(|replica| replica == name) {
            field.fail("is one of global.replica_labels, which are dropped everywhere; take it out of one of the two");
        } else if let Err(text) = check::added_label_name(name) {
            field.fail(text);
        } else if let Some(value) = field.parse(check::label_value) {
            labels.push((name.to_owned(), value));
        }
    }
    labels
}

/// Labels that the cluster's own server carries; any that a server may have.
fn external_labels(field: &Field<'_>) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if let Err(text) = check::label_name(name) {
            field.fail(text);
        } else if let Some(value) = field.parse(check::label_value) {
            labels.push((name.to_owned(), value));
        }
    }
    labels
}

fn warn(written: &Written, warnings: &mut Vec<String>) {
    let name = &written.name;
    if written.url.exposed && written.access.has_secrets() {
        warnings.push(format!("cluster {name}: its credentials travel over plain HTTP, where anyone on the way can read them; use https in its url"));
    }
    if written.metrics_path.is_none() && written.url.text.ends_with("/federate") {
        warnings.push(format!("cluster {name}: its url ends in /federate, to which metrics_path adds /federate once more; remove it from the url"));
    }
    for (key, path) in written.access.files() {
        if let Err(error) = std::fs::File::open(path) {
            let path = path.display();
            warnings.push(format!("cluster {name}: cannot read {key} {path} now ({error}); its rounds fail until it can be read"));
        }
    }
}
