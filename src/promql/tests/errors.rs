//! Messages and their places: syntax errors at every position, types, and what is switched off.

use crate::promql::{Features, parse_expr};

fn refuse(input: &str, want: &str) {
    match parse_expr(input, Features::all()) {
        Ok(_) => panic!("{input} is read"),
        Err(err) => assert_eq!(err.to_string(), want, "{input}"),
    }
}

#[test]
fn names_the_token_that_does_not_fit() {
    refuse(
        "",
        "unknown position: parse error: no expression found in input",
    );
    refuse(
        "# nothing",
        "1:1: parse error: no expression found in input",
    );
    refuse("1+", "1:3: parse error: unexpected end of input");
    refuse("foo bar", "1:5: parse error: unexpected identifier \"bar\"");
    refuse("foo\n +\n* bar", "3:1: parse error: unexpected <op:*>");
    refuse(
        "(foo bar)",
        "1:6: parse error: unexpected identifier \"bar\"",
    );
    refuse("foo)", "1:5: parse error: unexpected right parenthesis ')'");
    refuse(
        "rate(foo[5m]",
        "1:13: parse error: unclosed left parenthesis",
    );
    refuse("a:b(x)", "1:4: parse error: unexpected \"(\"");
    refuse("rate(,x)", "1:6: parse error: unexpected \",\"");
    refuse(
        "a + group_left b",
        "1:5: parse error: unexpected <group_left>",
    );
    refuse(
        "a + on b",
        "1:8: parse error: unexpected identifier \"b\" in grouping opts, expected \"(\"",
    );
    refuse("a bool b", "1:3: parse error: unexpected <bool>");
    refuse("1 bool", "1:3: parse error: unexpected <bool>");
}

