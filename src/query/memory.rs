//! A source that is a list of series: for tests, benches, and what was fetched from elsewhere.

use std::sync::Arc;

use super::budget::Budget;
use super::labels::{LabelSet, is_metadata};
use super::source::{Samples, Selected, SeriesSet, Source, SourceError, Want};
use crate::model::labels::METRIC_NAME;

/// Series in memory, sorted by labels.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    series: Vec<Arc<(LabelSet, Samples)>>,
    /// Some series has a label of its type or unit.
    typed: bool,
}

impl Memory {
    /// Takes series in any order. Samples of equal label sets are joined; of two of the same time the first one stays.
    pub fn new(series: impl IntoIterator<Item = (LabelSet, Samples)>) -> Self {
        let mut list: Vec<(LabelSet, Samples)> = series.into_iter().collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = joined(&kept.1, &later.1);
            }
            same
        });
        let is_other = |(name, _): (&str, &str)| name != METRIC_NAME && is_metadata(name);
        Self {
            typed: list.iter().any(|(labels, _)| labels.iter().any(is_other)),
            series: list.into_iter().map(Arc::new).collect(),
        }
    }
}

/// The samples of both, in order of time.
fn joined(a: &Samples, b: &Samples) -> Samples {
    let rows = |s: &Samples| -> Vec<(i64, f64, i64)> {
        let start = |at: usize| s.starts.get(at).copied().unwrap_or(0);
        (0..s.times.len())
            .map(|at| (s.times[at], s.values[at], start(at)))
            .collect()
    };
    let mut all = rows(a);
    all.extend(rows(b));
    all.sort_by_key(|row| row.0);
    all.dedup_by_key(|row| row.0);
    let known = all.iter().any(|row| row.2 != 0);
    Samples {
        times: all.iter().map(|row| row.0).collect(),
        values: all.iter().map(|row| row.1).collect(),
        starts: if known {
            all.iter().map(|row| row.2).collect()
        } else {
            vec![]
        },
    }
}

impl Source for Memory {
    async fn select(&self, want: &Want<'_>, _budget: &Budget) -> Result<Selected, SourceError> {
        let fits = |labels: &LabelSet| {
            want.matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        };
        let series = self
            .series
            .iter()
            .filter(|series| fits(&series.0))
            .cloned()
            .collect();
        let typed = self.typed;
        Ok(Selected::of(Arc::new(MemorySet { series, typed })))
    }
}

#[derive(Debug)]
struct MemorySet {
    series: Vec<Arc<(LabelSet, Samples)>>,
    typed: bool,
}

impl SeriesSet for MemorySet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.series[series].0 {
            visit(name, value);
        }
    }

    fn samples(&self, series: usize, out: &mut Samples) {
        let samples = &self.series[series].1;
        out.times.extend_from_slice(&samples.times);
        out.values.extend_from_slice(&samples.values);
        out.starts.extend_from_slice(&samples.starts);
    }

    fn newest(&self, series: usize, at_ms: i64, _: &mut Samples) -> Option<(i64, f64)> {
        let samples = &self.series[series].1;
        let count = samples.times.partition_point(|time| *time <= at_ms);
        let at = count.checked_sub(1)?;
        Some((samples.times[at], samples.values[at]))
    }

    fn may_have_type_or_unit(&self) -> bool {
        self.typed
    }
}
