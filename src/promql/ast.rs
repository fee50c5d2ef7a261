//! The tree that the parser makes of a query. Every node keeps the bytes of the text it came from, so that errors and
//! annotations can point there.
//!
//! The shape is that of `promql/parser/ast.go`, with what is written kept apart from what it means: durations are
//! milliseconds, and a duration that depends on the query's step or range stays an expression until
//! [`resolve_durations`](crate::promql::resolve_durations) has put its value there. The parser never makes a tree of
//! more than [`NESTING_MAX`](crate::promql::NESTING_MAX) levels, so a walk may recurse and a drop does.

mod node;

use crate::model::matcher::Matcher;
use crate::promql::functions::Function;

pub use crate::promql::lex::Aggregator;

/// A stretch of the query text: bytes from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// One sample for each of many series.
    Vector,
    /// Many samples for each of many series.
    Matrix,
    /// A text.
    String,
}

/// A query, or a part of one.
///
/// Trees are equal when they mean the same and were written with the same parentheses: spans do not count.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1.5`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(StringLiteral),
    /// `foo{a="b"} offset 5m`
    Vector(VectorSelector),
    /// `foo[5m]`
    Matrix(MatrixSelector),
    /// `foo[1h:5m]`
    Subquery(Subquery),
    /// `rate(foo[5m])`
    Call(Call),
    /// `sum by (a) (foo)`
    Aggregate(Aggregate),
    /// `a + b`
    Binary(Binary),
    /// `-a`
    Unary(Unary),
    /// `(a)`
    Paren(Paren),
}

/// A number where a scalar goes; a duration counts as its seconds.
#[derive(Clone, Debug)]
pub struct NumberLiteral {
    /// The number, its sign included; seconds if it was written as a duration.
    pub value: f64,
    /// Whether it was written as a duration (`5m`), as which it is then printed.
    pub is_duration: bool,
    /// Where it stands.
    pub span: Span,
}

/// A quoted text.
#[derive(Clone, Debug)]
pub struct StringLiteral {
    /// The text without quotes and escapes, with U+FFFD where it is not UTF-8.
    pub value: String,
    /// What the escapes come to where that is not UTF-8 (`"\xff"`).
    pub bytes: Option<Vec<u8>>,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// `name{label="value",…} offset 5m @ 1234`: the series a query starts from, and when.
#[derive(Clone, Debug)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; its matcher is then the last of `matchers`.
    pub name: Option<String>,
    /// All conditions in written order, the name's included. A quoted name inside the braces keeps its place.
    pub matchers: Vec<Matcher>,
    /// `offset`: how far back in time the samples are taken; zero without one, negative looks ahead.
    pub offset: Length,
    /// `@`: the time that stands in for the evaluation time.
    pub at: Option<At>,
    /// `anchored` or `smoothed`. In a [`MatrixSelector`] it concerns the range.
    pub extent: Extent,
    /// Set for the second argument of `info`, which may match everything.
    pub may_match_everything: bool,
    /// Where it stands, modifiers included.
    pub span: Span,
}

/// `foo[5m]`: all samples of a stretch of time. Offset, `@` and extent are those of the selector.
#[derive(Clone, Debug)]
pub struct MatrixSelector {
    /// The series.
    pub selector: VectorSelector,
    /// The length of the range, more than zero once resolved.
    pub range: Length,
    /// Where it stands, modifiers included.
    pub span: Span,
}

/// `expr[1h:5m] offset 5m @ 1234`: an instant vector or scalar evaluated at many times.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// The length of the range, more than zero once resolved.
    pub range: Length,
    /// The distance of the times; `None`: the server's evaluation interval. Never zero as a number in the text.
    pub step: Option<Length>,
    /// `offset`, as in [`VectorSelector`].
    pub offset: Length,
    /// `@`, as in [`VectorSelector`].
    pub at: Option<At>,
    /// Where it stands, modifiers included.
    pub span: Span,
}

