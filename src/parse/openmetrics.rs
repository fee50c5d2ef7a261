//! Lines of `OpenMetrics` 1.0 text: comes in as a cursor at the start of a line, goes out as one entry. The rules are
//! those of upstream's `openmetricslex.l` and `openmetricsparse.go`: exactly one space between tokens and none inside
//! braces, no blank lines, no free comments, `# EOF` last and nothing behind it.
//!
//! Exemplars are checked and passed over; `_created` lines are ordinary samples here.

use std::borrow::Cow;

use crate::model::metadata::MetricKind;

use super::cursor::{Cursor, Escapes, Parsed, Raw, is_label_byte, unescape};
use super::error::{Excerpt, Fault};
use super::number;
use super::series::{LabelName, NameForm, Series};
use super::{Entry, Sample};

/// Reads one line, newline included.
pub(super) fn entry<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    match cursor.peek()? {
        None => Err(Fault::NoEof.into()),
        Some(b'#') => hash_line(cursor),
        Some(byte)
            if byte == b'{' || byte == b':' || is_label_byte(byte) && !byte.is_ascii_digit() =>
        {
            sample(cursor).map(Entry::Sample)
        }
        Some(_) => Err(cursor.expected("a valid start token")),
    }
}

/// A line of metadata, or the end.
fn hash_line<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    if cursor.looking_at(b"# EOF")? {
        return eof(cursor);
    }
    if cursor.looking_at(b"# HELP ")? {
        return help(cursor);
    }
    if cursor.looking_at(b"# TYPE ")? {
        return kind(cursor);
    }
    if cursor.looking_at(b"# UNIT ")? {
        return unit(cursor);
    }
    Err(cursor.expected("a valid start token"))
}

/// `# EOF` is the end only when the body is, too.
fn eof<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    cursor.at += "# EOF".len();
    cursor.end_of_line()?;
    match cursor.peek()? {
        None => Ok(Entry::Eof),
        Some(_) => Err(Fault::AfterEof.into()),
    }
}

fn help<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let name = metadata_name(cursor, "metric name after HELP")?;
    let text = metadata_text(cursor, "HELP")?;
    Ok(Entry::Help {
        name,
        text: unescape(utf8(text, "help text")?, Escapes::Label).0,
    })
}

fn kind<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let name = metadata_name(cursor, "metric name after TYPE")?;
    let bytes = metadata_text(cursor, "TYPE")?;
    let word = str::from_utf8(bytes).ok().filter(|word| *word != "untyped");
    match word.and_then(MetricKind::from_word) {
        Some(kind) => Ok(Entry::Type { name, kind }),
        None => Err(Fault::Kind {
            word: Excerpt::of(bytes),
        }
        .into()),
    }
}

fn unit<'a>(cursor: &mut Cursor<'a>) -> Parsed<Entry<'a>> {
    let name = metadata_name(cursor, "metric name after UNIT")?;
    let unit = utf8(metadata_text(cursor, "UNIT")?, "unit")?;
    let stem = name.strip_suffix(unit);
    if unit.is_empty() || stem.is_some_and(|stem| stem.ends_with('_')) {
        return Ok(Entry::Unit {
            name,
            unit: unit.into(),
        });
    }
    Err(Fault::Unit {
        unit: Excerpt::of(unit.as_bytes()),
        name: Excerpt::of(name.as_bytes()),
    }
    .into())
}

fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Parsed<&'a str> {
    str::from_utf8(bytes).map_err(|_| {
        Fault::Utf8 {
            what,
            text: Excerpt::of(bytes),
        }
        .into()
    })
}

/// The name behind `# HELP `, `# TYPE ` or `# UNIT `, bare or quoted.
fn metadata_name<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Parsed<Cow<'a, str>> {
    cursor.at += "# HELP ".len();
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

/// What follows one space behind the name; the line must end in a newline.
fn metadata_text<'a>(cursor: &mut Cursor<'a>, word: &'static str) -> Parsed<&'a [u8]> {
    let end = cursor.line_end()?;
    match &cursor.input[cursor.at..end] {
        [b' ', text @ ..] if end < cursor.input.len() => {
            cursor.at = end + 1;
            Ok(text)
        }
        other => Err(Fault::NoText {
            word,
            got: Excerpt::of(other),
        }
        .into()),
    }
}

