//! The settings that `global` and every cluster may have: read from either, and laid over one another.

use std::time::Duration;

use super::check::{self, Selector};
use super::decode::{Field, Section};
use super::preset::Preset;
use super::units::{format_duration, parse_duration, parse_positive_duration, parse_size};
use super::{Compression, LabelConflict, OnBadLine};

/// Their keys, Prometheus' names wherever it has one.
pub(super) const KEYS: &[&str] = &[
    "scrape_interval",
    "scrape_timeout",
    "match",
    "match_preset",
    "cluster_label_conflict",
    "stale_after",
    "on_bad_line",
    "compression",
    "body_size_limit",
    "compressed_body_size_limit",
    "series_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "allow_plaintext_credentials",
];

/// What was written of them in one place; `None` was not written there.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) scrape_interval: Option<Duration>,
    pub(super) scrape_timeout: Option<Duration>,
    pub(super) selectors: Option<Vec<Selector>>,
    pub(super) cluster_label_conflict: Option<LabelConflict>,
    pub(super) stale_after: Option<Duration>,
    pub(super) on_bad_line: Option<OnBadLine>,
    pub(super) compression: Option<Compression>,
    pub(super) body_size_limit: Option<u64>,
    pub(super) compressed_body_size_limit: Option<u64>,
    pub(super) series_limit: Option<u64>,
    pub(super) label_limit: Option<u64>,
    pub(super) label_name_length_limit: Option<u64>,
    pub(super) label_value_length_limit: Option<u64>,
    pub(super) allow_plaintext_credentials: Option<bool>,
}

impl Shared {
    /// Reads these keys from `global` or from a cluster.
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            scrape_interval: section.read("scrape_interval", parse_positive_duration),
            scrape_timeout: section.read("scrape_timeout", parse_positive_duration),
            selectors: matches(section),
            cluster_label_conflict: section.choice(
                "cluster_label_conflict",
                &[
                    ("rename", LabelConflict::Rename),
                    ("honor", LabelConflict::Honor),
                    ("override", LabelConflict::Override),
                ],
            ),
            stale_after: section.read("stale_after", parse_duration),
            on_bad_line: section.choice(
                "on_bad_line",
                &[
                    ("quarantine", OnBadLine::Quarantine),
                    ("fail", OnBadLine::Fail),
                ],
            ),
            compression: section.choice(
                "compression",
                &[
                    ("auto", Compression::Auto),
                    ("gzip", Compression::Gzip),
                    ("identity", Compression::Identity),
                ],
            ),
            body_size_limit: section.read("body_size_limit", parse_size),
            compressed_body_size_limit: section.read("compressed_body_size_limit", parse_size),
            series_limit: section.number("series_limit"),
            label_limit: section.number("label_limit"),
            label_name_length_limit: section.number("label_name_length_limit"),
            label_value_length_limit: section.number("label_value_length_limit"),
            allow_plaintext_credentials: section.flag("allow_plaintext_credentials"),
        }
    }

    /// These settings where they are written, and those of `below` elsewhere.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            scrape_interval: self.scrape_interval.or(below.scrape_interval),
            scrape_timeout: self.scrape_timeout.or(below.scrape_timeout),
            selectors: self.selectors.or_else(|| below.selectors.clone()),
            cluster_label_conflict: self.cluster_label_conflict.or(below.cluster_label_conflict),
            stale_after: self.stale_after.or(below.stale_after),
            on_bad_line: self.on_bad_line.or(below.on_bad_line),
            compression: self.compression.or(below.compression),
            body_size_limit: self.body_size_limit.or(below.body_size_limit),
            compressed_body_size_limit: self
                .compressed_body_size_limit
                .or(below.compressed_body_size_limit),
            series_limit: self.series_limit.or(below.series_limit),
            label_limit: self.label_limit.or(below.label_limit),
            label_name_length_limit: self
                .label_name_length_limit
                .or(below.label_name_length_limit),
            label_value_length_limit: self
                .label_value_length_limit
                .or(below.label_value_length_limit),
            allow_plaintext_credentials: self
                .allow_plaintext_credentials
                .or(below.allow_plaintext_credentials),
        }
    }
}

/// Says what is wrong when a round may take longer than the time to the next one.
pub(super) fn timeout_fits(timeout: Duration, interval: Duration) -> Result<(), String> {
    if timeout <= interval {
        return Ok(());
    }
    let (timeout, interval) = (format_duration(timeout), format_duration(interval));
    Err(format!(
        "{timeout} is longer than the scrape interval of {interval}; write {interval} or less"
    ))
}

/// `match`, or what `match_preset` stands for.
fn matches(section: &Section<'_>) -> Option<Vec<Selector>> {
    let preset = section.choice("match_preset", Preset::WORDS);
    let Some(field) = section.get("match") else {
        return Some(preset?.selectors());
    };
    if let Some(preset) = section.get("match_preset") {
        preset.fail("cannot stand beside match; keep one of them");
    }
    selectors(field)
}

fn selectors(field: &Field<'_>) -> Option<Vec<Selector>> {
    let selectors = field.list(check::selector)?;
    if field.items()?.is_empty() {
        field.fail("is empty; name at least one selector or leave the key out");
    }
    Some(selectors)
}
