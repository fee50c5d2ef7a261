//! What does not pass: each trick by itself, on a raw connection, with a server behind that would answer anything.

use super::{JSON, TWO, error, passed, send, through};
use crate::faults::http::Connection;
use crate::faults::proxy::Proxy;
use crate::faults::upstream::{Reply, Upstream};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn ask(proxy: &Proxy, line: &str) -> crate::faults::http::Answer {
    let mut connection = Connection::open(proxy.address()).unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: tributary\r\nContent-Length: 0\r\n\r\n");
    connection.write(head).unwrap();
    connection.answer(line.split(' ').next().unwrap()).unwrap()
}

/// A server that would answer anything, behind us.
struct Door(Proxy, Upstream);

impl Door {
    fn new() -> Self {
        let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
        Self(proxy, upstream)
    }

    /// Sends a request line; it must not come through.
    #[track_caller]
    fn check(&self, line: &str, want: u16) {
        let answer = ask(&self.0, line);
        assert_eq!(answer.status, want, "{line}: {answer:?}");
        if !line.starts_with("HEAD") {
            error(&answer);
        }
        assert!(passed(&self.1).is_empty(), "{line}");
    }
}

#[test]
fn dots_do_not_come_through_in_any_notation() {
    let door = Door::new();
    for dots in ["..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "."] {
        door.check(&format!("GET /clusters/c/{dots}/federate"), 403);
        door.check(&format!("GET /clusters/c/api/v1/{dots}/{dots}/-/quit"), 403);
        door.check(&format!("GET /clusters/{dots}/api/v1/query?query=1"), 403);
        door.check(&format!("POST /clusters/c/api/v1/label/{dots}/values"), 403);
    }
    door.check("GET /clusters/c/%252e%252e/-/quit", 403);
    door.check("GET /clusters/c/%25252e/federate", 403);
    door.check("GET /clusters/c/%c0%ae%c0%ae/federate", 403);
    door.check("GET /clusters/c/..;/-/quit", 404);
}

#[test]
fn slashes_do_not_come_through_in_any_notation() {
    let door = Door::new();
    for slash in ["%2f", "%2F", "%5c", "%5C", "\\", "%252f", "%c0%af"] {
        door.check(
            &format!("GET /clusters/c/api{slash}v1{slash}query?query=1"),
            403,
        );
        door.check(
            &format!("GET /clusters/c/api/v1/label/..{slash}..{slash}admin/values"),
            403,
        );
        door.check(&format!("GET /clusters/c{slash}federate"), 403);
    }
    for path in [
        "/c/api/v1/query",
        "c//api/v1/query",
        "c/api//v1/query",
        "c/api/v1//query",
        "c/api/v1/query/",
        "c/",
        "",
    ] {
        door.check(&format!("GET /clusters/{path}?query=1"), 403);
    }
    for path in [
        "/clusters",
        "//clusters/c/federate",
        "/%2fclusters/c/federate",
        "/x/../clusters/c/federate",
    ] {
        assert_eq!(ask(&door.0, &format!("GET {path}")).status, 404, "{path}");
    }
}

#[test]
fn neither_odd_bytes_nor_whole_urls_come_through() {
    let door = Door::new();
    for odd in [
        "%00",
        "%0a",
        "%0d%0aX-Injected:%201",
        "%09",
        "%7f",
        "%ff",
        "%",
        "%zz",
        "%u002e",
    ] {
        door.check(&format!("GET /clusters/c/api/v1/query{odd}"), 403);
        door.check(&format!("GET /clusters/c{odd}/federate"), 403);
    }
    for origin in [
        "http://tributary",
        "http://elsewhere.example",
        "https://127.0.0.1:9",
        "http://user:password@tributary",
    ] {
        door.check(
            &format!("GET {origin}/clusters/c/api/v1/query?query=1"),
            403,
        );
        door.check(&format!("GET {origin}/clusters/c/federate"), 403);
    }
}

