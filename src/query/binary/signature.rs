//! What series of two sides must have in common to meet.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::promql::ast::VectorMatching;
use crate::query::budget::{Budget, Stop};
use crate::query::labels::{LabelKey, LabelSet};
use crate::query::value::{Held, Key, entry_bytes};

/// Numbers signatures in the order in which they appear.
pub(super) struct Signatures {
    on: bool,
    names: Vec<String>,
    places: HashMap<Box<str>, usize>,
    scratch: LabelKey,
    held: Held,
}

impl Signatures {
    pub(super) fn new(matching: &VectorMatching, budget: &Arc<Budget>) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Self {
            on: matching.on,
            names,
            places: HashMap::new(),
            scratch: LabelKey::default(),
            held: Held::new(budget),
        }
    }

    /// The number of a row's signature.
    pub(super) fn number(&mut self, key: &Key) -> Result<usize, Stop> {
        self.write(key);
        let text = self.scratch.as_str();
        if let Some(number) = self.places.get(text) {
            return Ok(*number);
        }
        self.held.add(0, entry_bytes(text))?;
        let number = self.places.len();
        self.places.insert(text.into(), number);
        Ok(number)
    }

    /// Notes what is kept by signature, for as long as these are.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        self.held.add(0, bytes as u64)
    }

    /// The number of a row's signature, if it has been seen.
    pub(super) fn known(&mut self, key: &Key) -> Option<usize> {
        self.write(key);
        self.places.get(self.scratch.as_str()).copied()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// The labels that a row has to share.
    pub(super) fn labels(&mut self, key: &Key) -> LabelSet {
        self.write(key);
        self.scratch.to_set()
    }

    fn write(&mut self, key: &Key) {
        let (names, out, on) = (&self.names, &mut self.scratch, self.on);
        out.clear();
        key.visit(&mut |name, value| {
            let named = names
                .binary_search_by(|have| have.as_str().cmp(name))
                .is_ok();
            if named == on {
                out.push(name, value);
            }
        });
    }
}
