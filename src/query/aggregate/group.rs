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
use crate::query::value::{Held, Key};

/// The groups so far, numbered in the order in which they appeared.
pub(super) struct Groups<'a> {
    names: &'a [String],
    without: bool,
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

/// Series of a source that share a group.
struct Alike {
    set: Arc<dyn SeriesSet>,
    /// By series: a number that those have that are alike. Empty if the source does not know.
    numbers: Vec<u32>,
    /// By number: the group of the series with their names, and of those without.
    groups: Vec<[usize; 2]>,
}

/// The group of a number of which no row has come yet.
const UNKNOWN: usize = usize::MAX;

impl<'a> Groups<'a> {
    pub(super) fn new(aggregate: &'a Aggregate, budget: &Arc<Budget>) -> Self {
        Self {
            names: &aggregate.grouping,
            without: aggregate.without,
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
        let Some((set, series)) = key.origin().filter(|_| self.by_labels()) else {
            return Ok(self.of_labels(key));
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
            return Ok(self.of_labels(key));
        };
        let group = groups[number][usize::from(key.stripped)];
        if group != UNKNOWN {
            return Ok(group);
        }
        let group = self.of_labels(key);
        self.alike[at].groups[number][usize::from(key.stripped)] = group;
        Ok(group)
    }

    /// Whether there are labels that tell groups apart.
    fn by_labels(&self) -> bool {
        self.without || !self.names.is_empty()
    }

    /// Asks a source which series are alike.
    fn ask(&mut self, set: &Arc<dyn SeriesSet>) -> Result<usize, Stop> {
        let numbers = set.alike(self.names, self.without).unwrap_or_default();
        let count = numbers.iter().max().map_or(0, |most| *most as usize + 1);
        let groups = vec![[UNKNOWN; 2]; count];
        let bytes = size_of_val(&numbers[..]) + size_of_val(&groups[..]);
        self.held.add(0, bytes as u64)?;
        self.alike.push(Alike {
            set: set.clone(),
            numbers,
            groups,
        });
        Ok(self.alike.len() - 1)
    }

    fn of_labels(&mut self, key: &Key) -> usize {
        self.scratch.clear();
        self.write(key);
        if self.last_group != UNKNOWN && self.scratch.as_str() == self.last.as_str() {
            return self.last_group;
        }
        let text = self.scratch.as_str();
        let group = if let Some(group) = self.places.get(text) {
            *group
        } else {
            self.places.insert(text.into(), self.labels.len());
            self.labels.push(self.scratch.to_set());
            self.labels.len() - 1
        };
        std::mem::swap(&mut self.scratch, &mut self.last);
        self.last_group = group;
        group
    }

    /// The labels of a group.
    pub(super) fn labels(&self, group: usize) -> &LabelSet {
        &self.labels[group]
    }

    fn write(&mut self, key: &Key) {
        let (names, out) = (self.names, &mut self.scratch);
        if self.without {
            key.visit(&mut |name, value| {
                let dropped = |have: &String| have.as_str().cmp(name);
                if name != METRIC_NAME && names.binary_search_by(dropped).is_err() {
                    out.push(name, value);
                }
            });
        } else if !names.is_empty() {
            let mut next = 0; // both lists are sorted
            key.visit(&mut |name, value| {
                while names.get(next).is_some_and(|wanted| wanted.as_str() < name) {
                    next += 1;
                }
                if names.get(next).is_some_and(|wanted| wanted == name) {
                    out.push(name, value);
                }
            });
        }
    }
}
