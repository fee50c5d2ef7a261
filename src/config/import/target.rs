//! One federate job in, a cluster for each of its static targets out: relabelled as Prometheus would, under our keys.

use std::time::Duration;

use super::source::{Job, Source, Target};
use super::{Notes, Paths, access, duration, keys, source, yaml};
use crate::config::check;
use crate::config::decode::Field;
use crate::config::global::REPLICA_LABELS;
use crate::config::tree::{Node, Value};
use crate::config::units::{format_duration, parse_positive_duration};
use crate::model::labels::Labels;
use crate::relabel;

/// The label that tells clusters apart, in the input and here.
const CLUSTER: &str = "cluster";

/// A cluster that is to be written.
#[derive(Debug)]
pub(super) struct Draft {
    /// Line of the target.
    pub(super) line: u64,
    pub(super) job: String,
    /// The target as it stands in the file.
    pub(super) target: String,
    /// What the input calls it, which may be no name of ours or another's too.
    pub(super) wished: String,
    /// Whether `wished` is the value of a label that series carry.
    pub(super) is_label: bool,
    /// Given last, when all are known; empty until then.
    pub(super) name: String,
    settings: Vec<(String, Value)>,
}

impl Draft {
    /// All keys, the name first.
    pub(super) fn entries(&self) -> Vec<(String, Value)> {
        let mut entries = vec![("name".to_owned(), yaml::text(&*self.name))];
        entries.extend(self.settings.iter().cloned());
        entries
    }
}

/// The clusters of a federate job.
pub(super) fn drafts(
    job: &Job<'_>,
    source: &Source<'_>,
    paths: &Paths,
    notes: &mut Notes,
) -> Vec<Draft> {
    note_job(job, notes);
    let of_job = OfJob {
        job,
        source,
        access: access::carry(job, paths, notes),
        rules: MetricRules::of(job),
    };
    let targets = job.targets.iter();
    targets
        .filter_map(|target| of_job.draft(target, notes))
        .collect()
}

/// What cannot be carried over whatever the target.
fn note_job(job: &Job<'_>, notes: &mut Notes) {
    for (key, why) in keys::NOT_CARRIED {
        if let Some(field) = job.section.get(key) {
            notes.add(field.line(), &job.name, *key, *why);
        }
    }
    for field in &job.discovery {
        let text = "its targets are known only while Prometheus runs; write a cluster for each of them by hand. Until then the \
                    job stays in the central configuration";
        notes.add(field.line(), &job.name, field.key(), text);
    }
    for param in job.params.iter().filter(|param| param.name != "match[]") {
        let text = "is not carried over: only match[] is sent; have the address in front of the server add it";
        notes.add(
            param.line,
            &job.name,
            format!("params.{}", param.name),
            text,
        );
    }
    if !job.honor_labels {
        let text = "is not true: job, instance and others became exported_… where a target has them, and keep their names now; \
                    change queries that ask for exported_…";
        notes.add(job.line, &job.name, "honor_labels", text);
    }
    if !job
        .params
        .iter()
        .any(|param| param.name == "match[]" && !param.values.is_empty())
    {
        let text = "match[] is missing: Prometheus then answers with nothing, Tributary asks for everything; write match at the \
                    cluster";
        notes.add(job.line, &job.name, "params", text);
    }
    if job.targets.is_empty() && job.discovery.is_empty() {
        let text = "has no target, so it gives no cluster";
        notes.add(job.line, &job.name, "static_configs", text);
    }
}

/// What all targets of a job share.
struct OfJob<'s, 't> {
    job: &'s Job<'t>,
    source: &'s Source<'t>,
    access: Vec<(String, Value)>,
    rules: MetricRules,
}

impl OfJob<'_, '_> {
    fn draft(&self, target: &Target, notes: &mut Notes) -> Option<Draft> {
        let (job, shown) = (self.job, shown(&target.address));
        let mut labels = self.labels(target);
        if !relabel::apply(&job.relabel, &mut labels) {
            let text = format!("they drop target {shown}, so it became no cluster");
            notes.add(target.line, &job.name, "relabel_configs", text);
            return None;
        }
        let address = labels.get("__address__").unwrap_or_default().to_owned();
        if let Err(why) = source::address(&address) {
            let text = format!("target {shown} gives no cluster: after them its address {why}");
            notes.add(target.line, &job.name, "relabel_configs", text);
            return None;
        }
        let forced = self.rules.forced.as_deref();
        let label = forced.or_else(|| labels.get(CLUSTER));
        let wished = label.map_or_else(|| self.fallback(&address), str::to_owned);
        let settings = self.settings(&address, &labels, target, notes);
        Some(Draft {
            line: target.line,
            job: job.name.clone(),
            target: shown,
            is_label: label.is_some(),
            wished,
            name: String::new(),
            settings,
        })
    }

