//! Values: those of an answer, and those that flow between the parts of a plan.
//!
//! Inside, a vector over many steps is a [`Block`]: rows of series, columns of steps, all numbers in one buffer. A
//! series that has no value at a step holds [`ABSENT`] there. Rows flow one by one where nothing needs them all
//! (`sum(rate(x[1m]))`), and then no block is ever made.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::budget::{Budget, Stop};
use super::labels::{LabelKey, LabelSet, is_metadata};
use super::source::{STALE_BITS, SeriesSet};

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number, at a time in milliseconds.
    Scalar(i64, f64),
    /// A text, at a time in milliseconds.
    String(i64, String),
    /// One sample of each series, in the order of the evaluation: `sort` and `topk` count.
    Vector(Vec<Sample>),
    /// Many samples of each series, sorted by labels, each series' samples by time.
    Matrix(Vec<Series>),
}

/// One sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The value.
    pub value: f64,
}

/// Samples of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: LabelSet,
    /// Times in milliseconds since 1970, rising, and values.
    pub points: Vec<(i64, f64)>,
}

/// Stands where a series has no value at a step. No computation gives these bits: arithmetic makes NaNs quiet, and
/// stale markers are left out where samples are read.
pub(super) const ABSENT: f64 = f64::from_bits(STALE_BITS);

/// Whether there is no value.
#[inline]
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Whether there is one.
#[inline]
pub(super) fn is_present(value: f64) -> bool {
    !is_absent(value)
}

/// The times at which something is evaluated: `start`, `start + step`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// The first time, in milliseconds.
    pub(super) start: i64,
    /// Their distance; at least 1.
    pub(super) step: i64,
    /// How many there are.
    pub(super) steps: usize,
}

impl Grid {
    /// From `start` to `end`, both included if `end` is on the grid; empty if `end` is before `start`.
    pub(super) fn new(start: i64, end: i64, step: i64) -> Self {
        let step = step.max(1);
        let steps = if end < start {
            0
        } else {
            usize::try_from((end - start) / step).unwrap_or(usize::MAX - 1) + 1
        };
        Self { start, step, steps }
    }

    /// The first time alone.
    pub(super) fn first(self) -> Self {
        Self {
            steps: self.steps.min(1),
            ..self
        }
    }

    /// The time of a step.
    #[inline]
    pub(super) fn at(self, step: usize) -> i64 {
        // No grid is longer than the budget of samples allows.
        self.start
            + i64::try_from(step)
                .unwrap_or(i64::MAX)
                .saturating_mul(self.step)
    }

    /// The last time.
    pub(super) fn end(self) -> i64 {
        self.at(self.steps.max(1) - 1)
    }

    /// All times.
    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.steps).map(move |step| self.at(step))
    }
}

/// Labels of a row: a set, or a series of a source whose labels are read only when they are needed.
#[derive(Clone, Debug)]
pub(super) struct Key {
    labels: KeyLabels,
    /// The labels that say what the metric is (name, type, unit) are gone.
    pub(super) stripped: bool,
    /// They go when the query ends (delayed name removal).
    pub(super) drop_name: bool,
}

#[derive(Clone, Debug)]
enum KeyLabels {
    Set(LabelSet),
    Series(Arc<dyn SeriesSet>, usize),
}

impl Key {
    /// The key of a label set.
    pub(super) fn set(labels: LabelSet) -> Self {
        Self {
            labels: KeyLabels::Set(labels),
            stripped: false,
            drop_name: false,
        }
    }

    /// The key of a series of a source.
    pub(super) fn series(set: &Arc<dyn SeriesSet>, at: usize) -> Self {
        Self {
            labels: KeyLabels::Series(set.clone(), at),
            stripped: false,
            drop_name: false,
        }
    }

    /// Becomes the key of another series of the same source, as if fresh.
    pub(super) fn move_to(&mut self, series: usize) {
        if let KeyLabels::Series(_, at) = &mut self.labels {
            *at = series;
        }
        self.stripped = false;
        self.drop_name = false;
    }

    /// The series of a source that the labels are of.
    #[inline]
    pub(super) fn origin(&self) -> Option<(&Arc<dyn SeriesSet>, usize)> {
        match &self.labels {
            KeyLabels::Set(_) => None,
            KeyLabels::Series(set, at) => Some((set, *at)),
        }
    }

