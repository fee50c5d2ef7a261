//! `/clusters/NAME/…` and `/sd/prometheus`: what comes through, what does not, and who sees whose secrets.

mod refused; // paths, methods and forms that do not pass
mod headers; // what of a request and an answer passes
mod body; // streaming, cuts, deadlines, places
mod page; // /clusters/NAME/federate
mod targets; // /sd/prometheus
mod server; // beside a real server: the same bytes by curl, the same lines by promtool
mod centre; // a central Prometheus with one target per cluster

use crate::faults::http::{Answer, Connection};
use crate::faults::proxy::{self, Proxy};
use crate::faults::upstream::{Reply, Upstream};

/// What a server answers to `1+1`.
const TWO: &str =
    r#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"2"]}}"#;

const JSON: &str = "Content-Type: application/json";

/// The cluster `c` behind a proxy; its API gives one reply to everything.
fn through(reply: Reply, keys: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    upstream.api(move |_| reply.clone());
    let proxy = Proxy::start(&proxy::config(
        "",
        &[proxy::item("c", &upstream.url(), keys)],
    ));
    (proxy, upstream)
}

/// What came to the server through us: all but the rounds, and what we ask beside them.
fn passed(upstream: &Upstream) -> Vec<crate::faults::upstream::Request> {
    let mut requests = upstream.requests();
    requests.retain(|request| request.header("tributary-via").is_some());
    requests
}

/// Sends a request with a body.
fn send(proxy: &Proxy, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut connection = Connection::open(proxy.address()).unwrap();
    let length = format!("Content-Length: {}", body.len());
    connection
        .ask(method, target, &[headers, &[&*length]].concat())
        .unwrap();
    connection.write(body).unwrap();
    connection.answer(method).unwrap()
}

/// The fields of an error in Prometheus' form.
#[track_caller]
fn error(answer: &Answer) -> (u16, String, String) {
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{answer:?}"
    );
    assert_eq!(
        answer.header("x-content-type-options"),
        Some("nosniff"),
        "{answer:?}"
    );
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], "error", "{body}");
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    (answer.status, text("errorType"), text("error"))
}
