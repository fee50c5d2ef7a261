//! The series that a script has loaded.

use std::collections::{BTreeMap, BTreeSet};

use tributary::model::matcher::Matcher;
use tributary::query::labels::LabelSet;
use tributary::query::memory::Memory;
use tributary::query::source::Samples;

use super::script::{Load, Values};

#[derive(Default)]
pub(super) struct Store {
    floats: Vec<(LabelSet, Samples)>,
    /// Labels of series with native histograms, which are not kept.
    histograms: BTreeSet<LabelSet>,
}

impl Store {
    pub(super) fn load(&mut self, load: &Load) {
        let mut starts: BTreeMap<&LabelSet, &Vec<Option<i64>>> = BTreeMap::new();
        let mut floats: BTreeMap<&LabelSet, &Vec<Option<f64>>> = BTreeMap::new();
        for series in &load.series {
            match &series.values {
                Values::Histograms => {
                    self.histograms.insert(series.labels.clone());
                }
                Values::Starts(values) => {
                    starts.insert(&series.labels, values);
                }
                // Of two lines for the same series the later one counts.
                Values::Floats(values) => {
                    floats.insert(&series.labels, values);
                }
            }
        }
        for (labels, values) in floats {
            if load.with_nhcb {
                self.histograms.extend(native(labels));
            }
            let samples = samples(values, starts.get(labels).copied(), load.step_ms);
            self.floats.push((labels.clone(), samples));
        }
    }

    pub(super) fn source(&self) -> Memory {
        Memory::new(self.floats.iter().cloned())
    }

    /// Whether any series has a label of its type or unit.
    pub(super) fn has_types(&self) -> bool {
        let has = |name| {
            self.floats
                .iter()
                .any(|(labels, _)| labels.get(name).is_some())
        };
        has("__type__") || has("__unit__")
    }

    /// Whether a series of histograms fits.
    pub(super) fn has_histogram(&self, matchers: &[Matcher]) -> bool {
        self.histograms.iter().any(|labels| {
            let value = |m: &Matcher| labels.get(m.name()).unwrap_or("").to_owned();
            matchers.iter().all(|m| m.matches(&value(m)))
        })
    }
}

fn samples(values: &[Option<f64>], starts: Option<&Vec<Option<i64>>>, step_ms: i64) -> Samples {
    let mut samples = Samples::default();
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let time = i64::try_from(at).unwrap() * step_ms;
        samples.push(time, *value);
        if let Some(starts) = starts {
            let start = starts.get(at).copied().flatten();
            samples.starts.push(start.map_or(0, |start| time + start));
        }
    }
    samples
}

/// The native histogram that a part of a classic one is made into.
fn native(labels: &LabelSet) -> Option<LabelSet> {
    let name = labels.name()?;
    let base = ["_bucket", "_count", "_sum"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))?;
    let others = labels
        .iter()
        .filter(|(name, _)| *name != "le" && *name != "__name__");
    Some(LabelSet::from_pairs(others.chain([("__name__", base)])))
}
