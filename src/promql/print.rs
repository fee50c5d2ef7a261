//! Trees back to text that Prometheus and we ourselves read back as the same tree, in the same order.

mod expr;
mod pretty;
mod quote;

pub use expr::print_expr;
pub(crate) use expr::push_float;
pub use pretty::prettify;
pub(crate) use quote::{quote, quote_char, unicode};

use crate::model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::lex::names_a_metric;
use quote::push_string;

/// Writes matchers as a vector selector: `foo{a="b"}`, `{"my.metric",a="b"}`, `{__name__=~"a.*"}`, `{}`.
///
/// [`parse_metric_selector`](crate::promql::parse_metric_selector) gives the same matchers back in the same order. The
/// name stands before the braces when that keeps the order (it is the last matcher, where the parser puts it), when no
/// other matcher concerns the name (Prometheus refuses the two together), and when it is a name of the old charset that
/// is no keyword of the language (`on`, `bool`, `inf`). Elsewhere a name of the old charset is written
/// `__name__="foo"`, which servers before 3.0 read too, and any other name is quoted inside the braces.
pub fn print_selector(matchers: &[Matcher]) -> String {
    let (name, rest) = split_bare_name(matchers);
    let mut out = String::from(name);
    if name.is_empty() || !rest.is_empty() {
        out.push('{');
        for (i, matcher) in rest.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            push_matcher(&mut out, matcher);
        }
        out.push('}');
    }
    out
}

/// The name that can stand before the braces (`""`: none can) and the matchers that stay inside.
fn split_bare_name(matchers: &[Matcher]) -> (&str, &[Matcher]) {
    let Some((last, rest)) = matchers.split_last() else {
        return ("", matchers);
    };
    let bare = is_name(last)
        && is_legacy_metric_name(last.value())
        && names_a_metric(last.value())
        && rest.iter().all(|m| m.name() != METRIC_NAME);
    if bare {
        (last.value(), rest)
    } else {
        ("", matchers)
    }
}

/// Whether the matcher fixes the metric name.
fn is_name(matcher: &Matcher) -> bool {
    matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal
}

/// Appends one matcher as it stands inside the braces.
fn push_matcher(out: &mut String, matcher: &Matcher) {
    let value = matcher.value();
    if is_name(matcher) && !value.is_empty() && !is_legacy_metric_name(value) {
        return push_string(out, value);
    }
    push_labelled_matcher(out, matcher);
}

/// Appends one matcher as `label="value"`.
fn push_labelled_matcher(out: &mut String, matcher: &Matcher) {
    if is_legacy_label_name(matcher.name()) {
        out.push_str(matcher.name());
    } else {
        push_string(out, matcher.name());
    }
    out.push_str(match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    });
    push_string(out, matcher.value());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse_metric_selector;

    #[test]
    fn prints_selectors() {
        let check = |input: &str, want: &str| {
            let matchers = parse_metric_selector(input).unwrap();
            assert_eq!(print_selector(&matchers), want, "{input}");
        };
        check("foo", "foo");
        check(" foo { } ", "foo");
        check("{}", "{}");
        check(
            "foo { b != 'x' , a =~ `\\d+` , }",
            r#"foo{b!="x",a=~"\\d+"}"#,
        );
        check(r#"{a="b",c!~"d"}"#, r#"{a="b",c!~"d"}"#);
        check(r#"{__name__="foo"}"#, "foo");
        check(r#"{"foo"}"#, "foo");
        check(r#"{a="b",__name__="foo"}"#, r#"foo{a="b"}"#);
        check(r#"{__name__="foo",a="b"}"#, r#"{__name__="foo",a="b"}"#);
        check(r#"{"foo",a="b"}"#, r#"{__name__="foo",a="b"}"#);
        check(r#"{"my.metric","k.ey"="v"}"#, r#"{"my.metric","k.ey"="v"}"#);
        check(r#"{a="b","my.metric"}"#, r#"{a="b","my.metric"}"#);
        check(r#"{__name__="my.metric"}"#, r#"{"my.metric"}"#);
        check(r#"{__name__=~"a|b"}"#, r#"{__name__=~"a|b"}"#);
        check(r#"{__name__=""}"#, r#"{__name__=""}"#);
        check(r#"{""}"#, r#"{__name__=""}"#);
        check(r#"{""="x"}"#, r#"{""="x"}"#);
        check(
            r#"foo{__name__="bar"}"#,
            r#"{__name__="bar",__name__="foo"}"#,
        );
        check(
            r#"foo{__name__=~"b.*"}"#,
            r#"{__name__=~"b.*",__name__="foo"}"#,
        );
        check("job:x:rate5m", "job:x:rate5m");
        check("sum", "sum");
        check("fill_left", "fill_left");
        check(r#"{"on"}"#, r#"{__name__="on"}"#);
        check(r#"{"Inf"}"#, r#"{__name__="Inf"}"#);
        check(r#"{or="a",on="b"}"#, r#"{or="a",on="b"}"#);
        check(r#"{a="\ufffd\x00é\u200b"}"#, r#"{a="\ufffd\x00é\u200b"}"#);
    }
}
