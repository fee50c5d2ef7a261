//! What comes from outside is bounded: no text makes the stack overflow, neither while it is read nor when its tree is
//! dropped, printed or checked.

use super::parse;
use crate::promql::{Features, INPUT_BYTES_MAX, NESTING_MAX, parse_expr, print_expr};

/// Runs with less stack than any thread of the program has.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(1536 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

fn refuse(input: &str, want: &str) {
    let err = parse_expr(input, Features::all()).unwrap_err();
    assert_eq!(err.to_string(), want);
}

/// A way to nest: what stands before, in the middle and behind, and whether a level of it is one level of the tree.
const NESTS: [(&str, &str, &str); 8] = [
    ("(", "1", ")"),
    ("abs(", "x", ")"),
    ("sum by (a) (", "x", ")"),
    ("-", "x", ""),
    ("1^", "1", ""),
    ("", "1", "+1"),
    ("", "x", "[5m:1m]"),
    ("x + on () ", "x", ""),
];

#[test]
fn depth_is_bounded() {
    on_a_small_stack(|| {
        for (before, middle, behind) in NESTS {
            let nested =
                |levels| format!("{}{middle}{}", before.repeat(levels), behind.repeat(levels));
            for levels in [NESTING_MAX + 1, 10_000] {
                let err = parse_expr(&nested(levels), Features::all()).unwrap_err();
                assert_eq!(
                    err.all()[0].message(),
                    "expression is nested more than 200 levels deep",
                    "{before}{middle}{behind} {levels}"
                );
            }
            if behind != "[5m:1m]" {
                let expr = parse(&nested(NESTING_MAX));
                assert_eq!(parse(&print_expr(&expr)), expr);
                drop(expr.clone());
            }
        }
    });
}

#[test]
fn depth_of_durations_is_bounded() {
    on_a_small_stack(|| {
        for (before, middle, behind) in [
            ("(", "1", ")"),
            ("-", "step()", ""),
            ("1^", "1", ""),
            ("", "1", "+1"),
            ("min_of(1, ", "1", ")"),
        ] {
            let nested = |levels| {
                format!(
                    "x[{}{middle}{}]",
                    before.repeat(levels),
                    behind.repeat(levels)
                )
            };
            for levels in [NESTING_MAX + 1, 10_000] {
                let err = parse_expr(&nested(levels), Features::all()).unwrap_err();
                assert_eq!(
                    err.all()[0].message(),
                    "expression is nested more than 200 levels deep",
                    "{before}{middle}{behind} {levels}"
                );
            }
            let expr = parse(&nested(NESTING_MAX - 1));
            assert_eq!(parse(&print_expr(&expr)), expr);
        }
    });
}

#[test]
fn says_where_it_is_too_deep() {
    refuse(
        &"(".repeat(10_000),
        "1:202: parse error: expression is nested more than 200 levels deep",
    );
}

#[test]
fn cost_is_bounded() {
    let many = "x,".repeat(INPUT_BYTES_MAX / 4);
    let err = parse_expr(
        &format!("f({})", ",".repeat(INPUT_BYTES_MAX / 2)),
        Features::all(),
    );
    assert_eq!(err.unwrap_err().all().len(), 1);
    let err = parse_expr(
        &format!("f(x{})", ",".repeat(INPUT_BYTES_MAX / 2)),
        Features::all(),
    );
    assert_eq!(err.unwrap_err().all().len(), 20);
    let err = parse_expr(&format!("f({many})"), Features::all());
    assert_eq!(err.unwrap_err().all().len(), 2);
    let both = &many[..many.len() / 2 - 20];
    let err = parse_expr(
        &format!("a + on({both}) group_left({both}) b"),
        Features::all(),
    );
    assert_eq!(err.unwrap_err().all().len(), 20);
    let regexes = |n: usize| vec!["x{a=~\"b\"}"; n].join(",");
    refuse(
        &format!("abs({})", regexes(500)),
        "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 500",
    );
    refuse(
        &format!("abs({})", regexes(501)),
        "1:5007: parse error: more than 500 regular expressions",
    );
}

#[test]
fn size_is_bounded() {
    let regex = format!("x{{a=~\"{}\"}}", "(a{1000}){1000}");
    let err = parse_expr(&regex, Features::all()).unwrap_err().to_string();
    assert!(
        err.starts_with("1:3: parse error: error parsing regexp: "),
        "{err}"
    );
    let err = parse_expr(&" ".repeat(300_000), Features::all()).unwrap_err();
    assert_eq!(
        err.to_string(),
        "1:1: parse error: input of 300000 bytes is over the limit of 262144"
    );
}
