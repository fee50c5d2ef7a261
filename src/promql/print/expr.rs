//! Expressions in upstream's own form (`promql/parser/printer.go`): the text that `query` logs, `format_query` and the
//! clusters see.
//!
//! Blanks, parentheses, matcher order and the order of modifiers are upstream's. Departed from where upstream's text
//! does not read back: U+FFFD is escaped, and a name that the grammar would not take bare is quoted.

use std::fmt::{self, Write as _};

use super::quote::{push_bytes, push_string};
use super::{is_name, push_labelled_matcher};
use crate::model::labels::{is_legacy_label_name, is_legacy_metric_name};
use crate::model::matcher::Matcher;
use crate::promql::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, DurationKind, DurationOp,
    Expr, Extent, Length, MatrixSelector, NumberLiteral, Subquery, VectorMatching, VectorSelector,
};
use crate::promql::duration::{Written, literal_millis};
use crate::promql::lex::names_a_metric;

/// Writes an expression on one line. [`parse_expr`](crate::promql::parse_expr) gives an equal tree back.
pub fn print_expr(expr: &Expr) -> String {
    let mut out = String::new();
    push_expr(&mut out, expr);
    out
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_expr(self))
    }
}

fn push_expr(out: &mut String, expr: &Expr) {
    match expr {
        Expr::Number(number) => push_number(out, number),
        Expr::String(string) => match &string.bytes {
            Some(bytes) => push_bytes(out, bytes),
            None => push_string(out, &string.value),
        },
        Expr::Vector(vector) => push_vector(out, vector),
        Expr::Matrix(matrix) => push_matrix(out, matrix),
        Expr::Subquery(subquery) => {
            push_expr(out, &subquery.expr);
            push_subquery_times(out, subquery);
        }
        Expr::Call(call) => push_call(out, call),
        Expr::Aggregate(aggregate) => push_aggregate(out, aggregate),
        Expr::Binary(binary) => push_binary(out, binary),
        Expr::Unary(unary) => {
            out.push(sign(unary.negative));
            push_expr(out, &unary.expr);
        }
        Expr::Paren(paren) => {
            out.push('(');
            push_expr(out, &paren.expr);
            out.push(')');
        }
    }
}

pub(super) fn sign(negative: bool) -> char {
    if negative { '-' } else { '+' }
}

/// A number without exponent, as Go's `FormatFloat(v, 'f', -1, 64)`, or a duration.
fn push_number(out: &mut String, number: &NumberLiteral) {
    if number.is_duration {
        push(out, Written(literal_millis(number)));
    } else {
        push_float(out, number.value);
    }
}

/// A float in plain digits: Rust's shortest form, with Go's names for what is no number.
pub(crate) fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push(if value > 0.0 { '+' } else { '-' });
        out.push_str("Inf");
    } else {
        push(out, value);
    }
}

fn push_call(out: &mut String, call: &Call) {
    out.push_str(call.function.name);
    out.push('(');
    for (i, arg) in call.args.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_expr(out, arg);
    }
    out.push(')');
}

fn push_aggregate(out: &mut String, aggregate: &Aggregate) {
    push_aggregate_head(out, aggregate);
    out.push('(');
    if let Some(param) = &aggregate.param {
        push_expr(out, param);
        out.push_str(", ");
    }
    push_expr(out, &aggregate.expr);
    out.push(')');
}

/// `sum by (a) `: all that stands before the arguments.
pub(super) fn push_aggregate_head(out: &mut String, aggregate: &Aggregate) {
    out.push_str(aggregate.op.as_str());
    if aggregate.without {
        out.push_str(" without ");
    } else if aggregate.grouping.is_empty() {
        return;
    } else {
        out.push_str(" by ");
    }
    push_labels(out, &aggregate.grouping);
    out.push(' ');
}

fn push_labels(out: &mut String, labels: &[String]) {
    out.push('(');
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        // Of the modifiers `without` alone cannot be a bare label.
        if is_legacy_label_name(label) && reads_back_as_label(label) {
            out.push_str(label);
        } else {
            push_string(out, label);
        }
    }
    out.push(')');
}

fn reads_back_as_label(label: &str) -> bool {
    !["without", "inf", "nan"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(label))
}

fn push_binary(out: &mut String, binary: &Binary) {
    if has_infinite_base(binary) {
        out.push_str("Inf");
    } else {
        push_expr(out, &binary.lhs);
    }
    out.push(' ');
    push_operator(out, binary);
    out.push(' ');
    push_expr(out, &binary.rhs);
}

/// Whether the left operand is an infinite number in front of `^`. Upstream writes it `+Inf`, but such a sign would take
/// in the whole power.
pub(super) fn has_infinite_base(binary: &Binary) -> bool {
    binary.op == BinaryOp::Pow
        && matches!(&*binary.lhs, Expr::Number(number) if number.value == f64::INFINITY)
}

