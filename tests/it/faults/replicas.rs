//! Pairs of servers: one is used, the other only when that gives reason to, and nothing goes backwards.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::proxy::{self, Proxy, wait};
use super::upstream::{Reply, Upstream};
use crate::support::now_ms;

/// What one replica of a pair answers.
#[derive(Default)]
struct Script {
    series: AtomicUsize,
    /// Age of its samples in milliseconds.
    age: AtomicI64,
}

/// A replica named `name` that has samples of `series` series.
fn replica(name: &'static str, series: usize, age: i64) -> (Upstream, Arc<Script>) {
    let script = Arc::new(Script::default());
    script.series.store(series, Ordering::Relaxed);
    script.age.store(age, Ordering::Relaxed);
    let played = script.clone();
    let upstream = Upstream::with(move |_| {
        let time = now_ms() - played.age.load(Ordering::Relaxed);
        let mut body = String::new();
        for number in 0..played.series.load(Ordering::Relaxed) {
            let labels =
                format!("number=\"{number}\",instance=\"i\",prometheus_replica=\"{name}\"");
            writeln!(body, "probe{{{labels}}} {time} {time}").unwrap();
        }
        Reply::text(body)
    });
    (upstream, script)
}

fn pair(a: &Upstream, b: &Upstream) -> Proxy {
    let (a, b) = (a.url(), b.url());
    let item = format!("  - {{name: c, replicas: ['{a}', '{b}']}}\n");
    Proxy::start(&proxy::config("typed: false", &[item]))
}

/// Timestamps of the cluster's own series, by labels.
fn times(page: &str) -> BTreeMap<String, i64> {
    let lines = page.lines().filter(|line| line.starts_with("probe{"));
    let split = |line: &str| {
        let (front, time) = line.rsplit_once(' ').unwrap();
        let (labels, value) = front.rsplit_once(' ').unwrap();
        assert_eq!(value, time, "value and timestamp belong together");
        (labels.to_owned(), time.parse().unwrap())
    };
    lines.map(split).collect()
}

fn wait_for_series(proxy: &Proxy, count: usize) {
    wait(&format!("{count} series"), || {
        let found = times(&proxy.page()).len();
        if found == count { Ok(()) } else { Err(found) }
    });
}

fn used(proxy: &Proxy) -> String {
    proxy.cluster("c")["url"].as_str().unwrap().to_owned()
}

/// Waits until `to` is used; the reason for the switch.
fn wait_for_switch(proxy: &Proxy, to: &Upstream) -> String {
    wait("the switch", || {
        let url = used(proxy);
        if url == to.url() { Ok(()) } else { Err(url) }
    });
    let cluster = proxy.cluster("c");
    assert_eq!(cluster["lastSwitch"]["to"], to.url());
    let used: Vec<_> = cluster["replicas"].as_array().unwrap().iter().collect();
    assert_eq!(
        used.iter()
            .filter(|replica| replica["used"] == true)
            .count(),
        1
    );
    cluster["lastSwitch"]["reason"].as_str().unwrap().to_owned()
}

fn switches(proxy: &Proxy, reason: &str) -> f64 {
    proxy.metric(&format!(
        "tributary_cluster_replica_switches_total{{cluster=\"c\",reason=\"{reason}\"}}"
    ))
}

#[test]
fn the_other_is_not_asked_while_the_used_one_is_well() {
    let ((a, _), (b, _)) = (replica("a", 20, 0), replica("b", 20, 0));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 20);
    proxy.wait_for_rounds("c", 5);
    assert_eq!(used(&proxy), a.url());
    assert_eq!(b.requests().len(), 0);
    let url = a.url();
    // A replica that is lost costs no round, and is not missed when it comes back.
    drop(a);
    assert_eq!(wait_for_switch(&proxy, &b), "failed");
    wait_for_series(&proxy, 20);
    assert_eq!(proxy.failing("c"), None);
    assert_eq!(switches(&proxy, "failed"), 1.0);
    assert_eq!(
        proxy.metric("tributary_cluster_replica_used{cluster=\"c\"}"),
        1.0
    );
    assert_eq!(proxy.cluster("c")["lastSwitch"]["from"], url);
    let address = url.trim_start_matches("http://").parse().unwrap();
    let back = Upstream::again(address, Reply::text("wrong 1\n"));
    proxy.wait_for_rounds("c", 4);
    assert_eq!(back.rounds().len(), 0);
    assert_eq!(used(&proxy), b.url());
}

#[test]
fn no_series_goes_backwards_is_renamed_or_left_out() {
    // The other's samples are half a minute older, and the used one's stop.
    let ((a, _), (b, script)) = (replica("a", 50, 0), replica("b", 50, 900));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 50);
    let mut last = times(&proxy.page());
    let mut look = || {
        let now = times(&proxy.page());
        assert_eq!(now.len(), 50, "none is missing");
        for (labels, time) in &now {
            assert!(!labels.contains("prometheus_replica"), "{labels}");
            let before = last.get(labels).expect("none is renamed");
            assert!(time >= before, "{labels}: {before}, then {time}");
        }
        last = now;
    };
    look();
    drop(a);
    wait("the switch", || {
        look();
        let url = used(&proxy);
        if url == b.url() { Ok(()) } else { Err(url) }
    });
    let end = now_ms() + 1_500;
    while now_ms() < end {
        look();
    }
    // It went on: what is shown is the other's.
    let newest = times(&proxy.page()).into_values().max().unwrap();
    assert!(newest > end - 1_500 - 900, "{newest}");
    script.age.store(30_000, Ordering::Relaxed);
}

