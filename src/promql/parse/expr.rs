//! Operators, signs, parentheses and literals: the recursion of the language.
//!
//! Precedence, weakest first: `or`; `and unless`; comparisons; `+ -`; `* / % atan2` and signs; `^`, to the right;
//! then everything that stands behind an operand (`offset`, `@`, brackets). So `-a ^ b` is `-(a ^ b)`, and
//! `-a offset 5m` is `-(a offset 5m)`.

use super::{Built, Parser, Read, span};
use crate::promql::ast::{
    Binary, BinaryOp, Expr, NumberLiteral, Paren, Span, StringLiteral, Unary,
};
use crate::promql::lex::{Keyword, Kind, Operator, Preprocessor, Token, duration, number};
use crate::promql::parse::matching::Modifiers;

impl<'a> Parser<'a> {
    /// An expression and the end of the input.
    pub(super) fn whole_expression(&mut self) -> Read<Expr> {
        self.begin()?;
        if self.peek()?.kind == Kind::Eof {
            return Err(self.stop(0, "no expression found in input"));
        }
        let built = self.expression(Level::Or)?;
        self.expect(Kind::Eof)?;
        Ok(*built.expr)
    }

    /// An expression of operators that bind at least as strongly as `weakest`.
    pub(super) fn expression(&mut self, weakest: Level) -> Read<Built> {
        let mut left = self.operand()?;
        loop {
            let token = self.peek()?;
            let Some(op) = binary_op(token.kind) else {
                return Ok(left);
            };
            let level = Level::of(op);
            if level < weakest {
                return Ok(left);
            }
            self.next()?;
            let modifiers = self.modifiers()?;
            let right = self.deeper(|p| p.expression(level.right()))?;
            left = self.binary(&token, op, left, modifiers, right)?;
        }
    }

    fn binary(
        &mut self,
        token: &Token<'a>,
        op: BinaryOp,
        left: Built,
        modifiers: Modifiers,
        right: Built,
    ) -> Read<Built> {
        let height = self.above(token.start, left.height.max(right.height))?;
        let span = left.expr.span().to(right.expr.span());
        self.check_fill(&modifiers, span);
        let binary = Binary {
            op,
            lhs: left.expr,
            rhs: right.expr,
            matching: Some(modifiers.matching),
            return_bool: modifiers.return_bool,
            span,
        };
        Ok(Built {
            expr: Box::new(Expr::Binary(binary)),
            height,
        })
    }

    /// One operand with its sign or with what stands behind it.
    fn operand(&mut self) -> Read<Built> {
        let token = self.next()?;
        let built = match token.kind {
            Kind::Operator(Operator::Add | Operator::Sub) => return self.signed(&token),
            Kind::LeftParen => self.parenthesised(&token)?,
            Kind::String => Built::leaf(self.string(&token)),
            Kind::Number | Kind::Duration => Built::leaf(Expr::Number(self.number(&token))),
            Kind::LeftBrace => Built::leaf(Expr::Vector(self.selector(&token)?)),
            kind if kind.can_be_metric_name() => self.word(&token)?,
            _ => return Err(self.unexpected(&token)),
        };
        self.behind(built)
    }