fn sample<'a>(cursor: &mut Cursor<'a>) -> Parsed<Sample<'a>> {
    let mut series = Series::start(cursor)?;
    if cursor.peek()? == Some(b'{') {
        cursor.at += 1;
        labels(cursor, &mut series)?;
        series.close(cursor);
    }
    Series::check_name(cursor)?;
    let value = value(cursor, "value", "value after metric")?;
    let (timestamp_ms, exemplar) = suffix(cursor)?;
    series.finish(cursor, value, timestamp_ms, exemplar)
}

/// What stands between the braces of a sample, the closing one included.
fn labels<'a>(cursor: &mut Cursor<'a>, series: &mut Series<'a>) -> Parsed<()> {
    loop {
        if cursor.peek()? == Some(b'}') {
            cursor.at += 1;
            return Ok(());
        }
        let name = label_name(cursor, Raw::NoNul)?;
        match cursor.peek()? {
            Some(b',' | b'}') if name.form == NameForm::Quoted => series.set_name(cursor, name)?,
            _ => {
                let start = equal(cursor)?;
                let value = cursor.quoted(Raw::NoNewline, "label value")?;
                series.push(cursor, name, start, value);
            }
        }
        comma_or_brace(cursor)?;
    }
}

/// A quoted string, which may turn out to be the metric name, or a bare label name.
fn label_name<'a>(cursor: &mut Cursor<'a>, raw: Raw) -> Parsed<LabelName<'a>> {
    let start = cursor.at;
    let (text, form) = match cursor.peek()? {
        Some(b'"') => (cursor.quoted(raw, "label name")?.text, NameForm::Quoted),
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

/// `=`, and a quote after it, which is where the cursor then stands.
fn equal(cursor: &mut Cursor<'_>) -> Parsed<usize> {
    if cursor.peek()? != Some(b'=') {
        return Err(cursor.expected("equal"));
    }
    cursor.at += 1;
    if cursor.peek()? != Some(b'"') {
        return Err(cursor.expected("label value"));
    }
    Ok(cursor.at)
}

/// Takes a comma; leaves a brace for the loop.
fn comma_or_brace(cursor: &mut Cursor<'_>) -> Parsed<()> {
    match cursor.peek()? {
        Some(b',') => cursor.at += 1,
        Some(b'}') => {}
        _ => return Err(cursor.expected("comma or brace close")),
    }
    Ok(())
}

/// One space and the text of a number. `what` it is, and what is expected here.
fn value<'a>(
    cursor: &mut Cursor<'a>,
    what: &'static str,
    expected: &'static str,
) -> Parsed<&'a [u8]> {
    let text = spaced_word(cursor, expected)?;
    match number::parse(text) {
        Ok(_) => Ok(text),
        Err(source) => Err(cursor.bad_number(what, text, source)),
    }
}

/// One space, then everything to the next space or newline.
fn spaced_word<'a>(cursor: &mut Cursor<'a>, expected: &'static str) -> Parsed<&'a [u8]> {
    if cursor.peek()? != Some(b' ') {
        return Err(cursor.expected(expected));
    }
    cursor.at += 1;
    let word = cursor.word(|byte| matches!(byte, b' ' | b'\n'))?;
    if word.is_empty() {
        return Err(cursor.expected(expected));
    }
    Ok(word)
}

/// The rest of the line behind the value: timestamp, exemplar, both or neither.
fn suffix(cursor: &mut Cursor<'_>) -> Parsed<(Option<i64>, bool)> {
    if newline(cursor)? {
        return Ok((None, false));
    }
    let mut timestamp_ms = None;
    if !cursor.looking_at(b" # {")? {
        timestamp_ms = Some(timestamp(cursor, "timestamp", "timestamp or # symbol")?);
        if newline(cursor)? {
            return Ok((timestamp_ms, false));
        }
    }
    if !cursor.looking_at(b" # {")? {
        return Err(cursor.expected("next entry after timestamp"));
    }
    exemplar(cursor)?;
    Ok((timestamp_ms, true))
}

/// Takes a newline; at the end of the body there must have been more, at least `# EOF`.
fn newline(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    if cursor.peek()?.is_none() {
        return Err(Fault::NoEof.into());
    }
    cursor.end_of_line()
}

