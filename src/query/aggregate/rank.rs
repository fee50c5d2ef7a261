//! `topk`, `bottomk`, `limitk`: some of the rows of each group, chosen anew at each step.

use std::cmp::Ordering;

use super::{bounds, grouped, parameter};
use crate::promql::ast::Aggregator;
use crate::query::annotate::general;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Sink, emit};
use crate::query::plan::Aggregate;
use crate::query::value::{Block, Grid, is_present};

/// The first number that is too large for how many rows are wanted, and the last that is too small.
const INTEGERS: f64 = 9_223_372_036_854_775_807.0;

pub(super) fn rows(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (wanted, _) = parameter(eval, aggregate, grid)?;
    let mut rows = grouped(eval, aggregate, &aggregate.inner, grid)?;
    let (least, most) = bounds(&wanted);
    if most < 1.0 && !wanted.iter().any(|k| k.is_nan()) {
        return Ok(());
    }
    check(&wanted, (least, most))?;
    let mut kept: Vec<Kept> = Vec::new();
    let mut column = Vec::new();
    for (_, members) in &rows.groups {
        let kept_max = count(most, members.len()) * grid.steps;
        rows.block.hold((kept_max * size_of::<Kept>()) as u64)?;
        for (step, wanted) in wanted.iter().enumerate() {
            eval.worked(members.len())?;
            column.clear();
            let cells = members
                .iter()
                .map(|row| (rows.block.cell(*row, step), *row));
            column.extend(cells.filter(|(value, _)| is_present(*value)));
            let count = count(*wanted, column.len());
            choose(aggregate.op, &mut column, count);
            kept.extend(column.iter().map(|(_, row)| Kept { row: *row, step }));
        }
    }
    answer(rows.block, &kept, grid, sink)
}

fn check(wanted: &[f64], (least, most): (f64, f64)) -> Result<(), QueryError> {
    let text = if wanted.iter().any(|k| k.is_nan()) {
        "Parameter value is NaN".to_owned()
    } else if least <= -INTEGERS {
        format!("Scalar value {} underflows int64", general(least))
    } else if most >= INTEGERS {
        format!("Scalar value {} overflows int64", general(most))
    } else {
        return Ok(());
    };
    Err(QueryError::execution(text))
}

/// How many of so many rows are wanted.
fn count(wanted: f64, rows: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be an integer; below zero none are wanted"
    )]
    let wanted = wanted.max(0.0) as usize;
    wanted.min(rows)
}

/// A row that is in the answer at a step.
struct Kept {
    row: usize,
    step: usize,
}

/// Leaves `count` of the cells, the best first. Of equal ones those stay that come first.
fn choose(op: Aggregator, column: &mut Vec<(f64, usize)>, count: usize) {
    let order =
        |a: &(f64, usize), b: &(f64, usize)| better(op, a.0, b.0).then_with(|| a.1.cmp(&b.1));
    if op != Aggregator::Limitk {
        if count > 0 && count < column.len() {
            column.select_nth_unstable_by(count - 1, order);
        }
        column.truncate(count);
        column.sort_unstable_by(order);
    }
    column.truncate(count);
}

/// Which of two numbers comes first; NaN comes behind all others.
fn better(op: Aggregator, a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if op == Aggregator::Topk => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a_nan, b_nan) => a_nan.cmp(&b_nan),
    }
}

/// The kept cells of each row; in an instant query in the order in which they were chosen.
fn answer(mut block: Block, kept: &[Kept], grid: Grid, sink: Sink<'_>) -> Result<(), QueryError> {
    if grid.steps == 1 {
        for kept in kept {
            let (key, cells) = block.entry(kept.row);
            sink(key, cells)?;
        }
        return Ok(());
    }
    block.hold((block.len() * grid.steps) as u64)?;
    let mut chosen = vec![false; block.len() * grid.steps];
    for kept in kept {
        chosen[kept.row * grid.steps + kept.step] = true;
    }
    super::sample::keep(&mut block, &chosen);
    emit_some(block, sink)
}

/// Hands on the rows that have a number left.
pub(super) fn emit_some(block: Block, sink: Sink<'_>) -> Result<(), QueryError> {
    emit(block, &mut |key, cells| {
        if cells.iter().any(|cell| is_present(*cell)) {
            sink(key, cells)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_best() {
        let check = |op, count, want: &[usize]| {
            let values = [2.0, f64::NAN, 3.0, 1.0, 3.0];
            let mut column: Vec<(f64, usize)> = values
                .into_iter()
                .enumerate()
                .map(|(at, v)| (v, at))
                .collect();
            choose(op, &mut column, count);
            let rows: Vec<usize> = column.iter().map(|(_, row)| *row).collect();
            assert_eq!(rows, want, "{op:?} {count}");
        };
        check(Aggregator::Topk, 0, &[]);
        check(Aggregator::Topk, 1, &[2]);
        check(Aggregator::Topk, 3, &[2, 4, 0]);
        check(Aggregator::Topk, 5, &[2, 4, 0, 3, 1]);
        check(Aggregator::Bottomk, 2, &[3, 0]);
        check(Aggregator::Bottomk, 5, &[3, 0, 2, 4, 1]);
        check(Aggregator::Limitk, 2, &[0, 1]);
    }
}
