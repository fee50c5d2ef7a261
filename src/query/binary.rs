//! Operators between two parts of a plan.

mod join;
mod sets;
mod signature;

use super::error::QueryError;
use super::eval::{Evaluator, Sink};
use super::plan::Binary;
use super::value::{ABSENT, Grid, is_absent, is_present};
use crate::promql::ast::BinaryOp;

/// The result of an operator between two numbers; a comparison gives 1 or 0.
pub(super) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::Equal => f64::from(a == b),
        BinaryOp::NotEqual => f64::from(a != b),
        BinaryOp::Less => f64::from(a < b),
        BinaryOp::LessEqual => f64::from(a <= b),
        BinaryOp::Greater => f64::from(a > b),
        BinaryOp::GreaterEqual => f64::from(a >= b),
        BinaryOp::TrimUpper
        | BinaryOp::TrimLower
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless => f64::NAN,
    }
}

/// The rows of an operation of which one side at least is a vector.
pub(super) fn rows(
    eval: &Evaluator<'_>,
    binary: &Binary,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    match (binary.left.is_scalar(), binary.right.is_scalar(), binary.op) {
        (false, false, BinaryOp::And) => sets::and(eval, binary, grid, sink, true),
        (false, false, BinaryOp::Unless) => sets::and(eval, binary, grid, sink, false),
        (false, false, BinaryOp::Or) => sets::or(eval, binary, grid, sink),
        (false, false, _) => join::rows(eval, binary, grid, sink),
        (left_is_scalar, _, _) => with_scalar(eval, binary, left_is_scalar, grid, sink),
    }
}

/// A trim takes native histograms only.
fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}

fn note_trim(eval: &Evaluator<'_>, binary: &Binary) {
    let op = binary.op.as_str();
    eval.notes
        .incompatible_types(binary.span, "float", op, "float");
}

fn with_scalar(
    eval: &Evaluator<'_>,
    binary: &Binary,
    left_is_scalar: bool,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (scalar, vector) = if left_is_scalar {
        (&binary.left, &binary.right)
    } else {
        (&binary.right, &binary.left)
    };
    let numbers = eval.scalar(scalar, grid)?;
    let op = binary.op;
    if is_trim(op) {
        return eval.rows(vector, grid, &mut |_, _| {
            note_trim(eval, binary);
            Ok(())
        });
    }
    let result = |cell: f64, number: f64| {
        if left_is_scalar {
            arithmetic(op, number, cell)
        } else {
            arithmetic(op, cell, number)
        }
    };
    if op.is_comparison() && !binary.return_bool {
        return eval.rows(vector, grid, &mut |key, cells| {
            for (cell, number) in cells.iter_mut().zip(numbers.iter()) {
                if is_present(*cell) && result(*cell, *number) == 0.0 {
                    *cell = ABSENT;
                }
            }
            if cells.iter().all(|cell| is_absent(*cell)) {
                return Ok(());
            }
            sink(key, cells)
        });
    }
    let mut change = |cells: &mut [f64]| {
        for (cell, number) in cells.iter_mut().zip(numbers.iter()) {
            if is_present(*cell) {
                *cell = result(*cell, *number);
            }
        }
    };
    eval.mapped(vector, grid, &mut change, sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |op, a: f64, b: f64, want: f64| {
            let got = arithmetic(op, a, b);
            assert!(
                got == want || (got.is_nan() && want.is_nan()),
                "{a} {op:?} {b} = {got}"
            );
        };
        check(BinaryOp::Mod, -7.0, 3.0, -1.0);
        check(BinaryOp::Mod, 1.0, 0.0, f64::NAN);
        check(BinaryOp::Pow, 2.0, -1.0, 0.5);
        check(BinaryOp::Div, 1.0, 0.0, f64::INFINITY);
        check(BinaryOp::Equal, f64::NAN, f64::NAN, 0.0);
        check(BinaryOp::NotEqual, f64::NAN, f64::NAN, 1.0);
    }
}
