//! Expressions made at random: what is right is read, printed and read back, what is wrong is refused, and neither
//! panics.

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::round_trip;
use crate::promql::{Features, parse_expr, prettify};

fn word(words: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(words)
        .prop_map(str::to_owned)
        .boxed()
}

fn selector() -> BoxedStrategy<String> {
    let name = word(&[
        "foo", "a:b", "sum", "offset", "by", "step", "and", "_x9", "fill",
    ]);
    let matchers = word(&[
        "",
        "{}",
        "{a=\"b\"}",
        "{b!='\\n', a=~`x|\\d+`}",
        "{\"k.ey\"!~\"[a-c]\",}",
        "{a=\"é\\u200b\",a!=\"\"}",
    ]);
    let whole = word(&[
        "{\"my.metric\"}",
        "{__name__=~\"a.+\"}",
        "{a=\"b\",\"x\"}",
        "{a!=\"\"}",
    ]);
    prop_oneof![4 => (name, matchers).prop_map(|(n, m)| n + &m), 1 => whole].boxed()
}

fn times() -> BoxedStrategy<String> {
    word(&[
        "",
        "",
        "",
        "",
        " offset 5m",
        " offset -1h30m",
        " @ 1603774568.25",
        " @ -100",
        " @ start()",
        " @ end() offset 7",
        " offset 1y @ 0x10",
        " offset (step() * 2)",
        " offset -min_of(1m, range())",
        " offset (1) + 2",
        " offset --5s",
        " offset 0.25",
    ])
}

fn duration() -> BoxedStrategy<String> {
    word(&[
        "5m",
        "300",
        "1w2d",
        "4s180ms",
        "0.5",
        "step()",
        "5m * 2 + 1s",
        "-(1m-2m)^2",
        "--1h",
        "(5m)",
        "2 ^ -step() ^ 2",
        "max_of(1, range() / 3) % 7",
        "1e2",
        "0x1f",
        "(1 + (2 - 3)) * -(4)",
    ])
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![
        word(&[
            "1", "0x1F", "1e-7", "Inf", "NaN", "5m", "0755", "1_000", ".5", "-0", "-90s", "1e300"
        ]),
        any::<f64>().prop_map(|v| format!("{v:?}").replace("inf", "Inf")),
    ]
    .boxed()
}

fn matching(op: &str) -> BoxedStrategy<String> {
    if matches!(op, "and" | "or" | "unless") {
        return word(&["", " on()", " on(a, \"b.c\")", " ignoring(a)"]);
    }
    word(&[
        "",
        "",
        " on(a)",
        " ignoring(sum,by)",
        " on(a) group_left ()",
        " ignoring() group_right(b)",
        " on() group_left(\"x y\",) fill(0)",
        " fill_left(-1.5) fill_right(NaN)",
        " fill(1)",
    ])
}

/// Scalars.
fn scalar() -> BoxedStrategy<String> {
    number()
        .prop_recursive(3, 12, 2, |inner| {
            let operator = word(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool"]);
            prop_oneof![
                inner.clone().prop_map(|e| format!("({e})")),
                inner.clone().prop_map(|e| format!("- {e}")),
                (inner.clone(), operator, inner).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
                word(&["time()", "pi()", "scalar(foo)", "end()"]),
            ]
        })
        .boxed()
}

/// Instant vectors.
fn vector() -> BoxedStrategy<String> {
    let leaf = (selector(), times()).prop_map(|(s, t)| {
        // Behind parentheses the arithmetic of durations would go on.
        if t.contains("offset (") {
            format!("({s}{t})")
        } else {
            s + &t
        }
    });
    leaf.prop_recursive(5, 40, 3, |inner| {
        const OPERATORS: &[&str] = &[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!= bool", ">=", "</", "and", "or",
            "unless",
        ];
        let binary = proptest::sample::select(OPERATORS).prop_flat_map({
            let inner = inner.clone();
            move |op| {
                (inner.clone(), matching(op), inner.clone()).prop_map(move |(a, m, b)| {
                    match m.as_str() {
                        "" => format!("{a} {op} {b}"),
                        // Else one operand could become a scalar's.
                        m => format!("({a}) {op}{m} ({b})"),
                    }
                })
            }
        });
        let range = (selector(), duration(), times()).prop_map(|(s, d, t)| format!("{s}[{d}]{t}"));
        let subquery = (
            inner.clone(),
            // Upstream's lexer wants a number before the colon.
            duration().prop_filter("a number", |d| d != "step()"),
            proptest::option::of(duration()),
            times(),
        )
            .prop_map(|(e, d, s, t)| format!("({e})[{d}:{}]{t}", s.unwrap_or_default()));
        prop_oneof![
            inner.clone().prop_map(|e| format!("({e})")),
            (word(&["-", "+"]), inner.clone()).prop_map(|(s, e)| s + &e),
            binary.boxed(),
            (scalar(), word(&["+", "^", "*", "> bool"]), inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (
                word(&["sum", "MAX by (a, on)", "count without(\"x.y\",)"]),
                inner.clone()
            )
                .prop_map(|(w, e)| format!("{w}({e})")),
            (
                word(&["topk", "quantile by()", "limitk"]),
                scalar(),
                inner.clone()
            )
                .prop_map(|(w, p, e)| format!("{w}({p}, {e})")),
            inner
                .clone()
                .prop_map(|e| format!("count_values('v', {e}) by (z)")),
            (
                word(&["rate", "last_over_time", "absent_over_time"]),
                prop_oneof![range, subquery]
            )
                .prop_map(|(f, m)| format!("{f}({m})")),
            inner
                .clone()
                .prop_map(|e| format!("label_replace({e}, \"a\", `$1`, 'b', \"\\xff\\n(.*)\")")),
            inner.prop_map(|e| format!("round({e}, 5)")),
        ]
    })
    .boxed()
}

/// Expressions that are right.
pub(super) fn expr() -> BoxedStrategy<String> {
    prop_oneof![5 => vector(), 1 => scalar()].boxed()
}

proptest! {
    #[test]
    fn what_is_right_is_read_printed_and_read_back(text in expr()) {
        let printed = round_trip(&text);
        let pretty = prettify(&super::parse(&text));
        prop_assert_eq!(super::parse(&pretty), super::parse(&printed));
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![
        "\\PC*",
        r#"[a-z0-9_:.(){}\[\]"'`\\=!~<>+*/%^@#, \n-]{0,60}"#,
        "(foo|sum|by|on|group_left|offset|step|range|min_of|fill|bool|rate|\\(|\\)|\\{|\\}|\\[|\\]|5m|1|:|,|\"x\"|=|=~|==|\\+|-|\\^|and|@|anchored|#|\n| ){0,30}",
    ]) {
        match parse_expr(&text, Features::all()) {
            Ok(_) => { round_trip(&text); }
            Err(errors) => for error in errors.all() {
                prop_assert!(error.position().offset <= text.len());
            }
        }
    }
}
