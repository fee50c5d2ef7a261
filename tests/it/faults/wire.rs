//! Connections: refused, never set up, kept over many rounds, lost and found again; and how bodies come over them.

use std::time::Duration;

use super::proxy::{self, Proxy, wait};
use super::upstream::{GZIP, Reply, TEXT, Upstream, gzip};

fn one(url: &str, more: &str) -> Proxy {
    Proxy::start(&proxy::config("", &[proxy::item("c", url, more)]))
}

#[test]
fn a_cluster_that_restarts_is_found_again() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let (url, address) = (upstream.url(), upstream.address());
    let proxy = one(&url, "stale_after: 1h");
    proxy.wait_for_line("probe{");
    drop(upstream);
    let message = proxy.wait_for_error("c", "connect");
    assert!(message.starts_with("cannot connect: "), "{message}");
    assert!(message.contains("refused"), "{message}");
    assert!(proxy.page().contains("probe{"), "the last snapshot stays");
    let _again = Upstream::again(address, Reply::text("probe 2\n"));
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 2 ");
}

#[test]
fn a_host_without_address_is_dns() {
    let proxy = one("http://no-such-host.invalid:9090", "");
    let message = proxy.wait_for_error("c", "dns");
    assert!(
        message.starts_with("cannot resolve the host: "),
        "{message}"
    );
    let answer = proxy.get("/federate");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(proxy.get("/-/ready").status, 200, "failed is attempted");
}

/// A listener whose queue is full answers no connection.
#[test]
fn the_deadline_covers_the_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let filled: Vec<_> = (0..8)
        .map_while(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        })
        .collect();
    assert!(filled.len() < 8, "the queue takes everyone");
    let proxy = one(&format!("http://{address}"), "");
    let message = proxy.wait_for_error("c", "timeout");
    assert!(message.contains("within 400ms"), "{message}");
    let took = proxy.cluster("c")["lastRoundSeconds"].as_f64().unwrap();
    assert!((0.39..2.0).contains(&took), "{took} s");
}

#[test]
fn one_connection_serves_many_rounds() {
    let upstream = Upstream::new(Reply::chunked("probe 1\n"));
    let proxy = one(&upstream.url(), "");
    proxy.wait_for_rounds("c", 6);
    let connections = |upstream: &Upstream| {
        let rounds = upstream.rounds();
        let mut connections: Vec<_> = rounds.iter().map(|round| round.connection).collect();
        connections.dedup();
        connections.len()
    };
    assert_eq!(connections(&upstream), 1);
    upstream.hang_up();
    proxy.wait_for_rounds("c", 3);
    assert_eq!(
        connections(&upstream),
        2,
        "one more after the first was lost"
    );
    let cluster = proxy.cluster("c");
    assert!(
        cluster["lastError"].is_null(),
        "an idle connection that was closed is no failure: {cluster}"
    );
}

#[test]
fn bodies_come_in_every_framing() {
    let body = "# TYPE probe untyped\nprobe 1\n";
    let members = [gzip(b"# TYPE probe untyped\npr"), gzip(b"obe 1\n")].concat();
    let old = format!("HTTP/1.0 200 OK\r\n{TEXT}\r\n\r\n{body}");
    let slowly = body.bytes().fold(
        Reply::head("200 OK", &[TEXT, "Content-Length: 29"]),
        |reply, byte| reply.send([byte]).pause(Duration::from_millis(3)),
    );
    let open_metrics = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    let cases = [
        ("length", Reply::text(body)),
        ("chunked", Reply::chunked(body)),
        ("closing", Reply::closing(body)),
        ("gzip", Reply::gzip(body)),
        (
            "gzip-closing",
            Reply::head("200 OK", &[TEXT, GZIP]).send(gzip(body.as_bytes())),
        ),
        (
            "gzip-members",
            Reply::full("200 OK", &[TEXT, GZIP], members),
        ),
        ("old-http", Reply::new().send(old)),
        ("byte-by-byte", slowly),
        ("no-newline", Reply::text(&body[..body.len() - 1])),
        (
            "open-metrics",
            Reply::full(
                "200 OK",
                &[open_metrics],
                "# TYPE probe unknown\nprobe 1\n# EOF\n",
            ),
        ),
    ];
    let upstreams = cases.map(|(name, reply)| (name, Upstream::new(reply)));
    let items: Vec<String> = upstreams
        .iter()
        .map(|(name, upstream)| proxy::item(name, &upstream.url(), ""))
        .collect();
    let proxy = Proxy::start(&proxy::config("", &items));
    for (name, _) in &upstreams {
        wait(&format!("the series of {name}"), || {
            let page = proxy.page();
            let line = format!("probe{{cluster=\"{name}\",instance=\"\"}} 1 ");
            if page.contains(&line) {
                Ok(())
            } else {
                Err(format!("{page}{}", proxy.cluster(name)))
            }
        });
    }
}

#[test]
fn what_is_asked_for_follows_the_address_and_the_setting() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let port = upstream.address().port();
    let check = |host: &str, keys: &str, want: &str| {
        let before = upstream.rounds().len();
        let proxy = one(&format!("http://{host}:{port}"), keys);
        proxy.wait_for_rounds("c", 1);
        drop(proxy);
        let rounds = upstream.rounds();
        let asked: Vec<_> = rounds[before..]
            .iter()
            .map(|round| round.header("accept-encoding").unwrap())
            .collect();
        assert!(
            asked.iter().all(|asked| *asked == want),
            "{keys}: {asked:?}"
        );
    };
    check("127.0.0.1", "", "identity");
    check("localhost", "", "identity");
    check("127.0.0.1", "compression: gzip", "gzip");
    check("127.0.0.1", "compression: identity", "identity");
    let request = &upstream.rounds()[0];
    assert_eq!(request.matches(), ["{__name__=~\".+\"}"]);
    assert_eq!(
        request.header("x-prometheus-scrape-timeout-seconds"),
        Some("0.4")
    );
    let accept = request.header("accept").unwrap();
    assert!(accept.starts_with("text/plain;version=0.0.4"), "{accept}");
}

/// Every answer holds the series asked for, and one that matches in all of them.
#[test]
fn many_selectors_are_asked_in_several_requests() {
    let upstream = Upstream::with(|request| {
        let matches = request.matches();
        let names = matches
            .iter()
            .map(|selector| selector.split('{').next().unwrap());
        let lines: String = names.map(|name| format!("{name} 1\n")).collect();
        Reply::chunked(format!("shared 1\n{lines}"))
    });
    let name = |number: usize| format!("metric_with_a_long_name_number_{number:04}");
    let selectors: Vec<String> = (0..300)
        .map(|number| format!("'{}{{job=~\"a|b\"}}'", name(number)))
        .collect();
    let proxy = one(
        &upstream.url(),
        &format!("match: [{}]", selectors.join(", ")),
    );
    let page = proxy.wait_for_line(&name(299));
    for number in 0..300 {
        let lines = page.lines().filter(|line| line.starts_with(&name(number)));
        assert_eq!(lines.count(), 1, "{number}");
    }
    let shared = page.lines().filter(|line| line.starts_with("shared{"));
    assert_eq!(shared.count(), 1);
    let rounds = upstream.rounds();
    assert!(rounds.iter().all(|round| round.query.len() < 8100));
    let requests = rounds
        .iter()
        .filter(|round| round.matches()[0].contains("_0000{"))
        .count();
    assert!(
        rounds.len() >= 2 * requests - 1,
        "{} in {requests} rounds",
        rounds.len()
    );
    assert!(
        rounds
            .iter()
            .all(|round| round.connection == rounds[0].connection)
    );
}
