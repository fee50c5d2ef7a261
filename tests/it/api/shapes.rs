//! The answers of every endpoint have the shapes of Prometheus' own `OpenAPI` document.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::schema::mistakes;
use super::{ago, asked, fleet, raw};
use crate::testdata;

/// Endpoints of the document that we do not serve: they answer 404.
const NOT_SERVED: [&str; 18] = [
    "/search/metric_names",
    "/search/label_names",
    "/search/label_values",
    "/scrape_pools/config",
    "/targets/metadata",
    "/targets/relabel_steps",
    "/status/tsdb/blocks",
    "/status/walreplay",
    "/status/self_metrics",
    "/admin/tsdb/delete_series",
    "/admin/tsdb/clean_tombstones",
    "/admin/tsdb/snapshot",
    "/read",
    "/write",
    "/otlp/v1/metrics",
    "/notifications",
    "/notifications/live",
    "/features",
];

fn document() -> Option<Value> {
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        println!("left out: TRIBUTARY_TESTDATA is not set");
        return None;
    };
    let path = Path::new(&folder).join("http-api/openapi_3.1_golden.yaml");
    let text = fs::read_to_string(path).unwrap();
    Some(serde_saphyr::from_str(&text).unwrap())
}

/// Path in the document, path in a request, parameters.
type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

/// The schema of an endpoint's good answers.
fn schema<'d>(document: &'d Value, path: &str) -> &'d Value {
    let answer = &document["paths"][path]["get"]["responses"]["200"];
    &answer["content"]["application/json"]["schema"]
}

#[test]
fn good_answers_have_the_shapes_of_the_document() {
    let Some(document) = document() else { return };
    let (start, end) = (ago(3), ago(0));
    let range = |query: &'static str| {
        let times = vec![("start", &*start), ("end", &*end), ("step", "1")];
        [vec![("query", query)], times].concat()
    };
    let cases: Vec<Case<'_>> = vec![
        ("/query", "query", vec![("query", "up"), ("stats", "all")]),
        ("/query", "query", vec![("query", "up[5s]")]),
        ("/query", "query", vec![("query", "1+1"), ("time", "4")]),
        (
            "/query",
            "query",
            vec![("query", "increase(http_requests_total[1h])")],
        ),
        (
            "/query",
            "query",
            vec![("query", "rate(up[5s])"), ("limit", "1")],
        ),
        ("/query_range", "query_range", range("up")),
        ("/query_range", "query_range", range("nothing")),
        ("/query_exemplars", "query_exemplars", range("up")),
        (
            "/format_query",
            "format_query",
            vec![("query", "sum(a)by(b)")],
        ),
        (
            "/parse_query",
            "parse_query",
            vec![("query", "sum(rate(a[5m]))by(b)")],
        ),
        ("/series", "series", vec![("match[]", "up")]),
        ("/series", "series", vec![("match[]", "up"), ("limit", "1")]),
        ("/labels", "labels", vec![]),
        ("/labels", "labels", vec![("match[]", "up"), ("limit", "1")]),
        ("/label/{name}/values", "label/cluster/values", vec![]),
        ("/label/{name}/values", "label/nothing/values", vec![]),
        ("/metadata", "metadata", vec![]),
        ("/metadata", "metadata", vec![("metric", "up")]),
        (
            "/metadata",
            "metadata",
            vec![("limit", "2"), ("limit_per_metric", "1")],
        ),
        ("/targets", "targets", vec![]),
        ("/targets", "targets", vec![("state", "dropped")]),
        ("/scrape_pools", "scrape_pools", vec![]),
        ("/rules", "rules", vec![("type", "alert")]),
        ("/alerts", "alerts", vec![]),
        ("/alertmanagers", "alertmanagers", vec![]),
        ("/status/config", "status/config", vec![]),
        ("/status/runtimeinfo", "status/runtimeinfo", vec![]),
        ("/status/buildinfo", "status/buildinfo", vec![]),
        ("/status/flags", "status/flags", vec![]),
        ("/status/tsdb", "status/tsdb", vec![("limit", "3")]),
    ];
    for (path, asking, parameters) in &cases {
        for prefix in ["/api/v1/", "/recent/api/v1/"] {
            let (status, mut answer) = asked(fleet(), &format!("{prefix}{asking}"), parameters);
            assert_eq!(status, 200, "{asking} {parameters:?}: {answer}");
            if *path == "/status/runtimeinfo" {
                // Our own version is the one thing that we add.
                let own = answer["data"]
                    .as_object_mut()
                    .unwrap()
                    .remove("tributaryVersion");
                assert_eq!(own.unwrap(), env!("CARGO_PKG_VERSION"));
            }
            let mistakes = mistakes(&document, schema(&document, path), &answer);
            assert!(
                mistakes.is_empty(),
                "{asking} {parameters:?}: {mistakes:#?}"
            );
        }
    }
    testdata::count("openapi_answers", cases.len());
}

#[test]
fn an_answer_that_is_changed_does_not_fit() {
    let Some(document) = document() else { return };
    let (_, good) = asked(fleet(), "/api/v1/query", &[("query", "up")]);
    let check = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(
            !mistakes(&document, schema(&document, "/query"), &bad).is_empty(),
            "{pointer}"
        );
    };
    check("/status", "well".into());
    check("/data/resultType", "vectors".into());
    check("/data/result/0/value", Value::Array(vec![1.into()]));
    check("/data/result/0/metric", "up".into());
}

#[test]
fn errors_have_the_shape_of_the_document() {
    let Some(document) = document() else { return };
    let error = &document["components"]["schemas"]["Error"];
    for asking in [
        "query",
        "query_range",
        "series",
        "query_exemplars",
        "format_query",
        "parse_query",
    ] {
        let (status, answer) = asked(fleet(), &format!("/api/v1/{asking}"), &[]);
        assert_eq!(status, 400, "{asking}: {answer}");
        let mistakes = mistakes(&document, error, &answer);
        assert!(mistakes.is_empty(), "{asking}: {mistakes:?}");
    }
}

#[test]
fn every_endpoint_of_the_document_is_served_or_known_not_to_be() {
    let Some(document) = document() else { return };
    let paths = document["paths"].as_object().unwrap();
    let mut served = 0;
    for (path, methods) in paths {
        let asking = format!("/api/v1{}", path.replace("{name}", "job"));
        let (status, answer) = asked(fleet(), &asking, &[]);
        if NOT_SERVED.contains(&&**path) {
            assert_eq!(status, 404, "{path}: {answer}");
            continue;
        }
        assert!(matches!(status, 200 | 400), "{path}: {answer}");
        served += 1;
        // The methods of the document are ours; HEAD is one more.
        let other = raw(fleet(), &format!("PATCH {asking}"), &[], b"");
        assert_eq!(other.status, 405, "{path}");
        let allowed = other.header("Allow").unwrap();
        assert_eq!(
            allowed.contains("POST"),
            methods.get("post").is_some(),
            "{path}"
        );
        let options = raw(fleet(), &format!("OPTIONS {asking}"), &[], b"");
        assert_eq!((options.status, options.body.len()), (204, 0), "{path}");
        assert_eq!(options.header("Allow").unwrap(), allowed);
    }
    assert_eq!(served, 19);
}
