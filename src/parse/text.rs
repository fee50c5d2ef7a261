//! Lines of Prometheus' text format: comes in as a cursor at the start of a line, goes out as one entry. The rules are
//! those of upstream's `promlex.l` and `promparse.go`, its generosities included: blanks anywhere between tokens,
//! missing commas between labels, no blank needed between name and value (`a.5` is `a` with 0.5).
//!
//! Two of its accidents are not followed, since they lose data without a word: there, a NUL at the start of a line or
//! in a comment that begins with `#x` ends the whole input.

use std::borrow::Cow;

use crate::model::metadata::MetricKind;

use super::cursor::{Cursor, Escapes, Parsed, Raw, is_label_byte, unescape};
use super::error::{Excerpt, Fault};
use super::number::{self, NumberError};
use super::series::{LabelName, NameForm, Series};
use super::{Entry, Sample};

/// The only words that this format knows as types.
const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// Reads one line, newline included.
pub(super) fn entry<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    cursor.skip_blanks();
    match cursor.peek()? {
        None if cursor.at == 0 => Ok(Entry::Eof),
        None => Ok(Entry::Blank),
        Some(b'\n') => {
            cursor.at += 1;
            Ok(Entry::Blank)
        }
        Some(b'#') => hash_line(cursor),
        Some(byte)
            if byte == b'{' || byte == b':' || is_label_byte(byte) && !byte.is_ascii_digit() =>
        {
            sample(cursor).map(Entry::Sample)
        }
        Some(_) => Err(cursor.expected("a valid start token")),
    }
}

/// `#`: metadata if one of the two words stands between blanks, else a comment.
fn hash_line<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let end = cursor.line_end()?;
    cursor.at += 1;
    let hash_end = cursor.at;
    cursor.skip_blanks();
    if cursor.at > hash_end {
        match &cursor.input[cursor.at..end] {
            [b'H', b'E', b'L', b'P', b' ' | b'\t', ..] => return help(cursor),
            [b'T', b'Y', b'P', b'E', b' ' | b'\t', ..] => return kind(cursor),
            _ => {}
        }
    }
    cursor.at = end;
    cursor.end_of_line()?;
    Ok(Entry::Comment)
}

fn help<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let name = metadata_name(cursor, "metric name after HELP")?;
    let bytes = metadata_text(cursor)?;
    let Ok(text) = str::from_utf8(bytes) else {
        return Err(Fault::Utf8 {
            what: "help text",
            text: Excerpt::of(bytes),
        }
        .into());
    };
    Ok(Entry::Help {
        name,
        text: unescape(text, Escapes::Help).0,
    })
}

fn kind<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let name = metadata_name(cursor, "metric name after TYPE")?;
    let bytes = metadata_text(cursor)?;
    let word = str::from_utf8(bytes)
        .ok()
        .filter(|word| KINDS.contains(word));
    match word.and_then(MetricKind::from_word) {
        Some(kind) => Ok(Entry::Type { name, kind }),
        None => Err(Fault::Kind {
            word: Excerpt::of(bytes),
        }
        .into()),
    }
}

/// The name behind `HELP` or `TYPE`, bare or quoted.
fn metadata_name<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Parsed<Cow<'a, str>> {
    cursor.at += "HELP".len();
    cursor.skip_blanks();
    let name = match cursor.peek()? {
        Some(b'"') => cursor.quoted(Raw::NoNul, what)?.text,
        _ => cursor.metric_name()?.into(),
    };
    if name.is_empty() {
        return Err(cursor.expected(what));
    }
    cursor.name = Some(name.clone());
    Ok(name)
}

/// What follows the name up to the end of the line. The byte just behind the name separates, whatever it is: upstream
/// reads `# TYPE a-counter` as a counter.
fn metadata_text<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
    let end = cursor.line_end()?;
    let text = &cursor.input[cursor.at..end];
    if text.first() == Some(&0) {
        return Err(cursor.expected("linebreak after metadata"));
    }
    cursor.at = end;
    cursor.end_of_line()?;
    let all_blank = text.iter().all(|byte| matches!(byte, b' ' | b'\t'));
    Ok(if all_blank { &[] } else { &text[1..] })
}

