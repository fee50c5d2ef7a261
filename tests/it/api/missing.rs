//! A cluster that cannot be reached: the answer says so, and is refused where that was asked for.

use super::{PATIENCE, asked, raw};
use crate::faults::upstream::{Reply, Upstream};
use crate::support::app::Running;
use crate::support::eventually;
use crate::support::process::free_address;

#[test]
fn a_missing_cluster_is_named_and_alerts_are_strict() {
    let upstream = Upstream::new(Reply::chunked("up{instance=\"a\"} 1\n"));
    let yaml = format!(
        "global: {{scrape_interval: 1s}}\nclusters:\n- {{name: good, url: '{}'}}\n- {{name: gone, url: 'http://{}'}}\n",
        upstream.url(),
        free_address()
    );
    let running = Running::start(&yaml);
    let address = running.address;
    let query = |query: &str| asked(address, "/api/v1/query", &[("query", query)]);
    let answer = eventually("a partial answer", PATIENCE, || {
        let (status, answer) = query("up");
        let found = answer["data"]["result"]
            .as_array()
            .is_some_and(|list| list.len() == 1);
        let told = answer["warnings"][0]
            .as_str()
            .is_some_and(|text| text.contains("cannot connect"));
        if found && told {
            Ok(answer)
        } else {
            Err(format!("{status} {answer}"))
        }
    });
    let warning = answer["warnings"][0].as_str().unwrap();
    let begin = "the result is partial: it lacks cluster \"gone\" (cannot connect";
    assert!(warning.starts_with(begin), "{warning}");
    let (_, other) = query("up{cluster=\"good\"}");
    assert!(other.get("warnings").is_none(), "{other}");
    let (_, own) = query("tributary_cluster_up");
    assert!(own.get("warnings").is_none(), "{own}");
    assert_eq!(own["data"]["result"].as_array().unwrap().len(), 2);
    let strict = |path: &str, headers: &[&str]| {
        let answer = raw(address, &format!("GET {path}"), headers, b"");
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["errorType"]),
            (422, &"execution".into()),
            "{json}"
        );
        assert!(
            json["error"].as_str().unwrap().contains("\"gone\""),
            "{json}"
        );
    };
    strict("/api/v1/query?query=up&strict=true", &[]);
    strict("/api/v1/query?query=up", &["FromAlert: true"]);
    strict("/recent/api/v1/query?query=up", &["X-Rule-Uid: a1"]);
    let (_, labels) = asked(address, "/api/v1/label/cluster/values", &[]);
    assert_eq!(labels["data"], serde_json::json!(["gone", "good"]));
    let (_, targets) = asked(address, "/api/v1/targets", &[]);
    let health = |at: usize| &targets["data"]["activeTargets"][at]["health"];
    assert_eq!((health(0), health(1)), (&"down".into(), &"up".into()));
    let (_, again) = asked(
        address,
        "/api/v1/query",
        &[("query", "increase(up[1h])"), ("strict", "true")],
    );
    assert_eq!(again["errorType"], "execution", "{again}");
}
