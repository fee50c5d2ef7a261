//! `and`, `or`, `unless`: rows of one side, where the other side has, or lacks, one of the same signature.

use super::signature::Signatures;
use crate::promql::ast::VectorMatching;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Merger, Sink, emit};
use crate::query::plan::Binary;
use crate::query::value::{ABSENT, Grid, is_absent, is_present};

/// At which steps a signature is there.
struct Presence {
    steps: usize,
    flags: Vec<bool>,
}

impl Presence {
    fn note(&mut self, signature: usize, cells: &[f64]) {
        let end = (signature + 1) * self.steps;
        if self.flags.len() < end {
            self.flags.resize(end, false);
        }
        let flags = &mut self.flags[end - self.steps..];
        for (flag, cell) in flags.iter_mut().zip(cells) {
            *flag |= is_present(*cell);
        }
    }

    fn of(&self, signature: usize) -> &[bool] {
        &self.flags[signature * self.steps..(signature + 1) * self.steps]
    }
}

fn matching(binary: &Binary) -> Result<&VectorMatching, QueryError> {
    binary
        .matching
        .as_ref()
        .ok_or_else(|| QueryError::internal("the plan lacks how vectors match"))
}

/// The rows of the left side where the right side has (`wanted`), or has not, one of the same signature.
pub(super) fn and(
    eval: &Evaluator<'_>,
    binary: &Binary,
    grid: Grid,
    sink: Sink<'_>,
    wanted: bool,
) -> Result<(), QueryError> {
    let mut signatures = Signatures::new(matching(binary)?);
    let mut there = Presence {
        steps: grid.steps,
        flags: vec![],
    };
    eval.rows(&binary.right, grid, &mut |key, cells| {
        there.note(signatures.number(key), cells);
        Ok(())
    })?;
    eval.rows(&binary.left, grid, &mut |key, cells| {
        let there = signatures.known(key).map(|signature| there.of(signature));
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
    let mut signatures = Signatures::new(matching(binary)?);
    let mut there = Presence {
        steps: grid.steps,
        flags: vec![],
    };
    let mut merged = Merger::new(grid.steps, eval.budget);
    eval.rows(&binary.left, grid, &mut |key, cells| {
        there.note(signatures.number(key), cells);
        merged.push(key, cells)
    })?;
    eval.rows(&binary.right, grid, &mut |key, cells| {
        if let Some(signature) = signatures.known(key) {
            for (cell, there) in cells.iter_mut().zip(there.of(signature)) {
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
