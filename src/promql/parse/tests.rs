//! Selectors that must be read and refused, upstream's own table, another parser, and random text.

use promql_parser::label::MatchOp as TheirOp;
use promql_parser::parser::Expr as TheirExpr;
use proptest::prelude::*;

use super::*;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::MatchOp;
use crate::promql::print_selector;

/// Name, sign and value of a matcher.
fn parts(m: &Matcher) -> (String, &'static str, String) {
    let sign = match m.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    (m.name().to_owned(), sign, m.value().to_owned())
}

fn all_parts(matchers: &[Matcher]) -> Vec<(String, &'static str, String)> {
    matchers.iter().map(parts).collect()
}

#[test]
fn reads_selectors() {
    let check = |input: &str, want: &[(&str, &str, &str)]| {
        let matchers = parse_metric_selector(input).unwrap_or_else(|err| panic!("{input}: {err}"));
        let found = all_parts(&matchers);
        let found: Vec<_> = found
            .iter()
            .map(|(n, o, v)| (n.as_str(), *o, v.as_str()))
            .collect();
        assert_eq!(found, want, "{input}");
    };
    let name = |name| ("__name__", "=", name);
    check("foo", &[name("foo")]);
    check(" foo\n", &[name("foo")]);
    check("foo # why\n{ # and how\n}", &[name("foo")]);
    check("foo{}", &[name("foo")]);
    check("{}", &[]);
    check(":a:b", &[name(":a:b")]);
    check(
        "foo{a=\"b\", c!='d', e=~`f.*`, g!~\"h\"}",
        &[
            ("a", "=", "b"),
            ("c", "!=", "d"),
            ("e", "=~", "f.*"),
            ("g", "!~", "h"),
            name("foo"),
        ],
    );
    check("{a=\"b\",}", &[("a", "=", "b")]);
    check("{ __name__ =~ \".+\" }", &[("__name__", "=~", ".+")]);
    check(
        r#"{"my.metric", "k.ey"="v"}"#,
        &[name("my.metric"), ("k.ey", "=", "v")],
    );
    check(r#"{a="b", "foo"}"#, &[("a", "=", "b"), name("foo")]);
    check(r#"{"foo",}"#, &[name("foo")]);
    check(r#"{"a", "b"}"#, &[name("a"), name("b")]);
    check(r#"{"__name__"=~"x"}"#, &[("__name__", "=~", "x")]);
    check(r#"foo{__name__="bar"}"#, &[name("bar"), name("foo")]);
    check(
        r#"{'foo\'bar', `a\dos\path`="boo"}"#,
        &[name("foo'bar"), (r"a\dos\path", "=", "boo")],
    );
    check(r#"{a="\x41\u00e9\n"}"#, &[("a", "=", "Aé\n")]);
    check("{foo=''}", &[("foo", "=", "")]);
    // Keywords name metrics, and all words name labels.
    for word in "sum AVG count_values by without offset and or unless start end step range min_of anchored smoothed \
                 fill fill_left limitk"
        .split(' ')
    {
        check(word, &[name(word)]);
        check(&format!("{word}{{{word}='x'}}"), &[(word, "=", "x"), name(word)]);
    }
    for word in "on ignoring bool group_left inf nan atan2".split(' ') {
        check(&format!("{{{word}='x'}}"), &[(word, "=", "x")]);
    }
}

/// Expects the whole message, with its place.
fn refuse(input: &str, want: &str) {
    assert_eq!(parse_metric_selector(input).unwrap_err().to_string(), want);
}

#[test]
fn refuses_what_is_no_selector() {
    let check = refuse;
    check("", "unknown position: parse error: unexpected end of input");
    check(" ", "1:2: parse error: unexpected end of input");
    check("# x", "1:4: parse error: unexpected end of input");
    check("foo-bar", "1:4: parse error: unexpected <op:->");
    check("foo bar", "1:5: parse error: unexpected identifier \"bar\"");
    check(
        "foo a:b",
        "1:5: parse error: unexpected metric identifier \"a:b\"",
    );
    check("foo[5m]", "1:4: parse error: unexpected \"[\"");
    check("foo offset 5m", "1:5: parse error: unexpected <offset>");
    check("foo @ 1", "1:5: parse error: unexpected <op:@>");
    check("foo{}{}", "1:6: parse error: unexpected \"{\"");
    check(
        "foo{} bar",
        "1:7: parse error: unexpected identifier \"bar\"",
    );
    check(
        "foo \"bar\"",
        "1:5: parse error: unexpected string \"\\\"bar\\\"\"",
    );
    check("sum(x)", "1:4: parse error: unexpected \"(\"");
    check("rate(x[5m])", "1:5: parse error: unexpected \"(\"");
    check("(foo)", "1:1: parse error: unexpected \"(\"");
    check("1", "1:1: parse error: unexpected number \"1\"");
    check("5m", "1:1: parse error: unexpected duration \"5m\"");
    check("inf", "1:1: parse error: unexpected number \"inf\"");
    check("on", "1:1: parse error: unexpected <on>");
    check("bool{}", "1:1: parse error: unexpected <bool>");
    check("-foo", "1:1: parse error: unexpected <op:->");
    check("=", "1:1: parse error: unexpected \"=\"");
    check(
        "\"foo\"",
        "1:1: parse error: unexpected string \"\\\"foo\\\"\"",
    );
    check(
        "{",
        "1:2: parse error: unexpected end of input inside braces",
    );
    check(
        "foo{",
        "1:5: parse error: unexpected end of input inside braces",
    );
    check(
        "{a=\"b\"",
        "1:7: parse error: unexpected end of input inside braces",
    );
    check("}", "1:1: parse error: unexpected character: '}'");
    check("foo}", "1:4: parse error: unexpected character: '}'");
    check("{}}", "1:3: parse error: unexpected character: '}'");
    check("{{}}", "1:2: parse error: unexpected left brace '{'");
    check("föö", "1:2: parse error: unexpected character: 'ö'");
    check("foo;", "1:4: parse error: unexpected character: ';'");
    check(
        "foo{\n  a=b}",
        "2:5: parse error: unexpected identifier \"b\" in label matching, expected string",
    );
    check(
        "{é=\"b\"}",
        "1:2: parse error: unexpected character inside braces: 'é'",
    );
    check(
        "{a=\"é\" b}",
        "1:9: parse error: unexpected identifier \"b\" in label matching, expected \",\" or \"}\"",
    );
}

#[test]
fn refuses_bad_matchers() {
    let check = refuse;
    let label = "in label matching, expected identifier or \"}\"";
    let operator = "in label matching, expected label matching operator";
    let comma = "in label matching, expected \",\" or \"}\"";
    check(
        "{,}",
        &format!("1:2: parse error: unexpected \",\" {label}"),
    );
    check(
        "{=}",
        &format!("1:2: parse error: unexpected \"=\" {label}"),
    );
    check(
        "{=~}",
        &format!("1:2: parse error: unexpected <op:=~> {label}"),
    );
    check(
        "{a=\"b\",,}",
        &format!("1:8: parse error: unexpected \",\" {label}"),
    );
    check(
        "{a}",
        &format!("1:3: parse error: unexpected \"}}\" {operator}"),
    );
    check(
        "{a,b}",
        &format!("1:3: parse error: unexpected \",\" {operator}"),
    );
    check(
        "{a \"b\"}",
        &format!("1:4: parse error: unexpected string \"\\\"b\\\"\" {operator}"),
    );
    check(
        "foo{a=}",
        "1:7: parse error: unexpected \"}\" in label matching, expected string",
    );
    check(
        "foo{a==\"b\"}",
        "1:7: parse error: unexpected \"=\" in label matching, expected string",
    );
    check(
        "foo{\"a\"=}",
        "1:9: parse error: unexpected \"}\" in label matching, expected string",
    );
    check(
        "{a=\"b\" c=\"d\"}",
        &format!("1:8: parse error: unexpected identifier \"c\" {comma}"),
    );
    check(
        "{a=\"b\" or c=\"d\"}",
        &format!("1:8: parse error: unexpected identifier \"or\" {comma}"),
    );
    check(
        "{\"a\" \"b\"}",
        &format!("1:6: parse error: unexpected string \"\\\"b\\\"\" {comma}"),
    );
    check(
        "{a=\"b\"=}",
        &format!("1:7: parse error: unexpected \"=\" {comma}"),
    );
}

#[test]
fn refuses_bad_text_inside_braces() {
    let check = refuse;
    check("{a=\"b", "1:4: parse error: unterminated quoted string");
    check("{a=`b}", "1:4: parse error: unterminated raw string");
    check(
        "{a=\"\\q\"}",
        "1:4: parse error: unknown escape sequence U+0071 'q'",
    );
    check(
        "{a=~\"\\d+\"}",
        "1:5: parse error: unknown escape sequence U+0064 'd'",
    );
    check(
        "{a!}",
        "1:3: parse error: unexpected character after '!' inside braces: '}'",
    );
    check(
        "{a>\"b\"}",
        "1:3: parse error: unexpected character inside braces: '>'",
    );
    check(
        "{a=\"\\xff\"}",
        "1:4: parse error: error unquoting string \"\\\"\\\\xff\\\"\": invalid UTF-8",
    );
}

#[test]
fn a_bad_regex_is_reported_at_its_label() {
    let check = |input: &str, at: &str| {
        let err = parse_metric_selector(input).unwrap_err().to_string();
        assert!(
            err.starts_with(&format!("{at}: parse error: error parsing regexp: ")),
            "{input}: {err}"
        );
    };
    check("{a=~\"(\"}", "1:2");
    check("foo{x=\"y\", a !~ \"(\"}", "1:12");
    check("{\"a\"=~\"[\"}", "1:2");
    // The regex is looked at before the token behind it.
    check("{a=~\"(\" !", "1:2");
    check("{a=~\"(a{1000}){1000}\"}", "1:2");
}

#[test]
fn what_comes_from_outside_is_bounded() {
    let check = |input: &str, want: &str| {
        assert_eq!(
            parse_metric_selector(input).unwrap_err().to_string(),
            format!("1:{want}")
        );
    };
    let long = "a".repeat(INPUT_BYTES_MAX);
    assert!(parse_metric_selector(&long).is_ok());
    check(
        &format!("{long}a"),
        "1: parse error: input of 262145 bytes is over the limit of 262144",
    );
    let many = |n: usize| format!("{{{}}}", "a='',".repeat(n));
    assert_eq!(
        parse_metric_selector(&many(MATCHERS_MAX)).map(|m| m.len()),
        Ok(MATCHERS_MAX)
    );
    check(
        &many(MATCHERS_MAX + 1),
        "2502: parse error: more than 500 label matchers",
    );
    // Depth costs no stack.
    for open in ["(", "{", "["] {
        assert!(parse_metric_selector(&open.repeat(INPUT_BYTES_MAX)).is_err());
    }
}

#[test]
fn expressions_ask_for_more_than_match_parameters() {
    let check = |input: &str, want: &str| {
        assert!(parse_metric_selector(input).is_ok(), "{input}");
        assert_eq!(parse_vector_selector(input).unwrap_err().to_string(), want);
    };
    let empty = "parse error: vector selector must contain at least one non-empty matcher";
    check("{}", &format!("1:1: {empty}"));
    check(" {x=\"\"}", &format!("1:2: {empty}"));
    check("{x=~\".*\"}", &format!("1:1: {empty}"));
    check("{\"\"}", &format!("1:1: {empty}"));
    let twice = "parse error: metric name must not be set twice";
    check(
        "foo{__name__=\"bar\"}",
        &format!("1:1: {twice}: \"foo\" or \"bar\""),
    );
    check(
        "foo{a=\"b\",__name__=~\"b.*\"}",
        &format!("1:1: {twice}: \"foo\" or \"b.*\""),
    );
    check("foo{\"bar\"}", &format!("1:1: {twice}: \"foo\" or \"bar\""));

    let selector = parse_vector_selector(" foo { a = 'b' } ").unwrap();
    assert_eq!(
        (
            selector.name.as_deref(),
            selector.span.start..selector.span.end
        ),
        (Some("foo"), 1..16)
    );
    let selector = parse_vector_selector("foo # x").unwrap();
    assert_eq!(
        (
            selector.name.as_deref(),
            selector.span.start..selector.span.end
        ),
        (Some("foo"), 0..3)
    );
    assert_eq!(
        parse_vector_selector("{\"bar\", __name__=\"baz\"}")
            .unwrap()
            .name,
        None
    );
}

/// Whether the text is a bare vector selector, well formed or not: it begins like one, and outside of braces and quotes
/// it has one word at most and nothing else.
fn is_bare_selector(text: &str) -> bool {
    let mut outside = String::new();
    let (mut in_braces, mut quote) = (false, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'' | '`') if in_braces => quote = Some(c),
            (None, '{') => in_braces = true,
            (None, '}') => in_braces = false,
            (None, c) if !in_braces => outside.push(c),
            _ => {}
        }
    }
    let word = outside.trim();
    let begins = text
        .trim_start()
        .starts_with(|c: char| c.is_ascii_alphabetic() || "_:{}".contains(c));
    begins
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[test]
#[expect(clippy::print_stderr, reason = "says what was left out")]
fn agrees_with_the_table_of_prometheus() {
    let Ok(folder) = std::env::var("TRIBUTARY_TESTDATA") else {
        eprintln!("left out: TRIBUTARY_TESTDATA is not set");
        return;
    };
    let text =
        std::fs::read_to_string(format!("{folder}/promql-parser-inputs/expressions.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut ran = 0;
    for case in &cases {
        let input = case["input"].as_str().unwrap();
        if !is_bare_selector(input) {
            continue;
        }
        ran += 1;
        let want = case["errors"][0].as_str().unwrap_or("accepted");
        // The table writes a lone byte 0xFF as U+00FF; what reaches us in its place is U+FFFD.
        let input = if want == "invalid UTF-8 rune" {
            input.replace('ÿ', "\u{fffd}")
        } else {
            input.to_owned()
        };
        let found = parse_vector_selector(&input);
        let found = found
            .as_ref()
            .map_or_else(ParseError::message, |_| "accepted");
        assert_eq!(found, want, "{input}");
    }
    crate::testdata::count("promql_selectors", ran);
    assert!(ran >= 30, "only {ran} selectors in the table");
}

/// A selector's text on which `promql-parser` is right: no raw strings with unknown escapes, no regex beyond what both
/// languages share, no `or` between matchers.
fn selector_text() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}",
        "sum|by|offset|start|and|count_values|topk"
    ];
    let label = "[a-zA-Z_][a-zA-Z0-9_]{0,8}";
    let value = prop_oneof![
        "\"[a-zé ,{}=]{0,6}\"",
        "'[a-z\"]{0,4}'",
        r#""(\\n|\\\\|\\"|\\t|x){0,4}""#
    ];
    let regex = r#""[a-c.]{1,3}[*+?]?(\|[a-c]{1,2})?""#;
    let matcher = prop_oneof![
        3 => (label, "(=|!=)", value).prop_map(|(l, o, v)| format!("{l}{o}{v}")),
        3 => (label, "(=~|!~)", regex).prop_map(|(l, o, v)| format!("{l} {o} {v}")),
        // Mistakes.
        1 => "([a-z]{1,3}|[a-z]=|=\"x\"|[a-z]=[a-z]|\"|[a-z]=='x'|)",
    ];
    let tail = prop_oneof![5 => "", 1 => ",", 1 => ",,", 1 => " "];
    let braces = (proptest::collection::vec(matcher, 0..4), tail)
        .prop_map(|(m, t)| format!("{{{}{t}}}", m.join(", ")));
    (
        proptest::option::of(name),
        proptest::option::of(braces),
        "( |\\)|-|\\})?",
    )
        .prop_map(|(n, b, end)| format!("{}{}{end}", n.unwrap_or_default(), b.unwrap_or_default()))
}

/// What `promql-parser` makes of a text, `None` when it refuses it or sees something else in it.
fn their_parts(input: &str) -> Option<Vec<(String, &'static str, String)>> {
    let Ok(TheirExpr::VectorSelector(selector)) = promql_parser::parser::parse(input) else {
        return None;
    };
    let sign = |op: &TheirOp| match op {
        TheirOp::Equal => "=",
        TheirOp::NotEqual => "!=",
        TheirOp::Re(_) => "=~",
        TheirOp::NotRe(_) => "!~",
    };
    let mut found: Vec<_> = selector
        .matchers
        .matchers
        .into_iter()
        .map(|m| (m.name, sign(&m.op), m.value))
        .collect();
    found.extend(
        selector
            .name
            .map(|name| (METRIC_NAME.to_owned(), "=", name)),
    );
    found.sort();
    Some(found)
}

/// Any matcher, also such as no text would ever be written for.
fn any_matcher() -> impl Strategy<Value = Matcher> {
    let label = prop_oneof![4 => "[a-z]{1,3}", 2 => Just(METRIC_NAME.to_owned()), 1 => ".{0,4}"];
    let value = prop_oneof![2 => "[a-z:]{0,4}", 1 => "(on|inf|sum|a\\.b)", 2 => any::<String>()];
    let op = prop_oneof![3 => Just(MatchOp::Equal), 1 => Just(MatchOp::NotEqual)];
    prop_oneof![
        (op, label.clone(), value)
            .prop_map(|(o, l, v)| Matcher::new(o, l.as_str(), v.as_str()).unwrap()),
        (label, "[a-z.*+\"\\\\d]{0,5}").prop_filter_map("regex", |(l, v)| {
            Matcher::new(MatchOp::Regex, l.as_str(), v.as_str()).ok()
        }),
    ]
}

proptest! {
    #[test]
    fn agrees_with_another_parser(input in selector_text()) {
        let ours = parse_vector_selector(&input).ok().map(|selector| {
            let mut found = all_parts(&selector.matchers);
            found.sort();
            found
        });
        prop_assert_eq!(ours, their_parts(&input), "{}", input);
    }

    #[test]
    fn what_is_printed_reads_back(matchers in proptest::collection::vec(any_matcher(), 0..5)) {
        let text = print_selector(&matchers);
        let back = parse_metric_selector(&text);
        prop_assert!(back.is_ok(), "{}: {:?}", text, back);
        prop_assert_eq!(all_parts(&back.unwrap()), all_parts(&matchers), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(input in prop_oneof![
        any::<String>(),
        r#"[a-c_:{}"'`\\=!~,.()\[\]#\n 0-9x-]{0,30}"#,
        "(foo|sum|\\{|\\}|a|=|!=|=~|!~|,|\"b\"|'\\\\x4'|`c`|#|\n| |\\[|5m|\u{fffd}){0,16}",
    ]) {
        if let Ok(matchers) = parse_metric_selector(&input) {
            let text = print_selector(&matchers);
            prop_assert_eq!(all_parts(&parse_metric_selector(&text).unwrap()), all_parts(&matchers));
        }
    }
}

/// Each of these would take some 5 MB and a thirtieth of a second.
#[test]
fn regular_expressions_of_a_text_share_their_room() {
    let one = |n: usize| format!(r#"a{{l=~"(\\pL{{1,100}}){n}"}}"#);
    assert!(parse_expr(&one(0), Features::NONE).is_ok());
    let many: Vec<String> = (0..40).map(one).collect();
    let error = parse_expr(&many.join(" or "), Features::NONE).unwrap_err();
    let error = error.into_first().to_string();
    assert!(error.contains("expression too large"), "{error}");
    let selectors = many.iter().map(String::as_str);
    let error = parse_metric_selectors(selectors).unwrap_err().to_string();
    assert!(error.contains("expression too large"), "{error}");
    assert!(is_slow_to_parse(&one(0)) && !is_slow_to_parse("sum by (cluster) (up)"));
}
