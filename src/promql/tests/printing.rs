//! How expressions are written, on one line and over several.

use super::{parse, round_trip};
use crate::promql::prettify;

#[test]
fn prints_as_upstream_does() {
    let check = |input: &str, want: &str| assert_eq!(round_trip(input), want, "{input}");
    let same = |input: &str| assert_eq!(round_trip(input), input);
    same("sum by (a, b) (rate(foo[5m]))");
    check("sum(x) by (a)", "sum by (a) (x)");
    check("sum by () (x)", "sum(x)");
    check("SUM without () (x)", "sum without () (x)");
    check(
        "sum by(\"foo bar\",without_x)(x)",
        "sum by (\"foo bar\", without_x) (x)",
    );
    check(
        "sum by (\"without\", \"inf\", bool) (x)",
        "sum by (\"without\", \"inf\", bool) (x)",
    );
    check("topk(5,x)", "topk(5, x)");
    check("a+b*c", "a + b * c");
    check("(a+b)*-c^2", "(a + b) * -c ^ 2");
    check("a atan2 b", "a atan2 b");
    check("a AND on() b", "a and on () b");
    check("a + ignoring() b", "a + b");
    check("a / on(x) group_left b", "a / on (x) group_left () b");
    check(
        "a / ignoring() group_right(y) b",
        "a / ignoring () group_right (y) b",
    );
    check("a == bool on(x) b", "a == bool on (x) b");
    check("a + fill(0) b", "a + fill (0) b");
    check(
        "a + on(x) group_left fill_right(1) fill_left(-Inf) b",
        "a + on (x) group_left () fill_left (-Inf) fill_right (1) b",
    );
    check("a </ 1", "a </ 1");
}

#[test]
fn prints_selectors_literals_and_durations_as_upstream_does() {
    let check = |input: &str, want: &str| assert_eq!(round_trip(input), want, "{input}");
    check("foo offset 5m @ 1.5", "foo @ 1.500 offset 5m");
    check(
        "foo[300] @ -100 offset -90",
        "foo[5m] @ -100.000 offset -1m30s",
    );
    check("foo[1h:] @ end()", "foo[1h:] @ end()");
    check("foo[1h:60]offset 1d", "foo[1h:1m] offset 1d");
    check("foo[5m] anchored", "foo[5m] anchored");
    check(
        "foo smoothed @ start() offset 1m",
        "foo @ start() smoothed offset 1m",
    );
    check("foo anchored[5m] @ 0", "foo[5m] anchored @ 0.000");
    check(
        "{b=\"1\", a!~`x`, __name__=\"foo\"}",
        "{__name__=\"foo\",a!~\"x\",b=\"1\"}",
    );
    check("foo{b=\"1\",a=\"2\",}", "foo{a=\"2\",b=\"1\"}");
    check(
        "{\"my.metric\", \"k.ey\"='v'}",
        "{\"k.ey\"=\"v\",__name__=\"my.metric\"}",
    );
    check("info(foo, {})", "info(foo, {})");
    check("info(foo, {a=~\".*\"})", "info(foo, {a=~\".*\"})");
    check("offset + by", "offset + by");
    check("'it\\'s' ", "\"it's\"");
    check("\"\\xff\\xc3\\xa9\"", "\"\\xffé\"");
    check("0x1F", "31");
    check("1e-7 + 1e21", "0.0000001 + 1000000000000000000000");
    check("Inf - -inf", "+Inf - -Inf");
    check("inf ^ 2", "Inf ^ 2");
    check("nan", "NaN");
    check("5m", "5m");
    check("-90s", "-1m30s");
    check("- (1)", "-(1)");
    check("+foo", "+foo");
    check("--foo", "--foo");
    check("--1", "1");
    check("-1^2", "-1 ^ 2");
    check("step() + start()", "step() + start()");
    check("foo[ (5m) ]", "foo[(5m)]");
    check("foo[5m*2+step()]", "foo[5m * 2 + step()]");
    check("foo offset -(1m^2)", "foo offset -(1m ^ 2)");
    check("foo offset (1) + 2", "foo offset (1) + 2");
    check("foo offset 1 + 2", "foo offset 1s + 2");
    check(
        "foo[max_of(range(), 5s):min_of(1,2)]",
        "foo[max_of(range(), 5s):min_of(1, 2)]",
    );
    check("-foo offset 5m", "-foo offset 5m");
    check("2 ^ -a * b", "2 ^ -a * b");
}

