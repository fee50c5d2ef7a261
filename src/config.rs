//! The configuration: a YAML file and flags in, a [`Config`] out in which every setting of every cluster is decided.
//!
//! ```text
//! file ──tree──▶ nodes with lines ──decode──▶ global, clusters ──check──▶ Config
//!                                                  └── problems ──▶ ConfigErrors, all at once
//! ```
//!
//! Keys have Prometheus' names wherever it has one. Nothing is guessed: unknown keys, repeated keys and bad values
//! are errors that name the line, the key and the remedy. No stage sees the file's form; `app` builds each stage's
//! settings from a [`Cluster`].

mod access;
pub mod cgroup;
mod check;
mod cluster;
mod decode;
mod global;
pub mod import;
mod preset;
mod problem;
mod report;
mod rules;
mod shared;
mod tree;
pub mod units;
pub mod web;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

pub use check::{ListenAddress, address, listen_address};
pub use problem::{ConfigErrors, Problem};
pub use report::describe;

use crate::cluster::link::Settings as Link;
use crate::cluster::{Auth, Compression, HeaderValue};
use crate::model::matcher::Matcher;
use crate::relabel::Rule;
use crate::scrape::rules::{LabelConflict, OnBadLine};
use crate::serve::external::ExternalUrl;
use crate::store::Typed;
use decode::{Field, Section};
use global::Global;
use problem::Problems;

const TOP_KEYS: &[&str] = &["global", "clusters"];

/// What to write instead of the parts of a Prometheus configuration.
const TOP_HINTS: &[(&str, &str)] = &[
    (
        "scrape_configs",
        "this looks like a configuration of Prometheus; write the clusters to federate as clusters: [{name: …, url: …}]",
    ),
    ("rule_files", "Tributary evaluates no rules, remove it"),
    ("alerting", "Tributary sends no alerts, remove it"),
    (
        "remote_write",
        "Tributary writes to no other storage, remove it",
    ),
];

/// Everything that file and flags decide about the clusters. The clusters stand in the order of the file, those of
/// flags behind them; their names are unique and there is at least one.
#[derive(Clone, Debug)]
pub struct Config {
    /// The clusters to scrape.
    pub clusters: Vec<Cluster>,
    /// Label that holds a series' cluster.
    pub cluster_label: String,
    /// What `/federate` says of types and help.
    pub typed: Typed,
    /// What `/federate` without `match[]` means.
    pub empty_match: EmptyMatch,
    /// Where others reach us.
    pub external_url: Option<ExternalUrl>,
    /// What may be a mistake but need not be: one sentence each, with the cluster's name.
    pub warnings: Vec<String>,
}

/// One cluster with every setting decided: its own, else the global one, else the default. A limit of 0 is none.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of the file that is true or false"
)]
pub struct Cluster {
    /// 1 to 63 letters, digits and `.`, `_`, `-`.
    pub name: String,
    /// Scheme, host, port and base path, without slash at the end; that of the first replica.
    pub url: String,
    /// The addresses of all replicas, two at least; empty for a cluster that has one server.
    pub replicas: Vec<String>,
    /// Path of the exposition below `url`; begins with a slash.
    pub metrics_path: String,
    /// Time between two rounds.
    pub scrape_interval: Duration,
    /// Time that a round may take; not longer than the interval.
    pub scrape_timeout: Duration,
    /// Selectors to ask for, as written: never empty.
    pub matches: Vec<String>,
    /// What each of `matches` means, in the same order.
    pub match_matchers: Vec<Vec<Matcher>>,
    /// Labels added where absent, in the order of the file. Never the cluster label.
    pub labels: Vec<(String, String)>,
    /// The server's own external labels; `None` = to be learnt from it.
    pub external_labels: Option<Vec<(String, String)>>,
    /// Labels dropped from every series.
    pub replica_labels: Vec<String>,
    /// What happens to a series that already has the cluster label.
    pub cluster_label_conflict: LabelConflict,
    /// Whether the cluster's query API may be asked through us.
    pub query: bool,
    /// Whether the timestamps of the body are kept.
    pub honor_timestamps: bool,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether the values of `le` and `quantile` are written in one way.
    pub normalize_le: bool,
    /// `metric_relabel_configs`, compiled.
    pub rules: Vec<Rule>,
    /// What a line that cannot be read costs.
    pub on_bad_line: OnBadLine,
    /// What we ask the server to send.
    pub compression: Compression,
    /// Longest body in decoded bytes.
    pub body_size_limit: u64,
    /// Longest body in bytes on the wire.
    pub compressed_body_size_limit: u64,
    /// Most series of a round, counted after relabelling.
    pub series_limit: u64,
    /// Most labels of a series.
    pub label_limit: u64,
    /// Longest label name in bytes.
    pub label_name_length_limit: u64,
    /// Longest label value in bytes.
    pub label_value_length_limit: u64,
    /// How long the last snapshot of a failing cluster is kept.
    pub stale_after: Duration,
    /// Time between two readings of the metadata.
    pub metadata_refresh_interval: Duration,
    /// Certificates, and the proxy on the way.
    pub link: Link,
    /// Credentials.
    pub auth: Option<Auth>,
    /// Further headers, by name in the order of the file.
    pub http_headers: Vec<(String, Vec<HeaderValue>)>,
}

