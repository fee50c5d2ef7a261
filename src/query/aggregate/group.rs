//! Which group a row belongs to.
//!
//! A source may say which of its series are alike in the labels that count. Then they are read once for all of those;
//! else for every row.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::query::budget::{Budget, Stop};
use crate::query::labels::{LabelKey, LabelSet};
use crate::query::plan::Aggregate;
use crate::query::source::SeriesSet;
use crate::query::value::{Held, Key, entry_bytes};

/// The groups so far, numbered in the order in which they appeared.
pub(super) struct Groups<'a> {
    grouping: Grouping<'a>,
    places: HashMap<Box<str>, usize>,
    labels: Vec<LabelSet>,
    scratch: LabelKey,
    /// The key of the row before, and its group: rows of one group often come one after the other.
    last: LabelKey,
    last_group: usize,
    /// What sources said, one for each of them.
    alike: Vec<Alike>,
    held: Held,
}

/// Which labels tell groups apart.
#[derive(Clone, Copy)]
struct Grouping<'a> {
    /// Sorted.
    names: &'a [String],
    without: bool,
}

impl Grouping<'_> {
    fn counts(self, label: &str) -> bool {
        let named = self.names.binary_search_by(|name| name.as_str().cmp(label));
        if self.without {
            named.is_err() && label != METRIC_NAME
        } else {
            named.is_ok()
        }
    }

    /// Whether all rows are one group.
    fn is_one(self) -> bool {
        !self.without && self.names.is_empty()
    }
}

/// Series of a source that share a group.
struct Alike {
    set: Arc<dyn SeriesSet>,
    /// By series: a number that those have that are alike. Empty if the source does not know.
    numbers: Vec<u32>,
    /// By number: the group of the series with their names, and of those without.
    groups: Vec<[usize; 2]>,
}

/// No group yet.
const UNKNOWN: usize = usize::MAX;

impl<'a> Groups<'a> {
    pub(super) fn new(aggregate: &'a Aggregate, budget: &Arc<Budget>) -> Self {
        Self {
            grouping: Grouping {
                names: &aggregate.grouping,
                without: aggregate.without,
            },
            places: HashMap::new(),
            labels: vec![],
            scratch: LabelKey::default(),
            last: LabelKey::default(),
            last_group: UNKNOWN,
            alike: vec![],
            held: Held::new(budget),
        }
    }

    /// The group of a row; a new one has the next number.
    pub(super) fn of(&mut self, key: &Key) -> Result<usize, Stop> {
        let Some((set, series)) = key.origin().filter(|_| !self.grouping.is_one()) else {
            return self.of_labels(key);
        };
        let known = |alike: &Alike| Arc::ptr_eq(&alike.set, set);
        let at = match self.alike.iter().position(known) {
            Some(at) => at,
            None => self.ask(set)?,
        };
        let Alike {
            numbers, groups, ..
        } = &self.alike[at];
        let Some(number) = numbers.get(series).map(|number| *number as usize) else {
            return self.of_labels(key);
        };
        let group = groups[number][usize::from(key.stripped)];
        if group != UNKNOWN {
            return Ok(group);
        }
        let group = self.of_labels(key)?;
        self.alike[at].groups[number][usize::from(key.stripped)] = group;
        Ok(group)
    }

    /// Asks a source which series are alike.
    fn ask(&mut self, set: &Arc<dyn SeriesSet>) -> Result<usize, Stop> {
        let numbers_bytes = set.len() * size_of::<u32>();
        self.held.add(0, numbers_bytes as u64)?;
        let grouping = self.grouping;
        let numbers = set.alike(&|label| grouping.counts(label));
        let numbers = numbers.unwrap_or_default();
        let count = numbers.iter().max().map_or(0, |most| *most as usize + 1);
        self.held.add(0, (count * size_of::<[usize; 2]>()) as u64)?;
        self.alike.push(Alike {
            set: set.clone(),
            numbers,
            groups: vec![[UNKNOWN; 2]; count],
        });
        Ok(self.alike.len() - 1)
    }

    fn of_labels(&mut self, key: &Key) -> Result<usize, Stop> {
        self.scratch.clear();
        self.write(key);
        if self.last_group != UNKNOWN && self.scratch.as_str() == self.last.as_str() {
            return Ok(self.last_group);
        }
        let text = self.scratch.as_str();
        let group = if let Some(group) = self.places.get(text) {
            *group
        } else {
            let labels = self.scratch.to_set();
            let bytes = entry_bytes(text) + labels.size_bytes() as u64;
            self.held.add(0, bytes)?;
            self.places.insert(text.into(), self.labels.len());
            self.labels.push(labels);
            self.labels.len() - 1
        };
        std::mem::swap(&mut self.scratch, &mut self.last);
        self.last_group = group;
        Ok(group)
    }

    /// The labels of a group.
    pub(super) fn labels(&self, group: usize) -> &LabelSet {
        &self.labels[group]
    }

    fn write(&mut self, key: &Key) {
        let (grouping, out) = (self.grouping, &mut self.scratch);
        if !grouping.is_one() {
            key.visit(&mut |name, value| {
                if grouping.counts(name) {
                    out.push(name, value);
                }
            });
        }
    }
}
