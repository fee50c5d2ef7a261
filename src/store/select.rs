//! Which series a set of `match[]` selects.
//!
//! A selector that only names metrics or clusters is answered by whole blocks. Any other looks at labels, and the
//! verdict on a series is kept ([`Memo`]): a federate job sends the same selectors every few seconds, so from the
//! second time on only series that appeared since are looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::parse::finished::LabelReader;

use super::snapshot::{Family, Line};

/// At most this many selections keep their verdicts; the one unused for longest goes first.
const MEMOS_MAX: usize = 32;

/// A union of selectors.
#[derive(Debug)]
pub struct Selection {
    sets: Vec<Vec<Matcher>>,
    /// The selectors as canonical text: what equal selections have in common.
    key: Arc<str>,
}

/// What a selection takes of one family of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    None,
    /// The whole block.
    Whole,
    /// Some lines.
    Lines,
}

impl Selection {
    /// The union of `sets`, each a conjunction of matchers. `key` must be the same text for the same sets only.
    pub fn new(sets: Vec<Vec<Matcher>>, key: String) -> Self {
        Self {
            sets,
            key: key.into(),
        }
    }

    /// The canonical text.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// What is selected of a family. `cluster` is (label, value) where every series of the block carries just that.
    pub fn part_of(&self, family: &str, cluster: Option<(&str, &str)>) -> Part {
        let mut part = Part::None;
        for set in &self.sets {
            match set_part(set, family, cluster) {
                Part::Whole => return Part::Whole,
                Part::Lines => part = Part::Lines,
                Part::None => {}
            }
        }
        part
    }

    /// Whether a finished line is selected. The reader is for lines of one family, one after the other.
    fn takes<'a>(&self, line: &'a [u8], reader: &mut LabelReader<'a>) -> bool {
        if !reader.read(line) {
            return false;
        }
        let takes = |matcher: &Matcher| {
            let mut labels = reader.labels().iter();
            let found = labels.find(|label| label.name == matcher.name());
            let value = std::str::from_utf8(found.map_or(b"", |label| &label.value));
            value.is_ok_and(|value| matcher.matches(value))
        };
        self.sets.iter().any(|set| set.iter().all(takes))
    }
}

fn set_part(set: &[Matcher], family: &str, cluster: Option<(&str, &str)>) -> Part {
    let mut part = Part::Whole;
    for matcher in set {
        let known = match (matcher.name(), cluster) {
            (METRIC_NAME, _) => Some(family),
            (name, Some((label, value))) if name == label => Some(value),
            _ => None,
        };
        match known {
            Some(value) if !matcher.matches(value) => return Part::None,
            Some(_) => {}
            None => part = Part::Lines,
        }
    }
    part
}

/// Verdicts on the series of one cluster, by slot.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    /// The numbering of the slots.
    lineage: u64,
    verdicts: Vec<Verdict>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    /// Round in which the series judged took the slot; 0: nobody was judged.
    born: u32,
    taken: bool,
}

impl Memo {
    fn get(&self, line: &Line) -> Option<bool> {
        let verdict = self.verdicts.get(line.slot as usize)?;
        (verdict.born == line.born).then_some(verdict.taken)
    }

    fn set(&mut self, line: &Line, taken: bool) {
        let at = line.slot as usize;
        if at >= self.verdicts.len() {
            self.verdicts.resize(at + 1, Verdict::default());
        }
        self.verdicts[at] = Verdict {
            born: line.born,
            taken,
        };
    }

    /// Copies the selected lines of a family to `out`; returns how many series had to be judged anew.
    pub fn copy_lines(
        memo: &mut Arc<Self>,
        selection: &Selection,
        family: &Family,
        out: &mut Vec<u8>,
    ) -> usize {
        let text = family.block.text();
        let (mut judged, mut run) = (0, 0..0);
        let mut reader = LabelReader::default();
        for (line, place) in family.lines.iter(text.len()) {
            let taken = memo.get(line).unwrap_or_else(|| {
                judged += 1;
                let taken = selection.takes(&text[place.clone()], &mut reader);
                Arc::make_mut(memo).set(line, taken);
                taken
            });
            if !taken {
                continue;
            }
            if run.end != place.start {
                out.extend_from_slice(&text[run]);
                run = place.start..place.start;
            }
            run.end = place.end;
        }
        out.extend_from_slice(&text[run]);
        judged
    }
}

/// The memos of the selections that were asked for of late.
#[derive(Debug, Default)]
pub struct Memos {
    by_selection: DashMap<Arc<str>, Remembered>,
    clock: AtomicU64,
}

#[derive(Debug)]
struct Remembered {
    used: u64,
    by_lineage: HashMap<u64, Arc<Memo>>,
}

impl Memos {
    /// The verdicts known for a selection, one memo for each of these lineages; empty ones where nothing is known.
    pub fn take(
        &self,
        selection: &Selection,
        lineages: impl Iterator<Item = u64>,
    ) -> Vec<Arc<Memo>> {
        let known = self.by_selection.get(selection.key());
        let memo = |lineage| {
            let known = known.as_ref()?.by_lineage.get(&lineage)?;
            Some(known.clone())
        };
        let empty = |lineage| {
            let verdicts = Vec::new();
            Arc::new(Memo { lineage, verdicts })
        };
        lineages
            .map(|lineage| memo(lineage).unwrap_or_else(|| empty(lineage)))
            .collect()
    }

    /// Keeps verdicts for the next time.
    pub fn put(&self, selection: &Selection, clusters: Vec<Arc<Memo>>) {
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let by_lineage = clusters
            .into_iter()
            .map(|memo| (memo.lineage, memo))
            .collect();
        let remembered = Remembered { used, by_lineage };
        self.by_selection
            .insert(selection.key().clone(), remembered);
        if self.by_selection.len() > MEMOS_MAX {
            let oldest = self
                .by_selection
                .iter()
                .min_by_key(|entry| entry.used)
                .map(|entry| entry.key().clone());
            oldest.map(|key| self.by_selection.remove(&key));
        }
    }
}