/// What `/federate` without `match[]` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyMatch {
    /// Everything.
    #[default]
    All,
    /// Nothing, as in Prometheus.
    None,
}

/// What the command line says about clusters, and about us. A flag wins over the key of `global` with the same meaning; what stands
/// at a cluster stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `NAME=URL` or `NAME=URL,URL` of each `--cluster`, not checked yet: clusters beside those of the file.
    pub clusters: Vec<String>,
    /// Each `--match`, not checked yet; when there is one, they replace `global.match`.
    pub matches: Vec<String>,
    /// `--scrape.interval`.
    pub scrape_interval: Option<Duration>,
    /// `--scrape.timeout`.
    pub scrape_timeout: Option<Duration>,
    /// `--web.external-url`.
    pub external_url: Option<ExternalUrl>,
}

/// Reads a file alone.
pub fn load(file: &Path) -> Result<Config, ConfigErrors> {
    build(Some(file), &Flags::default())
}

/// Reads flags alone.
pub fn from_flags(flags: &Flags) -> Result<Config, ConfigErrors> {
    build(None, flags)
}

/// Reads the file, if there is one, and lays the flags over it. All mistakes of both come back together.
///
/// Reads the file itself and looks whether the files named in it can be opened; nothing else is touched.
pub fn build(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigErrors> {
    let name = file
        .map(|file| file.display().to_string())
        .unwrap_or_default();
    let problems = Problems::default();
    let config = match file.map(|file| read_tree(file, &problems)) {
        None => Some(from_tree(None, Path::new(""), flags, &problems)),
        Some(None) => None,
        Some(Some(root)) => {
            let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
            Some(from_tree(Some(&root), folder, flags, &problems))
        }
    };
    problems.finish(&name)?;
    Ok(config.expect("without a tree there is a problem"))
}

/// The file's tree; `None` when it cannot be read or is not YAML, which has been noted.
fn read_tree(file: &Path, problems: &Problems) -> Option<tree::Node> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            problems.outside(
                "",
                format!("cannot be read ({error}); name a YAML file that exists and may be read"),
            );
            return None;
        }
    };
    match tree::parse(&text) {
        Ok(root) => Some(root),
        Err(error) => {
            problems.at(
                error.line,
                "",
                format!(
                    "is not YAML: {}; correct the line or the ones above it",
                    error.text
                ),
            );
            None
        }
    }
}

/// Reads the tree (`None` without a file). Files named in it are relative to `folder`.
fn from_tree(
    root: Option<&tree::Node>,
    folder: &Path,
    flags: &Flags,
    problems: &Problems,
) -> Config {
    let root = root.map(|node| Field::root(node, problems));
    let top = root.and_then(|root| root.section(&[TOP_KEYS], TOP_HINTS));
    let global = Global::read(
        top.as_ref().and_then(|top| top.get("global")),
        flags,
        problems,
    );
    let mut warnings = Vec::new();
    let mut clusters = Clusters::default();
    let listed = top.as_ref().and_then(|top| top.get("clusters"));
    for item in listed.and_then(Field::items).unwrap_or_default() {
        if let Some(cluster) = cluster::read(&item, &global, folder, &mut warnings) {
            clusters.add(cluster, Some(item.line()), |text| item.fail(text));
        }
    }
    for text in &flags.clusters {
        if let Some(cluster) = cluster::from_flag(text, &global, problems) {
            clusters.add(cluster, None, |text| problems.outside("--cluster", text));
        }
    }
    if let Some(top) = &top
        && flags.clusters.is_empty()
    {
        require_clusters(top);
    }
    Config {
        clusters: clusters.list,
        cluster_label: global.cluster_label,
        typed: global.typed,
        empty_match: global.empty_match,
        external_url: flags.external_url.clone(),
        warnings,
    }
}

/// Notes when the file lists no cluster.
fn require_clusters(top: &Section<'_>) {
    match top.get("clusters") {
        None => top
            .fail("clusters is missing or empty; name at least one: clusters: [{name: …, url: …}]"),
        Some(field) if field.items().is_some_and(|items| items.is_empty()) => {
            field.fail("is empty; name at least one cluster: [{name: …, url: …}]");
        }
        Some(_) => {}
    }
}

/// The clusters so far, with the line of each.
#[derive(Default)]
struct Clusters {
    list: Vec<Cluster>,
    lines: HashMap<String, Option<u64>>,
}

impl Clusters {
    /// Adds a cluster, unless its name is taken: then `fail` is told so.
    fn add(&mut self, cluster: Cluster, line: Option<u64>, fail: impl FnOnce(String)) {
        match self.lines.get(&cluster.name) {
            None => {
                self.lines.insert(cluster.name.clone(), line);
                self.list.push(cluster);
            }
            Some(first) => {
                let first = first.map_or_else(
                    || "by another --cluster".to_owned(),
                    |line| format!("on line {line}"),
                );
                fail(format!(
                    "the name {:?} is already used {first}; names are unique, write another",
                    cluster.name
                ));
            }
        }
    }
}