#[test]
fn precedence_is_upstreams() {
    let same = |input: &str, parenthesised: &str| {
        let bare = parenthesised.replace(['(', ')'], "");
        assert_eq!(super::print_expr(&parse(input)), bare);
        assert_eq!(shape(input), parenthesised, "{input}");
    };
    same(
        "a or b and c == d + e * f ^ g",
        "(a or (b and (c == (d + (e * (f ^ g))))))",
    );
    same(
        "a ^ b * c + d == e and f or g",
        "((((((a ^ b) * c) + d) == e) and f) or g)",
    );
    same("a - b - c", "((a - b) - c)");
    same("a ^ b ^ c", "(a ^ (b ^ c))");
    same("a and b unless c", "((a and b) unless c)");
    same("a == b > c", "((a == b) > c)");
    same("a * b atan2 c % d", "(((a * b) atan2 c) % d)");
    same("-a * b", "((-a) * b)");
    same("-a ^ b", "(-(a ^ b))");
    same("2 ^ -a ^ b * c", "((2 ^ (-(a ^ b))) * c)");
    same("a </ b >/ c", "((a </ b) >/ c)");
}

/// The expression with parentheses around every operation.
fn shape(input: &str) -> String {
    use crate::promql::ast::Expr;
    fn write(expr: &Expr) -> String {
        match expr {
            Expr::Binary(b) => format!("({} {} {})", write(&b.lhs), b.op.as_str(), write(&b.rhs)),
            Expr::Unary(u) => format!("(-{})", write(&u.expr)),
            other => other.to_string(),
        }
    }
    write(&parse(input))
}

#[test]
fn spans_are_the_bytes_of_each_node() {
    use crate::promql::ast::Expr;
    fn visit(input: &str, expr: &Expr, out: &mut Vec<String>) {
        let span = expr.span();
        out.push(input[span.start..span.end].to_owned());
        match expr {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Subquery(s) => visit(input, &s.expr, out),
            Expr::Call(c) => c.args.iter().for_each(|arg| visit(input, arg, out)),
            Expr::Aggregate(a) => {
                a.param.iter().for_each(|param| visit(input, param, out));
                visit(input, &a.expr, out);
            }
            Expr::Binary(b) => {
                visit(input, &b.lhs, out);
                visit(input, &b.rhs, out);
            }
            Expr::Unary(u) => visit(input, &u.expr, out),
            Expr::Paren(p) => visit(input, &p.expr, out),
        }
    }
    let check = |input: &str, want: &[&str]| {
        let mut found = Vec::new();
        visit(input, &parse(input), &mut found);
        assert_eq!(found, want);
    };
    check(" - 1 ", &["- 1"]);
    check(
        " sum ( foo{ } ) by ( a ) + 5m ",
        &[
            "sum ( foo{ } ) by ( a ) + 5m",
            "sum ( foo{ } ) by ( a )",
            "foo{ }",
            "5m",
        ],
    );
    check(
        "topk (2, max_over_time( rate( x [5m] offset 1m @ 3 )[1h:1m] offset ( 5m ) ) )",
        &[
            "topk (2, max_over_time( rate( x [5m] offset 1m @ 3 )[1h:1m] offset ( 5m ) ) )",
            "2",
            "max_over_time( rate( x [5m] offset 1m @ 3 )[1h:1m] offset ( 5m ) )",
            "rate( x [5m] offset 1m @ 3 )[1h:1m] offset ( 5m )",
            "rate( x [5m] offset 1m @ 3 )",
            "x [5m] offset 1m @ 3",
        ],
    );
    check("- ( a )", &["- ( a )", "( a )", "a"]);
}

#[test]
fn splits_long_lines_as_upstream_does() {
    let check = |input: &str, want: &str| {
        let pretty = prettify(&parse(input));
        assert_eq!(pretty, want);
        assert_eq!(parse(&pretty), parse(input));
    };
    let a = "a".repeat(50);
    let b = "b".repeat(50);
    check("foo  +bar", "foo + bar");
    check(&format!("{a}+{b}"), &format!("  {a}\n+\n  {b}"));
    check(
        &format!("sum by(x)({a} / on(y) {b})"),
        &format!("sum by (x) (\n    {a}\n  / on (y)\n    {b}\n)"),
    );
    check(
        &format!("topk(5, rate({a}[5m]) > bool {b})"),
        &format!("topk(\n  5,\n    rate({a}[5m])\n  > bool\n    {b}\n)"),
    );
    check(
        &format!("clamp(({a}+{b}),1,2)"),
        &format!("clamp(\n  (\n      {a}\n    +\n      {b}\n  ),\n  1,\n  2\n)"),
    );
    check(
        &format!("-({a}+{b})"),
        &format!("-(\n    {a}\n  +\n    {b}\n)"),
    );
    check(
        &format!("max_over_time(({a}+{b})[5m:1m] offset 1m)"),
        &format!("max_over_time(\n  (\n      {a}\n    +\n      {b}\n  )[5m:1m] offset 1m\n)"),
    );
    check(&format!("{a}{{x=\"{b}\"}}"), &format!("{a}{{x=\"{b}\"}}"));
}
