//! What a server says of its metrics: refused, or hostile. Rounds go on and the page stays readable.

use tributary::parse::{self, Entry, Format, Step};

use super::proxy::{self, Proxy};
use super::upstream::{Reply, Request, Upstream};

fn asked(upstream: &Upstream, path: &str) -> usize {
    let requests = upstream.requests();
    requests
        .iter()
        .filter(|request| request.path == path)
        .count()
}

#[test]
fn a_server_that_refuses_is_asked_less_often_and_rounds_go_on() {
    let upstream = Upstream::new(Reply::chunked("probe 1\n"));
    upstream.api(|_| Reply::full("403 Forbidden", &[], "no\n"));
    let item = proxy::item("c", &upstream.url(), "");
    let proxy = Proxy::start(&proxy::config("metadata_refresh_interval: 200ms", &[item]));
    proxy.wait_for_rounds("c", 14);
    // 5.6 s: at 0, 0.4, 1.2, 2.8, 6.0.
    let asked = asked(&upstream, "/api/v1/metadata");
    assert!((2..=5).contains(&asked), "asked {asked} times");
    let cluster = proxy.cluster("c");
    assert!(cluster["lastError"].is_null(), "{cluster}");
    assert!(proxy.page().contains("# TYPE probe untyped\nprobe{"));
}

/// A round does not wait longer for metadata than its patience, and never twice.
#[test]
fn a_server_that_never_says_anything_holds_up_nothing() {
    let upstream = Upstream::new(Reply::chunked("probe 1\n"));
    upstream.api(|_| Reply::new().hang());
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    proxy.wait_for_rounds("c", 3);
    assert!(proxy.cluster("c")["lastError"].is_null());
    proxy.wait_for_line("probe{");
}

fn hostile(request: &Request) -> Reply {
    let body = match &*request.path {
        "/api/v1/metadata" => {
            r#"{"status":"success","data":{
                "probe":[{"type":"gauge","help":"one\ntwo \\ \"three\"\r\n# TYPE evil counter\nevil 1","unit":""}],
                "other":[{"type":"no such type","help":"\u0000\u2028","unit":"x\ny"}],
                "not there\n":[{"type":"counter","help":"","unit":""}],
                "empty":[]}}"#
        }
        _ => {
            r#"{"status":"success","data":{"yaml":"global: {external_labels: {\"a\\nb\": \"c\\\"d\\ne\"}}"}}"#
        }
    };
    Reply::full("200 OK", &["Content-Type: application/json"], body)
}

#[test]
fn newlines_in_help_and_labels_do_not_break_the_page() {
    let upstream = Upstream::new(Reply::chunked("other 2\nprobe{instance=\"i\"} 1\n"));
    upstream.api(hostile);
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    let page = proxy.wait_for_line("# HELP probe ");
    assert!(
        page.contains("# HELP probe one\\ntwo \\\\ \"three\"\r\\n# TYPE evil"),
        "{page}"
    );
    assert!(page.contains("# TYPE probe gauge\n"), "{page}");
    let mut samples = Vec::new();
    let mut rest = page.as_bytes();
    while !rest.is_empty() {
        match parse::next(Format::Text, rest, true).unwrap() {
            Step::Entry { entry, used } => {
                if let Entry::Sample(sample) = entry {
                    samples.push(sample.name.into_owned());
                }
                rest = &rest[used..];
            }
            Step::More => panic!("{page}"),
        }
    }
    let want = [
        "other",
        "probe",
        "tributary_cluster_snapshot_age_seconds",
        "tributary_cluster_up",
    ];
    assert_eq!(samples, want, "{page}");
}

#[test]
fn nonsense_for_metadata_is_as_none() {
    for body in [
        "",
        "null",
        "{\"data\":[]}",
        "{\"data\":{\"a\":1}}",
        "<html>",
        "{\"data\":{",
    ] {
        let upstream = Upstream::new(Reply::chunked("probe 1\n"));
        upstream.api(move |_| Reply::full("200 OK", &[], body));
        let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
        proxy.wait_for_line("probe{");
        proxy.wait_for_rounds("c", 1);
        assert!(proxy.cluster("c")["lastError"].is_null(), "{body}");
    }
}
