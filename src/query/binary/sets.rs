//! `and`, `or`, `unless`: rows of one side, where the other side has, or lacks, one of the same signature.

use super::signature::Signatures;
use crate::query::budget::Stop;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Merger, Sink, emit};
use crate::query::plan::Binary;
use crate::query::value::{ABSENT, Grid, Key, is_absent, is_present};

/// At which steps a signature is there.
struct Presence {
    signatures: Signatures,
    steps: usize,
    flags: Vec<bool>,
}

impl Presence {
    fn new(eval: &Evaluator<'_>, binary: &Binary, grid: Grid) -> Result<Self, QueryError> {
        let matching = binary
            .matching
            .as_ref()
            .ok_or_else(|| QueryError::internal("the plan lacks how vectors match"))?;
        Ok(Self {
            signatures: Signatures::new(matching, eval.budget),
            steps: grid.steps,
            flags: vec![],
        })
    }

    fn note(&mut self, key: &Key, cells: &[f64]) -> Result<(), Stop> {
        let signature = self.signatures.number(key)?;
        let end = (signature + 1) * self.steps;
        if self.flags.len() < end {
            self.signatures.hold(self.steps)?;
            self.flags.resize(end, false);
        }
        let flags = &mut self.flags[end - self.steps..];
        for (flag, cell) in flags.iter_mut().zip(cells) {
            *flag |= is_present(*cell);
        }
        Ok(())
    }

    /// A flag for each step, if the row's signature was there at any.
    fn of(&mut self, key: &Key) -> Option<&[bool]> {
        let signature = self.signatures.known(key)?;
        Some(&self.flags[signature * self.steps..(signature + 1) * self.steps])
    }
}

/// The rows of the left side where the right side has (`wanted`), or has not, one of the same signature.
pub(super) fn and(
    eval: &Evaluator<'_>,
    binary: &Binary,
    grid: Grid,
    sink: Sink<'_>,
    wanted: bool,
) -> Result<(), QueryError> {
    let mut there = Presence::new(eval, binary, grid)?;
    eval.rows(&binary.right, grid, &mut |key, cells| {
        Ok(there.note(key, cells)?)
    })?;
    eval.rows(&binary.left, grid, &mut |key, cells| {
        let there = there.of(key);
        for (step, cell) in cells.iter_mut().enumerate() {
            if there.is_some_and(|there| there[step]) != wanted {
                *cell = ABSENT;
            }
        }
        if cells.iter().all(|cell| is_absent(*cell)) {
            return Ok(());
        }
        sink(key, cells)
    })
}

/// The rows of the left side, and those of the right side where the left has none of the same signature.
pub(super) fn or(
    eval: &Evaluator<'_>,
    binary: &Binary,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let mut there = Presence::new(eval, binary, grid)?;
    let mut merged = Merger::new(grid.steps, eval.budget);
    eval.rows(&binary.left, grid, &mut |key, cells| {
        there.note(key, cells)?;
        merged.push(key, cells)
    })?;
    eval.rows(&binary.right, grid, &mut |key, cells| {
        if let Some(there) = there.of(key) {
            for (cell, there) in cells.iter_mut().zip(there) {
                if *there {
                    *cell = ABSENT;
                }
            }
        }
        if cells.iter().all(|cell| is_absent(*cell)) {
            return Ok(());
        }
        merged.push(key, cells)
    })?;
    emit(merged.block, sink)
}
