//! Status codes, headers and framing of every path, and that all codings hold the page a naive renderer writes.

use std::collections::BTreeMap;

use crate::faults::http::{Answer, Connection, request};
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn body(cluster: usize) -> String {
    let mut text = String::from(
        "# HELP up Whether it \\\\ is\\nup.\n# TYPE up gauge\nup{instance=\"i\",job=\"a\"} 1 1000\n",
    );
    text += "# TYPE mixed ";
    text += if cluster == 0 { "gauge\n" } else { "counter\n" };
    text += "mixed{instance=\"i\"} -1.50 2000\n# TYPE lone_total counter\n";
    for number in 0..200 * cluster {
        text.extend([format!(
            "lone_total{{instance=\"i{number}\",path=\"/a b\\\"\"}} {number}e3 3000\n"
        )]);
    }
    let only = format!("only_{cluster}");
    text.extend([format!(
        "# TYPE {only} untyped\n{only}{{instance=\"\"}} NaN 4000\n"
    )]);
    text + "# TYPE h histogram\nh_bucket{instance=\"i\",le=\"+Inf\"} 2 5000\nh_sum{instance=\"i\"} 0.25 5000\n\
            h_count{instance=\"i\"} 2 5000\n"
}

/// Three clusters that send the same in every round.
struct Fleet {
    proxy: Proxy,
    _upstreams: Vec<Upstream>,
}

fn fleet() -> Fleet {
    let upstreams: Vec<_> = (0..3)
        .map(|cluster| Upstream::new(Reply::chunked(body(cluster))))
        .collect();
    let items: Vec<_> = upstreams
        .iter()
        .enumerate()
        .map(|(number, upstream)| {
            let name = format!("c{number}");
            proxy::item(
                &name,
                &upstream.url(),
                "scrape_interval: 2s, scrape_timeout: 2s",
            )
        })
        .collect();
    let proxy = Proxy::start(&proxy::config("", &items));
    wait("all clusters", || {
        let page = proxy.page();
        let missing = (0..3).find(|number| !page.contains(&format!("only_{number}{{")));
        missing.map_or(Ok(()), Err)
    });
    Fleet {
        proxy,
        _upstreams: upstreams,
    }
}

impl Fleet {
    fn get(&self, target: &str, headers: &[&str]) -> Answer {
        request(self.proxy.address(), "GET", target, headers).unwrap()
    }
}

/// The merged page, from the bodies alone and without a thought for speed.
fn naive() -> Vec<String> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    for cluster in 0..3 {
        for line in body(cluster).lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').unwrap();
                helps.entry(name.to_owned()).or_insert(text.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                kinds
                    .entry(name.to_owned())
                    .or_default()
                    .push(kind.to_owned());
            } else {
                let (name, rest) = line.split_once('{').unwrap();
                let (labels, value) = rest.split_once("} ").unwrap();
                let line = format!("{name}{{{labels},cluster=\"c{cluster}\"}} {value}");
                families
                    .entry(name.to_owned())
                    .or_default()
                    .push(sorted(&line));
            }
        }
    }
    let mut page = Vec::new();
    for (name, lines) in families {
        if let Some(help) = helps.get(&name) {
            page.push(format!("# HELP {name} {help}"));
        }
        let kinds = kinds.get(&name).cloned().unwrap_or_default();
        let agreed = kinds.iter().all(|kind| *kind == kinds[0]);
        let shown = agreed
            && kinds
                .iter()
                .any(|kind| kind == "gauge" || kind == "counter");
        page.push(format!(
            "# TYPE {name} {}",
            if shown { &kinds[0] } else { "untyped" }
        ));
        page.extend(lines);
    }
    page
}

/// The labels of a line in the order of their bytes.
fn sorted(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
        return line.to_owned();
    };
    let (labels, value) = rest.split_once("} ").unwrap();
    let mut labels: Vec<_> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}} {value}", labels.join(","))
}

/// A page without our own families, whose values move, and with sorted labels.
fn comparable(page: &str) -> Vec<String> {
    page.lines()
        .filter(|line| !line.contains("tributary_cluster_"))
        .map(sorted)
        .collect()
}

const GZIP: &str = "Accept-Encoding: gzip";

