//! Expressions over several lines, as `format_query` shows them (`promql/parser/prettier.go`).
//!
//! A node whose text is longer than 100 bytes is split, each part on a line of its own and two blanks further in; any
//! other stays on one line. Selectors and literals are never split.

use super::expr::{
    has_infinite_base, print_expr, push_aggregate_head, push_operator, push_subquery_times, sign,
};
use crate::promql::ast::{Aggregate, Binary, Call, Expr, Subquery};

/// The longest line that is left alone, in bytes.
const LINE_BYTES_MAX: usize = 100;

/// Writes an expression over as many lines as it needs.
pub fn prettify(expr: &Expr) -> String {
    pretty(expr, 0)
}

/// The lines of an expression, the first of them indented too.
fn pretty(expr: &Expr, level: usize) -> String {
    let line = print_expr(expr);
    let short = line.len() <= LINE_BYTES_MAX;
    let indent = indent(level);
    match expr {
        // Upstream writes a short subquery without its indent.
        Expr::Subquery(_) if short => line,
        Expr::Subquery(subquery) => split_subquery(subquery, level),
        Expr::Unary(unary) => {
            let operand = pretty(&unary.expr, level);
            format!("{indent}{}{}", sign(unary.negative), operand.trim())
        }
        Expr::Call(call) if !short && !call.args.is_empty() => split_call(call, level),
        Expr::Aggregate(aggregate) if !short => split_aggregate(aggregate, level),
        Expr::Binary(binary) if !short => split_binary(binary, level),
        Expr::Paren(paren) if !short => {
            format!("{indent}(\n{}\n{indent})", pretty(&paren.expr, level + 1))
        }
        _ => indent + &line,
    }
}

fn split_subquery(subquery: &Subquery, level: usize) -> String {
    let mut out = pretty(&subquery.expr, level);
    push_subquery_times(&mut out, subquery);
    out
}

fn split_call(call: &Call, level: usize) -> String {
    let args: Vec<String> = call.args.iter().map(|arg| pretty(arg, level + 1)).collect();
    let indent = indent(level);
    format!(
        "{indent}{}(\n{}\n{indent})",
        call.function.name,
        args.join(",\n")
    )
}

fn split_aggregate(aggregate: &Aggregate, level: usize) -> String {
    let mut out = indent(level);
    push_aggregate_head(&mut out, aggregate);
    out.push_str("(\n");
    if let Some(param) = &aggregate.param {
        out.push_str(&pretty(param, level + 1));
        out.push_str(",\n");
    }
    out.push_str(&pretty(&aggregate.expr, level + 1));
    out + "\n" + &indent(level) + ")"
}

fn split_binary(binary: &Binary, level: usize) -> String {
    let left = if has_infinite_base(binary) {
        indent(level + 1) + "Inf"
    } else {
        pretty(&binary.lhs, level + 1)
    };
    let mut out = left + "\n" + &indent(level);
    push_operator(&mut out, binary);
    out + "\n" + &pretty(&binary.rhs, level + 1)
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}
