//! From the tree of a query to the plan of its evaluation: names looked up, constants folded, `start()` and durations
//! put in, parts that are the same at every step marked, and for each selector how far it reaches.
//!
//! A plan prints as one line. What decides which part runs inside a cluster comes between making and evaluating it.

mod lower;
mod print;
mod reach;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::quote::quoted;
use crate::promql::ast::{Aggregator, BinaryOp, Extent, Span, ValueType, VectorMatching};
use crate::query::functions::Implementation;
use crate::query::value::Grid;

pub(super) use lower::{Context, lower};
pub(super) use reach::subquery_grid;

/// A query, ready to be evaluated.
#[derive(Debug)]
pub struct Plan {
    pub(super) root: Node,
    /// All selectors; nodes name them by their place here.
    pub(super) selectors: Vec<Selector>,
    /// The times of the query.
    pub(super) grid: Grid,
}

/// A part of a plan.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where it stands in the text, without the parentheses around it.
    pub(super) span: Span,
    /// It gives the same at every step.
    pub(super) invariant: bool,
}

/// What a part does.
#[derive(Debug)]
pub(super) enum Kind {
    Number(f64),
    /// A text, and its bytes where these are not UTF-8.
    Text(String, Option<Vec<u8>>),
    /// The newest samples of a selector's series.
    Instant(usize),
    /// All samples of a stretch of time.
    Range(usize),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Negate(Box<Node>),
}

/// Evaluation at many times.
#[derive(Debug)]
pub(super) struct Subquery {
    pub(super) inner: Node,
    pub(super) range_ms: i64,
    pub(super) step_ms: i64,
    pub(super) offset_ms: i64,
    pub(super) at: Option<i64>,
}

/// A function and its arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) run: &'static Implementation,
    pub(super) returns: ValueType,
    pub(super) args: Vec<Node>,
    /// The selector that is looked up beside the arguments (`info`).
    pub(super) info: Option<usize>,
    /// Where the call itself stands.
    pub(super) span: Span,
}

/// An aggregation.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) op: Aggregator,
    pub(super) inner: Node,
    pub(super) param: Option<Node>,
    /// Sorted, each once.
    pub(super) grouping: Vec<String>,
    pub(super) without: bool,
}

/// An operator between two parts.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) op: BinaryOp,
    pub(super) left: Node,
    pub(super) right: Node,
    pub(super) matching: Option<VectorMatching>,
    pub(super) return_bool: bool,
    /// Where the operation itself stands.
    pub(super) span: Span,
}

/// Series, and which of their samples.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// 0: the newest sample of the lookback.
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    pub(super) at: Option<i64>,
    pub(super) extent: Extent,
    /// First and last time of which samples may be needed; `None` where the part is never evaluated.
    pub(super) reach: Option<(i64, i64)>,
    /// The distance of the times at which it is evaluated.
    pub(super) step_ms: i64,
    /// The function or aggregation around it.
    pub(super) function: Option<&'static str>,
    pub(super) grouping: Vec<String>,
    pub(super) without: bool,
    /// Where it stands in the text.
    pub(super) span: Span,
}

impl Selector {
    /// The time that stands in for `time`: with `@` and offset.
    #[inline]
    pub(super) fn shifted(&self, time: i64) -> i64 {
        self.at.unwrap_or(time) - self.offset_ms
    }

    /// Whether all series have the same name.
    pub(super) fn fixed_name(&self) -> Option<&str> {
        self.matchers
            .iter()
            .find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal && !m.value().is_empty())
            .map(Matcher::value)
    }
}

impl Node {
    /// What it gives.
    pub(super) fn value_type(&self) -> ValueType {
        match &self.kind {
            Kind::Number(_) => ValueType::Scalar,
            Kind::Text(..) => ValueType::String,
            Kind::Instant(_) | Kind::Aggregate(_) => ValueType::Vector,
            Kind::Range(_) | Kind::Subquery(_) => ValueType::Matrix,
            Kind::Call(call) => call.returns,
            Kind::Negate(inner) => inner.value_type(),
            Kind::Binary(binary) => {
                if binary.left.value_type() == ValueType::Scalar
                    && binary.right.value_type() == ValueType::Scalar
                {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
        }
    }

    /// Whether this is a single number per step.
    pub(super) fn is_scalar(&self) -> bool {
        self.value_type() == ValueType::Scalar
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> &str {
        match &self.kind {
            Kind::Text(text, _) => text,
            _ => "",
        }
    }

    /// The text as the name of a label; any is good but the empty one and what is not UTF-8. `Err` has it as Go quotes
    /// it.
    pub(super) fn label_name(&self) -> Result<&str, String> {
        match &self.kind {
            Kind::Text(text, None) if !text.is_empty() => Ok(text),
            Kind::Text(text, None) => Err(quoted(text).to_string()),
            Kind::Text(_, Some(bytes)) => Err(quoted_bytes(bytes)),
            _ => Err(String::new()),
        }
    }
}

/// As Go's `%q` writes bytes that are not all UTF-8.
fn quoted_bytes(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = quoted(chunk.valid()).to_string();
        out.push_str(valid.trim_start_matches('"').trim_end_matches('"'));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}