#[test]
fn a_stale_replica_is_given_up_when_the_other_is_well() {
    let ((a, old), (b, other)) = (replica("a", 20, 0), replica("b", 20, 5_000));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 20);
    old.age.store(6_000, Ordering::Relaxed);
    wait("the other to be asked", || {
        let asked = b.rounds().len();
        if asked > 0 { Ok(()) } else { Err(asked) }
    });
    proxy.wait_for_rounds("c", 6);
    assert_eq!(used(&proxy), a.url(), "the other's are old too");
    let asked = b.rounds().len();
    assert!(asked <= 4, "{asked} times in some 7 rounds");
    assert_eq!(proxy.failing("c"), None);
    other.age.store(0, Ordering::Relaxed);
    assert_eq!(wait_for_switch(&proxy, &b), "stale");
    assert_eq!(switches(&proxy, "stale"), 1.0);
}

#[test]
fn an_empty_or_much_smaller_answer_is_not_believed_alone() {
    for (left, reason) in [(0, "empty"), (2, "smaller")] {
        let ((a, script), (b, _)) = (replica("a", 20, 0), replica("b", 20, 0));
        let proxy = pair(&a, &b);
        wait_for_series(&proxy, 20);
        script.series.store(left, Ordering::Relaxed);
        assert_eq!(wait_for_switch(&proxy, &b), reason);
        wait_for_series(&proxy, 20);
        assert_eq!(switches(&proxy, reason), 1.0);
    }
    // What both say is believed.
    let ((a, first), (b, second)) = (replica("a", 20, 0), replica("b", 20, 0));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 20);
    second.series.store(1, Ordering::Relaxed);
    first.series.store(1, Ordering::Relaxed);
    wait_for_series(&proxy, 1);
    let asked = b.rounds().len();
    proxy.wait_for_rounds("c", 5);
    assert_eq!((used(&proxy), b.rounds().len()), (a.url(), asked));
}

#[test]
fn a_replica_that_never_answers_costs_one_round() {
    let ((a, _), (b, _)) = (replica("a", 20, 0), replica("b", 20, 0));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 20);
    let failed =
        || proxy.metric("tributary_cluster_round_failures_total{cluster=\"c\",reason=\"timeout\"}");
    assert_eq!(failed(), 0.0);
    a.reply(Reply::new().hang());
    assert_eq!(wait_for_switch(&proxy, &b), "failed");
    wait_for_series(&proxy, 20);
    assert!(failed() <= 1.0, "{}", failed());
}

#[test]
fn a_pair_that_is_lost_says_so_of_both_and_heals_by_either() {
    let ((a, _), (b, _)) = (replica("a", 20, 0), replica("b", 20, 0));
    let proxy = pair(&a, &b);
    wait_for_series(&proxy, 20);
    let address = b.address();
    b.reply(Reply::full("503 Service Unavailable", &[], "starting"));
    drop(a);
    let message = proxy.wait_for_error("c", "connect");
    assert!(message.contains("cannot connect"), "{message}");
    assert!(
        message.contains("of another replica: the server answered 503"),
        "{message}"
    );
    drop(b);
    let _b = Upstream::again(address, Reply::text(format!("probe {0} {0}\n", now_ms())));
    wait_for_series(&proxy, 1);
    assert_eq!(proxy.failing("c"), None);
}

#[test]
fn what_is_learnt_comes_from_the_replica_in_use() {
    let ((a, _), (b, _)) = (replica("a", 20, 0), replica("b", 20, 0));
    let says = |name: &'static str| {
        move |request: &super::upstream::Request| {
            let data = if request.path == "/api/v1/metadata" {
                format!(
                    "{{\"probe\":[{{\"type\":\"gauge\",\"help\":\"Of {name}.\",\"unit\":\"\"}}]}}"
                )
            } else {
                let yaml = format!(
                    "global:\\n  external_labels: {{zone: z, prometheus_replica: {name}}}\\n"
                );
                format!("{{\"yaml\":\"{yaml}\"}}")
            };
            Reply::full(
                "200 OK",
                &[],
                format!("{{\"status\":\"success\",\"data\":{data}}}"),
            )
        }
    };
    a.api(says("a"));
    b.api(says("b"));
    let item = format!(
        "  - {{name: c, replicas: ['{}', '{}']}}\n",
        a.url(),
        b.url()
    );
    let proxy = Proxy::start(&proxy::config("typed: true", &[item]));
    let page = proxy.wait_for_line("# HELP probe Of a.");
    assert!(
        page.contains("zone=\"z\"") && !page.contains("prometheus_replica"),
        "{page}"
    );
    let names: Vec<_> = times(&page).into_keys().collect();
    drop(a);
    let page = proxy.wait_for_line("# HELP probe Of b.");
    assert_eq!(times(&page).into_keys().collect::<Vec<_>>(), names);
    // A pair whose first is away at the start.
    let item = format!(
        "  - {{name: c, replicas: ['http://127.0.0.1:1', '{}']}}\n",
        b.url()
    );
    let proxy = Proxy::start(&proxy::config("", &[item]));
    let page = proxy.wait_for_line("probe{");
    assert!(page.contains("zone=\"z\""), "{page}");
}
