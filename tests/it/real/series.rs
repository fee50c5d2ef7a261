//! What a server holds: all series of a stretch of time with their samples, and the comparison of two such.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fleet::CENTRE_JOB;
use crate::support::prometheus::Prometheus;

type Labels = BTreeMap<String, String>;

/// Samples by labels: time as it is written, in seconds, and value as it is written.
pub(super) struct Held(BTreeMap<Labels, Vec<(String, String)>>);

impl Held {
    /// Reads the `stretch_ms` before `end_ms`: everything that was federated, perhaps without one cluster. What a
    /// centre says of its own scrapes and what Tributary says of itself is left out.
    pub(super) fn read(
        server: &Prometheus,
        end_ms: i64,
        stretch_ms: i64,
        without: Option<&str>,
    ) -> Self {
        let others = without.map_or(String::new(), |cluster| format!(",cluster!=\"{cluster}\""));
        let selector = format!(
            "{{__name__=~\".+\",__name__!~\"tributary_.*\",job!=\"{CENTRE_JOB}\"{others}}}[{stretch_ms}ms]"
        );
        let found = server.query(&selector, end_ms).into_iter().map(|series| {
            let labels = serde_json::from_value(series["metric"].clone()).unwrap();
            let samples = series["values"].as_array().unwrap().iter();
            let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            (
                labels,
                samples
                    .map(|sample| (word(&sample[0]), word(&sample[1])))
                    .collect(),
            )
        });
        Self(found.collect())
    }

    pub(super) fn series(&self) -> usize {
        self.0.len()
    }

    pub(super) fn samples(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub(super) fn all_have(&self, name: &str, value: &str) -> bool {
        self.0
            .keys()
            .all(|labels| labels.get(name).is_some_and(|found| found == value))
    }

    pub(super) fn none_has(&self, name: &str) -> bool {
        self.0.keys().all(|labels| !labels.contains_key(name))
    }

    /// The same series without one label, which must not make two of them one.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut stripped = BTreeMap::new();
        for (labels, samples) in &self.0 {
            let mut labels = labels.clone();
            labels.remove(name);
            assert!(stripped.insert(labels, samples.clone()).is_none());
        }
        Self(stripped)
    }

    /// Fails with the first differences.
    #[track_caller]
    pub(super) fn assert_equals(&self, other: &Self) {
        let all: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differ = all
            .into_iter()
            .filter(|labels| self.0.get(*labels) != other.0.get(*labels));
        let lines: Vec<_> = differ
            .map(|labels| {
                format!(
                    "{labels:?}\n  {:?}\n  {:?}",
                    self.0.get(labels),
                    other.0.get(labels)
                )
            })
            .collect();
        assert!(
            lines.is_empty(),
            "{} of {} series differ:\n{}",
            lines.len(),
            self.0.len(),
            lines[..lines.len().min(5)].join("\n")
        );
    }
}

/// The times of the samples of the one series that a selector finds.
pub(super) fn times(
    server: &Prometheus,
    selector: &str,
    end_ms: i64,
    stretch_ms: i64,
) -> Vec<String> {
    let found = server.query(&format!("{selector}[{stretch_ms}ms]"), end_ms);
    assert_eq!(found.len(), 1, "{selector}: {found:?}");
    let samples = found[0]["values"].as_array().unwrap().iter();
    samples.map(|sample| sample[0].to_string()).collect()
}
