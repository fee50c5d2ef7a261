//! Durations of a query: how one is written, and what arithmetic on them comes to (experimental).

use std::fmt;

use super::ast::{
    DurationExpr, DurationKind, DurationOp, Expr, Length, NumberLiteral, Span, VectorSelector,
};

/// The most seconds that upstream's nanoseconds in 63 bits can hold.
pub(crate) const SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// Puts the value of every duration that needs the query's step or range in its place, so that no
/// [`Length::Computed`] is left. In an instant query both are zero.
pub fn resolve_durations(
    expr: &mut Expr,
    step_ms: i64,
    range_ms: i64,
) -> Result<(), DurationError> {
    Query { step_ms, range_ms }.expr(expr)
}

/// A duration that cannot be worked out. Displays as Prometheus does: `5:12: division by zero`, where the numbers are
/// the bytes of the query between which it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", .span.start, .span.end)]
pub struct DurationError {
    /// Where the duration stands.
    pub span: Span,
    /// What is wrong with it.
    pub message: &'static str,
}

/// What durations may refer to.
struct Query {
    step_ms: i64,
    range_ms: i64,
}

impl Query {
    fn expr(&self, expr: &mut Expr) -> Result<(), DurationError> {
        match expr {
            Expr::Number(_) | Expr::String(_) => Ok(()),
            Expr::Vector(vector) => self.vector(vector),
            Expr::Matrix(matrix) => {
                self.vector(&mut matrix.selector)?;
                self.positive(&mut matrix.range)
            }
            Expr::Subquery(subquery) => {
                self.expr(&mut subquery.expr)?;
                self.any(&mut subquery.offset)?;
                subquery
                    .step
                    .as_mut()
                    .map_or(Ok(()), |step| self.positive(step))?;
                self.positive(&mut subquery.range)
            }
            Expr::Call(call) => call.args.iter_mut().try_for_each(|arg| self.expr(arg)),
            Expr::Aggregate(aggregate) => {
                if let Some(param) = &mut aggregate.param {
                    self.expr(param)?;
                }
                self.expr(&mut aggregate.expr)
            }
            Expr::Binary(binary) => {
                self.expr(&mut binary.lhs)?;
                self.expr(&mut binary.rhs)
            }
            Expr::Unary(unary) => self.expr(&mut unary.expr),
            Expr::Paren(paren) => self.expr(&mut paren.expr),
        }
    }

    fn vector(&self, vector: &mut VectorSelector) -> Result<(), DurationError> {
        self.any(&mut vector.offset)
    }

    fn any(&self, length: &mut Length) -> Result<(), DurationError> {
        let Length::Computed(duration) = length else {
            return Ok(());
        };
        let seconds = self.seconds(duration)?;
        if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
            return Err(error(duration, "duration is out of range"));
        }
        *length = Length::Millis(millis(seconds));
        Ok(())
    }

    fn positive(&self, length: &mut Length) -> Result<(), DurationError> {
        let Length::Computed(duration) = &*length else {
            return Ok(());
        };
        if self.seconds(duration)? <= 0.0 {
            return Err(error(duration, "duration must be greater than 0"));
        }
        self.any(length)
    }

    fn seconds(&self, duration: &DurationExpr) -> Result<f64, DurationError> {
        Ok(match &duration.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Step => self.step_ms as f64 / 1000.0,
            DurationKind::Range => self.range_ms as f64 / 1000.0,
            DurationKind::Negative(inner) => -self.seconds(inner)?,
            DurationKind::Two { op, lhs, rhs } => {
                let (left, right) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div if right == 0.0 => {
                        return Err(error(duration, "division by zero"));
                    }
                    DurationOp::Div => left / right,
                    DurationOp::Mod if right == 0.0 => {
                        return Err(error(duration, "modulo by zero"));
                    }
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }
}

fn error(duration: &DurationExpr, message: &'static str) -> DurationError {
    DurationError {
        span: duration.span,
        message,
    }
}

/// Whole milliseconds of a number of seconds; upstream rounds to nanoseconds and cuts those off.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, and callers keep to SECONDS_MAX"
)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

impl DurationExpr {
    pub(super) fn number(number: NumberLiteral) -> Self {
        DurationExpr {
            span: number.span,
            kind: DurationKind::Number(number),
            wrapped: false,
        }
    }

    pub(super) fn zero(span: Span) -> Self {
        Self::number(NumberLiteral {
            value: 0.0,
            is_duration: false,
            span,
        })
    }

    pub(super) fn two(op: DurationOp, lhs: Self, rhs: Self, span: Span) -> Self {
        DurationExpr {
            kind: DurationKind::Two {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
            },
            wrapped: false,
            span,
        }
    }

