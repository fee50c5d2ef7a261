//! The query API over simulated clusters: shapes, parameters, what clients send, what is wrong.

mod bad_input;
mod bodies;
mod command;
mod grafana;
mod missing;
mod own;
mod promtool;
mod schema;
mod shapes;
mod tables;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::app::Running;
use crate::support::eventually;
use crate::support::http;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Two simulated clusters and Tributary before them, for all tests of this part.
struct Fleet {
    running: Running,
    _simulated: tokio::runtime::Runtime,
}

static FLEET: LazyLock<Fleet> = LazyLock::new(|| {
    let simulated = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let started = {
        let _guard = simulated.enter();
        tributary::demo::start(3, 1500, &CancellationToken::new()).unwrap()
    };
    let mut yaml = "global: {scrape_interval: 1s}\nclusters:\n".to_owned();
    // The last one fails now and then.
    for (name, address) in started.into_iter().take(2) {
        let _ = writeln!(yaml, "- {{name: {name}, url: 'http://{address}'}}");
    }
    let running = Running::start(&yaml);
    let address = running.address;
    eventually("four rounds of both clusters", PATIENCE, || {
        let query = "sum(count by (cluster) (count_over_time(up[1m]) > 3) > bool 0)";
        let answer = data(address, "/api/v1/query", &[("query", query)]);
        let rounds = answer["result"][0]["value"][1]
            .as_str()
            .unwrap_or("0")
            .to_owned();
        let metadata = data(address, "/api/v1/metadata", &[]);
        if rounds == "2" && metadata.get("up").is_some() {
            Ok(())
        } else {
            Err(rounds)
        }
    });
    Fleet {
        running,
        _simulated: simulated,
    }
});

/// Where the fleet's Tributary answers, once its window holds some rounds.
fn fleet() -> SocketAddr {
    FLEET.running.address
}

/// Asks with GET; the parsed answer and its status.
fn asked(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let answer = http::get_with(address, path, parameters).unwrap();
    let body = serde_json::from_str(&answer.body);
    (answer.status, body.unwrap_or(Value::String(answer.body)))
}

/// The `data` of an answer that must be well.
#[track_caller]
fn data(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, mut answer) = asked(address, path, parameters);
    assert_eq!(status, 200, "{path} {parameters:?}: {answer}");
    assert_eq!(answer["status"], "success", "{path}: {answer}");
    answer["data"].take()
}

/// Seconds since 1970, some seconds ago.
fn ago(seconds: i64) -> String {
    (crate::support::now_ms() / 1000 - seconds).to_string()
}

/// An answer as it comes from the wire.
struct Raw {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends a request of HTTP/1.0 with header lines and a body; reads all that comes.
fn raw(address: SocketAddr, request: &str, headers: &[&str], body: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{request} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        head.extend([header, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses need not read everything.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Raw {
        status: head[9..12].parse().unwrap(),
        head,
        body: answer[end + 4..].to_vec(),
    }
}
