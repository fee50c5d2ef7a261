//! Functions of numbers, and those between scalars and vectors.

use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Sink};
use crate::query::labels::LabelSet;
use crate::query::plan::{Call, Node};
use crate::query::value::{ABSENT, Grid, Key, Row, is_absent, is_present};

pub(super) fn deg(value: f64) -> f64 {
    value * 180.0 / std::f64::consts::PI
}

pub(super) fn rad(value: f64) -> f64 {
    value * std::f64::consts::PI / 180.0
}

pub(super) fn sgn(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

pub(super) fn asinh(value: f64) -> f64 {
    // The standard library's loses small numbers.
    if value.abs() < 1e-9 {
        value
    } else {
        value.asinh()
    }
}

pub(super) fn acosh(value: f64) -> f64 {
    value.acosh()
}

pub(super) fn atanh(value: f64) -> f64 {
    value.atanh()
}

/// The larger one, as Go has it: infinity wins over NaN, NaN over numbers.
fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

type Done = Result<(), QueryError>;

pub(super) fn clamp(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let low = eval.scalar(&call.args[1], grid)?;
    let high = eval.scalar(&call.args[2], grid)?;
    between(eval, &call.args[0], grid, (&low, &high), sink)
}

pub(super) fn clamp_max(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let low = eval.row(f64::NEG_INFINITY, grid)?;
    let high = eval.scalar(&call.args[1], grid)?;
    between(eval, &call.args[0], grid, (&low, &high), sink)
}

pub(super) fn clamp_min(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let low = eval.scalar(&call.args[1], grid)?;
    let high = eval.row(f64::INFINITY, grid)?;
    between(eval, &call.args[0], grid, (&low, &high), sink)
}

/// Numbers within bounds; at a step where the bounds cross there are none.
fn between(
    eval: &Evaluator<'_>,
    node: &Node,
    grid: Grid,
    (low, high): (&[f64], &[f64]),
    sink: Sink<'_>,
) -> Done {
    let mut change = |cells: &mut [f64]| {
        for (cell, (low, high)) in cells.iter_mut().zip(low.iter().zip(high)) {
            if high < low {
                *cell = ABSENT;
            } else if is_present(*cell) {
                *cell = max(*low, min(*high, *cell));
            }
        }
    };
    eval.mapped(node, grid, &mut change, &mut |key, cells| {
        if cells.iter().all(|cell| is_absent(*cell)) {
            return Ok(());
        }
        sink(key, cells)
    })
}

pub(super) fn round(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let nearest = match call.args.get(1) {
        Some(arg) => eval.scalar(arg, grid)?,
        None => eval.row(1.0, grid)?,
    };
    let mut change = |cells: &mut [f64]| {
        for (cell, nearest) in cells.iter_mut().zip(nearest.iter()) {
            if is_present(*cell) {
                // Upside down, since that loses less to rounding. Ties go up.
                let inverse = 1.0 / nearest;
                *cell = (*cell * inverse + 0.5).floor() / inverse;
            }
        }
    };
    eval.mapped(&call.args[0], grid, &mut change, sink)
}

/// The only sample of each step, NaN where there is none or more than one.
pub(super) fn scalar(eval: &Evaluator<'_>, args: &[Node], grid: Grid) -> Result<Row, QueryError> {
    let mut found = eval.row(ABSENT, grid)?;
    let mut many = vec![false; grid.steps];
    eval.rows(&args[0], grid, &mut |_, cells| {
        for (step, cell) in cells.iter().enumerate() {
            if is_present(*cell) {
                many[step] |= is_present(found[step]);
                found[step] = *cell;
            }
        }
        Ok(())
    })?;
    for (number, many) in found.iter_mut().zip(many) {
        if many || is_absent(*number) {
            *number = f64::NAN;
        }
    }
    Ok(found)
}

pub(super) fn vector(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let mut numbers = eval.scalar(&call.args[0], grid)?;
    sink(&mut Key::set(LabelSet::empty()), &mut numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_as_go_has_them() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert_eq!((max(1.0, 2.0), min(1.0, 2.0)), (2.0, 1.0));
        assert!(max(1.0, nan).is_nan() && min(nan, 1.0).is_nan());
        assert_eq!((max(inf, nan), min(nan, -inf)), (inf, -inf));
        assert!(max(-inf, nan).is_nan() && min(inf, nan).is_nan());
    }
}
