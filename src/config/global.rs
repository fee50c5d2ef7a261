//! The part `global` of the file, with the flags that win over it: what holds for every cluster.

use std::time::Duration;

use super::decode::{Field, Section};
use super::problem::Problems;
use super::shared::{self, Shared, timeout_fits};
use super::units::parse_positive_duration;
use super::{EmptyMatch, Flags, Typed, check};

/// Time between two rounds where nothing else is written.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// Time between two readings of a cluster's metadata where nothing else is written.
const METADATA_REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Labels by which the replicas of a pair differ, as the operator, Thanos and Cortex name them.
pub(super) const REPLICA_LABELS: [&str; 3] = ["prometheus_replica", "replica", "__replica__"];

/// Keys of `global` that no cluster may override.
pub(super) const KEYS: &[&str] = &[
    "cluster_label",
    "replica_labels",
    "typed",
    "empty_match",
    "metadata_refresh_interval",
];

/// What to write instead of keys of Prometheus' own `global`.
const HINTS: &[(&str, &str)] = &[
    (
        "external_labels",
        "write labels or external_labels at a cluster",
    ),
    (
        "evaluation_interval",
        "Tributary evaluates no rules, remove it",
    ),
    ("rule_files", "Tributary evaluates no rules, remove it"),
    ("sample_limit", "write series_limit"),
    (
        "metric_relabel_configs",
        "write it at each cluster, where an anchor (&name, *name) saves repeating it",
    ),
    ("clusters", "write it without indentation, beside global"),
];

/// What holds for every cluster. `shared.scrape_interval` is always there.
pub(super) struct Global {
    pub(super) shared: Shared,
    pub(super) cluster_label: String,
    pub(super) replica_labels: Vec<String>,
    pub(super) typed: Typed,
    pub(super) empty_match: EmptyMatch,
    pub(super) metadata_refresh_interval: Duration,
}

impl Global {
    /// Reads `global` (`None` when it is not in the file) and lays the flags over it.
    pub(super) fn read(field: Option<&Field<'_>>, flags: &Flags, problems: &Problems) -> Self {
        let section = field.and_then(|field| field.section(&[shared::KEYS, KEYS], HINTS));
        let mut global = section
            .as_ref()
            .map_or_else(Self::default, Self::from_section);
        global.shared = from_flags(flags, problems).over(&global.shared);
        let interval = *global.shared.scrape_interval.get_or_insert(SCRAPE_INTERVAL);
        if let Some(Err(text)) = global
            .shared
            .scrape_timeout
            .map(|timeout| timeout_fits(timeout, interval))
        {
            match section
                .as_ref()
                .and_then(|section| section.get("scrape_timeout"))
            {
                Some(field) if flags.scrape_timeout.is_none() => field.fail(text),
                _ => problems.outside("--scrape.timeout", text),
            }
        }
        global
    }

    fn from_section(section: &Section<'_>) -> Self {
        let default = Self::default();
        let cluster_label = section.read("cluster_label", check::added_label_name);
        let replica_labels = section
            .get("replica_labels")
            .and_then(|field| field.list(check::label_name));
        let global = Self {
            shared: Shared::read(section),
            cluster_label: cluster_label.unwrap_or(default.cluster_label),
            replica_labels: replica_labels.unwrap_or(default.replica_labels),
            typed: typed(section).unwrap_or_default(),
            empty_match: empty_match(section).unwrap_or_default(),
            metadata_refresh_interval: section
                .read("metadata_refresh_interval", parse_positive_duration)
                .unwrap_or(default.metadata_refresh_interval),
        };
        if global.replica_labels.contains(&global.cluster_label)
            && let Some(field) = section
                .get("replica_labels")
                .or_else(|| section.get("cluster_label"))
        {
            field.fail(format!(
                "{} is the cluster label and would be dropped as a replica label; name another",
                global.cluster_label
            ));
        }
        global
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            shared: Shared::default(),
            cluster_label: "cluster".to_owned(),
            replica_labels: REPLICA_LABELS.map(str::to_owned).to_vec(),
            typed: Typed::default(),
            empty_match: EmptyMatch::default(),
            metadata_refresh_interval: METADATA_REFRESH_INTERVAL,
        }
    }
}

fn typed(section: &Section<'_>) -> Option<Typed> {
    section.choice(
        "typed",
        &[
            ("true", Typed::True),
            ("full", Typed::Full),
            ("false", Typed::False),
        ],
    )
}

fn empty_match(section: &Section<'_>) -> Option<EmptyMatch> {
    section.choice(
        "empty_match",
        &[("all", EmptyMatch::All), ("none", EmptyMatch::None)],
    )
}

/// The settings that flags may give; a wrong selector is noted.
fn from_flags(flags: &Flags, problems: &Problems) -> Shared {
    let read = |text: &String| {
        check::selector(text)
            .map_err(|error| problems.outside("--match", error))
            .ok()
    };
    let selectors: Vec<_> = flags.matches.iter().filter_map(read).collect();
    Shared {
        scrape_interval: flags.scrape_interval,
        scrape_timeout: flags.scrape_timeout,
        selectors: (!flags.matches.is_empty()).then_some(selectors),
        ..Shared::default()
    }
}
