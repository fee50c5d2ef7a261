//! `/clusters/NAME/federate`: one cluster's part of the merged page, and 503 as soon as the cluster is lost.

use super::error;
use crate::faults::http::{Answer, Connection, request};
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

const A: &str = "probe{job=\"x\",n=\"1\"} 1\nprobe{job=\"y\",n=\"2\"} 2\nother 3\n";
const B: &str = "probe{job=\"y\",n=\"1\"} 4\nprobe{job=\"x\",n=\"2\"} 5\nother 6\n";

fn two() -> (Proxy, Upstream, Upstream) {
    let (a, b) = (Upstream::new(Reply::text(A)), Upstream::new(Reply::text(B)));
    let items = [
        proxy::item("a", &a.url(), ""),
        proxy::item("b", &b.url(), ""),
    ];
    let proxy = Proxy::start(&proxy::config("", &items));
    for name in ["a", "b"] {
        proxy.wait_for_line(&format!("tributary_cluster_up{{cluster=\"{name}\"}} 1"));
    }
    (proxy, a, b)
}

/// Series with values, without timestamps; our ages aside.
fn lines(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = if answer.header("content-encoding") == Some("gzip") {
        answer.unzipped()
    } else {
        answer.text()
    };
    let series = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_age_"));
    series
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_page_of_one_cluster_holds_nothing_of_others() {
    let (proxy, _a, _b) = two();
    let own = |name: &str| {
        let label = format!("cluster=\"{name}\"");
        let merged = lines(&proxy.get("/federate"));
        merged
            .into_iter()
            .filter(|line| line.contains(&label))
            .collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        let page = proxy.get(&format!("/clusters/{name}/federate"));
        assert_eq!(lines(&page), own(name));
        assert_eq!(lines(&page).len(), 4);
        assert_eq!(
            page.header("content-type"),
            proxy.get("/federate").header("content-type")
        );
        assert!(page.header("tributary-via").is_some());
        assert!(page.text().contains(&format!(
            "tributary_cluster_snapshot_age_seconds{{cluster=\"{name}\"}}"
        )));
    }
}

/// A series of one cluster stands where a series of the other stands, so verdicts must not be mixed up.
#[test]
fn selectors_are_judged_for_each_cluster_alone() {
    let (proxy, _a, _b) = two();
    let check = |name: &str, query: &str, want: &[&str]| {
        let target = format!("/clusters/{name}/federate?{query}");
        let mut got = lines(&proxy.get(&target));
        got.retain(|line| !line.starts_with("tributary_"));
        assert_eq!(got, want, "{target}");
    };
    let job = "match[]=%7Bjob%3D%22x%22%7D";
    for _ in 0..3 {
        check(
            "a",
            job,
            &["probe{job=\"x\",n=\"1\",cluster=\"a\",instance=\"\"} 1"],
        );
        check(
            "b",
            job,
            &["probe{job=\"x\",n=\"2\",cluster=\"b\",instance=\"\"} 5"],
        );
        assert_eq!(lines(&proxy.get(&format!("/federate?{job}"))).len(), 4);
    }
    check(
        "a",
        "match[]=other",
        &["other{cluster=\"a\",instance=\"\"} 3"],
    );
    check(
        "a",
        "match[]=other&match[]=%7Bn%3D%222%22%7D",
        &[
            "other{cluster=\"a\",instance=\"\"} 3",
            "probe{job=\"y\",n=\"2\",cluster=\"a\",instance=\"\"} 2",
        ],
    );
    check("a", "match[]=%7Bcluster%3D%22b%22%7D", &[]);
    check(
        "b",
        "match[]=%7Bcluster%3D%22b%22%2Cn%3D%221%22%7D",
        &["probe{job=\"y\",n=\"1\",cluster=\"b\",instance=\"\"} 4"],
    );
}

#[test]
fn it_is_a_page_like_federate() {
    let (proxy, _a, _b) = two();
    let ask = |method: &str, headers: &[&str]| {
        request(proxy.address(), method, "/clusters/a/federate", headers).unwrap()
    };
    let plain = ask("GET", &[]);
    let packed = ask("GET", &["Accept-Encoding: gzip"]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(lines(&packed), lines(&plain));
    assert_eq!(plain.header("vary"), Some("Accept, Accept-Encoding"));
    let head = ask("HEAD", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("content-length").is_some());
    let bad = proxy.get("/clusters/a/federate?match[]=%7B");
    assert_eq!(
        (bad.status, &*bad.text()),
        (
            400,
            "1:2: parse error: unexpected end of input inside braces\n"
        )
    );
    let many = proxy.get(&format!(
        "/clusters/a/federate?{}",
        "match[]=up&".repeat(65)
    ));
    assert_eq!(many.status, 400);
    let (status, _, text) = error(&proxy.get("/clusters/c/federate"));
    assert_eq!(
        (status, &*text),
        (
            404,
            "there is no cluster \"c\": see /api/v1/clusters for their names"
        )
    );
}

#[test]
fn it_is_unavailable_from_the_first_failed_round_until_the_cluster_is_up_again() {
    let (proxy, a, _b) = two();
    let page = |name: &str| proxy.get(&format!("/clusters/{name}/federate"));
    assert_eq!(page("a").status, 200);
    a.reply(Reply::full("500 Internal Server Error", &[], "no disk"));
    proxy.wait_for_error("a", "status");
    let lost = page("a");
    assert_eq!(lost.status, 503);
    assert_eq!(
        lost.text(),
        "a is down: the server answered 500: \"no disk\"\n"
    );
    assert!(lost.header("retry-after").is_some());
    assert_eq!(
        proxy.get("/clusters/a/federate?match[]=%7B").status,
        400,
        "as /federate: first the selectors"
    );
    assert!(
        proxy
            .page()
            .contains("probe{job=\"x\",n=\"1\",cluster=\"a\",instance=\"\"}"),
        "the merged page keeps it"
    );
    assert_eq!(page("b").status, 200);
    a.reply(Reply::text(A));
    wait("a to be up again", || {
        let answer = page("a");
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    });
}

#[test]
fn it_is_unavailable_before_the_first_round() {
    let good = Upstream::new(Reply::text(B));
    let slow = Upstream::new(Reply::new().hang());
    let items = [
        proxy::item("good", &good.url(), ""),
        proxy::item(
            "slow",
            &slow.url(),
            "scrape_interval: 1m, scrape_timeout: 1m",
        ),
    ];
    let proxy = Proxy::start(&proxy::config("", &items));
    wait("the other cluster", || {
        let answer = proxy.get("/clusters/good/federate");
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    });
    let answer = proxy.get("/clusters/slow/federate");
    assert_eq!(
        (answer.status, &*answer.text()),
        (503, "slow has not answered or failed yet\n")
    );
    assert_eq!(proxy.get("/federate").status, 503, "which waits for all");
}

/// Eight readers of one cluster that take nothing, and a ninth; the other cluster's page is there for all.
#[test]
fn readers_of_one_cluster_do_not_stop_those_of_another() {
    let filler = "x".repeat(4 << 10);
    let large: String = (0..8 << 10)
        .map(|n| format!("large{{n=\"{n}\",text=\"{filler}\"}} 1\n"))
        .collect();
    let (a, b) = (
        Upstream::new(Reply::chunked(large)),
        Upstream::new(Reply::text(B)),
    );
    let keys = "scrape_interval: 1m, scrape_timeout: 1m";
    let items = [
        proxy::item("a", &a.url(), keys),
        proxy::item("b", &b.url(), ""),
    ];
    let proxy = Proxy::start(&proxy::config("", &items));
    wait("both pages", || {
        let statuses = ["a", "b"].map(|name| {
            request(
                proxy.address(),
                "HEAD",
                &format!("/clusters/{name}/federate"),
                &[],
            )
            .unwrap()
            .status
        });
        if statuses == [200, 200] {
            Ok(())
        } else {
            Err(format!("{statuses:?}"))
        }
    });
    let mut readers: Vec<_> = (0..8)
        .map(|_| Connection::open(proxy.address()).unwrap())
        .collect();
    for reader in &mut readers {
        reader.ask("GET", "/clusters/a/federate", &[]).unwrap();
        assert_eq!(reader.head().unwrap().status, 200);
    }
    assert_eq!(proxy.get("/clusters/a/federate").status, 503);
    assert_eq!(proxy.get("/clusters/b/federate").status, 200);
}
