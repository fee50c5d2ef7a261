//! Durations in brackets and behind `offset`, with their arithmetic (experimental).
//!
//! A bare number or duration is the stable form of both. Behind `offset` a bare one, `step()` and the like end the
//! duration, so that `foo offset 5m - 8` subtracts from `foo offset 5m`; arithmetic has to stand in parentheses there,
//! but goes on behind them. That is how upstream's table resolves its conflicts.

use super::expr::Level;
use super::{Parser, Read, span};
use crate::promql::ast::{DurationExpr, DurationKind, DurationOp, Span};
use crate::promql::duration::SECONDS_MAX;
use crate::promql::features::Feature;
use crate::promql::lex::{Kind, Operator, Preprocessor, Token};

const NOT_POSITIVE: &str = "duration must be greater than 0";

impl<'a> Parser<'a> {
    /// What stands in brackets. A number must be more than zero; arithmetic is judged when it is worked out.
    pub(super) fn positive_duration(&mut self) -> Read<DurationExpr> {
        let duration = self.duration(Level::Sum)?;
        if duration.bare_millis().is_some_and(|ms| ms <= 0) {
            self.mistake(duration.span.start, NOT_POSITIVE);
        }
        Ok(duration)
    }

    /// What stands behind `offset`.
    pub(super) fn offset_duration(&mut self) -> Read<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::LeftParen => self.duration(Level::Sum),
            Kind::Operator(Operator::Add | Operator::Sub) => {
                self.next()?;
                self.deeper(|p| p.signed_offset(&token))
            }
            _ => self.duration_operand(),
        }
    }

    /// What stands behind a sign behind `offset`: one operand, with further signs.
    fn signed_offset(&mut self, sign: &Token<'a>) -> Read<DurationExpr> {
        let operand = match self.peek()?.kind {
            Kind::Operator(Operator::Add | Operator::Sub) => self.offset_duration()?,
            _ => self.duration_operand()?,
        };
        self.above(sign.start, operand.height())?;
        Ok(signed(sign, operand))
    }

    /// Arithmetic of operators that bind at least as strongly as `weakest`.
    fn duration(&mut self, weakest: Level) -> Read<DurationExpr> {
        let mut left = self.duration_operand_or_sign()?;
        loop {
            let token = self.peek()?;
            let Some((op, level)) = operator(token.kind) else {
                return Ok(left);
            };
            if level < weakest {
                return Ok(left);
            }
            self.next()?;
            let right = self.deeper(|p| p.duration(level.right()))?;
            left = self.two_durations(&token, op, left, right)?;
        }
    }

    fn two_durations(
        &mut self,
        token: &Token<'a>,
        op: DurationOp,
        left: DurationExpr,
        right: DurationExpr,
    ) -> Read<DurationExpr> {
        self.above(token.start, left.height().max(right.height()))?;
        let span = left.span.to(right.span);
        self.check_duration_feature(left.span);
        let by_zero = match op {
            DurationOp::Div => "division by zero",
            DurationOp::Mod => "modulo by zero",
            _ => "",
        };
        if !by_zero.is_empty() && right.bare_seconds() == Some(0.0) {
            self.mistake(token.start, by_zero);
            return Ok(DurationExpr::zero(span));
        }
        Ok(DurationExpr::two(op, left, right, span))
    }

    fn duration_operand_or_sign(&mut self) -> Read<DurationExpr> {
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Operator(Operator::Add | Operator::Sub)) {
            return self.duration_operand();
        }
        self.next()?;
        let operand = self.deeper(|p| p.duration(Level::Power))?;
        self.above(token.start, operand.height())?;
        Ok(signed(&token, operand))
    }

    /// A number, `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`, or anything in parentheses.
    fn duration_operand(&mut self) -> Read<DurationExpr> {
        let token = self.next()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let mut number = self.number(&token);
                if number.value.abs() > SECONDS_MAX {
                    self.mistake(token.start, "duration out of range");
                    number.value = 0.0;
                }
                Ok(DurationExpr::number(number))
            }
            Kind::Preprocessor(Preprocessor::Step) => {
                self.empty_duration_call(&token, DurationKind::Step)
            }
            Kind::Preprocessor(Preprocessor::Range) => {
                self.empty_duration_call(&token, DurationKind::Range)
            }
            Kind::Preprocessor(Preprocessor::MinOf) => self.duration_call(&token, DurationOp::Min),
            Kind::Preprocessor(Preprocessor::MaxOf) => self.duration_call(&token, DurationOp::Max),
            Kind::LeftParen => {
                let mut inner = self.deeper(|p| p.duration(Level::Sum))?;
                let close = self.expect(Kind::RightParen)?;
                self.check_duration_feature(inner.span);
                inner.wrapped = true;
                inner.span = span(&token).to(span(&close));
                Ok(inner)
            }
            _ => Err(self.unexpected(&token)),
        }
    }

    /// `step()` or `range()`.
    fn empty_duration_call(&mut self, word: &Token<'a>, kind: DurationKind) -> Read<DurationExpr> {
        self.expect(Kind::LeftParen)?;
        let close = self.expect(Kind::RightParen)?;
        let span = span(word).to(span(&close));
        self.check_duration_feature(span);
        Ok(DurationExpr {
            kind,
            wrapped: false,
            span,
        })
    }

    /// `min_of(a, b)` or `max_of(a, b)`.
    fn duration_call(&mut self, word: &Token<'a>, op: DurationOp) -> Read<DurationExpr> {
        self.expect(Kind::LeftParen)?;
        let left = self.deeper(|p| p.duration(Level::Sum))?;
        self.expect(Kind::Comma)?;
        let right = self.deeper(|p| p.duration(Level::Sum))?;
        let close = self.expect(Kind::RightParen)?;
        self.above(word.start, left.height().max(right.height()))?;
        let span = span(word).to(span(&close));
        self.check_duration_feature(span);
        Ok(DurationExpr::two(op, left, right, span))
    }

    /// Refuses arithmetic while it is switched off.
    fn check_duration_feature(&mut self, span: Span) {
        if !self.has(Feature::DurationExpr) {
            self.mistake(
                span.start,
                "experimental duration expression is not enabled",
            );
        }
    }
}

/// `-5m`, where the sign becomes part of the number, or `-step()`; a `+` leaves no trace.
fn signed(sign: &Token<'_>, operand: DurationExpr) -> DurationExpr {
    let negative = sign.kind == Kind::Operator(Operator::Sub);
    let span = Span::new(sign.start, operand.span.end);
    match operand {
        DurationExpr {
            kind: DurationKind::Number(mut number),
            wrapped: false,
            ..
        } => {
            if negative {
                number.value = -number.value;
            }
            number.span = span;
            DurationExpr::number(number)
        }
        operand if negative => DurationExpr {
            kind: DurationKind::Negative(Box::new(operand)),
            wrapped: false,
            span,
        },
        operand => operand,
    }
}

fn operator(kind: Kind) -> Option<(DurationOp, Level)> {
    let Kind::Operator(operator) = kind else {
        return None;
    };
    Some(match operator {
        Operator::Add => (DurationOp::Add, Level::Sum),
        Operator::Sub => (DurationOp::Sub, Level::Sum),
        Operator::Mul => (DurationOp::Mul, Level::Product),
        Operator::Div => (DurationOp::Div, Level::Product),
        Operator::Mod => (DurationOp::Mod, Level::Product),
        Operator::Pow => (DurationOp::Pow, Level::Power),
        _ => return None,
    })
}
