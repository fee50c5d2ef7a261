//! Upstream's own tables and bulk inputs, read from the folder that `TRIBUTARY_TESTDATA` names: whole inputs with the
//! entries expected of them, inputs to be refused with the error, real pages. Left out, saying so, where the variable
//! is not set.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::model::metadata::MetricKind;

use super::{Entry, Format, ParseError, Sample, Step, next, number};

/// The folder with the tables, if there is one to be.
fn folder() -> Option<PathBuf> {
    let Some(root) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("left out: TRIBUTARY_TESTDATA is not set");
        }
        return None;
    };
    Some(PathBuf::from(root).join("textparse"))
}

fn read(file: &str) -> Option<Vec<u8>> {
    let path = folder()?.join(file);
    Some(fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display())))
}

fn read_json(file: &str) -> Option<Value> {
    read(file).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Every entry up to the end with the text that it was read from, or the first error.
fn read_all(format: Format, body: &[u8]) -> Result<Vec<(Entry<'_>, &[u8])>, ParseError> {
    let mut entries = Vec::new();
    let mut rest = body;
    loop {
        let Step::Entry { entry, used } = next(format, rest, true)? else {
            panic!("More at the end")
        };
        if entry == Entry::Eof {
            return Ok(entries);
        }
        entries.push((entry, &rest[..used]));
        rest = &rest[used..];
    }
}

fn check_refusals(format: Format, file: &str, at_least: usize) {
    let Some(table) = read_json(file) else { return };
    let cases = table.as_array().unwrap();
    assert!(
        cases.len() >= at_least,
        "{file}: only {} cases",
        cases.len()
    );
    for case in cases {
        let input = input_bytes(&case["input"]);
        match (read_all(format, &input), case["error"].as_str()) {
            (Ok(_), None) => {}
            (Err(err), Some(want)) => check_message(&err, want, case),
            (got, want) => panic!("{case}: {got:?}, upstream: {want:?}"),
        }
    }
    crate::testdata::count(file, cases.len());
}

/// Ours says the same as upstream's up to the offending text; of numbers, upstream lets Go's library speak.
fn check_message(err: &ParseError, want: &str, case: &Value) {
    if want.starts_with("strconv.") || want.starts_with("unsupported character in float") {
        assert_eq!(err.reason(), "number", "{case}: {err}");
        return;
    }
    let shared = want.split(['"', '+', '-']).next().unwrap_or(want);
    let shared = shared.split(", got").next().unwrap_or(shared);
    let shared = shared.split(" while parsing").next().unwrap_or(shared);
    assert!(err.to_string().starts_with(shared), "{case}: {err}");
}

fn input_bytes(input: &Value) -> Vec<u8> {
    match input {
        Value::String(text) => text.clone().into_bytes(),
        coded => from_base64(coded["base64"].as_str().unwrap()),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let six = ALPHABET.iter().position(|a| *a == c).unwrap();
        bits = bits << 6 | u32::try_from(six).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

#[test]
fn base64_of_the_tables() {
    assert_eq!(from_base64("YXtiPSL/In0gMQo="), b"a{b=\"\xff\"} 1\n");
}

#[test]
fn refuses_and_accepts_what_upstream_does() {
    check_refusals(Format::Text, "prom_refuse.json", 20);
    check_refusals(Format::OpenMetrics, "openmetrics_refuse.json", 40);
}

/// One expected or found entry, in one shape: kind of entry, name or series, then its properties.
type Row = (String, BTreeMap<String, String>);

/// Walks over the entries as upstream's test does: with the last type in mind, by which it normalises two labels.
fn rows(format: Format, body: &[u8]) -> Vec<Row> {
    let mut last_kind = MetricKind::Unknown;
    let mut rows = Vec::new();
    for (entry, text) in read_all(format, body).unwrap() {
        let text = String::from_utf8_lossy(text).trim().to_owned();
        let row = |name: &str, key: &str, value: &str| {
            (
                name.to_owned(),
                BTreeMap::from([(key.to_owned(), value.to_owned())]),
            )
        };
        match entry {
            Entry::Blank | Entry::Eof => {}
            Entry::Comment => rows.push((text, BTreeMap::new())),
            Entry::Help { name, text } => rows.push(row(&name, "help", &text)),
            Entry::Unit { name, unit } => rows.push(row(&name, "unit", &unit)),
            Entry::Type { name, kind } => {
                last_kind = kind;
                rows.push(row(&name, "type", kind_word(kind)));
            }
            Entry::Sample(sample) => {
                // Upstream takes these for start timestamps of the series around them, if their family may have one.
                let starts = !matches!(last_kind, MetricKind::Gauge | MetricKind::Unknown);
                if format == Format::Text || !(starts && sample.name.ends_with("_created")) {
                    rows.push(sample_row(&sample, last_kind));
                }
            }
        }
    }
    rows
}

fn kind_word(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::GaugeHistogram => "gaugehistogram",
        MetricKind::Summary => "summary",
        MetricKind::Info => "info",
        MetricKind::StateSet => "stateset",
        MetricKind::Unknown => "unknown",
    }
}

fn sample_row(sample: &Sample<'_>, kind: MetricKind) -> Row {
    let mut properties = BTreeMap::from([
        (
            "value".to_owned(),
            number::parse(sample.value).unwrap().to_string(),
        ),
        (
            "timestamp_ms".to_owned(),
            format!("{:?}", sample.timestamp_ms),
        ),
        ("exemplar".to_owned(), sample.exemplar.to_string()),
        ("label __name__".to_owned(), sample.name.to_string()),
    ]);
    for label in &sample.labels {
        let value = match (&*label.name, kind) {
            ("le", MetricKind::Histogram | MetricKind::GaugeHistogram)
            | ("quantile", MetricKind::Summary) => with_point(&label.value),
            _ => label.value.to_string(),
        };
        properties.insert(format!("label {}", label.name), value);
    }
    (String::from_utf8(sample.key.to_vec()).unwrap(), properties)
}

/// A bucket bound or quantile as upstream normalises it: `1` becomes `1.0`.
fn with_point(value: &str) -> String {
    if value.bytes().all(|b| b.is_ascii_digit()) {
        format!("{value}.0")
    } else {
        value.to_owned()
    }
}

fn expected_row(entry: &Value) -> Row {
    if let Some(comment) = entry.get("comment") {
        return (comment.as_str().unwrap().to_owned(), BTreeMap::new());
    }
    let name = entry["series_or_family"].as_str().unwrap().to_owned();
    for key in ["help", "unit", "type"] {
        if let Some(text) = entry.get(key) {
            return (
                name,
                BTreeMap::from([(key.to_owned(), text.as_str().unwrap().to_owned())]),
            );
        }
    }
    let value = entry
        .get("value")
        .map_or("0", |value| value.as_str().unwrap());
    let mut properties = BTreeMap::from([
        (
            "value".to_owned(),
            number::parse(value.as_bytes()).unwrap().to_string(),
        ),
        (
            "timestamp_ms".to_owned(),
            format!(
                "{:?}",
                entry.get("timestamp_ms").map(|ms| ms.as_i64().unwrap())
            ),
        ),
        (
            "exemplar".to_owned(),
            entry.get("exemplars").is_some().to_string(),
        ),
    ]);
    for (label, value) in entry["labels"].as_object().unwrap() {
        // A Go constant that came through the conversion as an expression; the input has the only one in use.
        let value = value.as_str().unwrap_or("counter");
        properties.insert(format!("label {label}"), value.to_owned());
    }
    (name, properties)
}

fn check_whole(format: Format, file: &str, at_least: usize) {
    let Some(table) = read_json(file) else { return };
    let want: Vec<Row> = table["expected"]
        .as_array()
        .unwrap()
        .iter()
        .map(expected_row)
        .collect();
    assert!(
        want.len() >= at_least,
        "{file}: only {} entries",
        want.len()
    );
    let input = table["input"].as_str().unwrap();
    let got = rows(format, input.as_bytes());
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want, "{file}");
    }
    assert_eq!(got.len(), want.len(), "{file}");
    crate::testdata::count(file, got.len());
}

