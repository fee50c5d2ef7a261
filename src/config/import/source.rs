//! The input as it was understood: jobs and what holds for all of them, checked as Prometheus checks them.
//!
//! All jobs are read, also those that stay where they are, so that one run names all mistakes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::super::decode::{Field, Section};
use super::super::shared::timeout_fits;
use super::super::tree::Value;
use super::super::units::{format_size, parse_duration, parse_size};
use super::super::{check, rules};
use super::{Notes, duration, keys, yaml};
use crate::relabel::{NameScheme, Rule};

/// What Prometheus does where nothing is written.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(60);
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole file.
pub(super) struct Source<'t> {
    pub(super) defaults: Defaults,
    /// In the order of the file.
    pub(super) jobs: Vec<Job<'t>>,
    /// `scrape_config_files`.
    other_files: Option<Field<'t>>,
}

/// What holds for all jobs that say nothing else.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) interval: Duration,
    /// As written.
    pub(super) timeout: Option<Duration>,
    limits: Limits,
    scheme: NameScheme,
}

/// Limits as written; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    body_size: Option<u64>,
    samples: Option<u64>,
    labels: Option<u64>,
    label_name_length: Option<u64>,
    label_value_length: Option<u64>,
}

/// One item of `scrape_configs`.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub(super) struct Job<'t> {
    pub(super) section: Section<'t>,
    /// Where it stands in the list.
    pub(super) index: usize,
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) is_federate: bool,
    /// Keys of service discovery that it has.
    pub(super) discovery: Vec<Field<'t>>,
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) honor_labels: bool,
    pub(super) honor_timestamps: bool,
    pub(super) track_timestamps_staleness: Option<bool>,
    pub(super) follow_redirects: bool,
    pub(super) enable_compression: bool,
    pub(super) https: bool,
    pub(super) metrics_path: String,
    /// Parameters of the request with their lines, in the order of the file.
    pub(super) params: Vec<Param>,
    pub(super) targets: Vec<Target>,
    pub(super) relabel: Vec<Rule>,
}

/// One name of `params`.
#[derive(Debug)]
pub(super) struct Param {
    pub(super) name: String,
    pub(super) values: Vec<String>,
    pub(super) line: u64,
}

/// One static target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: String,
    /// Labels of its group, in the order of the file.
    pub(super) labels: Vec<(String, String)>,
    pub(super) line: u64,
}

impl<'t> Source<'t> {
    /// Reads the file. `None` when it is no mapping, which has been noted, as everything that is wrong with it.
    pub(super) fn read(root: &Field<'t>) -> Option<Self> {
        let hints = [(
            "clusters",
            "this looks like a configuration of Tributary, which needs no import; check it by tributary check-config",
        )];
        let top = root.section(&[keys::TOP], &hints)?;
        let defaults = Defaults::read(top.get("global"));
        let mut jobs: Vec<Job<'t>> = Vec::new();
        let mut lines = HashMap::new();
        let items = top.get("scrape_configs").and_then(Field::items);
        for (index, item) in items.unwrap_or_default().iter().enumerate() {
            let Some(job) = Job::read(item, index, &defaults) else {
                continue;
            };
            match lines.entry(job.name.clone()) {
                Entry::Occupied(first) => item.fail(format!(
                    "job_name {:?} is already used on line {}; names of jobs are unique, write another",
                    job.name,
                    first.get()
                )),
                Entry::Vacant(place) => {
                    place.insert(job.line);
                    jobs.push(job);
                }
            }
        }
        check_other_rules(&top, defaults.scheme);
        Some(Self {
            defaults,
            jobs,
            other_files: top.get("scrape_config_files").cloned(),
        })
    }

    /// What the file as a whole does not carry over.
    pub(super) fn note(&self, notes: &mut Notes) {
        if let Some(field) = &self.other_files {
            let text = "jobs in other files are not read; import each of these files by itself if it has federate jobs";
            notes.add(field.line(), "", "scrape_config_files", text);
        }
        let federate = || self.jobs.iter().filter(|job| job.is_federate);
        let Some(first) = federate().next() else {
            let text = "no job has a metrics_path that ends in /federate or sends match[]; there is nothing to carry over";
            notes.add(1, "", "scrape_configs", text);
            return;
        };
        let text = "up, scrape_* and series without a job label had the name of their federate job as job; it is the new job's \
                    now, so change alerts and queries that ask for it";
        notes.add(first.line, "", "job_name", text);
    }
}

