//! How answers are sent: in pieces, compressed, as a head alone, and to nobody.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::{PATIENCE, ago, fleet, raw};
use crate::support::{eventually, http};

/// A matrix of some megabytes.
fn long_query() -> String {
    let parameters = [
        ("query", "{__name__=~\"http.*|up|container.*\"}"),
        ("start", &*ago(4)),
        ("end", &*ago(1)),
        ("step", "0.02"),
    ];
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    format!("/api/v1/query_range?{query}")
}

/// A matrix written in the simplest way.
fn naive(answer: &Value) -> String {
    let series = answer["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            let points = series["values"].as_array().unwrap().iter().map(|point| {
                let seconds =
                    std::time::Duration::from_secs_f64(point[0].as_f64().unwrap() + 0.0005);
                let ms = seconds.as_millis();
                let time = if ms.is_multiple_of(1000) {
                    (ms / 1000).to_string()
                } else {
                    format!("{}.{:03}", ms / 1000, ms % 1000)
                };
                format!("[{time},{}]", point[1])
            });
            let points: Vec<String> = points.collect();
            format!(
                "{{\"metric\":{},\"values\":[{}]}}",
                series["metric"],
                points.join(",")
            )
        });
    let series: Vec<String> = series.collect();
    let warnings = answer
        .get("warnings")
        .map_or_else(String::new, |list| format!(",\"warnings\":{list}"));
    let series = series.join(",");
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{series}]}}{warnings}}}"
    )
}

#[test]
fn long_answers_are_whole_and_the_same_compressed() {
    let path = long_query();
    let plain = raw(fleet(), &format!("GET {path}"), &[], b"");
    assert_eq!(
        (plain.status, plain.header("Content-Length")),
        (200, None),
        "{}",
        plain.head
    );
    assert!(plain.body.len() > 4 << 20, "{} bytes", plain.body.len());
    assert_eq!(
        naive(&plain.json()),
        String::from_utf8(plain.body.clone()).unwrap()
    );
    let packed = raw(
        fleet(),
        &format!("GET {path}"),
        &["Accept-Encoding: deflate, gzip, br, zstd"],
        b"",
    );
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 5);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(unpacked == plain.body);
    let head = raw(fleet(), &format!("HEAD {path}"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn short_answers_have_a_length() {
    let get = |headers: &[&str]| raw(fleet(), "GET /api/v1/labels", headers, b"");
    let plain = get(&[]);
    assert_eq!(
        plain.header("Content-Length"),
        Some(&*plain.body.len().to_string())
    );
    assert_eq!(plain.header("Content-Type"), Some("application/json"));
    assert_eq!(plain.header("Tributary-Source"), Some("local"));
    assert_eq!(plain.header("Vary"), Some("Accept-Encoding"));
    let flags = raw(
        fleet(),
        "GET /api/v1/status/config",
        &["Accept-Encoding: gzip"],
        b"",
    );
    assert_eq!(
        flags.header("Content-Encoding"),
        Some("gzip"),
        "{}",
        flags.head
    );
    assert_eq!(
        flags.header("Content-Length"),
        Some(&*flags.body.len().to_string())
    );
    for refused in [
        "Accept-Encoding: br, zstd, deflate",
        "Accept-Encoding: gzip;q=0",
    ] {
        assert_eq!(
            get(&[refused]).header("Content-Encoding"),
            None,
            "{refused}"
        );
    }
    let head = raw(fleet(), "HEAD /api/v1/labels", &[], b"");
    assert_eq!(
        head.header("Content-Length"),
        plain.header("Content-Length")
    );
    assert!(head.body.is_empty());
}

/// The value of a series on `/metrics`, 0 where it is not there.
fn metric(series: &str) -> f64 {
    let page = http::get(fleet(), "/metrics").unwrap().body;
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[test]
fn a_client_that_goes_away_ends_its_query() {
    let canceled = "tributary_queries_total{kind=\"instant\",result=\"canceled\"}";
    let before = metric(canceled);
    let heavy = "max_over_time(sum by (pod, le) (rate({__name__=~\".+\"}[30s]))[20m:10ms])";
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", heavy)
        .finish();
    let mut stream = TcpStream::connect(fleet()).unwrap();
    let request = format!("GET /api/v1/query?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let running = || metric("tributary_queries_running");
    eventually("the query runs", PATIENCE, || {
        let now = running();
        if now > 0.0 { Ok(()) } else { Err(now) }
    });
    drop(stream);
    eventually("the query has ended", PATIENCE, || {
        let ended = metric(canceled);
        if ended > before { Ok(()) } else { Err(ended) }
    });
    let answer = http::get(fleet(), "/api/v1/query?query=1").unwrap();
    assert_eq!(answer.status, 200);
}
