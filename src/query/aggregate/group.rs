//! Which group a row belongs to.

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::query::labels::{LabelKey, LabelSet};
use crate::query::plan::Aggregate;
use crate::query::value::Key;

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
}

impl<'a> Groups<'a> {
    pub(super) fn new(aggregate: &'a Aggregate) -> Self {
        Self {
            names: &aggregate.grouping,
            without: aggregate.without,
            places: HashMap::new(),
            labels: vec![],
            scratch: LabelKey::default(),
            last: LabelKey::default(),
            last_group: usize::MAX,
        }
    }

    /// The group of a row; a new one has the next number.
    pub(super) fn of(&mut self, key: &Key) -> usize {
        self.scratch.clear();
        self.write(key);
        if self.last_group != usize::MAX && self.scratch.as_str() == self.last.as_str() {
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
