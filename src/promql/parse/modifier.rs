//! What stands behind an operand: `offset 5m`, `@ 1234`, `[5m]`, `[1h:5m]`, `anchored`.

use super::{Built, Parser, Read, Stop};
use crate::promql::ast::{
    At, DurationExpr, Expr, Extent, Length, MatrixSelector, Span, Subquery, VectorSelector,
};
use crate::promql::lex::{Keyword, Kind, Operator, Preprocessor, Token};

const WANT_OFFSET: &str = " in offset, expected number, duration, step(), or range()";
const WANT_TIMESTAMP: &str = " in @, expected timestamp";
const WANT_RANGE: &str =
    " in subquery or range selector, expected number, duration, step(), or range()";
const WANT_RANGE_END: &str = r#" in subquery or range, expected ":" or "]""#;
const WANT_STEP: &str =
    r#" in subquery selector, expected number, duration, step(), range(), or "]""#;
const WANT_STEP_END: &str = r#" in subquery selector, expected "]""#;

const NO_VECTOR: &str = "ranges only allowed for vector selectors";

impl<'a> Parser<'a> {
    /// Takes in all that stands behind an operand.
    pub(super) fn behind(&mut self, mut built: Built) -> Read<Built> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::Keyword(Keyword::Offset) => self.offset(&mut built)?,
                Kind::Operator(Operator::At) => self.at(&mut built)?,
                Kind::Keyword(Keyword::Anchored) => self.extent(&mut built, Extent::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.extent(&mut built, Extent::Smoothed)?,
                Kind::LeftBracket => built = self.brackets(built)?,
                _ => return Ok(built),
            }
        }
    }

    fn offset(&mut self, built: &mut Built) -> Read<()> {
        self.next()?;
        let duration = self.within(WANT_OFFSET, Self::offset_duration)?;
        let end = duration.span.end;
        let length = self.length(built, duration)?;
        let Some(times) = self.times(
            &mut built.expr,
            "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ) else {
            return Ok(());
        };
        if *times.offset == Length::ZERO {
            *times.offset = length;
            *times.end = end;
        } else {
            let at = built.expr.span().start;
            self.mistake(at, "offset may not be set multiple times");
        }
        Ok(())
    }

    fn at(&mut self, built: &mut Built) -> Read<()> {
        self.next()?;
        let (at, end) = self.within(WANT_TIMESTAMP, |p| p.at_time(built))?;
        let Some(times) = self.times(
            &mut built.expr,
            "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ) else {
            return Ok(());
        };
        if times.at.is_none() {
            *times.at = Some(at);
            *times.end = end;
        } else {
            let at = built.expr.span().start;
            self.mistake(at, "@ <timestamp> may not be set multiple times");
        }
        Ok(())
    }

    /// What stands behind `@`, and where it ends.
    fn at_time(&mut self, built: &Built) -> Read<(At, usize)> {
        let at = match self.peek()?.kind {
            Kind::Preprocessor(Preprocessor::Start) => At::Start,
            Kind::Preprocessor(Preprocessor::End) => At::End,
            _ => {
                let (seconds, end) = self.signed_number()?;
                if !in_bounds(seconds) {
                    let message =
                        format!("timestamp out of bounds for @ modifier: {}", Fixed(seconds));
                    self.mistake(built.expr.span().start, message);
                }
                return Ok((At::Timestamp(millis(seconds)), end));
            }
        };
        self.next()?;
        self.expect(Kind::LeftParen)?;
        let close = self.expect(Kind::RightParen)?;
        Ok((at, close.end()))
    }

    fn extent(&mut self, built: &mut Built, extent: Extent) -> Read<()> {
        let word = self.next()?;
        self.set_extent(built, &word, extent);
        Ok(())
    }

    /// The times of a selector or subquery. Anything else has none, which is a mistake.
    fn times<'e>(&mut self, expr: &'e mut Expr, or_else: &str) -> Option<Times<'e>> {
        let at = expr.span().start;
        match expr {
            Expr::Vector(vector) => Some(Times::of(vector)),
            Expr::Matrix(matrix) if is_placeholder(&matrix.selector) => {
                self.mistake(at, NO_VECTOR);
                None
            }
            Expr::Matrix(matrix) => Some(Times {
                end: &mut matrix.span.end,
                ..Times::of(&mut matrix.selector)
            }),
            Expr::Subquery(subquery) => Some(Times {
                offset: &mut subquery.offset,
                at: &mut subquery.at,
                end: &mut subquery.span.end,
            }),
            _ => {
                self.mistake(at, or_else);
                None
            }
        }
    }

    /// `[5m]` or `[1h:5m]` behind an expression.
    fn brackets(&mut self, mut built: Built) -> Read<Built> {
        let open = self.next()?;
        let range = self.within(WANT_RANGE, Self::positive_duration)?;
        let range = self.length(&mut built, range)?;
        let behind = self.next()?;
        match behind.kind {
            Kind::RightBracket => {
                self.check_range(&built.expr, &open);
                Ok(matrix(built, range, behind.end()))
            }
            Kind::Colon => self.subquery(built, range, &open),
            _ => self.within(WANT_RANGE_END, |p| Err(p.unexpected(&behind))),
        }
    }

    fn check_range(&mut self, expr: &Expr, open: &Token<'a>) {
        let message = match expr {
            Expr::Vector(vector) if vector.offset != Length::ZERO => {
                "no offset modifiers allowed before range"
            }
            Expr::Vector(vector) if vector.at.is_some() => "no @ modifiers allowed before range",
            Expr::Vector(_) => return,
            _ => NO_VECTOR,
        };
        self.mistake(open.start, message);
    }

    /// The step of a subquery, and its end.
    fn subquery(&mut self, mut built: Built, range: Length, open: &Token<'a>) -> Read<Built> {
        let mut step = None;
        if self.peek()?.kind != Kind::RightBracket {
            let duration = self.within(WANT_STEP, Self::positive_duration)?;
            step = Some(self.length(&mut built, duration)?);
        }
        let close = self.within(WANT_STEP_END, |p| p.expect(Kind::RightBracket))?;
        let height = self.above(open.start, built.height)?;
        let subquery = Subquery {
            span: Span::new(built.expr.span().start, close.end()),
            expr: built.expr,
            range,
            step,
            offset: Length::ZERO,
            at: None,
        };
        Ok(Built {
            expr: Box::new(Expr::Subquery(subquery)),
            height,
        })
    }

    /// A duration as part of an expression, whose levels then count too.
    fn length(&mut self, built: &mut Built, duration: DurationExpr) -> Result<Length, Stop> {
        let height = duration.height();
        if height > 0 {
            built.height = built.height.max(self.above(duration.span.start, height)?);
        }
        Ok(duration.into_length())
    }
}

