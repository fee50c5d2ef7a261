//! Aggregations: rows find their group once, then their numbers go step by step into the group's running values.
//!
//! `sum`, `avg` and the others that need only one running value take rows as they come and keep none of them.

mod fold;
mod group;
mod rank;
mod sample;

use super::error::QueryError;
use super::eval::{Evaluator, Sink};
use super::functions::over_time::quantile_of;
use super::labels::LabelEdit;
use super::plan::{Aggregate, Node};
use super::value::{ABSENT, Block, Grid, Held, Key, Row, is_absent, is_present};
use crate::promql::ast::{Aggregator, Span};
use fold::{Average, Count, Extreme, Fold, One, Total, Variance};
use group::Groups;

/// The rows of an aggregation.
pub(super) fn rows(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    match aggregate.op {
        Aggregator::Sum => folded::<Total>(eval, aggregate, grid, sink),
        Aggregator::Avg => folded::<Average>(eval, aggregate, grid, sink),
        Aggregator::Count => folded::<Count>(eval, aggregate, grid, sink),
        Aggregator::Group => folded::<One>(eval, aggregate, grid, sink),
        Aggregator::Max => folded::<Extreme<false>>(eval, aggregate, grid, sink),
        Aggregator::Min => folded::<Extreme<true>>(eval, aggregate, grid, sink),
        Aggregator::Stdvar => folded::<Variance<false>>(eval, aggregate, grid, sink),
        Aggregator::Stddev => folded::<Variance<true>>(eval, aggregate, grid, sink),
        Aggregator::Quantile => quantile(eval, aggregate, grid, sink),
        Aggregator::CountValues => count_values(eval, aggregate, grid, sink),
        Aggregator::Topk | Aggregator::Bottomk | Aggregator::Limitk => {
            rank::rows(eval, aggregate, grid, sink)
        }
        Aggregator::LimitRatio => sample::rows(eval, aggregate, grid, sink),
    }
}

/// The scalar parameter, a number for each step.
fn parameter(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
) -> Result<(Row, Span), QueryError> {
    let param = aggregate
        .param
        .as_ref()
        .ok_or_else(|| QueryError::internal("the plan lacks the parameter of an aggregation"))?;
    Ok((eval.scalar(param, grid)?, param.span))
}

fn folded<F: Fold>(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let mut groups = Groups::new(aggregate, eval.budget);
    let mut running: Vec<Option<F>> = Vec::new();
    let mut running_held = Held::new(eval.budget);
    let mut held = Block::new(grid.steps, eval.budget);
    let blank = eval.row(ABSENT, grid)?;
    eval.rows(&aggregate.inner, grid, &mut |key, cells| {
        let group = groups.of(key)?;
        if group == held.len() {
            let mut out = Key::set(groups.labels(group).clone());
            out.drop_name = key.drop_name;
            held.push(out, &blank)?;
            running_held.add(0, (grid.steps * size_of::<Option<F>>()) as u64)?;
            running.extend((0..grid.steps).map(|_| None));
        }
        held.keys[group].drop_name |= key.drop_name;
        let running = &mut running[group * grid.steps..(group + 1) * grid.steps];
        for (running, value) in running.iter_mut().zip(cells.iter()) {
            if is_absent(*value) {
                continue;
            }
            match running {
                Some(running) => running.add(*value),
                None => *running = Some(F::first(*value)),
            }
        }
        Ok(())
    })?;
    for (group, running) in running.chunks_exact(grid.steps).enumerate() {
        let (key, cells) = held.entry(group);
        for (cell, running) in cells.iter_mut().zip(running) {
            *cell = running.as_ref().map_or(ABSENT, Fold::result);
        }
        sink(key, cells)?;
    }
    Ok(())
}

/// The rows of each group, in order.
struct Grouped {
    block: Block,
    groups: Vec<(Key, Vec<usize>)>,
}

