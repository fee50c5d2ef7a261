//! What Grafana's data source sends, one request a line in `grafana.jsonl`, and what it needs of each answer.
//!
//! Times are written as `{-30}`: so many seconds from now. Plain, and as a browser behind a proxy that forces gzip.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::Deserialize;
use serde_json::Value;

use super::{ago, fleet, raw};

const LOG: &str = include_str!("grafana.jsonl");

/// A request and what must be in its answer, by JSON pointer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    when: String,
    method: String,
    path: String,
    #[serde(default)]
    form: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default = "ok")]
    status: u16,
    /// Values that are there exactly so.
    #[serde(default)]
    expect: BTreeMap<String, Value>,
    /// Texts or numbers that are there.
    #[serde(default)]
    filled: Vec<String>,
    /// Lists that hold a text.
    #[serde(default)]
    holds: BTreeMap<String, String>,
    /// Lists of this length.
    #[serde(default)]
    length: BTreeMap<String, usize>,
    /// What must not be there.
    #[serde(default)]
    absent: Vec<String>,
}

fn ok() -> u16 {
    200
}

/// Puts times in.
fn timed(text: &str) -> String {
    let mut out = text.to_owned();
    for seconds in [0, 1, 4, 30] {
        let sign = if seconds == 0 { "" } else { "-" };
        out = out.replace(&format!("{{{sign}{seconds}}}"), &ago(seconds));
    }
    out
}

#[test]
fn what_grafana_sends_is_answered_as_it_needs() {
    let log: Vec<Exchange> = LOG
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(log.len(), 35);
    for exchange in &log {
        check(exchange, false);
        check(exchange, true);
    }
}

fn check(exchange: &Exchange, gzip: bool) {
    let Exchange { when, path, .. } = exchange;
    let mut headers: Vec<&str> = exchange.headers.iter().map(|header| &**header).collect();
    if exchange.method == "POST" {
        headers.push("Content-Type: application/x-www-form-urlencoded");
    }
    if gzip {
        headers.push("Accept-Encoding: gzip, deflate, br, zstd");
    }
    let request = format!("{} {}", exchange.method, timed(path));
    let answer = raw(
        fleet(),
        &request,
        &headers,
        timed(&exchange.form).as_bytes(),
    );
    let body = match answer.header("Content-Encoding") {
        None => answer.body.clone(),
        Some(coding) => {
            assert!(gzip && coding == "gzip", "{when}: {coding}");
            let mut body = Vec::new();
            flate2::read::GzDecoder::new(&answer.body[..])
                .read_to_end(&mut body)
                .unwrap();
            body
        }
    };
    let text = String::from_utf8(body).unwrap();
    assert_eq!(answer.status, exchange.status, "{when}: {request}: {text}");
    if answer.status == 404 {
        return;
    }
    if let Some(length) = answer.header("Content-Length") {
        assert_eq!(length, answer.body.len().to_string(), "{when}");
    }
    assert_eq!(
        answer.header("Content-Type"),
        Some("application/json"),
        "{when}"
    );
    if let Some(at) = text.find("\"result\":") {
        assert!(
            text[..at].contains("\"resultType\":"),
            "{when}: resultType comes first"
        );
    }
    fits(exchange, &serde_json::from_str(&text).unwrap());
}

fn fits(exchange: &Exchange, answer: &Value) {
    let when = &exchange.when;
    let status = if exchange.status == 200 {
        "success"
    } else {
        "error"
    };
    assert_eq!(answer["status"], status, "{when}");
    for (pointer, want) in &exchange.expect {
        assert_eq!(
            answer.pointer(pointer),
            Some(want),
            "{when}: {pointer}: {answer}"
        );
    }
    for pointer in &exchange.filled {
        let found = answer.pointer(pointer);
        let filled = found.is_some_and(|value| {
            value.is_number() || value.as_str().is_some_and(|text| !text.is_empty())
        });
        assert!(filled, "{when}: {pointer}: {answer}");
    }
    for (pointer, want) in &exchange.holds {
        let list = answer.pointer(pointer).and_then(Value::as_array).unwrap();
        assert!(
            list.iter().any(|value| value == want),
            "{when}: {want}: {answer}"
        );
    }
    for (pointer, want) in &exchange.length {
        let list = answer.pointer(pointer).and_then(Value::as_array).unwrap();
        assert_eq!(list.len(), *want, "{when}: {pointer}");
    }
    for pointer in &exchange.absent {
        assert_eq!(answer.pointer(pointer), None, "{when}: {pointer}");
    }
}
