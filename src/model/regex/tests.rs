//! What the other files of this module promise together, against vectors of our own.

use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|err| panic!("{pattern:?}: {err}"))
}

#[test]
fn matches_as_re2_does() {
    let check = |pattern: &str, text: &str, want: bool| {
        assert_eq!(
            regex(pattern).is_match(text),
            want,
            "{pattern:?} on {text:?}"
        );
    };
    // Anchoring and the dot.
    check("foo", "foo", true);
    check("foo", "xfoo", false);
    check("foo", "foo\n", false);
    check("a|b", "ab", false);
    check("", "", true);
    check("", "a", false);
    check("a.b", "a\nb", true);
    check("(?-s)a.b", "a\nb", false);
    check("(?-s:a.b)|c.d", "c\nd", true);
    check("^foo$", "foo", true);
    check("(?m)^foo$.^bar$", "foo\nbar", true);
    check("^foo$.^bar$", "foo\nbar", false);
    check(r"\Afoo\z", "foo", true);
    check("foo^", "foo", false);
    // Perl classes are ASCII, and \s is without \v.
    check(r"\d", "7", true);
    check(r"\d", "٣", false);
    check(r"\D", "٣", true);
    check(r"\w", "é", false);
    check(r"\W", "é", true);
    check(r"[\w]", "é", false);
    check(r"[^\w]", "é", true);
    check(r"\s", "\u{a0}", false);
    check(r"\s", "\x0b", false);
    check(r"\s+", " \t\n\r\x0c", true);
    check(r"\S", "\x0b", true);
    check(r"[\s\S]", "\x0b", true);
    // Word boundaries are ASCII.
    check(r"a\bé", "aé", true);
    check(r"a\Bé", "aé", false);
    check(r"é\Bé", "éé", true);
    check(r"a\B b", "a b", false);
    // POSIX classes.
    check("[[:alpha:]]+", "abcXYZ", true);
    check("[[:^alpha:]]", "7", true);
    check("[^[:alpha:]]", "a", false);
    check("[[:space:]]", "\x0b", true);
    check("[[:word:]_]", "é", false);
    check("[[:a]", ":", true);
    check("[[:a]", "[", true);
    // Unicode classes.
    check(r"\pL+", "aé世", true);
    check(r"\p{Greek}", "λ", true);
    check(r"\p{^Greek}", "λ", false);
    check(r"\P{Greek}", "λ", false);
    check(r"\P{^Greek}", "λ", true);
    check(r"\p{Lu}", "É", true);
    check(r"[\p{Lu}\d]+", "É7", true);
    check(r"[^\p{Lu}]", "É", false);
    check(r"\p{uppercase_letter}", "É", true);
    check(r"\p{Old_Italic}", "\u{10300}", true);
    check(r"\p{Any}", "x", true);
    check(r"\p{Cs}", "x", false);
    check(r"\P{Cs}", "x", true);
    check(r"\p{LC}", "x", true);
    // Operators of sets are characters.
    check("[a&&b]+", "a&b", true);
    check("[a-z~~b]", "~", true);
}

#[test]
fn reads_characters_as_re2_does() {
    let check = |pattern: &str, text: &str, want: bool| {
        assert_eq!(
            regex(pattern).is_match(text),
            want,
            "{pattern:?} on {text:?}"
        );
    };
    check("[[]", "[", true);
    check("[]]", "]", true);
    check("[]a]+", "]a", true);
    check("[^]a]", "b", true);
    check("[^]a]", "]", false);
    check("[a-]+", "a-", true);
    check("[-a]+", "a-", true);
    check(r"[\d-z]+", "1-z", true);
    check(r"[+--]", ",", true);
    check(r"[a\]]+", "]a", true);
    check("[a[b]+", "[ba", true);
    check("[ #]+", "# ", true);
    check("[^a]", "\n", true);
    check("{", "{", true);
    check("}", "}", true);
    check("a{,2}", "a{,2}", true);
    check("a{,2}", "aa", false);
    check("a{2", "a{2", true);
    check("a{02}", "a{02}", true);
    check("a{1,02}", "a{1,02}", true);
    check("{1", "{1", true);
    check("a{}", "a{}", true);
    check("a{2}", "aa", true);
    check("a{2,}", "aaaa", true);
    check("a{2,3}", "aaaa", false);
    check("a{0}", "", true);
    check("a{1000}", &"a".repeat(1000), true);
    check(r"\Qa.b\E", "a.b", true);
    check(r"\Qa.b\E", "axb", false);
    check(r"\Qa.b", "a.b", true);
    check(r"\Qab\E+", "abbb", true);
    check(r"\Q\E", "", true);
    check(r"\Qa\Eb|\Qc|d\E", "c|d", true);
    check(r"\/\_\-\.\ ", "/_-. ", true);
    check(r"\a\f\n\r\t\v", "\x07\x0c\n\r\t\x0b", true);
    check(r"\x41\x{42}\x{1F600}", "AB😀", true);
    check(r"\101\0\07", "A\0\x07", true);
    check(r"\x{D800}|a", "a", true);
    check(r"[\x{D800}]|a", "a", true);
    check(r"[^\x{D800}]", "a", true);
    check(r"[\x{D000}-\x{DFFF}]", "\u{d7ff}", true);
    check(r"[^\x00-\x{10FFFF}]", "a", false);
    check("# x", "# x", true);
}