fn grouped(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    inner: &Node,
    grid: Grid,
) -> Result<Grouped, QueryError> {
    let mut block = eval.block(inner, grid)?;
    block.hold((block.len() * size_of::<usize>()) as u64)?;
    let mut groups = Groups::new(aggregate, eval.budget);
    let mut list: Vec<(Key, Vec<usize>)> = Vec::new();
    for (row, key) in block.keys.iter().enumerate() {
        let group = groups.of(key)?;
        if group == list.len() {
            list.push((Key::set(groups.labels(group).clone()), vec![]));
        }
        list[group].0.drop_name |= key.drop_name;
        list[group].1.push(row);
    }
    Ok(Grouped {
        block,
        groups: list,
    })
}

fn quantile(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (quantiles, span) = parameter(eval, aggregate, grid)?;
    let mut rows = grouped(eval, aggregate, &aggregate.inner, grid)?;
    note_invalid(eval, span, &quantiles);
    let mut out = eval.row(ABSENT, grid)?;
    let mut values = Vec::new();
    for (key, members) in &mut rows.groups {
        for (step, cell) in out.iter_mut().enumerate() {
            eval.worked(members.len())?;
            values.clear();
            let column = members.iter().map(|row| rows.block.cell(*row, step));
            values.extend(column.filter(|value| is_present(*value)));
            *cell = if values.is_empty() {
                ABSENT
            } else {
                quantile_of(quantiles[step], &mut values)
            };
        }
        sink(key, &mut out)?;
    }
    Ok(())
}

/// Says which of the numbers are no quantiles: NaN, the largest and the least.
fn note_invalid(eval: &Evaluator<'_>, span: Span, quantiles: &[f64]) {
    if quantiles.iter().any(|q| q.is_nan()) {
        eval.notes.invalid_quantile(span, f64::NAN);
    }
    let (least, most) = bounds(quantiles);
    if most > 1.0 {
        eval.notes.invalid_quantile(span, most);
    }
    if least < 0.0 {
        eval.notes.invalid_quantile(span, least);
    }
}

/// The least and the largest number; NaN does not count.
fn bounds(numbers: &[f64]) -> (f64, f64) {
    let real = || numbers.iter().copied().filter(|n| !n.is_nan());
    let least = real().fold(f64::INFINITY, f64::min);
    (least, real().fold(f64::NEG_INFINITY, f64::max))
}

/// How many series have each value: the value becomes a label.
fn count_values(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let param = aggregate.param.as_ref();
    let label = param
        .ok_or_else(|| QueryError::internal("the plan lacks the label of count_values"))?
        .label_name()
        .map_err(|name| QueryError::execution(format!("invalid label name {name}")))?;
    let mut groups = Groups::new(aggregate, eval.budget);
    let mut counts = Block::new(grid.steps, eval.budget);
    let blank = eval.row(ABSENT, grid)?;
    eval.rows(&aggregate.inner, grid, &mut |key, cells| {
        let labels = key.to_set();
        let mut last: Option<(u64, usize)> = None;
        for (step, value) in cells.iter().enumerate() {
            if is_absent(*value) {
                continue;
            }
            let group = match last {
                Some((bits, group)) if bits == value.to_bits() => group,
                _ => {
                    eval.worked(16)?;
                    let mut edit = LabelEdit::new(&labels);
                    edit.set(label, &plain(*value));
                    groups.of(&Key::set(edit.finish()))?
                }
            };
            last = Some((value.to_bits(), group));
            if group == counts.len() {
                counts.push(Key::set(groups.labels(group).clone()), &blank)?;
            }
            let count = &mut counts.row_mut(group)[step];
            *count = if is_present(*count) {
                *count + 1.0
            } else {
                1.0
            };
        }
        Ok(())
    })?;
    super::eval::emit(counts, sink)
}

/// A number as Go's `FormatFloat(f, 'f', -1, 64)` writes it: never with an exponent.
fn plain(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        super::annotate::general(value)
    }
}
