//! One cluster of the list: its keys (or the flag `--cluster NAME=URL`) and what holds globally in, a [`Cluster`] in
//! which every setting is decided out.

use std::path::Path;
use std::time::Duration;

use super::access::{self, Access, PROXY_KEYS};
use super::check::{self, BaseUrl};
use super::decode::{Field, Section};
use super::global::Global;
use super::problem::Problems;
use super::shared::{self, Shared, timeout_fits};
use super::{Cluster, rules};
use crate::cluster::proxy::Proxy;
use crate::relabel::Rule;

/// Keys of a cluster that are not [`shared::KEYS`] or [`access::KEYS`].
pub(super) const KEYS: &[&str] = &[
    "name",
    "url",
    "replicas",
    "labels",
    "external_labels",
    "metrics_path",
    "query",
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
    ("urls", "write replicas"),
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
        "secrets are read from files or the environment only: write authorization: {credentials_file: …}",
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
/// Where the series of a Prometheus are; beside it is a query API.
const FEDERATE: &str = "/federate";
/// What is asked of a cluster where no selector is written: everything.
const MATCH_ALL: &str = r#"{__name__=~".+"}"#;

/// What was written for one cluster.
struct Written {
    name: String,
    /// One address, or those of all replicas.
    urls: Vec<BaseUrl>,
    shared: Shared,
    access: Access,
    labels: Vec<(String, String)>,
    external_labels: Option<Vec<(String, String)>>,
    metrics_path: Option<String>,
    query: Option<bool>,
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
    let section = field.section(&[KEYS, shared::KEYS, access::KEYS, PROXY_KEYS], HINTS)?;
    let name = section
        .require("name", "write a name for the cluster")
        .map(|field| field.parse(check::cluster_name));
    let addresses = addresses(&section);
    let shared = Shared::read(&section);
    let access = Access::read(&section, folder);
    let allowed = shared.allow_plaintext_credentials;
    if !allowed
        .or(global.shared.allow_plaintext_credentials)
        .unwrap_or(false)
    {
        // A proxy of the environment is not used for loopback addresses.
        let proxied = matches!(access.link.proxy, Proxy::At(_));
        let exposed = |(_, url): &&(Field<'_>, BaseUrl)| check::is_exposed(&url.text, proxied);
        let exposed: Vec<_> = addresses
            .iter()
            .filter(exposed)
            .map(|(field, _)| field)
            .collect();
        access.refuse_plaintext(&section, &exposed);
    }
    let written = Written {
        name: name.flatten().unwrap_or_default(),
        urls: addresses.into_iter().map(|(_, url)| url).collect(),
        shared,
        access,
        labels: section
            .get("labels")
            .map(|field| labels(field, global))
            .unwrap_or_default(),
        external_labels: section.get("external_labels").map(external_labels),
        metrics_path: section.read("metrics_path", check::metrics_path),
        query: section.flag("query"),
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

/// The address of the cluster, or those of its replicas.
fn addresses<'t>(section: &Section<'t>) -> Vec<(Field<'t>, BaseUrl)> {
    let read = |field: &Field<'t>| Some((field.clone(), field.parse(check::base_url)?));
    let Some(list) = section.get("replicas") else {
        let url = section.require(
            "url",
            "write the address of its Prometheus, or those of a pair as replicas: [url, url]",
        );
        return url.and_then(read).into_iter().collect();
    };
    if let Some(url) = section.get("url") {
        url.fail("cannot stand beside replicas; keep one of them");
    }
    let Some(items) = list.items() else {
        return Vec::new();
    };
    if items.len() < 2 {
        list.fail("has fewer than two addresses; write both of a pair, or the only one as url");
    }
    let found: Vec<_> = items.iter().filter_map(read).collect();
    for (field, text) in same_server(&found) {
        field.fail(text);
    }
    found
}

/// The addresses that name the server of an earlier one, and what is wrong with them.
fn same_server<T>(addresses: &[(T, BaseUrl)]) -> Vec<(&T, String)> {
    let mut wrong = Vec::new();
    for (at, (place, url)) in addresses.iter().enumerate() {
        let mut before = addresses[..at].iter().map(|(_, other)| other);
        if let Some(other) = before.find(|other| other.server == url.server) {
            let text = format!(
                "{} is the same server as {}; a replica is another server that scrapes the same",
                url.text, other.text
            );
            wrong.push((place, text));
        }
    }
    wrong
}

/// Reads `NAME=URL` or `NAME=URL,URL` of the flag `--cluster`.
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
    let read = |url: &str| check::base_url(url).map_err(note).ok();
    let urls: Option<Vec<_>> = url.split(',').map(|url| Some(("", read(url)?))).collect();
    let urls = urls?;
    for (_, text) in same_server(&urls) {
        note(text);
    }
    let written = Written {
        name: name?,
        urls: urls.into_iter().map(|(_, url)| url).collect(),
        shared: Shared::default(),
        access: Access::default(),
        labels: Vec::new(),
        external_labels: None,
        metrics_path: None,
        query: None,
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
    let metrics_path = written.metrics_path.unwrap_or_else(|| FEDERATE.to_owned());
    let body_size_limit = shared.body_size_limit.unwrap_or(BODY_SIZE_LIMIT);
    let mut urls: Vec<_> = written.urls.into_iter().map(|url| url.text).collect();
    let url = urls.first().cloned().unwrap_or_default();
    if urls.len() < 2 {
        urls.clear();
    }
    let scrape_timeout = own_timeout.or(inherited).unwrap_or(interval * 9 / 10);
    let mut link = written.access.link;
    // A replica that does not answer must leave time for the other in the same round.
    link.connect_timeout = (!urls.is_empty()).then_some(scrape_timeout / 3);
    Cluster {
        name: written.name,
        url,
        replicas: urls,
        query: written.query.unwrap_or(metrics_path == FEDERATE),
        metrics_path,
        scrape_interval: interval,
        scrape_timeout,
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
        link,
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
    let in_path = |url: &BaseUrl| url.text.ends_with("/federate");
    if written.metrics_path.is_none() && written.urls.iter().any(in_path) {
        warnings.push(format!("cluster {name}: its url ends in /federate, to which metrics_path adds /federate once more; remove it from the url"));
    }
    for text in written.access.unreadable() {
        warnings.push(format!(
            "cluster {name}: {text}; its rounds fail until then"
        ));
    }
}