    /// The labels of a target before relabelling (`PopulateLabels` in Prometheus).
    fn labels(&self, target: &Target) -> Labels {
        let job = self.job;
        let interval = job.interval.unwrap_or(self.source.defaults.interval);
        let timeout = job
            .timeout
            .unwrap_or_else(|| self.source.defaults.timeout_for(interval));
        let mut labels = Labels::new();
        for (name, value) in &target.labels {
            labels.set(name, value);
        }
        labels.set("__address__", &target.address);
        let scheme = if job.https { "https" } else { "http" };
        let (interval, timeout) = (format_duration(interval), format_duration(timeout));
        let configured = [
            ("job", &*job.name),
            ("__scrape_interval__", &interval),
            ("__scrape_timeout__", &timeout),
            ("__metrics_path__", &job.metrics_path),
            ("__scheme__", scheme),
        ];
        for (name, value) in configured {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        for param in &job.params {
            if let Some(first) = param.values.first() {
                labels.set(&format!("__param_{}", param.name), first);
            }
        }
        labels
    }

    /// A name where no label says one: the job's, unless it has several targets; then the host's.
    fn fallback(&self, address: &str) -> String {
        if self.job.targets.len() == 1 {
            return self.job.name.clone();
        }
        let host = address.rsplit_once(':').map_or(address, |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                host
            } else {
                address
            }
        });
        host.to_owned()
    }

    /// All keys of the cluster but its name, in the order of the example file.
    fn settings(
        &self,
        address: &str,
        labels: &Labels,
        target: &Target,
        notes: &mut Notes,
    ) -> Vec<(String, Value)> {
        let mut entries = place(address, labels);
        let own = self.own_labels(labels, target, notes);
        self.note_rules(&own, notes);
        if !own.is_empty() {
            let own = own.into_iter();
            let own = own.map(|(name, value)| (name, yaml::text(value)));
            entries.push(("labels", yaml::map(own)));
        }
        let matches = self.matches(labels);
        if !matches.is_empty() {
            entries.push(("match", yaml::texts(matches)));
        }
        entries.extend(self.policies());
        entries.extend(self.times(labels));
        entries.extend(self.job.limits.ours());
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        if access::sends_secrets(&self.access) && is_exposed(&entries, &self.access) {
            let text = "its credentials travel over plain HTTP, where anyone on the way can read them, as they did before; use \
                        https and remove allow_plaintext_credentials";
            notes.add(target.line, &self.job.name, "scheme", text);
            entries.push(("allow_plaintext_credentials".to_owned(), yaml::text("true")));
        }
        entries.extend(self.access.iter().cloned());
        if !self.rules.items.is_empty() {
            let rules = Value::List(self.rules.items.clone());
            entries.push(("metric_relabel_configs".to_owned(), rules));
        }
        entries
    }

    /// What the job's switches mean here.
    fn policies(&self) -> Vec<(&'static str, Value)> {
        let job = self.job;
        let conflict = if self.rules.forced.is_some() {
            Some("override")
        } else {
            job.honor_labels.then_some("honor")
        };
        let switches = [
            ("cluster_label_conflict", conflict),
            (
                "honor_timestamps",
                (!job.honor_timestamps).then_some("false"),
            ),
            ("follow_redirects", job.follow_redirects.then_some("true")),
            (
                "compression",
                (!job.enable_compression).then_some("identity"),
            ),
        ];
        let written = |(key, value): (&'static str, Option<&str>)| Some((key, yaml::text(value?)));
        switches.into_iter().filter_map(written).collect()
    }

    /// Rules that read labels which are added behind all rules here.
    fn note_rules(&self, own: &[(String, String)], notes: &mut Notes) {
        let read =
            |rule: &Node| reads(rule, CLUSTER) || own.iter().any(|(name, _)| reads(rule, name));
        if self.rules.items.iter().any(read) {
            let text = "a rule reads cluster or another label of the target; here rules run before these labels are added, so \
                        write their values into the rule";
            notes.add(
                self.rules.line,
                &self.job.name,
                "metric_relabel_configs",
                text,
            );
        }
    }

    /// What is written here of interval and timeout: what the job says, or a rule has made of it.
    fn times(&self, labels: &Labels) -> Vec<(&'static str, Value)> {
        let job = self.job;
        let read = |name| {
            labels
                .get(name)
                .and_then(|text| parse_positive_duration(text).ok())
        };
        let interval = job.interval.unwrap_or(self.source.defaults.interval);
        let timeout = job
            .timeout
            .unwrap_or_else(|| self.source.defaults.timeout_for(interval));
        let entry = |key, now: Option<Duration>, before: Duration, written: Option<Duration>| {
            let changed = now.filter(|now| *now != before);
            changed.or(written).map(|time| (key, duration(time)))
        };
        let now = (read("__scrape_interval__"), read("__scrape_timeout__"));
        [
            entry("scrape_interval", now.0, interval, job.interval),
            entry("scrape_timeout", now.1, timeout, job.timeout),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The selectors; a rule may have changed the first.
    fn matches(&self, labels: &Labels) -> Vec<String> {
        let written = self.job.params.iter().find(|param| param.name == "match[]");
        let mut matches = written
            .map(|param| param.values.clone())
            .unwrap_or_default();
        if let Some(first) = labels.get("__param_match[]") {
            if matches.is_empty() {
                matches.push(String::new());
            }
            first.clone_into(&mut matches[0]);
        }
        matches
    }

    /// The target's labels that every series gets.
    fn own_labels(
        &self,
        labels: &Labels,
        target: &Target,
        notes: &mut Notes,
    ) -> Vec<(String, String)> {
        let job = self.job;
        let mut own = Vec::new();
        for (name, value) in labels.iter() {
            let is_default = name == CLUSTER || name == "job" && value == job.name;
            if name.starts_with("__") && !REPLICA_LABELS.contains(&name)
                || is_default
                || value.is_empty()
            {
                continue;
            }
            let why = if name == "instance" {
                "has no effect: a /federate sends every series with its instance, or an empty one; remove it"
            } else if REPLICA_LABELS.contains(&name) {
                "tells replicas apart and is dropped here (global.replica_labels), so that a switch renames no series; remove it \
                 from queries"
            } else if check::added_label_name(name).is_err() {
                "is no plain label name; add it by metric_relabel_configs if you need it"
            } else {
                own.push((name.to_owned(), value.to_owned()));
                continue;
            };
            notes.add(
                target.line,
                &job.name,
                format!("static_configs.labels.{name}"),
                why,
            );
        }
        own
    }
}

/// Address and path: what stands before `/federate` is the base path of the server.
fn place(address: &str, labels: &Labels) -> Vec<(&'static str, Value)> {
    let path = labels.get("__metrics_path__").unwrap_or("/metrics");
    let scheme = labels.get("__scheme__").unwrap_or("http");
    match path.strip_suffix("/federate") {
        Some(base) => vec![("url", yaml::text(format!("{scheme}://{address}{base}")))],
        None => vec![
            ("url", yaml::text(format!("{scheme}://{address}"))),
            ("metrics_path", yaml::text(path)),
        ],
    }
}

/// Whether one of the addresses is plain HTTP on another machine.
fn is_exposed(entries: &[(String, Value)], access: &[(String, Value)]) -> bool {
    fn exposed(value: &Value) -> bool {
        match value {
            Value::Text(text) => {
                text.starts_with("http://") && check::base_url(text).is_ok_and(|url| url.exposed)
            }
            Value::Map(entries) => entries.iter().any(|entry| exposed(&entry.node.value)),
            Value::List(_) | Value::Null => false,
        }
    }
    entries
        .iter()
        .chain(access)
        .any(|(_, value)| exposed(value))
}

/// `metric_relabel_configs` as they are to be written.
struct MetricRules {
    items: Vec<Node>,
    /// The name that a rule stamps on every series, which needs no rule here.
    forced: Option<String>,
    line: u64,
}

impl MetricRules {
    fn of(job: &Job<'_>) -> Self {
        let field = job.section.get("metric_relabel_configs");
        let mut rules = Self {
            items: Vec::new(),
            forced: None,
            line: field.map_or(job.line, Field::line),
        };
        let Some(Value::List(items)) = field.map(|field| &field.node().value) else {
            return rules;
        };
        for item in items {
            match constant_cluster(item) {
                Some(name) => rules.forced = Some(name.to_owned()),
                None => rules.items.push(item.clone()),
            }
        }
        rules
    }
}

/// The value that a rule writes into the cluster label of every series.
fn constant_cluster(rule: &Node) -> Option<&str> {
    let get = |key| scalar_of(rule, key);
    let always = get("action").is_none_or(|action| action.eq_ignore_ascii_case("replace"))
        && get("regex").is_none_or(|regex| matches!(regex, "(.*)" | ".*"));
    let value = get("replacement")?;
    (always && get("target_label") == Some(CLUSTER) && !value.is_empty() && !value.contains('$'))
        .then_some(value)
}

/// Whether a rule looks at a label.
fn reads(rule: &Node, label: &str) -> bool {
    let Some(Value::List(sources)) = value_of(rule, "source_labels") else {
        return false;
    };
    sources
        .iter()
        .any(|source| source.value == Value::Text(label.to_owned()))
}

fn scalar_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match value_of(node, key)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn value_of<'n>(node: &'n Node, key: &str) -> Option<&'n Value> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let found = entries.iter().find(|entry| entry.key == key)?;
    Some(&found.node.value)
}

/// A target, unless a password may stand in it.
fn shown(address: &str) -> String {
    if address.contains('@') {
        "with credentials".to_owned()
    } else {
        address.to_owned()
    }
}