#[test]
fn says_what_was_being_read() {
    refuse(
        "sum(foo bar)",
        "1:9: parse error: unexpected identifier \"bar\" in aggregation",
    );
    refuse(
        "sum(rate(foo bar))",
        "1:14: parse error: unexpected identifier \"bar\" in aggregation",
    );
    refuse(
        "sum(,)",
        "1:5: parse error: unexpected \",\" in aggregation",
    );
    refuse(
        "sum by (a) foo",
        "1:12: parse error: unexpected identifier \"foo\" in aggregation",
    );
    refuse(
        "sum(foo) bar",
        "1:10: parse error: unexpected identifier \"bar\"",
    );
    refuse(
        "sum(foo) by (a b)",
        "1:16: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
    );
    refuse(
        "sum by (without) (x)",
        "1:9: parse error: unexpected <without> in grouping opts, expected label",
    );
    refuse(
        "foo offset",
        "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
    refuse(
        "foo offset (5m x)",
        "1:16: parse error: unexpected identifier \"x\" in offset, expected number, duration, step(), or range()",
    );
    refuse(
        "foo @ start(5)",
        "1:13: parse error: unexpected number \"5\" in @, expected timestamp",
    );
    refuse(
        "foo[]",
        "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuse(
        "foo[5m + ]",
        "1:10: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuse(
        "foo[5m 5m]",
        "1:8: parse error: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"",
    );
    refuse(
        "foo[(5m 5m)]",
        "1:9: parse error: unexpected duration \"5m\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuse(
        "foo[5m:*]",
        "1:8: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or \"]\"",
    );
    refuse(
        "foo[5m:5m 5m]",
        "1:11: parse error: unexpected duration \"5m\" in subquery selector, expected \"]\"",
    );
    refuse(
        "foo{a=5}",
        "1:7: parse error: unexpected character inside braces: '5'",
    );
    refuse(
        "sum(foo{a b})",
        "1:11: parse error: unexpected identifier \"b\" in label matching, expected label matching operator",
    );
}

#[test]
fn labels_behind_group_left_may_be_missing() {
    refuse(
        "a + on (x) group_left",
        "1:22: parse error: unexpected end of input in grouping opts, expected \"(\"",
    );
    refuse(
        "a + on (x) group_right * b",
        "1:24: parse error: unexpected <op:*> in grouping opts, expected \"(\"",
    );
    refuse(
        "a + on (x) group_left on",
        "1:23: parse error: unexpected <on> in grouping opts, expected \"(\"",
    );
    assert!(parse_expr("a + on (x) group_left sum", Features::NONE).is_ok());
    assert!(parse_expr("a + on (x) group_left -b", Features::NONE).is_ok());
}

#[test]
fn the_first_of_several_mistakes_is_shown() {
    refuse(
        "f(a,*)",
        "1:4: parse error: trailing commas not allowed in function call args",
    );
    refuse(
        "topk(foo) bar",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    );
    refuse(
        "foo{a=~\"(\"} bar",
        "1:5: parse error: error parsing regexp: missing closing ): `(`",
    );
    refuse(
        "unknown(foo[5m1h])",
        "1:13: parse error: not a valid duration string: \"5m1h\"",
    );
}

#[test]
fn checks_types() {
    refuse(
        "rate(foo)",
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    );
    refuse(
        "foo + foo[5m]",
        "1:7: parse error: binary expression must contain only scalar and instant vector types",
    );
    refuse(
        "1 > 2",
        "1:3: parse error: comparisons between scalars must use BOOL modifier",
    );
    refuse(
        "foo  + bool bar",
        "1:6: parse error: bool modifier can only be used on comparison operators",
    );
    refuse(
        "-\"a\"",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    );
    refuse(
        "sum(1)",
        "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
    );
    refuse(
        "topk(foo, foo)",
        "1:6: parse error: expected type scalar in aggregation parameter, got instant vector",
    );
    refuse(
        "1[5m:]",
        "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
    );
    refuse(
        "label_join(foo)",
        "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
    );
    refuse(
        "round(foo, 1, 2)",
        "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
    );
    refuse(
        "foo + fill(1) 1",
        "1:1: parse error: filling in missing series only allowed between instant vectors",
    );
    refuse(
        "foo and fill(1) bar",
        "1:1: parse error: filling in missing series not allowed for set operators",
    );
    refuse(
        "foo anchored smoothed",
        "1:1: parse error: anchored and smoothed modifiers cannot be used together",
    );
    refuse(
        "foo[5m:] anchored",
        "1:1: parse error: anchored modifier is not supported for subqueries",
    );
    refuse(
        "foo @ 1 @ 2",
        "1:1: parse error: @ <timestamp> may not be set multiple times",
    );
    refuse(
        "foo @ 1e30",
        "1:1: parse error: timestamp out of bounds for @ modifier: 1000000000000000019884624838656.000000",
    );
    refuse(
        "foo[0.0001]",
        "1:5: parse error: duration must be greater than 0",
    );
}

#[test]
fn refuses_what_is_switched_off() {
    assert!(parse_expr("foo[5m * 2]", Features::default()).is_ok());
    assert!(parse_expr("first_over_time(foo[5m])", Features::NONE).is_ok());
    let check = |input: &str, want: &str| {
        assert!(parse_expr(input, Features::all()).is_ok(), "{input}");
        let err = parse_expr(input, Features::NONE).unwrap_err();
        assert_eq!(err.to_string(), want, "{input}");
    };
    check(
        "info(foo)",
        "1:1: parse error: function \"info\" is not enabled",
    );
    check(
        "limitk(1, foo)",
        "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
    );
    check(
        "foo[5m * 2]",
        "1:5: parse error: experimental duration expression is not enabled",
    );
    check(
        "foo offset step()",
        "1:12: parse error: experimental duration expression is not enabled",
    );
    check(
        "foo offset -(5m)",
        "1:14: parse error: experimental duration expression is not enabled",
    );
    check(
        "foo anchored",
        "1:1: parse error: anchored modifier is experimental and not enabled",
    );
    check(
        "foo[5m] smoothed",
        "1:1: parse error: smoothed modifier is experimental and not enabled",
    );
    check(
        "foo + fill(1) bar",
        "1:1: parse error: binop fill modifiers are experimental and not enabled",
    );
}

/// Every beginning of an expression, and every expression with one byte too few or too many, is read or refused with a
/// place within it.
#[test]
fn an_error_at_every_position_has_a_place() {
    for whole in [
        "sum by (a, \"b.c\") (rate(foo{a=\"b\", c=~`d.*`}[5m:1m] offset -5m)) / on (x) group_left (y) (bar @ start() > bool 1_000)",
        "topk(5, min_of + foo[min_of(step(), 5m) * 2] anchored) unless - histogram_quantile(0.9, é) # end",
    ] {
        let bytes: Vec<usize> = whole.char_indices().map(|(i, _)| i).collect();
        for at in bytes {
            let (before, behind) = whole.split_at(at);
            let mut chars = behind.chars();
            chars.next();
            for text in [
                before.to_owned(),
                format!("{before}{}", chars.as_str()),
                format!("{before}){behind}"),
                format!("{before}\n${behind}"),
            ] {
                if let Err(errors) = parse_expr(&text, Features::all()) {
                    for error in errors.all() {
                        assert!(error.position().offset <= text.len(), "{text}: {error}");
                        assert!(!error.message().is_empty());
                    }
                }
            }
        }
    }
}
