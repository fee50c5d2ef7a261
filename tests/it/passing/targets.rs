//! `/sd/prometheus`: the list as `http_sd` takes it.

use serde_json::{Value, json};

use tributary::config::Flags;
use tributary::serve::external::ExternalUrl;

use super::{JSON, TWO, passed, send};
use crate::faults::http::Connection;
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

#[test]
fn there_is_one_target_for_each_cluster_by_name() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let url = upstream.url();
    let items = [
        proxy::item("west.2", &url, "scrape_interval: 1m"),
        proxy::item("a-b_c", &url, "labels: {region: \"x\\\"y\"}"),
        proxy::item("B", &url, "query: false"),
    ];
    let proxy = Proxy::start(&proxy::config("cluster_label: k8s", &items));
    let answer = send(&proxy, "GET", "/sd/prometheus", &[], b"");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    let got: Value = serde_json::from_slice(&answer.body).unwrap();
    let group = |name: &str, interval: &str| {
        json!({"targets": ["tributary:80"], "labels": {
            "__scheme__": "http",
            "__metrics_path__": format!("/clusters/{name}/federate"),
            "k8s": name,
            "__meta_tributary_cluster": name,
            "__meta_tributary_url": url,
            "__meta_tributary_scrape_interval": interval,
        }})
    };
    let mut second = group("a-b_c", "400ms");
    second["labels"]["__meta_tributary_label_region"] = "x\"y".into();
    assert_eq!(
        got,
        json!([group("B", "400ms"), second, group("west.2", "60s")])
    );
    assert_eq!(
        send(&proxy, "GET", "/sd/prometheus", &[], b"").body,
        answer.body,
        "the order is stable"
    );
    assert_eq!(send(&proxy, "POST", "/sd/prometheus", &[], b"").status, 405);
}

#[test]
fn the_external_url_stands_before_everything() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    upstream.api(|_| Reply::full("200 OK", &[JSON], TWO));
    let config = proxy::config("", &[proxy::item("c", &upstream.url(), "")]);
    let flags = Flags {
        external_url: ExternalUrl::parse("https://metrics.example.com/a/tributary/").ok(),
        ..Flags::default()
    };
    let proxy = Proxy::start_with(tempfile::tempdir().unwrap(), &config, 0, &flags);
    let got: Value = serde_json::from_slice(&proxy.get("/a/tributary/sd/prometheus").body).unwrap();
    assert_eq!(got[0]["targets"], json!(["metrics.example.com:443"]));
    assert_eq!(got[0]["labels"]["__scheme__"], "https");
    let path = got[0]["labels"]["__metrics_path__"].as_str().unwrap();
    assert_eq!(path, "/a/tributary/clusters/c/federate");
    wait("the page", || {
        let answer = proxy.get(path);
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    });
    let query = proxy.get("/a/tributary/clusters/c/api/v1/query?query=1%2B1");
    assert_eq!(query.text(), TWO);
    assert_eq!(passed(&upstream)[0].query, "query=1%2B1");
    assert_eq!(proxy.get("/a/tributary/-/healthy").status, 200);
    assert_eq!(proxy.get("/-/healthy").status, 404);
    assert_eq!(proxy.get("/clusters/c/api/v1/query?query=1").status, 404);
    assert_eq!(proxy.get("/a/tributary/../clusters/c/federate").status, 404);
    let root = proxy.get("/");
    assert_eq!(
        (root.status, root.header("location")),
        (302, Some("/a/tributary/"))
    );
}

/// HTTP/1.0 knows no host.
#[test]
fn a_request_without_host_is_told_what_is_missing() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    let mut connection = Connection::open(proxy.address()).unwrap();
    connection
        .write("GET /sd/prometheus HTTP/1.0\r\n\r\n")
        .unwrap();
    let answer = connection.answer("GET").unwrap();
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("start Tributary with --web.external-url"),
        "{}",
        answer.text()
    );
}