impl Defaults {
    fn read(field: Option<&Field<'_>>) -> Self {
        let section = field.and_then(|field| field.section(&[keys::SHARED, keys::GLOBAL], &[]));
        let Some(section) = section else {
            return Self {
                interval: SCRAPE_INTERVAL,
                timeout: None,
                limits: Limits::default(),
                scheme: NameScheme::default(),
            };
        };
        let scheme = scheme(&section).unwrap_or_default();
        let interval = time(&section, "scrape_interval").unwrap_or(SCRAPE_INTERVAL);
        let timeout = time(&section, "scrape_timeout");
        check_timeout(&section, timeout, interval);
        section.read("evaluation_interval", parse_duration);
        section.read("rule_query_offset", parse_duration);
        if let Some(labels) = section.get("external_labels") {
            check_labels(labels, scheme);
        }
        Self {
            interval,
            timeout,
            limits: Limits::read(&section),
            scheme,
        }
    }

    /// The keys of our own `global`.
    pub(super) fn ours(&self) -> Vec<(&'static str, Value)> {
        let mut entries = vec![("scrape_interval", duration(self.interval))];
        entries.extend(
            self.timeout
                .map(|timeout| ("scrape_timeout", duration(timeout))),
        );
        entries.extend(self.limits.ours());
        entries
    }

    /// The timeout of a job that says nothing, for its interval.
    pub(super) fn timeout_for(&self, interval: Duration) -> Duration {
        self.timeout.unwrap_or(SCRAPE_TIMEOUT).min(interval)
    }
}

impl Limits {
    fn read(section: &Section<'_>) -> Self {
        section.number("target_limit");
        section.number("keep_dropped_targets");
        Self {
            body_size: section.read("body_size_limit", parse_size),
            samples: section.number("sample_limit"),
            labels: section.number("label_limit"),
            label_name_length: section.number("label_name_length_limit"),
            label_value_length: section.number("label_value_length_limit"),
        }
    }

