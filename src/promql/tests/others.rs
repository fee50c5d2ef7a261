//! The crate `promql-parser` as an independent reader: what both read and it prints right is the same expression.

use proptest::prelude::*;

use super::{parse, random};
use crate::promql::ast::Expr;
use crate::promql::print_expr;

/// What the other parser does not know, or prints so that it means something else: `@` before 1970 (as zero), bytes
/// that make no UTF-8 (as Latin-1), `ignoring ()` before a group (not at all).
const WRONG_THERE: [&str; 11] = [
    "@ -",
    "ignoring ()",
    "\\x",
    "fill",
    "</",
    ">/",
    "anchored",
    "smoothed",
    "step()",
    "range()",
    "_of(",
];

#[test]
fn agrees_with_another_parser_on_examples() {
    for input in [
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) / ignoring (x) group_left (y) foo",
        "histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m] offset 1h)))",
        "-a ^ b * c % d unless e or f and g",
        "max_over_time(rate(x[5m])[1h:1m] @ end() offset 5m) > bool 1",
        "topk by (a) (3, x) == on (a) group_right () y",
        "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")",
    ] {
        same_there(input);
    }
}

/// Reads here and there, prints there, and reads that here again.
fn same_there(input: &str) {
    let theirs = promql_parser::parser::parse(input)
        .unwrap_or_else(|err| panic!("{input}: {err}"))
        .to_string();
    assert_eq!(parse(&theirs), parse(input), "{input} is {theirs} there");
}

/// Reads, makes numbers of durations and drops `+`: the other parser prints them so.
fn plain(text: &str) -> Expr {
    fn forget(expr: &mut Expr) {
        while let Expr::Unary(unary) = expr
            && !unary.negative
        {
            *expr = (*unary.expr).clone();
        }
        match expr {
            Expr::Number(number) => number.is_duration = false,
            Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Subquery(subquery) => forget(&mut subquery.expr),
            Expr::Call(call) => call.args.iter_mut().for_each(forget),
            Expr::Aggregate(aggregate) => {
                aggregate.param.iter_mut().for_each(|param| forget(param));
                forget(&mut aggregate.expr);
            }
            Expr::Binary(binary) => {
                forget(&mut binary.lhs);
                forget(&mut binary.rhs);
            }
            Expr::Unary(unary) => forget(&mut unary.expr),
            Expr::Paren(paren) => forget(&mut paren.expr),
        }
    }
    let mut expr = parse(text);
    forget(&mut expr);
    expr
}

/// Whether the other parser reads a text as the same expression; none where it does not know it or prints it wrong.
pub(super) fn agrees(text: &str) -> Option<bool> {
    if WRONG_THERE.iter().any(|part| text.contains(part)) {
        return None;
    }
    let theirs = promql_parser::parser::parse(text).ok()?;
    Some(plain(&theirs.to_string()) == plain(text))
}

proptest! {
    #[test]
    fn agrees_with_another_parser(expr in random::expr()) {
        let text = print_expr(&parse(&expr));
        prop_assert_ne!(agrees(&text), Some(false), "{}", text);
    }
}