#[test]
fn what_changes_or_ends_a_server_does_not_come_through() {
    let door = Door::new();
    for path in [
        "api/v1/admin/tsdb/delete_series?match[]=up",
        "api/v1/admin/tsdb/snapshot",
        "api/v1/admin/tsdb/clean_tombstones",
        "api/v1/%61dmin/tsdb/snapshot",
        "api/v1/write",
        "api/v1/read",
        "api/v1/otlp/v1/metrics",
        "-/quit",
        "-/reload",
        "-/healthy",
        "%2d/quit",
        "api/v1/status/config",
        "api/v1/status/flags",
        "api/v1/alertmanagers",
        "api/v2/query",
        "metrics",
        "debug/pprof/profile",
        "graph",
        "api/v1",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD"] {
            door.check(&format!("{method} /clusters/c/{path}"), 404);
        }
    }
    for name in ["d", "C", "c.", "c%20", "%63c", "c;x=1", "*"] {
        door.check(&format!("GET /clusters/{name}/api/v1/query?query=1"), 404);
        door.check(&format!("GET /clusters/{name}/federate"), 404);
    }
}

#[test]
fn other_methods_are_told_which_there_are() {
    let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
    let check = |method: &str, path: &str, status: u16, allow: &str| {
        let answer = ask(&proxy, &format!("{method} /clusters/c/{path}"));
        assert_eq!(
            (answer.status, answer.header("allow")),
            (status, Some(allow)),
            "{method} {path}"
        );
        assert!(passed(&upstream).is_empty(), "{method} {path}");
    };
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        check(method, "api/v1/query", 405, "GET, HEAD, POST");
        check(method, "api/v1/series", 405, "GET, HEAD, POST");
        check(method, "federate", 405, "GET, HEAD");
    }
    for path in [
        "federate",
        "api/v1/label/job/values",
        "api/v1/metadata",
        "api/v1/targets",
        "api/v1/rules",
        "api/v1/status/buildinfo",
    ] {
        check("POST", path, 405, "GET, HEAD");
        check("OPTIONS", path, 204, "GET, HEAD");
    }
    check("OPTIONS", "api/v1/query", 204, "GET, HEAD, POST");
}

#[test]
fn forms_are_forms_and_not_long() {
    let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
    let check = |headers: &[&str], body: &[u8], status: u16, want: &str| {
        let (got, _, text) = error(&send(
            &proxy,
            "POST",
            "/clusters/c/api/v1/query",
            headers,
            body,
        ));
        assert_eq!(got, status, "{headers:?}: {text}");
        assert!(text.contains(want), "{text}");
        assert!(passed(&upstream).is_empty(), "{headers:?}");
    };
    check(
        &["Content-Type: application/json"],
        b"{}",
        415,
        "application/x-www-form-urlencoded",
    );
    check(
        &["Content-Type: multipart/form-data; boundary=x"],
        b"--x",
        415,
        "must carry",
    );
    check(&[], b"query=1", 415, "must carry");
    check(
        &[FORM, "Content-Encoding: gzip"],
        b"query=1",
        415,
        "not compressed",
    );
    // The longer one is more than the system takes in while nobody reads: it is read on before it is refused.
    for bytes in [(1 << 20) + 1, 12 << 20] {
        check(&[FORM], &vec![b'a'; bytes], 413, "more than 1048576 bytes");
    }
    let mut connection = Connection::open(proxy.address()).unwrap();
    connection
        .ask(
            "POST",
            "/clusters/c/api/v1/query",
            &[FORM, "Transfer-Encoding: chunked"],
        )
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000)).repeat(17);
    connection.write(chunk).unwrap();
    assert_eq!(error(&connection.answer("POST").unwrap()).0, 413);
    assert!(passed(&upstream).is_empty());
}

#[test]
fn a_cluster_with_query_false_is_closed() {
    let check = |keys: &str, want: Option<u16>| {
        let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), keys);
        let answer = proxy.get("/clusters/c/api/v1/query?query=1");
        match want {
            Some(status) => {
                let (got, kind, text) = error(&answer);
                assert_eq!((got, &*kind), (status, "forbidden"), "{keys}: {text}");
                assert!(text.contains("c has query: false"), "{text}");
                assert!(passed(&upstream).is_empty());
            }
            None => assert_eq!((answer.status, passed(&upstream).len()), (200, 1), "{keys}"),
        }
    };
    check("", None);
    check("query: false", Some(403));
    check("metrics_path: /metrics/federate", Some(403));
    check("metrics_path: /metrics/federate, query: true", None);
}