/// `name(args…)`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which function, with the types of its arguments.
    pub function: &'static Function,
    /// The arguments in written order; their number and types fit the function.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// `op by (labels…) (param, expr)`.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Which aggregation.
    pub op: Aggregator,
    /// What is aggregated: an instant vector.
    pub expr: Box<Expr>,
    /// The first of two arguments: a scalar, of `count_values` a string.
    pub param: Option<Box<Expr>>,
    /// The labels behind `by` or `without`, in written order.
    pub grouping: Vec<String>,
    /// Whether `grouping` are the labels to drop rather than those to keep.
    pub without: bool,
    /// Where it stands.
    pub span: Span,
}

/// `lhs op rhs`.
#[derive(Clone, Debug)]
pub struct Binary {
    /// What is done with the two.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: Box<Expr>,
    /// The right operand.
    pub rhs: Box<Expr>,
    /// How series of the two sides find each other; `Some` exactly when both are instant vectors.
    pub matching: Option<VectorMatching>,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Where it stands, both operands included.
    pub span: Span,
}

/// How series of two instant vectors find each other.
#[derive(Clone, Debug, Default)]
pub struct VectorMatching {
    /// How many series of each side may meet.
    pub card: Cardinality,
    /// Whether `labels` are the only ones that count (`on`) rather than those that do not (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`, in written order.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`, taken over from the "one" side.
    pub include: Vec<String>,
    /// The value that stands in for a series missing on the left.
    pub fill_left: Option<f64>,
    /// The value that stands in for a series missing on the right.
    pub fill_right: Option<f64>,
}

/// How many series of each side may meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`: many on the left, one on the right.
    ManyToOne,
    /// `group_right`: one on the left, many on the right.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named after its sign")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    /// `==`
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: cuts a native histogram's upper part off.
    TrimUpper,
    /// `>/`: cuts a native histogram's lower part off.
    TrimLower,
    And,
    Or,
    Unless,
}

/// `-expr`, or `+expr`, of a scalar or an instant vector.
#[derive(Clone, Debug)]
pub struct Unary {
    /// Whether the sign is `-`.
    pub negative: bool,
    /// What stands behind the sign.
    pub expr: Box<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// `(expr)`.
#[derive(Clone, Debug)]
pub struct Paren {
    /// What stands between the parentheses.
    pub expr: Box<Expr>,
    /// Where it stands, parentheses included.
    pub span: Span,
}

/// The time of an `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// `start()`: the start of the whole query, in a subquery too.
    Start,
    /// `end()`: its end.
    End,
}

/// What happens at the ends of a range (experimental).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The samples within the range.
    #[default]
    Plain,
    /// `anchored`: the values at the two ends are those of the last samples before.
    Anchored,
    /// `smoothed`: the values at the two ends are interpolated.
    Smoothed,
}

/// A length of time in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// Milliseconds, negative only for an offset.
    Millis(i64),
    /// Arithmetic that may need the query's step and range (experimental); replaced before evaluation by
    /// [`resolve_durations`](crate::promql::resolve_durations).
    Computed(Box<DurationExpr>),
}

/// Arithmetic on durations (experimental). All values are seconds.
#[derive(Clone, Debug)]
pub struct DurationExpr {
    /// What it does.
    pub kind: DurationKind,
    /// Whether it was written in parentheses.
    pub wrapped: bool,
    /// Where it stands.
    pub span: Span,
}

/// What a [`DurationExpr`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// `5m` or `300`.
    Number(NumberLiteral),
    /// `step()`: the distance of the query's times; 0 in an instant query.
    Step,
    /// `range()`: from the query's start to its end.
    Range,
    /// `-a`, where `a` is no bare number.
    Negative(Box<DurationExpr>),
    /// `a op b`, and `min_of(a, b)`, `max_of(a, b)`.
    Two {
        /// What is done with the two.
        op: DurationOp,
        /// The left operand.
        lhs: Box<DurationExpr>,
        /// The right operand.
        rhs: Box<DurationExpr>,
    },
}

/// What is done with two durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named after its sign")]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    /// `min_of(a, b)`
    Min,
    /// `max_of(a, b)`
    Max,
}