    /// Calls `visit(name, value)` for each label, sorted by name.
    #[inline]
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&str, &str)) {
        let stripped = self.stripped;
        let mut visit = |name: &str, value: &str| {
            if !(stripped && is_metadata(name)) {
                visit(name, value);
            }
        };
        match &self.labels {
            KeyLabels::Set(set) => set.iter().for_each(|(name, value)| visit(name, value)),
            KeyLabels::Series(set, at) => set.labels(*at, &mut visit),
        }
    }

    /// The bytes that it takes up. Sets may be shared; they count for each key.
    fn size_bytes(&self) -> usize {
        let labels = match &self.labels {
            KeyLabels::Set(set) => set.size_bytes(),
            KeyLabels::Series(..) => 0,
        };
        size_of::<Self>() + labels
    }

    /// The labels as a set.
    pub(super) fn to_set(&self) -> LabelSet {
        match &self.labels {
            KeyLabels::Set(set) if !self.stripped => set.clone(),
            _ => {
                let mut key = LabelKey::default();
                self.write(&mut key);
                key.to_set()
            }
        }
    }

    /// Appends all labels.
    pub(super) fn write(&self, out: &mut LabelKey) {
        self.visit(&mut |name, value| out.push(name, value));
    }

    /// A copy of the value of `name`, empty where it is missing.
    pub(super) fn get(&self, name: &str) -> String {
        let mut found = String::new();
        self.visit(&mut |have, value| {
            if have == name {
                value.clone_into(&mut found);
            }
        });
        found
    }
}

/// Rows of series, columns of steps. What it holds counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct Block {
    /// The labels of each row.
    pub(super) keys: Vec<Key>,
    cells: Vec<f64>,
    steps: usize,
    held: Held,
}

/// Counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    samples: u64,
    bytes: u64,
}

impl Held {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: budget.clone(),
            samples: 0,
            bytes: 0,
        }
    }

    /// Notes more samples and bytes; fails where they are too many.
    pub(super) fn add(&mut self, samples: u64, bytes: u64) -> Result<(), Stop> {
        self.samples += samples;
        self.bytes += bytes;
        self.budget.hold(samples, bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.release(self.samples, self.bytes);
    }
}

/// A number for each step. It counts as memory until it is dropped.
#[derive(Debug)]
pub(super) struct Row {
    cells: Vec<f64>,
    #[expect(dead_code, reason = "dropping it gives the bytes back")]
    held: Held,
}

impl Row {
    /// The same number at each step.
    pub(super) fn of(value: f64, grid: Grid, budget: &Arc<Budget>) -> Result<Self, Stop> {
        budget.peek(grid.steps as u64)?;
        let mut held = Held::new(budget);
        held.add(
            0,
            (size_of::<f64>() as u64).saturating_mul(grid.steps as u64),
        )?;
        let cells = vec![value; grid.steps];
        Ok(Self { cells, held })
    }
}

impl Deref for Row {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.cells
    }
}

impl DerefMut for Row {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.cells
    }
}

/// What an entry costs in a table that finds it by its text: text, place, and the room that such tables keep.
pub(super) fn entry_bytes(text: &str) -> u64 {
    (text.len() + 2 * size_of::<(Box<str>, usize)>()) as u64
}

impl Block {
    /// A block without rows.
    pub(super) fn new(steps: usize, budget: &Arc<Budget>) -> Self {
        Self {
            keys: vec![],
            cells: vec![],
            steps,
            held: Held::new(budget),
        }
    }

    /// Adds a row; as many numbers as there are steps.
    pub(super) fn push(&mut self, key: Key, cells: &[f64]) -> Result<(), Stop> {
        let bytes = size_of_val(cells) + key.size_bytes();
        self.held.add(cells.len() as u64, bytes as u64)?;
        self.keys.push(key);
        self.cells.extend_from_slice(cells);
        Ok(())
    }

    /// Notes what is held beside the rows and for as long.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Stop> {
        self.held.add(0, bytes)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many columns.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The numbers of a row.
    #[inline]
    pub(super) fn row(&self, at: usize) -> &[f64] {
        &self.cells[at * self.steps..(at + 1) * self.steps]
    }

    /// The numbers of a row, to be changed.
    #[inline]
    pub(super) fn row_mut(&mut self, at: usize) -> &mut [f64] {
        &mut self.cells[at * self.steps..(at + 1) * self.steps]
    }

    /// Key and numbers of a row, to be changed.
    pub(super) fn entry(&mut self, at: usize) -> (&mut Key, &mut [f64]) {
        let cells = &mut self.cells[at * self.steps..(at + 1) * self.steps];
        (&mut self.keys[at], cells)
    }

    /// A number.
    #[inline]
    pub(super) fn cell(&self, row: usize, step: usize) -> f64 {
        self.cells[row * self.steps + step]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids() {
        let check = |start, end, step, want: &[i64]| {
            let grid = Grid::new(start, end, step);
            assert_eq!(grid.times().collect::<Vec<_>>(), want, "{grid:?}");
        };
        check(0, 0, 0, &[0]);
        check(0, 10, 5, &[0, 5, 10]);
        check(-5, 4, 5, &[-5, 0]);
        check(1, 0, 5, &[]);
        assert_eq!(Grid::new(0, 11, 5).end(), 10);
    }

    #[test]
    fn arithmetic_never_gives_the_mark_of_absence() {
        let zero = std::hint::black_box(0.0);
        for value in [ABSENT + 1.0, -(ABSENT * 1.0), zero / zero, f64::NAN] {
            assert!(is_present(value));
        }
        assert!(is_absent(ABSENT) && is_present(f64::INFINITY));
    }
}
