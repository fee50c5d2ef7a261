//! Nobody's secrets come through: of a request nothing but the question, of an answer nothing but what it is.

use super::{JSON, TWO, passed, send, through};
use crate::faults::http::Connection;
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream, gzip};

/// What a caller, or a proxy before us, may send along.
const CALLERS: [&str; 17] = [
    "Authorization: Basic cGxhbnRlZDpzZWNyZXQ=",
    "Cookie: session=planted-secret",
    "Proxy-Authorization: Basic planted-secret",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-User: planted-secret",
    "Forwarded: for=planted-secret",
    "X-Grafana-User: planted-secret",
    "X-Scope-OrgID: planted-secret",
    "X-Api-Key: planted-secret",
    "X-WEBAUTH-USER: planted-secret",
    "Referer: http://planted-secret/",
    "Origin: http://planted-secret",
    "User-Agent: planted-secret",
    "Accept: text/html",
    "Keep-Alive: timeout=9",
    "TE: trailers",
    "Connection: close, X-Hop",
];

#[test]
fn a_callers_headers_stay_here_and_the_clusters_own_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "own-token\n").unwrap();
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    upstream.api(|_| Reply::full("200 OK", &[JSON], TWO));
    let keys = "authorization: {credentials_file: token}, http_headers: {X-Scope-OrgID: {values: [platform]}}";
    let config = proxy::config("", &[proxy::item("c", &upstream.url(), keys)]);
    let proxy = Proxy::start_in(folder, &config, 0);
    let form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8";
    let check = |method: &str, headers: &[&str], body: &[u8], want: &[&str]| {
        let headers = [&CALLERS, headers].concat();
        let answer = send(
            &proxy,
            method,
            "/clusters/c/api/v1/query?query=1%2B1&time=4",
            &headers,
            body,
        );
        assert_eq!((answer.status, &*answer.text()), (200, TWO));
        let request = passed(&upstream).pop().unwrap();
        assert_eq!(
            (&*request.method, &*request.path),
            (method, "/api/v1/query")
        );
        assert_eq!(
            (&*request.query, request.body.as_bytes()),
            ("query=1%2B1&time=4", body)
        );
        let mut names = request.header_names();
        names.sort_unstable();
        assert_eq!(names, want, "{request:?}");
        assert_eq!(request.headers("authorization"), ["Bearer own-token"]);
        assert_eq!(request.headers("x-scope-orgid"), ["platform"]);
        assert_eq!(request.header("accept"), Some("application/json"));
        assert!(
            request
                .header("user-agent")
                .unwrap()
                .starts_with("Tributary/")
        );
        assert!(!format!("{request:?}").contains("planted"), "{request:?}");
    };
    let get = [
        "accept",
        "accept-encoding",
        "authorization",
        "host",
        "tributary-via",
        "user-agent",
        "x-scope-orgid",
    ];
    check("GET", &[], b"", &get);
    let mut post = [&get[..], &["content-length", "content-type"]].concat();
    post.sort_unstable();
    check("POST", &[form], b"query=up&dedup=false", &post);
}

#[test]
fn of_an_answers_headers_only_known_ones_come_back() {
    let headers = [
        "Content-Type: Application/JSON; charset=utf-8",
        "Server: planted-secret/1.0",
        "Set-Cookie: session=planted-secret",
        "WWW-Authenticate: Basic realm=planted-secret",
        "Location: http://planted-secret/",
        "Access-Control-Allow-Origin: *",
        "X-Powered-By: planted-secret",
        "Via: 1.1 planted-secret",
        "Strict-Transport-Security: max-age=1",
        "Content-Disposition: attachment; filename=planted-secret",
        "Refresh: 0; url=http://planted-secret/",
        "Cache-Control: public",
        "Retry-After: 7",
        "Trailer: X-Planted",
    ];
    let want = [
        "content-length",
        "content-type",
        "date",
        "retry-after",
        "vary",
        "x-content-type-options",
    ];
    for status in [
        "200 OK",
        "400 Bad Request",
        "403 Forbidden",
        "422 Unprocessable Entity",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let (proxy, _upstream) = through(Reply::full(status, &headers, TWO), "");
        let answer = proxy.get("/clusters/c/api/v1/query?query=1");
        assert_eq!(
            (answer.status, &*answer.text()),
            (status[..3].parse().unwrap(), TWO)
        );
        let mut names: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, want);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert!(!format!("{answer:?}").contains("planted"), "{answer:?}");
    }
}