#[test]
fn gzip_identity_and_a_naive_renderer_agree() {
    let fleet = fleet();
    let plain = fleet.get("/federate", &[]);
    let length = plain.body.len().to_string();
    assert_eq!(plain.header("content-length"), Some(&*length));
    assert_eq!(plain.header("content-encoding"), None);
    let plain = comparable(&plain.text());
    assert_eq!(plain, naive());
    let all = "/federate?match[]=%7B__name__%3D~%22.%2B%22%7D";
    assert_eq!(comparable(&fleet.get(all, &[]).text()), plain);
    // Each line once, in three overlapping selections.
    let union =
        "/federate?match[]=up&match[]=%7Binstance%3D%22i%22%7D&match[]=%7Binstance!%3D%22i%22%7D";
    assert_eq!(comparable(&fleet.get(union, &[]).text()), plain);
    // In chunks while somebody has to make it, with its length afterwards. A round may come between.
    let (mut made, mut ready) = (0, 0);
    wait("an answer that was ready", || {
        let answer = fleet.get("/federate", &[GZIP]);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert_eq!(comparable(&answer.unzipped()), plain);
        match answer.header("content-length") {
            Some(_) => ready += 1,
            None => made += 1,
        }
        if made > 0 && ready > 0 {
            Ok(())
        } else {
            Err(format!("{made} made, {ready} ready"))
        }
    });
}

#[test]
fn gzip_is_a_matter_of_the_header() {
    let fleet = fleet();
    for (header, want) in [
        ("gzip", true),
        ("gzip, deflate, br", true),
        ("br;q=1.0, GZIP;q=0.5", true),
        ("gzip;q=0", false),
        ("gzip; q=0.0, identity", false),
        ("br", false),
        ("", false),
    ] {
        let answer = fleet.get("/federate", &[&format!("Accept-Encoding: {header}")]);
        let zipped = answer.header("content-encoding") == Some("gzip");
        assert_eq!(zipped, want, "{header}");
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
    }
}

#[test]
fn the_format_is_text_whatever_is_accepted() {
    let fleet = fleet();
    for accept in [
        "application/openmetrics-text",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        "text/html",
        "image/*;q=0",
        "\u{e4}\u{f6}",
        ",;,;=",
    ] {
        let answer = fleet.get("/federate", &[&format!("Accept: {accept}")]);
        assert_eq!(answer.status, 200, "{accept}");
        let content_type = answer.header("content-type").unwrap();
        assert!(content_type.starts_with(TEXT), "{accept}: {content_type}");
        assert!(answer.text().contains("\nup{"), "{accept}");
    }
}

/// Headers without what differs from one answer to the next.
fn steady(answer: &Answer, also: &str) -> Vec<(String, String)> {
    let changing = |name: &str| name == "date" || name == also;
    let headers = answer.headers.iter().filter(|(name, _)| !changing(name));
    headers.cloned().collect()
}

#[test]
fn head_has_the_headers_of_get() {
    let fleet = fleet();
    let address = fleet.proxy.address();
    for (target, headers) in [
        ("/federate?match[]=up", vec![]),
        ("/federate?match[]=up", vec![GZIP]),
        ("/federate?match[]=%7B", vec![]),
        ("/-/healthy", vec![]),
        ("/-/ready", vec![]),
        ("/metrics", vec![]),
        ("/api/v1/clusters", vec![]),
        ("/nowhere", vec![]),
    ] {
        // Twice, so that what can be kept is kept.
        drop(request(address, "GET", target, &headers).unwrap());
        let mut connection = Connection::open(address).unwrap();
        connection.ask("HEAD", target, &headers).unwrap();
        let head = connection.answer("HEAD").unwrap();
        // Had a body followed, the next answer would not be one.
        connection.ask("GET", target, &headers).unwrap();
        let get = connection.answer("GET").unwrap();
        // The length of what tells times and counts moves.
        let moving = !matches!(
            target,
            "/-/healthy" | "/-/ready" | "/nowhere" | "/federate?match[]=%7B"
        );
        let also = if moving { "content-length" } else { "" };
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(
            steady(&head, also),
            steady(&get, also),
            "{target} {headers:?}"
        );
        let length = |answer: &Answer| answer.header("content-length").map(str::len);
        assert_eq!(
            length(&head).is_some(),
            length(&get).is_some(),
            "{target} {headers:?}"
        );
    }
}