fn sample<'a>(cursor: &mut Cursor<'a>) -> Parsed<Sample<'a>> {
    let mut series = Series::start(cursor)?;
    cursor.skip_blanks();
    if cursor.peek()? == Some(b'{') {
        cursor.at += 1;
        labels(cursor, &mut series)?;
        series.close(cursor);
    }
    Series::check_name(cursor)?;
    let value = value(cursor)?;
    let timestamp_ms = timestamp(cursor)?;
    series.finish(cursor, value, timestamp_ms, false)
}

/// What stands between the braces, the closing one included.
fn labels<'a>(cursor: &mut Cursor<'a>, series: &mut Series<'a>) -> Parsed<()> {
    loop {
        cursor.skip_blanks();
        if cursor.peek()? == Some(b'}') {
            cursor.at += 1;
            return Ok(());
        }
        let name = label_name(cursor)?;
        cursor.skip_blanks();
        match cursor.peek()? {
            Some(b',' | b'}') if name.form == NameForm::Quoted => series.set_name(cursor, name)?,
            Some(b'=') => label_value(cursor, series, name)?,
            _ => return Err(cursor.expected("equal")),
        }
        cursor.skip_blanks();
        if cursor.peek()? == Some(b',') {
            cursor.at += 1;
        }
    }
}

/// A quoted string, which may turn out to be the metric name, or a bare label name.
fn label_name<'a>(cursor: &mut Cursor<'a>) -> Parsed<LabelName<'a>> {
    let start = cursor.at;
    let (text, form) = match cursor.peek()? {
        Some(b'"') => (
            cursor.quoted(Raw::NoNul, "label name")?.text,
            NameForm::Quoted,
        ),
        _ => (cursor.label_name()?.into(), NameForm::Bare),
    };
    if cursor.at == start {
        return Err(cursor.expected("label name"));
    }
    Ok(LabelName {
        text,
        start,
        end: cursor.at,
        form,
    })
}

/// `="value"`.
fn label_value<'a>(
    cursor: &mut Cursor<'a>,
    series: &mut Series<'a>,
    name: LabelName<'a>,
) -> Parsed<()> {
    cursor.at += 1;
    cursor.skip_blanks();
    if cursor.peek()? != Some(b'"') {
        return Err(cursor.expected("label value"));
    }
    let start = cursor.at;
    let value = cursor.quoted(Raw::Any, "label value")?;
    series.push(cursor, name, start, value);
    Ok(())
}

/// The text of the value, blanks around it left out.
fn value<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
    cursor.skip_blanks();
    if let Some(len) = number::scan(cursor.rest()) {
        let value = &cursor.rest()[..len];
        cursor.at += len;
        return Ok(value);
    }
    let value = cursor.word(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'\n'))?;
    if value.is_empty() {
        return Err(cursor.expected("value after metric"));
    }
    match number::parse(value) {
        Ok(_) => Ok(value),
        Err(source) => Err(cursor.bad_number("value", value, source)),
    }
}

/// The rest of the line behind the value.
fn timestamp(cursor: &mut Cursor<'_>) -> Parsed<Option<i64>> {
    cursor.skip_blanks();
    if cursor.end_of_line()? {
        return Ok(None);
    }
    if !cursor.peek()?.is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(cursor.expected("timestamp or new record"));
    }
    let timestamp_ms = milliseconds(cursor)?;
    cursor.skip_blanks();
    if cursor.end_of_line()? {
        Ok(Some(timestamp_ms))
    } else {
        Err(cursor.expected("next entry after timestamp"))
    }
}