    /// Under our own keys.
    pub(super) fn ours(&self) -> Vec<(&'static str, Value)> {
        let size = self.body_size.map(|bytes| yaml::text(format_size(bytes)));
        let number = |limit: Option<u64>| limit.map(|limit| yaml::text(limit.to_string()));
        let all = [
            ("body_size_limit", size),
            ("series_limit", number(self.samples)),
            ("label_limit", number(self.labels)),
            ("label_name_length_limit", number(self.label_name_length)),
            ("label_value_length_limit", number(self.label_value_length)),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

impl<'t> Job<'t> {
    fn read(item: &Field<'t>, index: usize, defaults: &Defaults) -> Option<Self> {
        let known = [keys::JOB, keys::SHARED, keys::ACCESS, keys::DISCOVERY];
        let section = item.section(&known, &[])?;
        let name = section.require("job_name", "write a name for the job")?;
        let name = name.text()?.to_owned();
        if name.is_empty() {
            section.fail("job_name is empty; write a name for the job");
        }
        let scheme = scheme(&section).unwrap_or(defaults.scheme);
        let interval = time(&section, "scrape_interval");
        let timeout = time(&section, "scrape_timeout");
        check_timeout(&section, timeout, interval.unwrap_or(defaults.interval));
        let rules = |key| {
            section
                .get(key)
                .map(|field| rules::read_in(field, scheme))
                .unwrap_or_default()
        };
        let relabel = rules("relabel_configs");
        rules("metric_relabel_configs");
        let metrics_path = section.read("metrics_path", |text| Ok(text.to_owned()));
        let params = section.get("params").map(params).unwrap_or_default();
        let is_federate = metrics_path
            .as_ref()
            .is_some_and(|path| path.ends_with("/federate"))
            || params.iter().any(|param| param.name == "match[]");
        let flag = |key, default| section.flag(key).unwrap_or(default);
        for key in ["enable_http2", "proxy_from_environment"] {
            section.flag(key);
        }
        super::access::check(&section);
        let targets = section
            .get("static_configs")
            .map(|field| targets(field, scheme, relabel.is_empty()));
        let discovery = keys::DISCOVERY
            .iter()
            .filter_map(|key| section.get(key).cloned());
        Some(Self {
            index,
            line: item.line(),
            name,
            is_federate,
            discovery: discovery.collect(),
            interval,
            timeout,
            limits: Limits::read(&section),
            honor_labels: flag("honor_labels", false),
            honor_timestamps: flag("honor_timestamps", true),
            track_timestamps_staleness: section.flag("track_timestamps_staleness"),
            follow_redirects: flag("follow_redirects", true),
            enable_compression: flag("enable_compression", true),
            https: section
                .choice("scheme", &[("http", false), ("https", true)])
                .unwrap_or(false),
            metrics_path: metrics_path.unwrap_or_else(|| "/metrics".to_owned()),
            params,
            targets: targets.unwrap_or_default(),
            relabel,
            section,
        })
    }
}

/// A duration; 0 is the same as leaving it out, as for Prometheus.
fn time(section: &Section<'_>, key: &str) -> Option<Duration> {
    section
        .read(key, parse_duration)
        .filter(|time| !time.is_zero())
}

fn check_timeout(section: &Section<'_>, timeout: Option<Duration>, interval: Duration) {
    if let Some(timeout) = timeout
        && let Err(text) = timeout_fits(timeout, interval)
        && let Some(field) = section.get("scrape_timeout")
    {
        field.fail(text);
    }
}

fn scheme(section: &Section<'_>) -> Option<NameScheme> {
    section.choice(
        "metric_name_validation_scheme",
        &[("utf8", NameScheme::Utf8), ("legacy", NameScheme::Legacy)],
    )
}

fn params(field: &Field<'_>) -> Vec<Param> {
    let param = |(name, field): (&str, Field<'_>)| {
        let is_match = name == "match[]";
        let value = |text: &str| {
            if is_match {
                selector(text)
            } else {
                Ok(text.to_owned())
            }
        };
        Some(Param {
            name: name.to_owned(),
            values: field.list(value)?,
            line: field.line(),
        })
    };
    let entries = field.entries().unwrap_or_default();
    entries.into_iter().filter_map(param).collect()
}

/// A selector as ours has to be written: `{}`, which asks for everything, is refused by our own configuration.
fn selector(text: &str) -> Result<String, String> {
    let is_everything = text.split_whitespace().collect::<String>() == "{}";
    let text = if is_everything {
        r#"{__name__=~".+"}"#
    } else {
        text
    };
    check::selector(text).map(|selector| selector.text)
}

/// The targets of all groups. Without rules an address must be one; rules may make it one.
fn targets(field: &Field<'_>, scheme: NameScheme, is_final: bool) -> Vec<Target> {
    let mut all = Vec::new();
    for group in field.items().unwrap_or_default() {
        let Some(section) = group.section(&[keys::STATIC], &[]) else {
            continue;
        };
        let labels = section
            .get("labels")
            .map(|field| check_labels(field, scheme));
        let labels = labels.unwrap_or_default();
        for item in section
            .get("targets")
            .and_then(Field::items)
            .unwrap_or_default()
        {
            let address = item.parse(|text| {
                if is_final {
                    address(text)?;
                }
                Ok(text.to_owned())
            });
            all.extend(address.map(|address| Target {
                address,
                labels: labels.clone(),
                line: item.line(),
            }));
        }
    }
    all
}

/// Whether a target can be reached: host and port, nothing else. A message does not show what may be a password.
pub(super) fn address(text: &str) -> Result<(), String> {
    let shown = if text.contains('@') {
        "the target".to_owned()
    } else {
        format!("{text:?}")
    };
    if text.is_empty() {
        Err("is empty; write host:port".to_owned())
    } else if text.contains(['/', '@', '?', '#']) {
        Err(format!(
            "{shown} is no address of a target; write host:port, and the rest as scheme, metrics_path, params and basic_auth"
        ))
    } else {
        Ok(())
    }
}

/// Labels that stand in the file.
fn check_labels(field: &Field<'_>, scheme: NameScheme) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if !scheme.is_label_name(name) {
            field.fail(format!(
                "{name:?} is no label name; write letters, digits and `_`, the first not a digit"
            ));
        } else if field.is_null() {
            labels.push((name.to_owned(), String::new()));
        } else if let Some(value) = field.text() {
            labels.push((name.to_owned(), value.to_owned()));
        }
    }
    labels
}

/// Relabelling that belongs to no job.
fn check_other_rules(top: &Section<'_>, scheme: NameScheme) {
    let check = |field: &Field<'_>, key: &str| {
        if let Some(field) = entry(field, key) {
            rules::read_in(&field, scheme);
        }
    };
    if let Some(alerting) = top.get("alerting") {
        check(alerting, "alert_relabel_configs");
        for manager in entry(alerting, "alertmanagers")
            .and_then(|list| list.items())
            .unwrap_or_default()
        {
            check(&manager, "relabel_configs");
            check(&manager, "alert_relabel_configs");
        }
    }
    for write in top
        .get("remote_write")
        .and_then(Field::items)
        .unwrap_or_default()
    {
        check(&write, "write_relabel_configs");
    }
}

/// The value of a key in what may be a mapping.
fn entry<'t>(field: &Field<'t>, key: &str) -> Option<Field<'t>> {
    let entries = field.entries_if_any().into_iter();
    let mut found = entries.filter(|(name, field)| *name == key && !field.is_null());
    found.next().map(|(_, field)| field)
}