    /// An aggregation, a call or a metric: a word tells by what follows.
    fn word(&mut self, token: &Token<'a>) -> Read<Built> {
        let behind = self.peek()?.kind;
        match token.kind {
            Kind::Aggregator(op)
                if matches!(
                    behind,
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without)
                ) =>
            {
                self.aggregate(token, op)
            }
            Kind::Identifier
            | Kind::Preprocessor(
                Preprocessor::Start | Preprocessor::End | Preprocessor::Step | Preprocessor::Range,
            ) if behind == Kind::LeftParen => self.call(token),
            _ => Ok(Built::leaf(Expr::Vector(self.selector(token)?))),
        }
    }

    /// `-a` and `+a`; the sign of a number becomes part of it.
    fn signed(&mut self, sign: &Token<'a>) -> Read<Built> {
        let negative = sign.kind == Kind::Operator(Operator::Sub);
        let mut built = self.deeper(|p| p.expression(Level::Power))?;
        let span = Span::new(sign.start, built.expr.span().end);
        if let Expr::Number(number) = built.expr.as_mut() {
            if negative {
                number.value = -number.value;
            }
            number.span = span;
            return Ok(built);
        }
        Ok(Built {
            height: self.above(sign.start, built.height)?,
            expr: Box::new(Expr::Unary(Unary {
                negative,
                expr: built.expr,
                span,
            })),
        })
    }

    fn parenthesised(&mut self, open: &Token<'a>) -> Read<Built> {
        let inner = self.deeper(|p| p.expression(Level::Or))?;
        let close = self.expect(Kind::RightParen)?;
        Ok(Built {
            height: self.above(open.start, inner.height)?,
            expr: Box::new(Expr::Paren(Paren {
                expr: inner.expr,
                span: span(open).to(span(&close)),
            })),
        })
    }

    fn string(&mut self, token: &Token<'a>) -> Expr {
        let (value, bytes) = self.unquote_any(token);
        Expr::String(StringLiteral {
            value,
            bytes,
            span: span(token),
        })
    }

    /// A number or duration with or without a sign, and the offset behind.
    pub(super) fn signed_number(&mut self) -> Read<(f64, usize)> {
        let mut token = self.next()?;
        let negative = token.kind == Kind::Operator(Operator::Sub);
        if negative || token.kind == Kind::Operator(Operator::Add) {
            token = self.next()?;
        }
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected(&token));
        }
        let value = self.number(&token).value;
        Ok((if negative { -value } else { value }, token.end()))
    }

    /// A number or a duration, which counts as its seconds.
    pub(super) fn number(&mut self, token: &Token<'a>) -> NumberLiteral {
        let is_duration = token.kind == Kind::Duration;
        let value = if is_duration {
            duration(token.text).map(|duration| duration.as_secs_f64())
        } else {
            number(token.text)
        };
        NumberLiteral {
            value: value.unwrap_or_else(|message| {
                self.mistake(token.start, message);
                0.0
            }),
            is_duration,
            span: span(token),
        }
    }
}

/// How strongly an operator binds, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Or,
    And,
    Comparison,
    Sum,
    Product,
    Power,
}

impl Level {
    fn of(op: BinaryOp) -> Self {
        match op {
            BinaryOp::Or => Level::Or,
            BinaryOp::And | BinaryOp::Unless => Level::And,
            BinaryOp::Add | BinaryOp::Sub => Level::Sum,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => Level::Product,
            BinaryOp::Pow => Level::Power,
            _ => Level::Comparison,
        }
    }

    /// The weakest operators within the right operand: stronger ones only, save `^` within `^`.
    pub(super) fn right(self) -> Self {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Comparison,
            Level::Comparison => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product | Level::Power => Level::Power,
        }
    }
}

/// The operator between two expressions that a token stands for.
fn binary_op(kind: Kind) -> Option<BinaryOp> {
    let Kind::Operator(operator) = kind else {
        return None;
    };
    Some(match operator {
        Operator::Add => BinaryOp::Add,
        Operator::Sub => BinaryOp::Sub,
        Operator::Mul => BinaryOp::Mul,
        Operator::Div => BinaryOp::Div,
        Operator::Mod => BinaryOp::Mod,
        Operator::Pow => BinaryOp::Pow,
        Operator::Atan2 => BinaryOp::Atan2,
        Operator::Equal => BinaryOp::Equal,
        Operator::NotEqual => BinaryOp::NotEqual,
        Operator::Less => BinaryOp::Less,
        Operator::LessEqual => BinaryOp::LessEqual,
        Operator::Greater => BinaryOp::Greater,
        Operator::GreaterEqual => BinaryOp::GreaterEqual,
        Operator::TrimUpper => BinaryOp::TrimUpper,
        Operator::TrimLower => BinaryOp::TrimLower,
        Operator::And => BinaryOp::And,
        Operator::Or => BinaryOp::Or,
        Operator::Unless => BinaryOp::Unless,
        Operator::EqualRegex | Operator::NotEqualRegex | Operator::At => return None,
    })
}

/// Whether an expression can begin with this token.
pub(super) fn begins_expression(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Number
            | Kind::Duration
            | Kind::String
            | Kind::LeftBrace
            | Kind::LeftParen
            | Kind::Operator(Operator::Add | Operator::Sub)
    ) || kind.can_be_metric_name()
}