#[test]
fn flags_and_groups() {
    let check = |pattern: &str, text: &str, want: bool| {
        assert_eq!(
            regex(pattern).is_match(text),
            want,
            "{pattern:?} on {text:?}"
        );
    };
    check("(?i)foo", "FoO", true);
    check("(?i)straße", "STRAßE", true);
    check("(?i)k", "\u{212a}", true);
    check("f(?i)oo", "FOO", false);
    check("f(?i)oo", "fOO", true);
    check("f(?i:o)o", "fOo", true);
    check("f(?i:o)o", "foO", false);
    check("a|(?i)b|c", "C", true);
    check("(a|(?i)b)c", "BC", false);
    check("(?i)[a-c]+", "aBC", true);
    check("(?i)[^a-c]", "B", false);
    check(r"(?i)\w", "\u{17f}", true);
    check(r"(?i)\W", "\u{17f}", false);
    check(r"\w", "\u{17f}", false);
    check("(?i)[[:lower:]]", "A", true);
    check(r"(?i)\p{Lu}", "a", true);
    check(r"(?i)\Qa.\E", "A.", true);
    check("(?i-s)A.", "a\n", false);
    check("(?i)(?-i)a", "A", false);
    check("a(?i)*", "aaa", true);
    check("()*", "", true);
    check("(?:)*a", "a", true);
    check("(|a)+", "aa", true);
    check("(a||b)", "", true);
    check("|", "", true);
    check("^*a", "a", true);
    check(r"\b*a", "a", true);
    check("(?:a*)*", "aaa", true);
    check("(?:ab)*", "abab", true);
    check("(?:ab)c*", "abcc", true);
    check("ab*", "abb", true);
    check("(?:a{30}){33}", &"a".repeat(990), true);
}

fn check_refused(pattern: &str, want: &str) {
    let text = Regex::new(pattern).map_or_else(|err| err.to_string(), |_| "accepted".to_owned());
    assert_eq!(text, format!("error parsing regexp: {want}"), "{pattern:?}");
}

