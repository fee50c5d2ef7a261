//! What is wrong with a request gets Prometheus' own words, type and code.

use serde_json::Value;

use std::time::Duration;

use tributary::query::Settings;

use super::{asked, data, fleet, raw};
use crate::support::app::Running;
use crate::support::http;
use crate::support::process::installed;
use crate::support::prometheus::Prometheus;

/// Wrong requests that Prometheus 2.42 answers as 3.x does.
const ALIKE: [&str; 40] = [
    "query?query=",
    "query",
    "query?query=1%2B",
    "query?query=up%5B5m",
    "query?query=%22%FF%22",
    "query?query=up%7Ba%3D%27%FF%27%7D",
    "query?query=%FF",
    "query?query=%7B%7D",
    "query?query=sum(",
    "query?query=rate(up)",
    "query?query=1&time=x",
    "query?query=1&timeout=x",
    "query?query=1&timeout=1e300",
    "query_range?query=up",
    "query_range?query=up&start=x&end=1&step=1",
    "query_range?query=up&start=1&step=1",
    "query_range?query=up&start=1&end=2",
    "query_range?query=up&start=1&end=2&step=x",
    "query_range?query=up&start=1&end=2&step=0",
    "query_range?query=up&start=1&end=2&step=-1",
    "query_range?query=up&start=2&end=1&step=1",
    "query_range?query=up&start=0&end=11001&step=1",
    "query_range?query=up&start=1&end=2&step=0.00001",
    "query_range?query=up&start=1&end=2&step=1&timeout=x",
    "query_exemplars?query=up&start=3&end=2",
    "query_exemplars?query=%7B",
    "query_exemplars?query=up&start=x",
    "format_query?query=1%2B",
    "series",
    "series?match%5B%5D=%7B",
    "series?match%5B%5D=%7B%7D",
    "series?match%5B%5D=up&start=x",
    "series?match%5B%5D=%zz",
    "labels?match%5B%5D=%7B",
    "labels?match%5B%5D=%7Ba%3D%22%22%7D",
    "labels?start=x",
    "label/job/values?end=x",
    "label/job/values?match%5B%5D=%7Ba%3D~%22.*%22%7D",
    "metadata?limit=x",
    "rules?type=x",
];

/// 3.x writes one text otherwise.
fn settled(mut answer: Value) -> Value {
    if let Some(Value::String(text)) = answer.get_mut("error") {
        *text = text.replace("Invalid time value", "invalid time value");
        *text = text.replace("1:1: parse error: no", "unknown position: parse error: no");
    }
    answer
}

