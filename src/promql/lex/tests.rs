//! Token streams of the whole language, and every message of the lexer with its place.

use proptest::prelude::*;

use super::*;

/// All tokens up to the end as `kind text`, the errors as `at: message`.
fn lex(input: &str) -> Vec<String> {
    let mut lexer = Lexer::new(input);
    let mut out = Vec::new();
    loop {
        match lexer.next_token() {
            Ok(token) if token.kind == Kind::Eof => return out,
            Ok(token) => out.push(format!("{:?} {}", token.kind, token.text)),
            Err(err) => out.push(format!("{}: {}", err.at, err.message)),
        }
    }
}

/// The kinds of all tokens, without the name of the group they belong to.
fn kinds(input: &str) -> String {
    let short = |token: &String| {
        let kind = token.split(' ').next().unwrap_or_default();
        kind.trim_end_matches(')')
            .rsplit('(')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    lex(input).iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn tells_tokens_apart() {
    let check = |input: &str, want: &str| assert_eq!(kinds(input), want, "{input}");
    check("", "");
    check(" \t\r\n", "");
    check("# only a comment", "");
    check(
        "foo # name\n{ # braces\n}",
        "Identifier LeftBrace RightBrace",
    );
    check("a:b :c _d", "MetricIdentifier MetricIdentifier Identifier");
    check("Inf nan", "Number Number");
    check(
        "< <= </ > >= >/",
        "Less LessEqual TrimUpper Greater GreaterEqual TrimLower",
    );
    check("==!==", "Equal NotEqual Assign");
    check(
        "{=~!~=!=}",
        "LeftBrace EqualRegex NotEqualRegex Assign NotEqual RightBrace",
    );
    check("+-*/%^@", "Add Sub Mul Div Mod Pow At");
    check(
        "() , [5]",
        "LeftParen RightParen Comma LeftBracket Number RightBracket",
    );
    check(
        "x[5m:1m]",
        "Identifier LeftBracket Duration Colon Duration RightBracket",
    );
    check(
        "x[ 5 : ]",
        "Identifier LeftBracket Number Colon RightBracket",
    );
    check("x[]", "Identifier LeftBracket RightBracket");
    check(
        "[STEP()+5s]",
        "LeftBracket Step LeftParen RightParen Add Duration RightBracket",
    );
    check(
        "[5m/range()]",
        "LeftBracket Duration Div Range LeftParen RightParen RightBracket",
    );
    check(
        "[max_of(1, 5s)]",
        "LeftBracket MaxOf LeftParen Number Comma Duration RightParen RightBracket",
    );
    check(
        "[-(10s)]",
        "LeftBracket Sub LeftParen Duration RightParen RightBracket",
    );
}

#[test]
fn knows_the_keywords() {
    let check = |input: &str, want: &str| assert_eq!(kinds(input), want, "{input}");
    check("and or unless atan2", "And Or Unless Atan2");
    check("sum avg count min max group", "Sum Avg Count Min Max Group");
    check("stddev stdvar topk bottomk", "Stddev Stdvar Topk Bottomk");
    check(
        "count_values quantile limitk limit_ratio",
        "CountValues Quantile Limitk LimitRatio",
    );
    check(
        "offset smoothed anchored by without",
        "Offset Smoothed Anchored By Without",
    );
    check(
        "on ignoring group_left group_right bool",
        "On Ignoring GroupLeft GroupRight Bool",
    );
    check(
        "start end step range max_of min_of",
        "Start End Step Range MaxOf MinOf",
    );
    check("SUM oFFset", "Sum Offset");
    check(
        "fill fill_left fill_right",
        "Identifier Identifier Identifier",
    );
    check("fill(1)", "Fill LeftParen Number RightParen");
    check("fill_left \n(1)", "FillLeft LeftParen Number RightParen");
    check("fill_right(1)", "FillRight LeftParen Number RightParen");
    check(
        "{sum,inf}",
        "LeftBrace Identifier Comma Identifier RightBrace",
    );
    check("sum:x", "MetricIdentifier");
}

#[test]
fn tokens_keep_their_text() {
    let check = |input: &str, want: &[&str]| assert_eq!(lex(input), want, "{input}");
    check("Foo{}", &["Identifier Foo", "LeftBrace {", "RightBrace }"]);
    check(r"'a\'b'", &[r"String 'a\'b'"]);
    check(r#""a'`" `d\`"#, &[r#"String "a'`""#, r"String `d\`"]);
    check("1h30m 0x_1F", &["Duration 1h30m", "Number 0x_1F"]);
}

#[test]
fn names_what_it_cannot_read() {
    let check = |input: &str, want: &str| {
        assert_eq!(lex(input).last().map(String::as_str), Some(want), "{input}");
    };
    check("a $", "2: unexpected character: '$'");
    check("é", "0: unexpected character: 'é'");
    check("a;", "1: unexpected character: ';'");
    check("a}", "1: unexpected character: '}'");
    check(".", "0: unexpected character: '.'");
    check("1 !~ 1", "2: unexpected character after '!': '~'");
    check("1 !", "2: unexpected character after '!': '\u{fffd}'");
    check("1 =~ 1", "2: unexpected character after '=': '~'");
    check(
        "{a!",
        "2: unexpected character after '!' inside braces: '\u{fffd}'",
    );
    check(
        "{a!b",
        "2: unexpected character after '!' inside braces: 'b'",
    );
    check("{ ", "2: unexpected end of input inside braces");
    check("{ # x", "5: unexpected end of input inside braces");
    check("{{", "1: unexpected left brace '{'");
    check("{1}", "1: unexpected character inside braces: '1'");
    check("{a:b}", "2: unexpected character inside braces: ':'");
    check("(1", "2: unclosed left parenthesis");
    check("1)", "2: unexpected right parenthesis ')'");
    check("x]", "1: unexpected right bracket ']'");
    check("x[5m", "4: unclosed left bracket");
    check("x[5m[", "4: unexpected left bracket '['");
    check("x[5m:1m:", "7: unexpected colon ':'");
    check("x[", "2: unexpected end of input in duration expression");
    check(
        "x[:",
        "3: unexpected colon before duration in duration expression",
    );
    check(
        "x[5m:] + y[::",
        "13: unexpected repeated colon in duration expression",
    );
    check("x[)", "3: unexpected right parenthesis ')'");
    check(
        "x[foo]",
        "2: unexpected character in duration expression: 'f'",
    );
    check(
        "x[steps]",
        "2: unexpected character in duration expression: 's'",
    );
    check(
        "x[# c\n5m]",
        "2: unexpected character in duration expression: '#'",
    );
    check(
        "x[.]",
        "2: unexpected character in duration expression: '.'",
    );
    check("foo[5s x 5s]", "7: unexpected character: 'x', expected ':'");
    check("foo[5s s 5s]", "7: unexpected character: 's', expected ':'");
    check("foo[5m1]", "4: bad number or duration syntax: \"5m1\"");
    check(
        "some_metric[5m] OFFSET 1mm",
        "23: bad number or duration syntax: \"1mm\"",
    );
    check(" 'abc", "1: unterminated quoted string");
    check(" `abc", "1: unterminated raw string");
    check("{a='\\q'}", "3: unknown escape sequence U+0071 'q'");
}

#[test]
fn nothing_follows_an_error() {
    let mut lexer = Lexer::new("a $ b");
    assert_eq!(lexer.next_token().unwrap().kind, Kind::Identifier);
    assert!(lexer.next_token().is_err());
    assert_eq!(lexer.next_token().unwrap().kind, Kind::Eof);
    assert_eq!(lexer.next_token().unwrap().kind, Kind::Eof);
}

#[test]
fn describes_tokens() {
    let check = |input: &str, want: &str| {
        assert_eq!(Lexer::new(input).next_token().unwrap().describe(), want);
    };
    check("", "end of input");
    check("foo", r#"identifier "foo""#);
    check("a:b", r#"metric identifier "a:b""#);
    check("Sum", "<aggr:Sum>");
    check("BY", "<BY>");
    check("-", "<op:->");
    check("@", "<op:@>");
    check("and", "<op:and>");
    check("(", r#""(""#);
    check("=", r#""=""#);
    check("start", r#""start""#);
    check("1.5", r#"number "1.5""#);
    check("5m", r#"duration "5m""#);
    check("12345678901", r#"number "1234567890"..."#);
    check("'a'", r#"string "'a'""#);
    check("\"éééééééééé\"", "string \"\\\"ééééééééé\"...");
}

proptest! {
    #[test]
    fn tokens_cover_any_text_in_order(input in prop_oneof![
        "\\PC*",
        r#"[a-z0-9_:.(){}\[\]"'`\\=!~<>+*/%^@#, \n-]{0,40}"#,
        "(foo|\\{|\\}|\\[|\\]|5m|1|:|,|\"x\"|=|=~|sum|offset|#|\n| ){0,20}",
    ]) {
        let mut lexer = Lexer::new(&input);
        let mut end = 0;
        // Every token takes a byte at least, so the stream ends.
        for _ in 0..=input.len() + 1 {
            match lexer.next_token() {
                Ok(token) => {
                    prop_assert!(token.start >= end);
                    prop_assert_eq!(&input[token.start..token.end()], token.text);
                    end = token.end();
                    if token.kind == Kind::Eof {
                        break;
                    }
                }
                Err(err) => prop_assert!(err.at >= end && err.at <= input.len()),
            }
        }
        prop_assert_eq!(lexer.next_token().map(|token| token.kind), Ok(Kind::Eof));
    }
}