#[test]
fn refuses_classes_and_parentheses_that_re2_refuses() {
    let check = check_refused;
    check("abc(def", "missing closing ): `abc(def`");
    check("(", "missing closing ): `(`");
    check("(?i:a", "missing closing ): `(?i:a`");
    check("a)b", "unexpected ): `a)b`");
    check("a)(b", "unexpected ): `a)(b`");
    check("[a", "missing closing ]: `[a`");
    check("x[", "missing closing ]: `[`");
    check("[]", "missing closing ]: `[]`");
    check("[^]a", "missing closing ]: `[^]a`");
    check("[a-", "missing closing ]: `[a-`");
    check("[z-a]", "invalid character class range: `z-a`");
    check("[a--b]", "invalid character class range: `a--`");
    check("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check(r"[a-\d]", r"invalid escape sequence: `\d`");
    check(r"\pX", r"invalid character class range: `\pX`");
    check(r"\p", r"invalid character class range: `\p`");
    check(r"\p{", r"invalid character class range: `\p{`");
    check(r"\p{Greek", r"invalid character class range: `\p{Greek`");
    check(r"\p{Foo}x", r"invalid character class range: `\p{Foo}`");
    check(r"\p{Grek}", r"invalid character class range: `\p{Grek}`");
    check(
        r"\p{sc=Greek}",
        r"invalid character class range: `\p{sc=Greek}`",
    );
    check(
        r"\p{IsGreek}",
        r"invalid character class range: `\p{IsGreek}`",
    );
    check(
        r"\p{Alphabetic}",
        r"invalid character class range: `\p{Alphabetic}`",
    );
}

#[test]
fn refuses_repeats_that_re2_refuses() {
    let check = check_refused;
    check("*", "missing argument to repetition operator: `*`");
    check("a|*", "missing argument to repetition operator: `*`");
    check("(+a)", "missing argument to repetition operator: `+`");
    check("(?i)??", "missing argument to repetition operator: `??`");
    check("{2}", "missing argument to repetition operator: `{2}`");
    check(r"\Q\E*", "missing argument to repetition operator: `*`");
    check("a**", "invalid nested repetition operator: `**`");
    check("a*+", "invalid nested repetition operator: `*+`");
    check("a???", "invalid nested repetition operator: `???`");
    check("a*?{2}?b", "invalid nested repetition operator: `*?{2}?`");
    check("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check("a{1001}", "invalid repeat count: `{1001}`");
    check("a{1001}?", "invalid repeat count: `{1001}`");
    check("a{1,1001}", "invalid repeat count: `{1,1001}`");
    check("a{2,1}", "invalid repeat count: `{2,1}`");
    check("a{99999999999,}", "invalid repeat count: `{99999999999,}`");
    check("(?:a{30}){34}b", "invalid repeat count: `{34}`");
    check("((a{10}){10}){11}", "invalid repeat count: `{11}`");
}

#[test]
fn refuses_escapes_and_groups_that_re2_refuses() {
    let check = check_refused;
    check("\\", "trailing backslash at end of expression: ``");
    check("[\\", "trailing backslash at end of expression: ``");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"a\1", r"invalid escape sequence: `\1`");
    check(r"\C", r"invalid escape sequence: `\C`");
    check(r"\Z", r"invalid escape sequence: `\Z`");
    check(r"\E", r"invalid escape sequence: `\E`");
    check(r"\é", r"invalid escape sequence: `\é`");
    check(r"[\b]", r"invalid escape sequence: `\b`");
    check(r"\x", r"invalid escape sequence: `\x`");
    check(r"\x4", r"invalid escape sequence: `\x4`");
    check(r"\xg1", r"invalid escape sequence: `\xg1`");
    check(r"\x{}", r"invalid escape sequence: `\x{}`");
    check(r"\x{12", r"invalid escape sequence: `\x{12`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check("(?P<n", "invalid named capture: `(?P<n`");
    check("(?P<>a)", "invalid named capture: `(?P<>`");
    check("(?P<x y>a)", "invalid named capture: `(?P<x y>`");
    check("(?<é>a)", "invalid named capture: `(?<é>`");
    check("(?P=n)", "invalid or unsupported Perl syntax: `(?P`");
    check("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check("(?<", "invalid or unsupported Perl syntax: `(?<`");
    check("(?x)a", "invalid or unsupported Perl syntax: `(?x`");
    check("(?u)a", "invalid or unsupported Perl syntax: `(?u`");
    check("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`");
    check("(?i--s)a", "invalid or unsupported Perl syntax: `(?i--`");
    check("(?", "invalid or unsupported Perl syntax: `(?`");
    check("(?i", "invalid or unsupported Perl syntax: `(?i`");
}

#[test]
fn expands_templates_as_go_does() {
    let check = |pattern: &str, text: &str, template: &str, want: Option<&str>| {
        assert_eq!(
            regex(pattern).expand(text, template).as_deref(),
            want,
            "{pattern:?} {text:?} {template:?}"
        );
    };
    check("(.*)", "ab", "$1", Some("ab"));
    check("(.*)", "ab", "$0-${1}-$2", Some("ab-ab-"));
    check("(.+)", "", "$1", None);
    check("a(.*)", "ab", "x$1y", Some("x")); // the group is called `1y`
    check("a(.*)", "ab", "x${1}y", Some("xby"));
    check("a(.*)", "ab", "$1_y|$1-y", Some("|b-y"));
    check("a(.*)", "ab", "$1é|$1²", Some("|b²"));
    check("a(.*)", "ab", "$$1 $ $", Some("$1 $ $"));
    check(
        "a(.*)",
        "ab",
        "${} ${1 ${a b} $-",
        Some("${} ${1 ${a b} $-"),
    );
    check("a(.*)", "ab", "$01|${00}|$99999999999", Some("||"));
    check("(?P<one>a)(?<two>b)", "ab", "$two$one$three", Some("ba"));
    check("(?P<1>a)(b)", "ab", "$1$2", Some("ab"));
    check("(?P<01>a)(b)", "ab", "$01", Some("a"));
    check("(?P<x>a)|(?P<x>b)", "b", "<$x>", Some("<b>"));
    check("(a)|(b)", "b", "<$1><$2>", Some("<><b>"));
    check("(a)|(b)", "c", "x", None);
    check("foo|bar", "bar", "$0$1", Some("bar"));
    check("(foo|bar)", "bar", "$0$1$2", Some("barbar"));
    check("((foo|bar))", "bar", "$2", Some("bar"));
    check("pre(.*)", "prefix", "$1", Some("fix"));
    check("(a+?)(a*)", "aaa", "$1,$2", Some("a,aa"));
    check("(?U)(a+)(a*)", "aaa", "$1,$2", Some("a,aa"));
    check("(?U)(a+?)(a*?)", "aaa", "$1,$2", Some("aaa,"));
    assert_eq!(regex("a(.*)").replace_all("ab", "<$1>"), "<b>");
    assert_eq!(regex("a(.*)").replace_all("b", "<$1>"), "b");
    assert_eq!(regex("(.*)").template("x$$y").as_fixed(), Some("x$y"));
    assert_eq!(regex("(.*)").template("").as_fixed(), Some(""));
    assert_eq!(regex("(.*)").template("$1").as_fixed(), None);
}

#[test]
fn plans_the_common_shapes() {
    let check = |pattern: &str, want: &str| {
        let name = match regex(pattern).0.plan {
            Plan::Literal(_) => "literal",
            Plan::OneOf(_) => "words",
            Plan::Globs(_) => "globs",
            Plan::Program => "program",
        };
        assert_eq!(name, want, "{pattern:?}");
    };
    check("foo", "literal");
    check("^foo$", "literal");
    check(r"10\.0\.0\.1:9090", "literal");
    check("", "literal");
    check("foo|bar", "words");
    check("^foo|bar$", "words");
    check("(foo|bar)", "words");
    check("node-[0-9]", "words");
    check("foo(bar)?|baz", "words");
    check(".*", "globs");
    check("(.+)", "globs");
    check("foo.*|.*bar|x.+y.*z", "globs");
    check("(?i)foo", "program");
    check("(?-s).*", "program");
    check("[0-9]+", "program");
    check("[ab]{2}", "program");
    check(&"[abcd]".repeat(40), "program");
    let mut words: Vec<_> = regex("(foo|ba[rz])")
        .literals()
        .unwrap()
        .map(str::to_owned)
        .collect();
    words.sort();
    assert_eq!(words, ["bar", "baz", "foo"]);
    assert!(regex("foo.*").literals().is_none());
}

#[test]
fn large_patterns() {
    let many = (0..20_000)
        .map(|n| format!(r"pod-{n}\.example"))
        .collect::<Vec<_>>()
        .join("|");
    assert!(regex(&many).is_match("pod-19999.example"));
    assert!(
        regex(&format!("({many})"))
            .captures("pod-7.example")
            .is_some()
    );
    let check = |pattern: String, want: &str| {
        let text = Regex::new(&pattern)
            .map_or_else(|err| err.kind().to_string(), |_| "accepted".to_owned());
        assert_eq!(text, want, "{} bytes: {:.20}…", pattern.len(), pattern);
    };
    check("a".repeat(PATTERN_BYTES_MAX), "accepted");
    check("a".repeat(PATTERN_BYTES_MAX + 1), "expression too large");
    check(r"\d".repeat(PATTERN_BYTES_MAX / 2), "expression too large");
    check(r"\pL{1000}".to_owned(), "expression too large");
    check(r"\pL".repeat(1001), "expression too large");
    check(
        "((a{1000}|b{1000}|c{1000})|d)".repeat(1000),
        "expression too large",
    );
    check("(".repeat(998) + "a" + &")".repeat(998), "accepted");
    check("(".repeat(998) + "[a-z]*" + &")".repeat(998), "accepted");
    check("(?:".repeat(330) + "x" + &"y*|z)+".repeat(330), "accepted");
    check(
        "(?:".repeat(340) + "x" + &"y*|z)+".repeat(340),
        "expression nests too deeply",
    );
    check(
        "(".repeat(1001) + "a" + &")".repeat(1001),
        "expression nests too deeply",
    );
    check(
        "(?:".repeat(100_000) + "a" + &")".repeat(100_000),
        "accepted",
    );
    check(
        "(".repeat(500_000) + &")".repeat(500_000),
        "expression nests too deeply",
    );
    check("(".repeat(500_000), "missing closing )");
}

/// Patterns of the shapes that have a plan, and their neighbours that have none.
fn patterns() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        4 => "[ab]{1,2}",
        2 => Just(".*".to_owned()),
        2 => Just(".+".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just("(?i)".to_owned()),
        1 => Just("(?-s)".to_owned()),
    ];
    let branch = proptest::collection::vec(atom, 0..5).prop_map(|atoms| atoms.concat());
    let branches = proptest::collection::vec(branch, 1..4).prop_map(|branches| branches.join("|"));
    let group = prop_oneof![Just("("), Just("(?:"), Just("(?P<n>")];
    (branches.clone(), group, branches, "[?]?[ab]?").prop_map(
        |(head, open, inner, tail)| match head.len() {
            0..4 => format!("{head}{open}{inner}){tail}"),
            _ => head,
        },
    )
}

proptest! {
    #[test]
    fn plans_agree_with_the_program(pattern in patterns(), texts in proptest::collection::vec("[abA\n]{0,6}", 1..20)) {
        let Ok(regex) = Regex::new(&pattern) else { return Ok(()) };
        let plain = compile(&parse::parse(&pattern).unwrap().node.to_anchored_pattern(), usize::MAX).unwrap();
        for text in &texts {
            let want = plain.captures(text);
            prop_assert_eq!(regex.is_match(text), want.is_some(), "{:?} on {:?}", pattern, text);
            let have = regex.captures(text);
            prop_assert_eq!(have.is_some(), want.is_some());
            for group in 0..3 {
                let want = want.as_ref().and_then(|found| found.get(group)).map(|part| part.as_str());
                prop_assert_eq!(have.as_ref().and_then(|found| found.get(group)), want, "{:?} on {:?}", pattern, text);
            }
        }
    }

    #[test]
    fn words_and_prefixes_agree_with_string_comparison(word in "\\PC{0,8}", text in "\\PC{0,12}") {
        let quoted = format!(r"\Q{}\E", word.replace('\\', ""));
        let word = word.replace('\\', "");
        prop_assert!(regex(&quoted).is_match(&word));
        prop_assert_eq!(regex(&quoted).is_match(&text), word == text);
        prop_assert_eq!(regex(&format!("{quoted}.*")).is_match(&text), text.starts_with(&word));
        prop_assert_eq!(regex(&format!(".*{quoted}.*")).is_match(&text), text.contains(&word));
        prop_assert_eq!(regex(&format!("(?i:{quoted})|x")).is_match(&word), true);
    }

    #[test]
    fn a_plain_pattern_means_the_same_to_both_engines(pattern in "[a-c.|()*+?]{0,10}", text in "[a-c\n]{0,6}") {
        if let (Ok(ours), Ok(theirs)) = (Regex::new(&pattern), regex::Regex::new(&format!(r"\A(?s:{pattern})\z"))) {
            prop_assert_eq!(ours.is_match(&text), theirs.is_match(&text));
        }
    }

    #[test]
    fn no_pattern_makes_it_panic(pattern in r"[\[\]\\(){}*+?|^$.:&~pPxQEiLd0-9a<>-]{0,24}") {
        if let Ok(regex) = Regex::new(&pattern) {
            regex.is_match("a-b");
            regex.expand("a-b", &pattern);
        }
    }
}

#[test]
fn deep_patterns_need_no_deep_stack() {
    let pattern = "(?:".repeat(330) + "x(a)" + &"y*|z)+".repeat(330);
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let taken = small
        .spawn(move || regex(&pattern).expand("xazyyz", "$1"))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(taken.as_deref(), Some("a"));
}

#[test]
fn room_is_limited_and_what_is_taken_is_told() {
    let taken = |pattern: &str| Regex::new(pattern).unwrap().size_bytes();
    assert!(taken("a|b|c.*") < 1000);
    assert!((10_000..40_000).contains(&taken("[a-z]+-[0-9]+")));
    assert!(taken(r"\pL{1,100}x") > 1 << 20);
    let words = (0..1000).map(|n| format!("word-{n}")).collect::<Vec<_>>();
    assert!(taken(&words.join("|")) > 1000 * 50);
    for (pattern, bytes_max) in [
        (r"\pL{1,100}x", 1 << 20),
        ("[a-z]+-[0-9]+", 400),
        ("[ab][ab][ab][ab][ab][ab][ab][ab][ab][ab][ab][ab]", 10_000),
    ] {
        let error = Regex::within(pattern, bytes_max).unwrap_err();
        assert_eq!(error.kind(), RegexErrorKind::TooLarge, "{pattern}");
        assert!(Regex::new(pattern).is_ok(), "{pattern}");
    }
}
