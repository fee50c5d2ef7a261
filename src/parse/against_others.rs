//! Properties of the parser over generated input: what it must never do, how it agrees with itself under every split
//! of the window, with a writer written here, and with another reader (`prometheus-parse`, which was written apart
//! from ours) on the small part of the format that the latter can represent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Entry, Format, Label, Sample, Step, next, number};

/// Every entry of a body, wrong ones passed over, with the place it starts at.
fn walk(format: Format, body: &[u8]) -> Vec<(usize, Result<Step<'_>, super::ParseError>)> {
    let mut steps = Vec::new();
    let mut at = 0;
    loop {
        let step = next(format, &body[at..], true);
        let passed = match &step {
            Ok(Step::Entry { used, .. }) => *used,
            Ok(Step::More) => panic!("More at the end"),
            Err(err) => err.resume,
        };
        assert!(at + passed <= body.len());
        steps.push((at, step));
        if passed == 0 {
            return steps;
        }
        at += passed;
    }
}

/// Cuts the body everywhere: each cut must give `More` or the very same step.
fn check_all_windows(format: Format, body: &[u8]) -> Result<(), TestCaseError> {
    for (start, want) in walk(format, body) {
        for end in start..=body.len() {
            let got = next(format, &body[start..end], false);
            prop_assert!(
                got == Ok(Step::More) || got == want,
                "{start}..{end}: {got:?} is not {want:?}"
            );
        }
        if let Ok(Step::Entry {
            entry: Entry::Sample(sample),
            ..
        }) = &want
        {
            check_sample(sample)?;
        }
    }
    Ok(())
}

/// What is promised of every sample.
fn check_sample(sample: &Sample<'_>) -> Result<(), TestCaseError> {
    prop_assert!(number::parse(sample.value).is_ok());
    prop_assert!(!sample.name.is_empty() && str::from_utf8(sample.key).is_ok());
    if sample.name_end > 0 {
        prop_assert_eq!(&sample.key[..sample.name_end], sample.name.as_bytes());
    }
    let mut joint = (sample.name_end > 0).then_some(sample.name_end);
    for label in &sample.labels {
        let written = joint.map(|joint| &sample.key[joint..label.end]);
        let first = joint == Some(sample.name_end);
        prop_assert_eq!(
            label.plain,
            written == Some(canonical(label, first).as_bytes()),
            "{:?}",
            label
        );
        joint = Some(label.end);
    }
    Ok(())
}

/// A label as we write it.
fn canonical(label: &Label<'_>, first: bool) -> String {
    let joint = if first { '{' } else { ',' };
    format!("{joint}{}=\"{}\"", label.name, escaped(&label.value))
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

/// Pieces of which lines are made, so that random bodies get far into the grammar.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 40] = [
        "a",
        "b",
        "b_c",
        "a{b=\"c\"} 1",
        "a 1 2",
        "{",
        "}",
        "=",
        ",",
        "\"",
        "\\",
        "\n",
        "\n",
        " ",
        "\t",
        "1",
        "0.5e3",
        "NaN",
        "-7",
        "17",
        "# ",
        "#",
        "# HELP a b",
        "# TYPE a counter",
        "# UNIT a_s s",
        "# EOF",
        "# EOF\n",
        "HELP ",
        " # {",
        "\0",
        "é",
        "\r",
        "\\n",
        "b=\"",
        "\"} ",
        "{\"",
        "a{b=\"x\",",
        "c=\"\\\"y\"",
        ":",
        "__name__",
    ];
    prop_oneof![
        20 => prop::sample::select(PIECES.as_slice()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..14).prop_map(|pieces| pieces.concat())
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Text), Just(Format::OpenMetrics)]
}

/// Label names and values of a series.
fn labels(value: &'static str) -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-zA-Z][a-zA-Z0-9_]{0,5}", value, 0..5)
}

/// `name{label="value",…}`; no braces where there is no label.
fn key(name: &str, labels: &BTreeMap<String, String>) -> String {
    let mut key = name.to_owned();
    for (i, (label, value)) in labels.iter().enumerate() {
        let joint = if i == 0 { '{' } else { ',' };
        write!(key, "{joint}{label}=\"{}\"", escaped(value)).expect("a String takes all text");
    }
    if labels.is_empty() { key } else { key + "}" }
}

fn only_sample(format: Format, line: &str) -> Sample<'_> {
    match next(format, line.as_bytes(), true) {
        Ok(Step::Entry {
            entry: Entry::Sample(sample),
            ..
        }) => sample,
        other => panic!("{line:?}: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_bytes_never_panic(format in format(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        walk(format, &body);
    }

    #[test]
    fn windows_change_nothing(format in format(), body in body()) {
        check_all_windows(format, &body)?;
    }

    #[test]
    fn written_samples_come_back_plain(
        format in format(),
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}",
        labels in labels("\\PC{0,6}[\n\"\\\\]{0,2}\\PC{0,2}"),
        value in any::<f64>(),
    ) {
        let mut line = key(&name, &labels).into_bytes();
        let key_len = line.len();
        line.push(b' ');
        number::write_float(&mut line, value);
        line.push(b'\n');
        let line = String::from_utf8(line).unwrap();
        let sample = only_sample(format, &line);
        prop_assert_eq!((&*sample.name, sample.key.len()), (&*name, key_len));
        let got = sample.labels.iter().map(|l| (l.name.to_string(), l.value.to_string()));
        prop_assert_eq!(got.collect::<BTreeMap<_, _>>(), labels);
        prop_assert!(sample.labels.iter().all(|label| label.plain));
        let back = number::parse(sample.value).unwrap();
        prop_assert!(back.to_bits() == value.to_bits() || back.is_nan() && value.is_nan());
    }

    #[test]
    fn agrees_with_an_independent_reader(
        name in "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        labels in labels("[a-zA-Z0-9_./ -]{0,8}"),
        value in any::<f64>().prop_filter("a NaN equals nothing", |v| !v.is_nan()),
        timestamp in prop::option::of(0..4_000_000_000_000_i64),
    ) {
        let stamp = timestamp.map_or(String::new(), |ms| format!(" {ms}"));
        let mut text = Vec::new();
        number::write_float(&mut text, value);
        let line = format!("{} {}{stamp}", key(&name, &labels), String::from_utf8(text).unwrap());
        let ours = only_sample(Format::Text, &line);
        let theirs = prometheus_parse::Scrape::parse(std::iter::once(Ok(line.clone()))).unwrap().samples;
        prop_assert_eq!(theirs.len(), 1);
        let theirs = &theirs[0];
        prop_assert_eq!(&*ours.name, &*theirs.metric);
        prop_assert_eq!(&prometheus_parse::Value::Untyped(number::parse(ours.value).unwrap()), &theirs.value);
        if timestamp.is_some() {
            prop_assert_eq!(ours.timestamp_ms, Some(theirs.timestamp.timestamp_millis()));
        }
        let ours: BTreeMap<_, _> = ours.labels.iter().map(|l| (&*l.name, &*l.value)).collect();
        let theirs: BTreeMap<_, _> = theirs.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        prop_assert_eq!(ours, theirs);
    }
}