/// `+ on (a) group_left (b)`: all that stands between the operands.
pub(super) fn push_operator(out: &mut String, binary: &Binary) {
    out.push_str(binary.op.as_str());
    if binary.return_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        push_matching(out, matching);
    }
}

fn push_matching(out: &mut String, matching: &VectorMatching) {
    let group = match matching.card {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        out.push_str(if matching.on { " on " } else { " ignoring " });
        push_labels(out, &matching.labels);
    }
    if let Some(group) = group {
        out.push_str(group);
        push_labels(out, &matching.include);
    }
    let mut fill = |word: &str, value: f64| {
        out.push_str(word);
        push_float(out, value);
        out.push(')');
    };
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => fill(" fill (", left),
        (left, right) => {
            if let Some(left) = left {
                fill(" fill_left (", left);
            }
            if let Some(right) = right {
                fill(" fill_right (", right);
            }
        }
    }
}

fn push_vector(out: &mut String, vector: &VectorSelector) {
    push_series(out, vector);
    push_at(out, vector.at);
    push_extent(out, vector.extent);
    push_offset(out, &vector.offset);
}

fn push_matrix(out: &mut String, matrix: &MatrixSelector) {
    push_series(out, &matrix.selector);
    out.push('[');
    push_length(out, &matrix.range);
    out.push(']');
    push_extent(out, matrix.selector.extent);
    push_at(out, matrix.selector.at);
    push_offset(out, &matrix.selector.offset);
}

/// `[1h:5m] @ 1234.000 offset 5m`: all that stands behind a subquery's expression.
pub(super) fn push_subquery_times(out: &mut String, subquery: &Subquery) {
    out.push('[');
    push_length(out, &subquery.range);
    out.push(':');
    if let Some(step) = &subquery.step {
        push_length(out, step);
    }
    out.push(']');
    push_at(out, subquery.at);
    push_offset(out, &subquery.offset);
}

/// The name and the matchers, which upstream sorts by their text.
fn push_series(out: &mut String, vector: &VectorSelector) {
    let bare = vector
        .name
        .as_deref()
        .filter(|name| is_legacy_metric_name(name) && names_a_metric(name));
    out.push_str(bare.unwrap_or_default());
    let is_bare = |m: &Matcher| is_name(m) && Some(m.value()) == bare;
    let mut inside: Vec<String> = vector
        .matchers
        .iter()
        .filter(|m| !is_bare(m))
        .map(matcher_text)
        .collect();
    if inside.is_empty() && bare.is_some() {
        return;
    }
    inside.sort_unstable();
    out.push('{');
    out.push_str(&inside.join(","));
    out.push('}');
}

/// A matcher as upstream writes it: always with its label, also a quoted metric name.
fn matcher_text(matcher: &Matcher) -> String {
    let mut text = String::new();
    push_labelled_matcher(&mut text, matcher);
    text
}

fn push_at(out: &mut String, at: Option<At>) {
    match at {
        None => {}
        Some(At::Start) => out.push_str(" @ start()"),
        Some(At::End) => out.push_str(" @ end()"),
        Some(At::Timestamp(ms)) => push(out, format_args!(" @ {:.3}", ms as f64 / 1000.0)),
    }
}

fn push_extent(out: &mut String, extent: Extent) {
    out.push_str(match extent {
        Extent::Plain => "",
        Extent::Anchored => " anchored",
        Extent::Smoothed => " smoothed",
    });
}

fn push_offset(out: &mut String, offset: &Length) {
    if *offset != Length::ZERO {
        out.push_str(" offset ");
        push_length(out, offset);
    }
}

fn push_length(out: &mut String, length: &Length) {
    match length {
        Length::Millis(ms) => push(out, Written(*ms)),
        Length::Computed(duration) => push_duration(out, duration),
    }
}

fn push_duration(out: &mut String, duration: &DurationExpr) {
    if duration.wrapped {
        out.push('(');
    }
    match &duration.kind {
        DurationKind::Number(number) => push_number(out, number),
        DurationKind::Step => out.push_str("step()"),
        DurationKind::Range => out.push_str("range()"),
        DurationKind::Negative(inner) => {
            out.push('-');
            push_duration(out, inner);
        }
        DurationKind::Two { op, lhs, rhs } => push_two(out, *op, lhs, rhs),
    }
    if duration.wrapped {
        out.push(')');
    }
}

fn push_two(out: &mut String, op: DurationOp, lhs: &DurationExpr, rhs: &DurationExpr) {
    if matches!(op, DurationOp::Min | DurationOp::Max) {
        push(out, format_args!("{}(", op.as_str()));
        push_duration(out, lhs);
        out.push_str(", ");
        push_duration(out, rhs);
        out.push(')');
    } else {
        push_duration(out, lhs);
        push(out, format_args!(" {} ", op.as_str()));
        push_duration(out, rhs);
    }
}

fn push(out: &mut String, value: impl fmt::Display) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}
