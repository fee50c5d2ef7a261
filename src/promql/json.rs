//! Trees as the JSON of `/api/v1/parse_query`, which Prometheus' own page draws (`web/api/v1/translate_ast.go`).
//!
//! As there, durations are milliseconds and numbers are strings; a duration that is not worked out yet shows as 0, with
//! its own tree beside it.

use serde_json::{Value, json};

use super::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationKind, Expr, Extent, Length,
    NumberLiteral, ValueType, VectorMatching, VectorSelector,
};
use super::print::push_float;
use crate::model::matcher::Matcher;

/// The tree of an expression.
pub fn tree_json(expr: &Expr) -> Value {
    match expr {
        Expr::Number(number) => {
            let mut value = String::new();
            push_float(&mut value, number.value);
            json!({"type": "numberLiteral", "val": value})
        }
        Expr::String(string) => json!({"type": "stringLiteral", "val": string.value}),
        Expr::Vector(vector) => selector("vectorSelector", vector),
        Expr::Matrix(matrix) => {
            let mut node = selector("matrixSelector", &matrix.selector);
            node["range"] = json!(millis(&matrix.range));
            node["rangeExpr"] = json!(computed(&matrix.range));
            node
        }
        Expr::Subquery(subquery) => json!({
            "type": "subquery",
            "expr": tree_json(&subquery.expr),
            "range": millis(&subquery.range),
            "rangeExpr": computed(&subquery.range),
            "offset": millis(&subquery.offset),
            "offsetExpr": computed(&subquery.offset),
            "step": subquery.step.as_ref().map_or(0, millis),
            "stepExpr": subquery.step.as_ref().and_then(computed),
            "timestamp": timestamp(subquery.at),
            "startOrEnd": start_or_end(subquery.at),
        }),
        Expr::Call(node) => call(node),
        Expr::Aggregate(node) => aggregate(node),
        Expr::Binary(node) => binary(node),
        Expr::Unary(unary) => json!({
            "type": "unaryExpr",
            "op": if unary.negative { "-" } else { "+" },
            "expr": tree_json(&unary.expr),
        }),
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": tree_json(&paren.expr)}),
    }
}

fn selector(kind: &str, vector: &VectorSelector) -> Value {
    let matchers: Vec<Value> = vector.matchers.iter().map(matcher).collect();
    json!({
        "type": kind,
        "name": vector.name.as_deref().unwrap_or_default(),
        "offset": millis(&vector.offset),
        "offsetExpr": computed(&vector.offset),
        "matchers": matchers,
        "timestamp": timestamp(vector.at),
        "startOrEnd": start_or_end(vector.at),
        "anchored": vector.extent == Extent::Anchored,
        "smoothed": vector.extent == Extent::Smoothed,
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({
        "name": matcher.name(),
        "value": matcher.value(),
        "type": matcher.op().as_str(),
    })
}

fn call(call: &Call) -> Value {
    let function = call.function;
    let types: Vec<&str> = function
        .args
        .iter()
        .copied()
        .map(ValueType::as_str)
        .collect();
    let args: Vec<Value> = call.args.iter().map(tree_json).collect();
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": types,
            "variadic": function.variadic,
            "returnType": function.returns.as_str(),
        },
        "args": args,
    })
}

fn aggregate(aggregate: &Aggregate) -> Value {
    json!({
        "type": "aggregation",
        "op": aggregate.op.as_str(),
        "expr": tree_json(&aggregate.expr),
        "param": aggregate.param.as_deref().map(tree_json),
        "grouping": aggregate.grouping,
        "without": aggregate.without,
    })
}

fn binary(binary: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": tree_json(&binary.lhs),
        "rhs": tree_json(&binary.rhs),
        "matching": binary.matching.as_ref().map(matching),
        "bool": binary.return_bool,
    })
}