/// A run of digits.
fn milliseconds(cursor: &mut Cursor<'_>) -> Parsed<i64> {
    if let Some((timestamp_ms, len)) = number::timestamp(cursor.rest()) {
        cursor.at += len;
        cursor.peek()?;
        return Ok(timestamp_ms);
    }
    // More than 19 digits: fine if they begin with zeros.
    let digits = cursor.word(|byte| !byte.is_ascii_digit())?;
    let parsed = str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| cursor.bad_number("timestamp", digits, NumberError::Range))
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Label, ParseError, Step, next};
    use super::*;

    fn step(input: &str) -> Result<Entry<'_>, ParseError> {
        match next(Format::Text, input.as_bytes(), true)? {
            Step::Entry { entry, used } => {
                assert_eq!(used, input.len(), "{input:?} is one entry");
                Ok(entry)
            }
            Step::More => panic!("More at the end of {input:?}"),
        }
    }

    /// The sample as `key|name|name_end|label=value@end+|value|timestamp`, `+` for plain.
    fn show(sample: &Sample<'_>) -> String {
        let label = |l: &Label<'_>| {
            format!(
                "{}={}@{}{}",
                l.name,
                l.value,
                l.end,
                if l.plain { "+" } else { "" }
            )
        };
        let labels: Vec<_> = sample.labels.iter().map(label).collect();
        format!(
            "{}|{}|{}|{}|{}|{}",
            String::from_utf8_lossy(sample.key),
            sample.name,
            sample.name_end,
            labels.join(","),
            String::from_utf8_lossy(sample.value),
            sample.timestamp_ms.map_or(String::new(), |t| t.to_string())
        )
    }

    fn check_sample(input: &str, want: &str) {
        match step(input) {
            Ok(Entry::Sample(sample)) => assert_eq!(show(&sample), want, "{input:?}"),
            other => panic!("{input:?}: {other:?}"),
        }
    }

    #[test]
    fn samples() {
        check_sample("a 1\n", "a|a|1||1|");
        check_sample("a 1", "a|a|1||1|");
        check_sample(" \ta:b_9\t 1.5e3 \t 17 \n", "a:b_9|a:b_9|5||1.5e3|17");
        check_sample("a{} 1\n", "a{}|a|1||1|");
        check_sample("a{b=\"c\"} 1 2\n", "a{b=\"c\"}|a|1|b=c@7+|1|2");
        check_sample("a{b=\"c\"}1\n", "a{b=\"c\"}|a|1|b=c@7+|1|");
        check_sample("a.5\n", "a|a|1||.5|");
        check_sample("a+Inf 3\n", "a|a|1||+Inf|3");
        check_sample("a NaN\n", "a|a|1||NaN|");
        check_sample("a\t0x\n".replace("0x", "5.").as_str(), "a|a|1||5.|");
        check_sample("a 1 00000000000000000000001\n", "a|a|1||1|1");
        check_sample("a 1 9223372036854775807\n", "a|a|1||1|9223372036854775807");
    }

    #[test]
    fn plain_labels_are_those_we_would_write() {
        check_sample(
            "a{b=\"c\",d=\"e\"} 1\n",
            "a{b=\"c\",d=\"e\"}|a|1|b=c@7+,d=e@13+|1|",
        );
        check_sample("a{b=\"c\",} 1\n", "a{b=\"c\",}|a|1|b=c@7+|1|");
        check_sample("a {b=\"c\"} 1\n", "a {b=\"c\"}|a|1|b=c@8|1|");
        check_sample("a{ b=\"c\"} 1\n", "a{ b=\"c\"}|a|1|b=c@8|1|");
        check_sample(
            "a{b =\"c\",d= \"e\"} 1\n",
            "a{b =\"c\",d= \"e\"}|a|1|b=c@8,d=e@15|1|",
        );
        check_sample(
            "a{b=\"c\" ,d=\"e\"} 1\n",
            "a{b=\"c\" ,d=\"e\"}|a|1|b=c@7+,d=e@14|1|",
        );
        check_sample(
            "a{b=\"c\"d=\"e\",f=\"\"} 1\n",
            "a{b=\"c\"d=\"e\",f=\"\"}|a|1|b=c@7+,d=e@12,f=@17+|1|",
        );
        check_sample(
            r#"a{b="\"\\\n"} 1"#,
            "a{b=\"\\\"\\\\\\n\"}|a|1|b=\"\\\n@12+|1|",
        );
        check_sample(r#"a{b="\x"} 1"#, "a{b=\"\\x\"}|a|1|b=\\x@8|1|");
        check_sample("a{b=\"x\ny\"} 1\n", "a{b=\"x\ny\"}|a|1|b=x\ny@9|1|");
        check_sample("a{b=\"\0é\"} 1\n", "a{b=\"\0é\"}|a|1|b=\0é@9+|1|");
        check_sample(
            "a{\"b\"=\"c\",d=\"e\"} 1\n",
            "a{\"b\"=\"c\",d=\"e\"}|a|1|b=c@9,d=e@15+|1|",
        );
    }

    #[test]
    fn names_may_be_quoted() {
        check_sample("{\"a.b\"} 1\n", "{\"a.b\"}|a.b|0||1|");
        check_sample(
            "{ \"a.b\" , x=\"y\",z=\"1\"}1\n",
            "{ \"a.b\" , x=\"y\",z=\"1\"}|a.b|0|x=y@15,z=1@21+|1|",
        );
        check_sample("{\"a.b\",x=\"y\"} 1\n", "{\"a.b\",x=\"y\"}|a.b|0|x=y@12|1|");
        check_sample(
            "{x=\"y\",\"a.b\",z=\"1\"} 1\n",
            "{x=\"y\",\"a.b\",z=\"1\"}|a.b|0|x=y@6,z=1@18|1|",
        );
        check_sample("{x=\"y\" \"a\"} 1\n", "{x=\"y\" \"a\"}|a|0|x=y@6|1|");
        check_sample(
            "{\"a\",\"b.c\"=\"d\",} 1\n",
            "{\"a\",\"b.c\"=\"d\",}|a|0|b.c=d@14|1|",
        );
        check_sample(r#"{"a\"\\\n"} 1"#, "{\"a\\\"\\\\\\n\"}|a\"\\\n|0||1|");
        check_sample("{\"a\nb\"} 1\n", "{\"a\nb\"}|a\nb|0||1|");
    }

    #[test]
    fn other_lines() {
        let help = |name: &'static str, text: &'static str| Entry::Help {
            name: name.into(),
            text: text.into(),
        };
        let kind = |name: &'static str, kind| Entry::Type {
            name: name.into(),
            kind,
        };
        let check =
            |input: &str, want: Entry<'_>| assert_eq!(step(input).unwrap(), want, "{input:?}");
        check("", Entry::Eof);
        check("\n", Entry::Blank);
        check(" \t\n", Entry::Blank);
        check(" ", Entry::Blank);
        for comment in [
            "#\n",
            "#",
            "##\n",
            "# Hrandom\n",
            "#HELP a b\n",
            "# HELP\n",
            "# HELPa b\n",
            "  #\0x\0\n",
            "# EOF\n",
        ] {
            check(comment, Entry::Comment);
        }
        check("# UNIT a_s s\n", Entry::Comment);
        check("# HELP a b c\n", help("a", "b c"));
        check(" #\t HELP \ta  b \n", help("a", " b "));
        check("# HELP a", help("a", ""));
        check("# HELP a  \n", help("a", ""));
        check("# HELP a \\\\ \\n \\\" \\x\n", help("a", "\\ \n \\\" \\x"));
        check("# HELP \"a.b\" c\n", help("a.b", "c"));
        check("# HELP a b\r\n", help("a", "b\r"));
        check("# HELP a b\0\n", help("a", "b\0"));
        check("# TYPE a counter\n", kind("a", MetricKind::Counter));
        check("# TYPE a gauge", kind("a", MetricKind::Gauge));
        check("# TYPE a:b histogram\n", kind("a:b", MetricKind::Histogram));
        check("#\tTYPE\ta\tsummary\n", kind("a", MetricKind::Summary));
        check(
            "# TYPE \"a\\n\nb\" untyped\n",
            kind("a\n\nb", MetricKind::Unknown),
        );
        check("# TYPE a-counter\n", kind("a", MetricKind::Counter));
    }

    fn check_error(input: &[u8], want: &str) {
        match next(Format::Text, input, true) {
            Err(err) => assert!(
                err.to_string().starts_with(want),
                "{:?}: {err}",
                input.escape_ascii().to_string()
            ),
            Ok(step) => panic!("{:?}: {step:?}", input.escape_ascii().to_string()),
        }
    }

    #[test]
    fn syntax_errors_name_the_text() {
        check_error(
            b"a\n",
            r#"expected value after metric, got "\n" while parsing: "a\n""#,
        );
        check_error(b"a", r#"expected value after metric, got """#);
        check_error(
            b"a{b='c'} 1\n",
            r#"expected label value, got "'c'}" while parsing: "a{b='c'}""#,
        );
        check_error(b"a{\n", r#"expected label name, got "\n""#);
        check_error(b"a{b=\"c\"\n} 1\n", r#"expected label name, got "\n""#);
        check_error(b"a{b=\"c\",,} 1\n", r#"expected label name, got ",}""#);
        check_error(b"a{,} 1\n", r#"expected label name, got ",}""#);
        check_error(b"a{b:c=\"d\"} 1\n", r#"expected equal, got ":c=\"d\"}""#);
        check_error(b"a{b} 1\n", r#"expected equal, got "}""#);
        check_error(b"a{\"b\" c=\"d\"} 1\n", r#"expected equal, got "c=\"d\"}""#);
        check_error(b"a{b=\"c} 1\n", r#"expected label value, got "\"c}""#);
        check_error(
            b"a{b=\"c\\\n\"} 1\n",
            r#"expected label value, got "\"c\\""#,
        );
        check_error(b"a{b=\"c\\", r#"expected label value, got "\"c\\""#);
        check_error(b"a{\"b\0\"=\"c\"} 1\n", "expected label name");
        check_error(b"a{b=\0\"c\"} 1\n", "expected label value");
        check_error(b"a 1{\n", r#"expected timestamp or new record, got "{""#);
        check_error(b"a 1 -5\n", r#"expected timestamp or new record, got "-5""#);
        check_error(
            b"a 1 1.5\n",
            r#"expected next entry after timestamp, got ".5""#,
        );
        check_error(
            b"a 1 2 3\n",
            r#"expected next entry after timestamp, got "3""#,
        );
        check_error(
            b"a 1 2\r\n",
            r#"expected next entry after timestamp, got "\r""#,
        );
        check_error(
            b"a{b=\"c\"}{d=\"e\"} 1\n",
            r#"expected value after metric, got "{d=\"e\"}""#,
        );
        for start in [
            &b"\r\n"[..],
            b"1a 1\n",
            b".a 1\n",
            b"\0a 1\n",
            b"\xef\xbb\xbfa 1\n",
            b"\"a\" 1\n",
            b"+1\n",
        ] {
            check_error(start, "expected a valid start token");
        }
    }

    #[test]
    fn number_errors() {
        check_error(
            b"a true\n",
            r#"cannot read value "true": invalid syntax while parsing: "a true""#,
        );
        check_error(b"a 1\r\n", r#"cannot read value "1\r": invalid syntax"#);
        check_error(b"a.b 1\n", r#"cannot read value ".b": invalid syntax"#);
        check_error(
            b"a 1_2\n",
            r#"cannot read value "1_2": unsupported character in float"#,
        );
        check_error(b"a +NaN\n", r#"cannot read value "+NaN""#);
        check_error(
            b"a 1e999\n",
            r#"cannot read value "1e999": value out of range"#,
        );
        check_error(
            b"a 1 9223372036854775808\n",
            r#"cannot read timestamp "9223372036854775808": value out of range"#,
        );
        check_error(
            b"a 1 99999999999999999999\n",
            r#"cannot read timestamp "99999999999999999999""#,
        );
    }

    #[test]
    fn errors_in_names_and_labels() {
        check_error(b"{} 1\n", r#"metric name not set while parsing: "{}""#);
        check_error(b"{a=\"b\"} 1\n", "metric name not set");
        check_error(b"{\"\"} 1\n", "metric name not set");
        check_error(b"a{\"b\"} 1\n", "metric name already set");
        check_error(b"{\"a\",\"b\"} 1\n", "metric name already set");
        check_error(b"a{b=\"1\",b=\"2\"} 1\n", r#"label name "b" is not unique"#);
        check_error(
            b"a{b=\"1\",c=\"\",\"b\"=\"1\"} 1\n",
            r#"label name "b" is not unique"#,
        );
        check_error(b"a{__name__=\"b\"} 1\n", r#"invalid label name "__name__""#);
        check_error(b"a{\"\"=\"b\"} 1\n", r#"invalid label name """#);
        check_error(b"a{b=\"\xff\"} 1\n", r#"invalid UTF-8 label value: "\xff""#);
        check_error(
            b"a{\"\xff\"=\"b\"} 1\n",
            r#"invalid UTF-8 label name: "\xff""#,
        );
        check_error(b"{\"\xc3\"} 1\n", r#"invalid UTF-8 label name: "\xc3""#);
        check_error(
            b"a{\xff=\"b\"} 1\n",
            r#"expected label name, got "\xff=\"b\"}""#,
        );
        let many: Vec<_> = (0..100).map(|i| format!("l{}=\"v\"", i % 99)).collect();
        check_error(
            format!("a{{{}}} 1\n", many.join(",")).as_bytes(),
            r#"label name "l0" is not unique"#,
        );
    }

    #[test]
    fn metadata_errors() {
        check_error(b"# HELP \n", r#"expected metric name after HELP, got "\n""#);
        check_error(
            b"# HELP #\n#EOF\n",
            r##"expected metric name after HELP, got "#""##,
        );
        check_error(b"# TYPE 1a counter\n", "expected metric name after TYPE");
        check_error(b"# HELP \"a b\n", "expected metric name after HELP");
        check_error(b"# HELP \"\" b\n", "expected metric name after HELP");
        check_error(b"# HELP a\0b\n", "expected linebreak after metadata");
        check_error(b"# HELP a \xff\n", r#"invalid UTF-8 help text: "\xff""#);
        check_error(b"# TYPE a\n", r#"invalid metric type """#);
        for word in [
            "unknown",
            "info",
            "stateset",
            "gaugehistogram",
            "Counter",
            "counter ",
            "counter\r",
            " gauge",
            "é",
        ] {
            check_error(
                format!("# TYPE a {word}\n").as_bytes(),
                &format!("invalid metric type {word:?}"),
            );
        }
    }

    #[test]
    fn errors_say_where_to_go_on_and_which_name() {
        let check = |input: &str, name: Option<&str>, resume: usize, reason: &str| {
            let err = next(Format::Text, input.as_bytes(), true).unwrap_err();
            assert_eq!(
                (err.name.as_deref(), err.resume, err.reason()),
                (name, resume, reason),
                "{input:?}"
            );
        };
        check("a{b=\"1\n2\n\"} x\nc 1\n", Some("a"), 7, "number");
        check("a x", Some("a"), 3, "number");
        check("{\"a.b\",c} 1\n", Some("a.b"), 12, "syntax");
        check("{c=\"d\"} 1\n", None, 10, "name");
        check("%\n", None, 2, "syntax");
        check("# TYPE a x\n", Some("a"), 11, "metadata");
        check("a{b=\"\",b=\"\"} 1\n", Some("a"), 15, "label");
        check("a 1 99999999999999999999\n", Some("a"), 25, "number");
    }

    #[test]
    fn borrows_unless_escaped() {
        let Ok(Entry::Sample(sample)) = step("a{b=\"c\",d=\"\\n\",e=\"\\x\"} 1") else {
            panic!("a sample")
        };
        let borrowed: Vec<_> = sample
            .labels
            .iter()
            .map(|l| matches!(l.value, Cow::Borrowed(_)))
            .collect();
        assert_eq!(borrowed, [true, false, true]);
        assert!(matches!(sample.name, Cow::Borrowed(_)));
    }
}