#[test]
fn reads_upstreams_whole_inputs() {
    check_whole(Format::Text, "TestPromParse.json", 46);
    check_whole(Format::OpenMetrics, "TestOpenMetricsParse.json", 86);
}

/// All entries are fine, and every line without `#` is one sample.
fn check_page(format: Format, file: &str) {
    let Some(body) = read(file) else { return };
    let entries = read_all(format, &body).unwrap_or_else(|err| panic!("{file}: {err}"));
    let samples = entries
        .iter()
        .filter(|(entry, _)| matches!(entry, Entry::Sample(_)))
        .count();
    let lines = body
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .count();
    assert_eq!(samples, lines, "{file}");
    assert!(samples > 0, "{file} is empty");
    crate::testdata::count(file, samples);
}

#[test]
fn reads_real_pages() {
    check_page(Format::Text, "alltypes.237mfs.prom.txt");
    check_page(Format::Text, "promtool-metrics-test.prom");
    check_page(Format::OpenMetrics, "alltypes.5mfs.om.txt");
    check_page(Format::OpenMetrics, "promtool-dump-openmetrics-test.prom");
}

#[test]
fn writes_floats_as_the_go_client_wrote_them() {
    let Some(body) = read("alltypes.237mfs.prom.txt") else {
        return;
    };
    let mut floats = 0;
    for (entry, _) in read_all(Format::Text, &body).unwrap() {
        let Entry::Sample(sample) = entry else {
            continue;
        };
        let mut out = Vec::new();
        number::write_float(&mut out, number::parse(sample.value).unwrap());
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(sample.value)
        );
        floats += 1;
    }
    crate::testdata::count("floats", floats);
}