/// Fill values that JSON has no number for show as `null`.
fn matching(matching: &VectorMatching) -> Value {
    let card = match matching.card {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

fn millis(length: &Length) -> i64 {
    length.millis().unwrap_or(0)
}

/// The tree of a duration that is not worked out yet.
fn computed(length: &Length) -> Option<Value> {
    match length {
        Length::Millis(_) => None,
        Length::Computed(duration) => Some(duration_json(duration)),
    }
}

fn duration_json(duration: &DurationExpr) -> Value {
    let (op, lhs, rhs) = match &duration.kind {
        DurationKind::Number(number) if duration.wrapped => ("+", None, Some(literal(number))),
        DurationKind::Number(number) => return literal(number),
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Negative(inner) => ("-", None, Some(duration_json(inner))),
        DurationKind::Two { op, lhs, rhs } => (
            op.as_str(),
            Some(duration_json(lhs)),
            Some(duration_json(rhs)),
        ),
    };
    json!({"type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": duration.wrapped})
}

/// A number within a duration, which tells how it was written.
fn literal(number: &NumberLiteral) -> Value {
    let mut value = String::new();
    push_float(&mut value, number.value);
    json!({"type": "numberLiteral", "val": value, "duration": number.is_duration})
}

fn timestamp(at: Option<At>) -> Option<i64> {
    match at {
        Some(At::Timestamp(ms)) => Some(ms),
        _ => None,
    }
}

fn start_or_end(at: Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, parse_expr};

    #[test]
    fn shows_trees_as_prometheus_does() {
        let check = |input: &str, want: Value| {
            let expr = parse_expr(input, Features::all()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(tree_json(&expr), want, "{input}");
        };
        let foo = json!({
            "type": "vectorSelector", "name": "foo", "offset": 0, "offsetExpr": null,
            "matchers": [{"name": "__name__", "value": "foo", "type": "="}],
            "timestamp": null, "startOrEnd": null, "anchored": false, "smoothed": false,
        });
        check("foo", foo.clone());
        check(
            "{a=~\"b\"}[5m] smoothed @ end() offset -1s",
            json!({
                "type": "matrixSelector", "name": "", "offset": -1000, "range": 300_000,
                "offsetExpr": null, "rangeExpr": null,
                "matchers": [{"name": "a", "value": "b", "type": "=~"}],
                "timestamp": null, "startOrEnd": "end", "anchored": false, "smoothed": true,
            }),
        );
        check(
            "foo[1h:] @ 1.5",
            json!({
                "type": "subquery", "expr": foo, "range": 3_600_000, "offset": 0, "step": 0,
                "rangeExpr": null, "offsetExpr": null, "stepExpr": null,
                "timestamp": 1500, "startOrEnd": null,
            }),
        );
        check(
            "-(foo + on (a) group_left (b) fill_right (1) foo)",
            json!({"type": "unaryExpr", "op": "-", "expr": {"type": "parenExpr", "expr": {
                "type": "binaryExpr", "op": "+", "lhs": foo, "rhs": foo, "bool": false,
                "matching": {
                    "card": "many-to-one", "labels": ["a"], "on": true, "include": ["b"],
                    "fillValues": {"lhs": null, "rhs": 1.0},
                },
            }}}),
        );
        let minute = json!({"type": "numberLiteral", "val": "60", "duration": true});
        let step = json!({
            "type": "durationExpr", "op": "step", "lhs": null, "rhs": null, "wrapped": false,
        });
        check(
            "foo[1m-step():min_of(1m, (1m))]",
            json!({
                "type": "subquery", "expr": foo, "offset": 0, "offsetExpr": null,
                "range": 0, "rangeExpr": {
                    "type": "durationExpr", "op": "-", "lhs": minute, "rhs": step, "wrapped": false,
                },
                "step": 0, "stepExpr": {
                    "type": "durationExpr", "op": "min_of", "lhs": minute, "wrapped": false,
                    "rhs": {
                        "type": "durationExpr", "op": "+", "lhs": null, "rhs": minute, "wrapped": true,
                    },
                },
                "timestamp": null, "startOrEnd": null,
            }),
        );
        check(
            "1 == bool Inf",
            json!({
                "type": "binaryExpr", "op": "==", "matching": null, "bool": true,
                "lhs": {"type": "numberLiteral", "val": "1"},
                "rhs": {"type": "numberLiteral", "val": "+Inf"},
            }),
        );
        check(
            "count_values without (a) (\"v\", round(foo))",
            json!({
                "type": "aggregation", "op": "count_values", "grouping": ["a"], "without": true,
                "param": {"type": "stringLiteral", "val": "v"},
                "expr": {
                    "type": "call", "args": [foo],
                    "func": {
                        "name": "round", "argTypes": ["vector", "scalar"], "variadic": 1,
                        "returnType": "vector",
                    },
                },
            }),
        );
    }
}
