//! What every node knows: its place, its type, and whether another means the same.

use crate::model::matcher::Matcher;
use crate::promql::duration::literal_millis;

use super::{
    Aggregate, Binary, BinaryOp, Call, DurationExpr, DurationOp, Expr, Length, MatrixSelector,
    NumberLiteral, Paren, Span, StringLiteral, Subquery, Unary, ValueType, VectorMatching,
    VectorSelector,
};

impl Span {
    /// From `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// From the start of this to the end of `last`.
    #[must_use]
    pub fn to(self, last: Span) -> Self {
        Span::new(self.start, last.end)
    }
}

impl ValueType {
    /// The type's name in messages and answers: `scalar`, `vector`, `matrix`, `string`.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// The name that Prometheus uses in its longer messages: an `instant vector`, a `range vector`.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

impl Expr {
    /// Where the expression stands.
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(node) => node.span,
            Expr::String(node) => node.span,
            Expr::Vector(node) => node.span,
            Expr::Matrix(node) => node.span,
            Expr::Subquery(node) => node.span,
            Expr::Call(node) => node.span,
            Expr::Aggregate(node) => node.span,
            Expr::Binary(node) => node.span,
            Expr::Unary(node) => node.span,
            Expr::Paren(node) => node.span,
        }
    }

    /// What it gives.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(node) => node.function.returns,
            Expr::Unary(node) => node.expr.value_type(),
            Expr::Paren(node) => node.expr.value_type(),
            Expr::Binary(node) => {
                let scalar = |side: &Expr| side.value_type() == ValueType::Scalar;
                if scalar(&node.lhs) && scalar(&node.rhs) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
        }
    }

    /// The expression without the parentheses around it.
    pub fn unparenthesised(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }
}

impl BinaryOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    /// Whether it compares, so that `bool` may follow.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        )
    }

    /// Whether it is `and`, `or` or `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

impl DurationOp {
    /// The operator or the function as written.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::Min => "min_of",
            DurationOp::Max => "max_of",
        }
    }
}

impl Length {
    /// No time at all.
    pub const ZERO: Length = Length::Millis(0);

    /// Milliseconds; `None` while it waits for the query's step and range.
    pub fn millis(&self) -> Option<i64> {
        match self {
            Length::Millis(ms) => Some(*ms),
            Length::Computed(_) => None,
        }
    }
}

/// Equal without regard to spans; numbers bit by bit, so that NaN equals itself and 0 differs from -0. A duration is
/// equal to one of the same milliseconds, which is all that can be written.
impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        if self.is_duration && other.is_duration {
            return literal_millis(self) == literal_millis(other);
        }
        let same = self.value.to_bits() == other.value.to_bits()
            || self.value.is_nan() && other.value.is_nan();
        same && self.is_duration == other.is_duration
    }
}

impl PartialEq for StringLiteral {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.bytes == other.bytes
    }
}

/// The order of matchers means nothing, and Prometheus prints them sorted.
impl PartialEq for VectorSelector {
    fn eq(&self, other: &Self) -> bool {
        sorted(&self.matchers) == sorted(&other.matchers)
            && self.offset == other.offset
            && self.at == other.at
            && self.extent == other.extent
    }
}

impl PartialEq for MatrixSelector {
    fn eq(&self, other: &Self) -> bool {
        self.selector == other.selector && self.range == other.range
    }
}

impl PartialEq for Subquery {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
            && self.range == other.range
            && self.step == other.step
            && self.offset == other.offset
            && self.at == other.at
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.args == other.args
    }
}

impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op
            && self.expr == other.expr
            && self.param == other.param
            && self.grouping == other.grouping
            && self.without == other.without
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op
            && self.lhs == other.lhs
            && self.rhs == other.rhs
            && self.matching == other.matching
            && self.return_bool == other.return_bool
    }
}

/// Fill values bit by bit, so that NaN equals itself.
impl PartialEq for VectorMatching {
    fn eq(&self, other: &Self) -> bool {
        let bits = |fill: Option<f64>| fill.map(f64::to_bits);
        self.card == other.card
            && self.on == other.on
            && self.labels == other.labels
            && self.include == other.include
            && bits(self.fill_left) == bits(other.fill_left)
            && bits(self.fill_right) == bits(other.fill_right)
    }
}

impl PartialEq for Unary {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative && self.expr == other.expr
    }
}

impl PartialEq for Paren {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl PartialEq for DurationExpr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.wrapped == other.wrapped
    }
}

/// What tells matchers apart, in an order of its own.
fn sorted(matchers: &[Matcher]) -> Vec<(&str, &'static str, &str)> {
    let mut keys: Vec<_> = matchers
        .iter()
        .map(|m| (m.name(), m.op().as_str(), m.value()))
        .collect();
    keys.sort_unstable();
    keys
}