#[test]
fn what_is_no_json_does_not_come_back() {
    let page = "<script>alert('planted-secret')</script>";
    let check = |reply: Reply, want: &str| {
        let (proxy, _upstream) = through(reply, "");
        let answer = proxy.get("/clusters/c/api/v1/query?query=1");
        let (status, kind, text) = super::error(&answer);
        assert_eq!((status, &*kind), (502, "unavailable"), "{text}");
        assert!(text.starts_with("c ") && text.contains(want), "{text}");
        assert!(!format!("{answer:?}").contains("planted"), "{answer:?}");
    };
    let full = |status: &str, headers: &[&str]| Reply::full(status, headers, page);
    check(
        full("200 OK", &["Content-Type: text/html"]),
        "answered 200 with \"text/html\" and not with JSON",
    );
    check(
        full("200 OK", &["Content-Type: text/html; application/json"]),
        "\"text/html\"",
    );
    check(
        full("200 OK", &["Content-Type: application/json-seq"]),
        "\"application/json-seq\"",
    );
    check(full("200 OK", &[]), "answered 200 with \"\"");
    check(
        full("404 Not Found", &["Content-Type: text/plain"]),
        "answered 404",
    );
    check(
        full("503 Service Unavailable", &["Content-Type: text/plain"]),
        "answered 503",
    );
    check(
        full(
            "401 Unauthorized",
            &[JSON, "WWW-Authenticate: Basic realm=planted"],
        ),
        "answered 401: it does not take the credentials",
    );
    check(
        full("407 Proxy Authentication Required", &[JSON]),
        "answered 407",
    );
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        check(
            full(status, &[JSON, "Location: http://planted-secret/"]),
            "a redirect, which is not followed",
        );
    }
    check(
        full("200 OK", &[JSON, "Content-Encoding: br"]),
        "Content-Encoding \"br\", which was not asked for",
    );
    check(
        full("200 OK", &[JSON, "Content-Encoding: gzip"]),
        "which was not asked for",
    );
    let long = format!("Content-Type: {}", "x".repeat(5000));
    check(full("200 OK", &[&long]), "xxx");
}

#[test]
fn redirects_are_not_followed_to_others() {
    let elsewhere = Upstream::new(Reply::text("probe 1\n"));
    elsewhere.api(|_| Reply::full("200 OK", &[JSON], "\"planted\""));
    let location = format!("Location: {}/api/v1/query", elsewhere.url());
    for keys in ["", "follow_redirects: true"] {
        let (proxy, _upstream) = through(Reply::full("302 Found", &[JSON, &location], "{}"), keys);
        let answer = proxy.get("/clusters/c/api/v1/query?query=1");
        assert_eq!(super::error(&answer).0, 502);
        assert!(elsewhere.requests().is_empty());
    }
}

#[test]
fn gzip_passes_as_it_is_to_those_who_take_it() {
    let packed = gzip(TWO.as_bytes());
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let body = packed.clone();
    upstream.api(move |request| match request.header("accept-encoding") {
        Some("gzip") => Reply::full("200 OK", &[JSON, "Content-Encoding: gzip"], &body),
        _ => Reply::full("200 OK", &[JSON], TWO),
    });
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    let check = |accept: &str, want: bool| {
        let accept = format!("Accept-Encoding: {accept}");
        let answer = send(
            &proxy,
            "GET",
            "/clusters/c/api/v1/query?query=1",
            &[&accept],
            b"",
        );
        assert_eq!(
            answer.header("content-encoding"),
            want.then_some("gzip"),
            "{accept}"
        );
        assert_eq!(
            answer.body,
            if want { &packed[..] } else { TWO.as_bytes() },
            "{accept}"
        );
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.body.len().to_string())
        );
        let asked = passed(&upstream).pop().unwrap();
        assert_eq!(
            asked.header("accept-encoding"),
            Some(if want { "gzip" } else { "identity" })
        );
    };
    check("gzip", true);
    check("deflate, gzip;q=1.0, *;q=0.5, zstd", true);
    check("gzip;q=0, br", false);
    check("identity", false);
    // HEAD: what GET would say, without a body.
    let mut connection = Connection::open(proxy.address()).unwrap();
    connection
        .ask("HEAD", "/clusters/c/api/v1/query?query=1", &[])
        .unwrap();
    let answer = connection.answer("HEAD").unwrap();
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some(&*TWO.len().to_string()))
    );
    assert_eq!(passed(&upstream).pop().unwrap().method, "GET");
    connection
        .ask("GET", "/clusters/c/api/v1/query?query=1", &[])
        .unwrap();
    assert_eq!(connection.answer("GET").unwrap().text(), TWO);
}

/// The cluster's url leads to ourselves: a request would come back for ever.
#[test]
fn a_request_that_comes_back_is_refused() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let own = format!("http://127.0.0.1:{port}/clusters/own");
    let config = proxy::config("", &[proxy::item("own", &own, "")]);
    let proxy = Proxy::start_in(tempfile::tempdir().unwrap(), &config, port);
    let (status, kind, text) = super::error(&proxy.get("/clusters/own/api/v1/query?query=1"));
    assert_eq!((status, &*kind), (502, "unavailable"));
    assert!(text.contains("goes in a circle"), "{text}");
    proxy.wait_for_error("own", "loop");
}

/// A second Tributary may name a cluster of the first as its own.
#[test]
fn a_chain_is_no_circle() {
    let (first, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
    first.wait_for_line("probe{");
    let url = format!("http://{}/clusters/c", first.address());
    let second = Proxy::start(&proxy::config("", &[proxy::item("far", &url, "")]));
    assert_eq!(second.get("/clusters/far/api/v1/query?query=1").text(), TWO);
    // The second also asks for metadata, by itself.
    let ids = passed(&upstream)
        .into_iter()
        .rfind(|request| request.path == "/api/v1/query");
    let ids = ids.unwrap();
    assert_eq!(ids.header("tributary-via").unwrap().split(',').count(), 2);
    wait("the page of the first in the second", || {
        let page = second.page();
        let found = page.contains("probe{cluster=\"far\",exported_cluster=\"c\",instance=\"\"} 1 ");
        if found { Ok(()) } else { Err(page) }
    });
}