fn matches(count: usize, selector: &str) -> String {
    let parameters = vec![format!("match[]={selector}"); count];
    format!("/federate?{}", parameters.join("&"))
}

#[test]
fn refusals_say_why() {
    let fleet = fleet();
    let address = fleet.proxy.address();
    let check = |method: &str, target: &str, status: u16, body: &str| {
        let answer = request(address, method, target, &["Content-Length: 0"]).unwrap();
        assert_eq!(answer.status, status, "{method} {target}");
        assert!(answer.text().contains(body), "{target}: {}", answer.text());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    };
    let inside = "1:2: parse error: unexpected end of input inside braces";
    check("GET", "/federate?match[]=%7B", 400, inside);
    check("GET", "/federate?match[]=up&match[]=%7B", 400, inside);
    check("GET", "/federate?match[]=", 400, "parse error");
    check(
        "GET",
        "/federate?match[]=%7Ba%3D~%22(%22%7D",
        400,
        "error parsing regexp",
    );
    check("GET", &matches(64, "up"), 200, "up{");
    check(
        "GET",
        &matches(65, "up"),
        400,
        "65 match[] parameters, more than 64",
    );
    check("GET", "/federate?match[]=nothing_like_it", 200, "");
    check("POST", "/federate", 405, "only GET and HEAD");
    check("DELETE", "/-/healthy", 405, "only GET and HEAD");
    check("PROPFIND", "/metrics", 405, "only GET and HEAD");
    check("POST", "/nowhere", 404, "404 page not found");
    for target in [
        "/",
        "/federate/",
        "/federate/x",
        "//federate",
        "/FEDERATE",
        "/../federate",
        "/%66ederate",
    ] {
        check("GET", target, 404, "404 page not found");
    }
}

#[test]
fn oversized_requests_are_refused_and_harm_nobody() {
    let fleet = fleet();
    let address = fleet.proxy.address();
    let large = format!("X-Large: {}", "a".repeat(60_000));
    assert_eq!(fleet.get("/federate", &[&large]).status, 200);
    let check = |target: &str, headers: &[&str], want: u16| {
        // The server may close before it has read everything: then the answer can be lost on the way.
        if let Ok(answer) = request(address, "GET", target, headers) {
            assert_eq!(answer.status, want);
        }
        assert_eq!(fleet.get("/-/healthy", &[]).status, 200);
    };
    check("/federate", &[&*large; 5], 431);
    check("/federate", &vec!["X: y"; 2000], 431);
    check(&format!("/federate?{}", "a".repeat(70_000)), &[], 414);
    for garbage in [
        "\0\0\0\0",
        "GET\r\n\r\n",
        "GET / HTTP/3.7\r\n\r\n",
        "GET / HTTP/1.1\r\nA\x01: b\r\n\r\n",
    ] {
        let mut connection = Connection::open(address).unwrap();
        connection.write(garbage).unwrap();
        connection.write("\r\n\r\n").unwrap();
        if let Ok(answer) = connection.answer("GET") {
            assert_eq!(answer.status, 400, "{garbage:?}");
        }
    }
    assert_eq!(
        fleet.get("/-/healthy", &[]).text(),
        "Tributary is Healthy.\n"
    );
}

#[test]
fn a_bad_selector_is_told_before_there_is_anything_to_select_from() {
    let upstream = Upstream::new(Reply::new().hang());
    let item = proxy::item(
        "slow",
        &upstream.url(),
        "scrape_interval: 30s, scrape_timeout: 30s",
    );
    let proxy = Proxy::start(&proxy::config("", &[item]));
    let bad = proxy.get("/federate?match[]=%7B");
    assert_eq!(bad.status, 400);
    assert_eq!(
        bad.text(),
        "1:2: parse error: unexpected end of input inside braces\n"
    );
    let early = proxy.get("/federate");
    assert_eq!(
        (early.status, early.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        early.text(),
        "not every cluster has answered or failed yet\n"
    );
    let ready = proxy.get("/-/ready");
    assert_eq!(
        (ready.status, &*ready.text()),
        (503, "Waiting for the first round of: slow\n")
    );
    assert_eq!(proxy.get("/-/healthy").status, 200);
}