#[test]
fn wrong_requests_are_answered_as_by_prometheus() {
    if !installed(&["prometheus"]) {
        return;
    }
    let prometheus = Prometheus::start("global: {}\n", &[]);
    let mut other = Vec::new();
    for asking in ALIKE {
        let ask = |address| {
            let answer = http::get(address, &format!("/api/v1/{asking}")).unwrap();
            let body = serde_json::from_str(&answer.body).unwrap();
            (answer.status, settled(body))
        };
        let (theirs, ours) = (ask(prometheus.address), ask(fleet()));
        assert!(theirs.0 >= 400, "{asking}: {}", theirs.1);
        if ours != theirs {
            other.push(format!("{asking}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}

/// Asks and looks at status code, type and text of the error.
#[track_caller]
fn check(path: &str, parameters: &[(&str, &str)], want: (u16, &str), text: &str) {
    let (status, answer) = asked(fleet(), &format!("/api/v1/{path}"), parameters);
    let error = answer["error"].as_str().unwrap_or_default();
    let kind = answer["errorType"].as_str().unwrap_or_default();
    assert_eq!((status, kind), want, "{path}: {answer}");
    assert!(error.contains(text), "{path} {parameters:?}: {error}");
    assert_eq!(answer["status"], "error");
    assert!(answer.get("data").is_none());
}

const BAD_DATA: (u16, &str) = (400, "bad_data");
const EXECUTION: (u16, &str) = (422, "execution");

#[test]
fn wrong_queries_have_type_code_and_text() {
    let query = |text: &str, want, words: &str| check("query", &[("query", text)], want, words);
    let deep = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
    query(&deep, BAD_DATA, "invalid parameter \"query\": 1:");
    let huge = format!("up{{a=~\"{}\"}}", "(x{1000}){1000}".repeat(3));
    query(&huge, BAD_DATA, "invalid parameter \"query\": ");
    let open = "up{a=~\"(\"}";
    query(
        open,
        BAD_DATA,
        "1:4: parse error: error parsing regexp: missing closing )",
    );
    let text = "quantile_over_time(\"x\", up[1m])";
    query(text, BAD_DATA, "expected type scalar");
    let many = "up + on(job) group_left() up";
    query(
        many,
        EXECUTION,
        "found duplicate series for the match group",
    );
    let replace = "label_replace(up, \"job\", \"x\", \"\", \"(\")";
    query(
        replace,
        EXECUTION,
        "invalid regular expression in label_replace()",
    );
    let range = [
        ("query", "up[1m]"),
        ("start", "1"),
        ("end", "2"),
        ("step", "1"),
    ];
    let why =
        "invalid parameter \"query\": invalid expression type \"range vector\" for range query";
    check("query_range", &range, BAD_DATA, why);
    // Too long for a URL: 10,000 parentheses.
    let form = format!("query={}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let answer = raw(fleet(), "POST /api/v1/query", &[kind], form.as_bytes());
    assert_eq!(
        (answer.status, &answer.json()["errorType"]),
        (400, &"bad_data".into())
    );
}

#[test]
fn wrong_parameters_have_type_code_and_text() {
    let query = |name: &str, value: &str, want, words: &str| {
        check("query", &[("query", "up"), (name, value)], want, words);
    };
    let syntax = "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax";
    query("limit", "x", BAD_DATA, syntax);
    let negative = "invalid parameter \"limit\": limit must be non-negative";
    query("limit", "-1", BAD_DATA, negative);
    let lookback = "error parsing lookback delta duration: cannot parse \"x\" to a valid duration";
    query("lookback_delta", "x", BAD_DATA, lookback);
    let timed_out = (503, "timeout");
    query("timeout", "0", timed_out, "query timed out in");
    let constant = [("query", "1"), ("timeout", "0")];
    check("query", &constant, timed_out, "query timed out in");
    let open = [("query", "sum(")];
    check(
        "parse_query",
        &open,
        BAD_DATA,
        "invalid parameter \"query\": 1:5: parse error:",
    );
    let zero = "group_limit needs to be greater than 0";
    check("rules", &[("group_limit", "0")], BAD_DATA, zero);
    let limit = [("limit_per_metric", "x")];
    check(
        "metadata",
        &limit,
        BAD_DATA,
        "limit_per_metric must be a number",
    );
    let limit = [("limit", "0")];
    check(
        "status/tsdb",
        &limit,
        BAD_DATA,
        "limit must be a positive number",
    );
    check("label/%FF/values", &[], BAD_DATA, "not UTF-8");
}

/// Asks a Tributary with these limits, which has no cluster that answers.
#[track_caller]
fn check_limited(limits: Settings, query: &str, want: (u16, &str), text: &str) {
    let yaml = "clusters: [{name: c, url: 'http://127.0.0.1:1'}]";
    let running = Running::start_with(yaml, 0, limits);
    let (status, answer) = asked(running.address, "/api/v1/query", &[("query", query)]);
    let error = answer["error"].as_str().unwrap_or_default();
    let kind = answer["errorType"].as_str().unwrap_or_default();
    assert_eq!((status, kind), want, "{query}: {answer}");
    assert!(error.contains(text), "{query}: {error}");
    let (status, answer) = asked(running.address, "/api/v1/query", &[("query", "1")]);
    assert_eq!(status, 200, "others go on: {answer}");
}

#[test]
fn queries_over_a_limit_have_type_code_and_text() {
    let subquery = "sum_over_time(vector(1)[2000s:1s])";
    let few = Settings {
        samples_max: 1000,
        ..Settings::default()
    };
    let text = "query processing would load too many samples into memory in query execution";
    check_limited(few, subquery, EXECUTION, text);
    let small = Settings {
        memory_max_bytes: 16_000,
        ..Settings::default()
    };
    check_limited(small, subquery, EXECUTION, "raise --memory.limit");
    let brief = Settings {
        timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let long = "sum_over_time(vector(1)[500000s:1s])".to_owned();
    let long = (0..5).fold(long, |inner, _| {
        format!("sum_over_time(({inner})[500000s:1s])")
    });
    let text = "query timed out in expression evaluation";
    check_limited(brief, &long, (503, "timeout"), text);
}

#[test]
fn regular_expressions_do_not_stand_in_the_way() {
    let one = |n: usize| format!(r#"l{n}=~"\\pL{{1,300}}x{n}""#);
    let many: Vec<String> = (0..60).map(one).collect();
    let selector = format!("up{{{}}}", many.join(","));
    let too_large = "expression too large";
    check("query", &[("query", &selector)], BAD_DATA, too_large);
    check("format_query", &[("query", &selector)], BAD_DATA, too_large);
    check("series", &[("match[]", &selector)], BAD_DATA, too_large);
    let answer = http::get_with(fleet(), "/federate", &[("match[]", &selector)]).unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains(too_large), "{}", answer.body);
}

#[test]
fn bodies_are_read_as_forms_only() {
    let post = |headers: &[&str], body: &str| {
        let answer = raw(
            fleet(),
            "POST /api/v1/query?time=4",
            headers,
            body.as_bytes(),
        );
        (answer.status, answer.json())
    };
    let form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8";
    let (status, answer) = post(&[form], "query=1%2B1&time=5");
    assert_eq!(
        (status, &answer["data"]["result"]),
        (200, &serde_json::json!([5, "2"])),
        "the body's time wins"
    );
    for other in [
        "Content-Type: application/json",
        "X-None: 1",
        "Content-Type: text/plain",
    ] {
        let (status, answer) = post(&[other], "query=1");
        assert_eq!(status, 400, "{other}: {answer}");
        let text = answer["error"].as_str().unwrap();
        assert!(
            text.ends_with("parse error: no expression found in input"),
            "{other}: {text}"
        );
    }
    let (status, answer) = post(&[form], "query=%zz");
    assert_eq!(
        (status, &answer["error"]),
        (
            400,
            &"error parsing form values: invalid URL escape \"%zz\"".into()
        )
    );
    let large = format!("query={}", "a".repeat(1 << 20));
    let (status, answer) = post(&[form], &large);
    assert_eq!((status, &answer["errorType"]), (400, &"bad_data".into()));
    assert_eq!(
        answer["error"],
        "error parsing form values: http: POST too large"
    );
    let fits = format!("query=1&x={}", "a".repeat(1 << 19));
    assert_eq!(post(&[form], &fits).0, 200);
}

#[test]
fn unknown_endpoints_and_methods() {
    let check = |request: &str, status: u16, body: &str| {
        let answer = raw(fleet(), request, &[], b"");
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!((answer.status, &*text), (status, body), "{request}");
        assert_eq!(
            answer.header("X-Content-Type-Options"),
            Some("nosniff"),
            "{request}"
        );
    };
    check("GET /api/v1/nope", 404, "404 page not found\n");
    check("GET /recent/api/v1/", 404, "404 page not found\n");
    check("GET /api/v1/label/a/b/values", 404, "404 page not found\n");
    check("PUT /api/v1/query", 405, "Method Not Allowed\n");
    check("POST /api/v1/status/flags", 405, "Method Not Allowed\n");
    check("POST /api/v1/label/job/values", 405, "Method Not Allowed\n");
    // What is there already stays as it is.
    assert!(data(fleet(), "/api/v1/clusters", &[])["clusters"].is_array());
}