/// Where the times of a node stand, and its last byte.
struct Times<'e> {
    offset: &'e mut Length,
    at: &'e mut Option<At>,
    end: &'e mut usize,
}

impl<'e> Times<'e> {
    fn of(vector: &'e mut VectorSelector) -> Self {
        Times {
            offset: &mut vector.offset,
            at: &mut vector.at,
            end: &mut vector.span.end,
        }
    }
}

/// A range of something that is no vector selector becomes a range of a placeholder: that is a mistake, which may draw
/// another, and nobody sees the tree.
fn matrix(built: Built, range: Length, end: usize) -> Built {
    let span = Span::new(built.expr.span().start, end);
    let selector = match *built.expr {
        Expr::Vector(selector) => selector,
        other => VectorSelector {
            name: Some(String::new()),
            matchers: Vec::new(),
            offset: Length::ZERO,
            at: None,
            extent: Extent::Plain,
            may_match_everything: false,
            span: other.span(),
        },
    };
    Built {
        expr: Box::new(Expr::Matrix(MatrixSelector {
            selector,
            range,
            span,
        })),
        height: built.height,
    }
}

fn is_placeholder(selector: &VectorSelector) -> bool {
    selector.name.as_deref() == Some("")
}

/// Whether upstream takes a number of seconds for an `@`.
fn in_bounds(seconds: f64) -> bool {
    // 2^63, the first number beyond a signed 64-bit integer.
    seconds.abs() < 9_223_372_036_854_775_808.0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, where upstream overflows"
)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A number as Go's `%f` shows it.
struct Fixed(f64);

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            v if v.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            v => write!(f, "{v:.6}"),
        }
    }
}