    /// The seconds of a number without parentheses: the stable form of a duration.
    pub(super) fn bare_seconds(&self) -> Option<f64> {
        match &self.kind {
            DurationKind::Number(number) if !self.wrapped => Some(number.value),
            _ => None,
        }
    }

    /// The milliseconds of a number without parentheses.
    pub(super) fn bare_millis(&self) -> Option<i64> {
        self.bare_seconds().map(millis)
    }

    pub(super) fn into_length(self) -> Length {
        match self.bare_millis() {
            Some(ms) => Length::Millis(ms),
            None => Length::Computed(Box::new(self)),
        }
    }

    /// The levels below this one.
    pub(super) fn height(&self) -> usize {
        match &self.kind {
            DurationKind::Number(_) | DurationKind::Step | DurationKind::Range => 0,
            DurationKind::Negative(inner) => 1 + inner.height(),
            DurationKind::Two { lhs, rhs, .. } => 1 + lhs.height().max(rhs.height()),
        }
    }
}

/// Milliseconds as Prometheus writes a duration: `1h30m`, `4s180ms`, `2w`, `0s`. Years and weeks only where nothing is
/// left over, since `90d` reads better than `12w6d`. Negative ones, which only an offset can be, with a `-` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub i64);

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, ms) in UNITS {
            let only_whole = matches!(unit, "y" | "w");
            let count = rest / ms;
            if count > 0 && (!only_whole || rest.is_multiple_of(ms)) {
                write!(f, "{count}{unit}")?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

/// Milliseconds of a number literal that was written as a duration.
pub(super) fn literal_millis(number: &NumberLiteral) -> i64 {
    millis(number.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, parse_expr};

    #[test]
    fn writes_durations_as_prometheus_does() {
        let check = |ms: i64, want: &str| assert_eq!(Written(ms).to_string(), want);
        check(0, "0s");
        check(1, "1ms");
        check(1001, "1s1ms");
        check(90_000, "1m30s");
        check(86_400_000, "1d");
        check(7 * 86_400_000, "1w");
        check(8 * 86_400_000, "8d");
        check(90 * 86_400_000, "90d");
        check(365 * 86_400_000, "1y");
        check(366 * 86_400_000, "366d");
        check(-300_000, "-5m");
        check(i64::MIN, "-106751991167d7h12m55s808ms");
    }

    /// The range or offset of a selector once worked out, with a step of 10 s and a range of 60 s.
    fn resolved(input: &str) -> Result<(Option<i64>, Option<i64>), String> {
        let mut expr =
            parse_expr(input, Features::all()).unwrap_or_else(|e| panic!("{input}: {e}"));
        resolve_durations(&mut expr, 10_000, 60_000).map_err(|err| err.to_string())?;
        Ok(match expr {
            Expr::Vector(vector) => (None, vector.offset.millis()),
            Expr::Matrix(matrix) => (matrix.range.millis(), matrix.selector.offset.millis()),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn works_durations_out() {
        let range = |input: &str, ms: i64| {
            assert_eq!(resolved(input), Ok((Some(ms), Some(0))), "{input}");
        };
        range("x[5m]", 300_000);
        range("x[300]", 300_000);
        range("x[4.18]", 4180);
        range("x[0.1*3]", 300);
        range("x[2m*(10+5)]", 1_800_000);
        range("x[24m+((1.5*2m)+2m)]", 1_740_000);
        range("x[-5m+35m]", 1_800_000);
        range("x[1h30m % 1h]", 1_800_000);
        range("x[30m1s-30m1s % 1m]", 1_800_000);
        range("x[1+(STep()-5)*2]", 11_000);
        range("x[max_of(min_of(step()+1,1h),1ms)]", 11_000);
        range("x[range()/step()]", 6000);
        range("x[--2^2]", 4000);
        range("x[2^3^2]", 512_000);
        let offset = |input: &str, ms: i64| {
            assert_eq!(resolved(input), Ok((None, Some(ms))), "{input}");
        };
        offset("x offset (100 + 2)", 102_000);
        offset("x offset -4", -4000);
        offset("x offset (-2 * 2)", -4000);
        offset("x offset -step()", -10_000);
        offset("x offset -(min_of(step(), 2s)-5)", 3000);
        offset("x offset +(5)", 5000);
        offset("x offset --5", 5000);
        offset("x offset (1) + 2", 3000);
    }

    #[test]
    fn refuses_durations_that_come_to_nothing() {
        let check = |input: &str, want: &str| assert_eq!(resolved(input).unwrap_err(), want);
        check("x[5m-5m]", "2:7: duration must be greater than 0");
        check("x[-step()]", "2:9: duration must be greater than 0");
        check("x[1/(step()-10)]", "2:15: division by zero");
        check("x[1%(step()-10)]", "2:15: modulo by zero");
        check("x offset (step()^99)", "9:20: duration is out of range");
        check("x[10^99s]", "2:8: duration is out of range");
    }
}