/// One space and seconds, as milliseconds; cut towards zero, as upstream does.
fn timestamp(cursor: &mut Cursor<'_>, what: &'static str, expected: &'static str) -> Parsed<i64> {
    let text = spaced_word(cursor, expected)?;
    let seconds = number::parse(text).map_err(|source| cursor.bad_number(what, text, source))?;
    milliseconds(seconds).ok_or_else(|| {
        Fault::TimestampRange {
            what,
            text: Excerpt::of(text),
        }
        .into()
    })
}

fn milliseconds(seconds: f64) -> Option<i64> {
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    let ms = seconds * 1000.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked, and the fraction is to be cut"
    )]
    (-I64_END..I64_END).contains(&ms).then_some(ms as i64)
}

/// ` # {labels} value [timestamp]` and the newline. Its labels may be repeated: upstream finds out only when it stores
/// the exemplar, and keeps the sample.
fn exemplar(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.at += " # {".len();
    while cursor.peek()? != Some(b'}') {
        label_name(cursor, Raw::Neither)?;
        equal(cursor)?;
        cursor.quoted(Raw::Neither, "label value")?;
        comma_or_brace(cursor)?;
    }
    cursor.at += 1;
    value(cursor, "exemplar value", "value after exemplar labels")?;
    if newline(cursor)? {
        return Ok(());
    }
    timestamp(cursor, "exemplar timestamp", "timestamp or comment")?;
    if cursor.peek()? != Some(b'\n') {
        return Err(cursor.expected("next entry after exemplar timestamp"));
    }
    cursor.at += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Format, ParseError, Step, next};
    use super::*;

    fn step(input: &str) -> Result<Entry<'_>, ParseError> {
        match next(Format::OpenMetrics, input.as_bytes(), true)? {
            Step::Entry { entry, used } => {
                assert_eq!(used, input.len(), "{input:?} is one entry");
                Ok(entry)
            }
            Step::More => panic!("More at the end of {input:?}"),
        }
    }

    /// The sample as `key|labels|value|timestamp|exemplar`, `+` for plain labels.
    fn check_sample(input: &str, want: &str) {
        let Ok(Entry::Sample(s)) = step(input) else {
            panic!("{input:?}: {:?}", step(input))
        };
        let labels: Vec<_> = s
            .labels
            .iter()
            .map(|l| format!("{}={}{}", l.name, l.value, if l.plain { "+" } else { "" }))
            .collect();
        let (key, value) = (
            String::from_utf8_lossy(s.key),
            String::from_utf8_lossy(s.value),
        );
        let timestamp = s.timestamp_ms.map_or(String::new(), |t| t.to_string());
        let exemplar = if s.exemplar { "exemplar" } else { "" };
        assert_eq!(
            format!("{key}|{}|{value}|{timestamp}|{exemplar}", labels.join(",")),
            want,
            "{input:?}"
        );
    }

    #[test]
    fn samples() {
        check_sample("a 1\n", "a||1||");
        check_sample("a:b{} NaN\n", "a:b{}||NaN||");
        check_sample(
            "a{b=\"c\",d=\"\\n\",} +Inf 1.5\n",
            "a{b=\"c\",d=\"\\n\",}|b=c+,d=\n+|+Inf|1500|",
        );
        check_sample(
            "{\"a.b\",\"c\"=\"d\",e=\"f\"} 1\n",
            "{\"a.b\",\"c\"=\"d\",e=\"f\"}|c=d,e=f+|1||",
        );
        check_sample("{c=\"d\",\"a.b\"} 1\n", "{c=\"d\",\"a.b\"}|c=d|1||");
        check_sample("{\"a\nb\"} 1\n", "{\"a\nb\"}||1||");
        check_sample("a{b=\"\0\"} 1\n", "a{b=\"\0\"}|b=\0+|1||");
    }

    #[test]
    fn timestamps_are_seconds() {
        check_sample("a 1 0\n", "a||1|0|");
        check_sample("a 1 -59.2\n", "a||1|-59200|");
        check_sample("a 1 1520879607.789\n", "a||1|1520879607789|");
        check_sample("a 1 1.7e9\n", "a||1|1700000000000|");
        check_sample("a 1 0.0019\n", "a||1|1|");
        check_sample("a 1 9.2e15\n", "a||1|9200000000000000000|");
    }

    #[test]
    fn exemplars_are_passed_over() {
        check_sample("a 1 # {} 1\n", "a||1||exemplar");
        check_sample("a 1 2 # {b=\"c\"} 1\n", "a||1|2000|exemplar");
        check_sample(
            "a 1 # {b=\"\\\"}\",\"c.d\"=\"e\",} NaN 1.5\n",
            "a||1||exemplar",
        );
        check_sample("a 1 # {b=\"c\",b=\"c\"} 1\n", "a||1||exemplar");
    }

    #[test]
    fn metadata() {
        let help = |name: &'static str, text: &'static str| Entry::Help {
            name: name.into(),
            text: text.into(),
        };
        let unit = |name: &'static str, unit: &'static str| Entry::Unit {
            name: name.into(),
            unit: unit.into(),
        };
        let check =
            |input: &str, want: Entry<'_>| assert_eq!(step(input).unwrap(), want, "{input:?}");
        check("# HELP a \n", help("a", ""));
        check("# HELP a  b \n", help("a", " b "));
        check(
            "# HELP \"a.b\" \\\\ \\n \\\" \\x\n",
            help("a.b", "\\ \n \" \\x"),
        );
        check("# HELP a b\0\r\n", help("a", "b\0\r"));
        check("# UNIT a_s s\n", unit("a_s", "s"));
        check("# UNIT a \n", unit("a", ""));
        check("# UNIT \"a.b_s\" s\n", unit("a.b_s", "s"));
        check("# EOF\n", Entry::Eof);
        check("# EOF", Entry::Eof);
        for (word, kind) in [
            ("counter", MetricKind::Counter),
            ("gauge", MetricKind::Gauge),
            ("histogram", MetricKind::Histogram),
            ("gaugehistogram", MetricKind::GaugeHistogram),
            ("summary", MetricKind::Summary),
            ("info", MetricKind::Info),
            ("stateset", MetricKind::StateSet),
            ("unknown", MetricKind::Unknown),
        ] {
            check(
                &format!("# TYPE a {word}\n"),
                Entry::Type {
                    name: "a".into(),
                    kind,
                },
            );
        }
    }

    fn check_error(input: &[u8], want: &str) {
        match next(Format::OpenMetrics, input, true) {
            Err(err) => assert!(
                err.to_string().starts_with(want),
                "{:?}: {err}",
                input.escape_ascii().to_string()
            ),
            Ok(step) => panic!("{:?}: {step:?}", input.escape_ascii().to_string()),
        }
    }

    #[test]
    fn blanks_are_counted() {
        for start in [
            &b"\n"[..],
            b" a 1\n",
            b"\ta 1\n",
            b"\r\n",
            b"1\n",
            b"#\n",
            b"# \n",
            b"# a\n",
            b"#  HELP a b\n",
            b"# HELP",
        ] {
            check_error(start, "expected a valid start token");
        }
        check_error(b"a  1\n", r#"expected value after metric, got " ""#);
        check_error(b"a\t1\n", r#"expected value after metric, got "\t""#);
        check_error(b"a\n", r#"expected value after metric, got "\n""#);
        check_error(b"a \n", r#"expected value after metric, got "\n""#);
        check_error(
            b"a {b=\"c\"} 1\n",
            r#"cannot read value "{b=\"c\"}": invalid syntax"#,
        );
        check_error(b"a{b=\"c\"}1\n", r#"expected value after metric, got "1""#);
        check_error(b"a{ b=\"c\"} 1\n", r#"expected label name, got " ""#);
        check_error(b"a{b =\"c\"} 1\n", r#"expected equal, got " ""#);
        check_error(b"a{b= \"c\"} 1\n", r#"expected label value, got " ""#);
        check_error(
            b"a{b=\"c\", d=\"e\"} 1\n",
            r#"expected label name, got " ""#,
        );
        check_error(b"a 1 \n", r#"expected timestamp or # symbol, got "\n""#);
        check_error(b"a 1  2\n", r#"expected timestamp or # symbol, got " ""#);
        check_error(b"a 1 2 3\n", "expected next entry after timestamp, got");
        check_error(b"a 1 2 \n", "expected next entry after timestamp, got");
        check_error(b"a 1\t2\n", r#"cannot read value "1\t2""#);
        check_error(b"a 1\r\n", r#"cannot read value "1\r""#);
    }

    #[test]
    fn label_errors() {
        check_error(
            b"a{b=\"c\"d=\"e\"} 1\n",
            r#"expected comma or brace close, got "d=\"e\"}""#,
        );
        check_error(b"a{,b=\"c\"} 1\n", "expected label name");
        check_error(b"a{b=\"c\",,} 1\n", "expected label name");
        check_error(b"a{b} 1\n", "expected equal");
        check_error(b"a{b=\"x\ny\"} 1\n", "expected label value");
        check_error(b"a{b='c'} 1\n", "expected label value");
        check_error(b"a{b=\"c\",b=\"d\"} 1\n", r#"label name "b" is not unique"#);
        check_error(b"a{__name__=\"c\"} 1\n", r#"invalid label name "__name__""#);
        check_error(b"a{b=\"\xff\"} 1\n", "invalid UTF-8 label value");
        check_error(b"a{\"b\"} 1\n", "metric name already set");
        check_error(b"{b=\"c\"} 1\n", "metric name not set");
        check_error(b"{\"\"} 1\n", "metric name not set");
    }

    #[test]
    fn timestamp_and_exemplar_errors() {
        check_error(b"a 1 NaN\n", r#"invalid timestamp "NaN""#);
        check_error(b"a 1 -Inf\n", r#"invalid timestamp "-Inf""#);
        check_error(b"a 1 1e16\n", r#"invalid timestamp "1e16""#);
        check_error(b"a 1 -1e300\n", r#"invalid timestamp "-1e300""#);
        check_error(b"a 1 1_2\n", r#"cannot read timestamp "1_2": unsupported"#);
        check_error(b"a 1 # {b=\"c\"}\n", "expected value after exemplar labels");
        check_error(b"a 1 # {b=\"c\"} x\n", r#"cannot read exemplar value "x""#);
        check_error(
            b"a 1 # {b=\"c\"} 1 Inf\n",
            r#"invalid exemplar timestamp "Inf""#,
        );
        check_error(
            b"a 1 # {b=\"c\"} 1 2 3\n",
            "expected next entry after exemplar timestamp",
        );
        check_error(b"a 1 # {b=\"c\"} 1 \n", "expected timestamp or comment");
        check_error(b"a 1 # {b=\"\0\"} 1\n", "expected label value");
        check_error(b"a 1 # {\"b\"} 1\n", "expected equal");
        check_error(b"a 1 # {b=\"c\"\n", "expected comma or brace close");
        check_error(b"a 1 #\n", r##"cannot read timestamp "#""##);
    }

    #[test]
    fn metadata_errors() {
        check_error(b"# TYPE \n", "expected metric name after TYPE");
        check_error(b"# HELP  a b\n", "expected metric name after HELP");
        check_error(b"# HELP a\n", r#"expected text in HELP, got """#);
        check_error(b"# HELP a b", r#"expected text in HELP, got " b""#);
        check_error(
            b"# TYPE a\tgauge\n",
            r#"expected text in TYPE, got "\tgauge""#,
        );
        check_error(b"# HELP a \xff\n", "invalid UTF-8 help text");
        check_error(b"# TYPE a untyped\n", r#"invalid metric type "untyped""#);
        check_error(b"# TYPE a  counter\n", r#"invalid metric type " counter""#);
        check_error(
            b"# TYPE a counter\r\n",
            r#"invalid metric type "counter\r""#,
        );
        for unit in [
            "# UNIT a b\n",
            "# UNIT ab b\n",
            "# UNIT b b\n",
            "# UNIT a_b _b\n",
        ] {
            check_error(unit.as_bytes(), "unit ");
        }
        check_error(b"# UNIT a_b \xff\n", "invalid UTF-8 unit");
    }

    #[test]
    fn the_end_is_marked() {
        for input in [&b""[..], b"a 1", b"a 1 2", b"a 1 # {} 1"] {
            check_error(input, "data does not end with # EOF");
        }
        for input in [
            &b"# EOF\n\n"[..],
            b"# EOF\na 1\n",
            b"# EOFa",
            b"# EOF \n",
            b"# EOF\r\n",
        ] {
            check_error(input, "unexpected data after # EOF");
        }
        let more =
            |input: &[u8]| assert_eq!(next(Format::OpenMetrics, input, false), Ok(Step::More));
        more(b"");
        more(b"# EOF");
        more(b"# EOF\n");
    }
}
