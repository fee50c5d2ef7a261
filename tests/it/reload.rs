//! Reload: what changes, what stays, and what a bad file changes, which is nothing.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::faults::http::{self, Connection};
use crate::faults::program::Program;
use crate::faults::proxy::{Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

/// A configuration of these clusters: name, server, further keys.
fn yaml(interval: &str, clusters: &[(&str, &Upstream, &str)]) -> String {
    let mut yaml = format!("global: {{scrape_interval: {interval}, stale_after: 1h}}\nclusters:\n");
    for (name, upstream, more) in clusters {
        let url = upstream.url();
        let _ = writeln!(
            yaml,
            "- {{name: {name}, url: '{url}', external_labels: {{}}{more}}}"
        );
    }
    yaml
}

/// A server whose answer names it, with a label that a selector can look at.
fn server(name: &str) -> Upstream {
    Upstream::new(Reply::text(format!(
        "a{{instance=\"i\",of=\"{name}\"}} 1\nb{{instance=\"i\",of=\"{name}\"}} 2\n"
    )))
}

fn line(cluster: &str, of: &str, more: &str) -> String {
    format!("a{{instance=\"i\",of=\"{of}\",cluster=\"{cluster}\"{more}}}")
}

#[test]
fn clusters_come_change_and_go_and_the_others_notice_nothing() {
    let (one, two, three) = (server("one"), server("two"), server("three"));
    let proxy = Proxy::start(&yaml("1s", &[("c1", &one, ""), ("c2", &two, "")]));
    proxy.wait_for_line(&line("c1", "one", ""));
    proxy.wait_for_line(&line("c2", "two", ""));
    proxy.wait_for_rounds("c1", 2);
    let before = proxy.cluster("c1")["rounds"].as_u64().unwrap();
    let connection = one.rounds().last().unwrap().connection;
    assert!(proxy.metric("tributary_cluster_rounds_total{cluster=\"c2\"}") > 0.0);

    let other = yaml(
        "1s",
        &[("c1", &one, ""), ("c3", &three, ", labels: {region: eu}")],
    );
    assert_eq!(proxy.reload(&other), (200, String::new()));
    let page = proxy.page();
    assert!(page.contains(&line("c1", "one", "")), "{page}");
    assert!(
        !page.contains("c2"),
        "a removed cluster has gone at once: {page}"
    );
    assert!(
        !proxy.get("/metrics").text().contains("c2"),
        "its metrics too"
    );
    proxy.wait_for_line(&line("c3", "three", ",region=\"eu\""));
    assert!(proxy.cluster("c1")["rounds"].as_u64().unwrap() >= before);
    let rounds = two.rounds().len();

    // The last snapshot of a changed cluster stays until its next round.
    let other = yaml(
        "1s",
        &[("c1", &one, ""), ("c3", &three, ", labels: {region: us}")],
    );
    assert_eq!(proxy.reload(&other).0, 200);
    let page = proxy.page();
    let lines = ["eu", "us"].map(|region| page.contains(&format!("region=\"{region}\"")));
    assert_ne!(lines[0], lines[1], "{page}");
    let page = proxy.wait_for_line(&line("c3", "three", ",region=\"us\""));
    assert!(!page.contains("region=\"eu\""), "{page}");
    assert_eq!(two.rounds().len(), rounds, "nobody asks a removed cluster");
    let last = one.rounds().last().unwrap().connection;
    assert_eq!(
        last, connection,
        "an unchanged cluster keeps its connection"
    );
}

#[test]
fn a_cluster_that_comes_keeps_nobody_waiting() {
    let (one, two) = (server("one"), Upstream::new(Reply::new().hang()));
    let proxy = Proxy::start(&yaml("1s", &[("c1", &one, "")]));
    proxy.wait_for_line(&line("c1", "one", ""));
    let both = yaml("1s", &[("c1", &one, ""), ("c2", &two, "")]);
    assert_eq!(proxy.reload(&both).0, 200);
    let page = proxy.page();
    assert!(page.contains(&line("c1", "one", "")), "{page}");
    assert!(
        page.contains("tributary_cluster_up{cluster=\"c2\"} 0"),
        "{page}"
    );
    assert_eq!(proxy.get("/-/ready").status, 200);
}

#[test]
fn other_labels_and_rules_reach_selectors_that_were_asked_before() {
    let one = Upstream::new(Reply::text(
        "a{instance=\"i\",of=\"x\"} 1\na{instance=\"i\",of=\"y\"} 2\n",
    ));
    let proxy = Proxy::start(&yaml("1s", &[("c1", &one, "")]));
    proxy.wait_for_line("a{");
    let asked = || {
        let page = proxy.get("/federate?match[]=%7Bof=%22x%22%7D").text();
        let lines = page.lines().filter(|line| line.starts_with("a{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(asked().len(), 1);
    let rule = ", metric_relabel_configs: [{source_labels: [of], regex: y, target_label: of, replacement: x}, \
                {source_labels: [instance], target_label: was, replacement: y}]";
    // Slots and births are the same as before; what they stand for is not.
    assert_eq!(
        proxy
            .reload(&yaml(
                "1s",
                &[(
                    "c1",
                    &one,
                    &rule
                        .replace("regex: y, target_label: of", "regex: x, target_label: of")
                        .replace("replacement: x", "replacement: z")
                )]
            ))
            .0,
        200
    );
    proxy.wait_for_line("a{instance=\"i\",cluster=\"c1\",of=\"z\"");
    assert!(asked().is_empty(), "{:?}", asked());
    let renamed =
        yaml("1s", &[("c1", &one, "")]).replace("stale_after", "cluster_label: site, stale_after");
    assert_eq!(proxy.reload(&renamed).0, 200);
    let page = proxy.wait_for_line("a{instance=\"i\",of=\"x\",site=\"c1\"}");
    assert!(!page.contains("cluster=\"c1\""), "{page}");
    assert_eq!(
        asked(),
        ["a{instance=\"i\",of=\"x\",site=\"c1\"} 1"].map(|line| asked_like(&page, line))
    );
}

/// The page's line that begins as `line` does, with its timestamp.
fn asked_like(page: &str, line: &str) -> String {
    page.lines()
        .find(|found| found.starts_with(line))
        .unwrap()
        .to_owned()
}

#[test]
fn a_bad_file_changes_nothing_and_says_what_is_wrong() {
    let one = server("one");
    let good = yaml("1s", &[("c1", &one, "")]);
    let proxy = Proxy::start(&good);
    proxy.wait_for_line(&line("c1", "one", ""));
    let successful = || proxy.metric("tributary_config_last_reload_successful");
    let at = || proxy.metric("tributary_config_last_reload_success_timestamp_seconds");
    assert_eq!(successful(), 1.0);
    let started = at();
    let bad = yaml(
        "1s",
        &[("c2", &one, ", scrap_interval: 1s"), ("c2", &one, "")],
    );
    let (status, body) = proxy.reload(&bad);
    assert_eq!(status, 500);
    assert!(body.starts_with("failed to reload config: "), "{body}");
    assert!(
        body.contains("scrap_interval") && body.contains("already used"),
        "{body}"
    );
    assert_eq!((successful(), at()), (0.0, started));
    let page = proxy.page();
    assert!(page.contains(&line("c1", "one", "")), "{page}");
    proxy.wait_for_rounds("c1", 2);
    assert_eq!(proxy.reload(&good), (200, String::new()));
    assert_eq!(successful(), 1.0);
    assert!(at() > started);
}

#[test]
fn only_post_and_put_reload_and_only_where_that_is_allowed() {
    let one = server("one");
    let proxy = Proxy::start(&yaml("1s", &[("c1", &one, "")]));
    let ask = |address: SocketAddr, method: &str| {
        http::request(address, method, "/-/reload", &[]).unwrap()
    };
    let refused = ask(proxy.address(), "GET");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("POST, PUT"))
    );
    assert_eq!(ask(proxy.address(), "PUT").status, 200);
    let demo = Program::demo(env!("CARGO_BIN_EXE_tributary").as_ref(), 1, 100, "1s");
    let refused = ask(demo.address(), "POST");
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("--web.enable-lifecycle"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_hangup_reloads() {
    let (one, two) = (server("one"), server("two"));
    let mut program = Program::start(&yaml("1s", &[("c1", &one, "")]));
    let page = || program.get("/federate").text();
    let shows = |what: &str| {
        wait(what, || {
            let page = page();
            if page.contains(what) {
                Ok(())
            } else {
                Err(page)
            }
        });
    };
    shows(&line("c1", "one", ""));
    program.hang_up(&yaml("1s", &[("c1", &one, ""), ("c2", &two, "")]));
    shows(&line("c2", "two", ""));
    program.hang_up("clusters: []\n");
    wait("the refusal", || {
        let log = program.log();
        let refused = log.contains("Cannot reload the configuration; the old one stays.");
        if refused { Ok(()) } else { Err(log) }
    });
    shows(&line("c2", "two", ""));
    assert!(program.is_running());
}

/// What readers saw during the reloads.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    whole: AtomicUsize,
}

const RELOADS: usize = 200;

/// Long enough for a round to begin in time on a machine that does much else.
const INTERVAL_SECONDS: f64 = 2.0;

#[test]
fn two_hundred_reloads_while_clients_read() {
    let servers = [0, 1, 2, 3].map(|number| {
        let body = (0..500).map(|i| format!("m{}{{i=\"{i}\",of=\"{number}\"}} {i}\n", i / 50));
        Upstream::new(Reply::gzip(body.collect::<String>()))
    });
    let [one, two, three, four] = &servers;
    let even = yaml("2s", &[("c1", one, ""), ("c2", two, ""), ("c3", three, "")]);
    let odd = yaml(
        "2s",
        &[
            ("c1", one, ""),
            ("c3", three, ", labels: {x: y}"),
            ("c4", four, ""),
        ],
    );
    let program = Program::start(&even);
    let address = program.address();
    wait("the program to be ready", || {
        match program.get("/federate").status {
            200 => Ok(()),
            status => Err(status),
        }
    });
    let write_and_reload = |yaml: &str| {
        program.write(yaml);
        assert_eq!(
            http::request(address, "POST", "/-/reload", &[])
                .unwrap()
                .status,
            200
        );
    };
    // Reloads beside two readers; gives how many answers were read, all of them whole.
    let reload = |times: usize| {
        let seen = Arc::new(Seen::default());
        let readers = ["identity", "gzip"].map(|encoding| {
            let seen = seen.clone();
            thread::spawn(move || read(address, encoding, &seen))
        });
        for number in 0..times {
            write_and_reload(if number % 2 == 0 { &odd } else { &even });
            thread::sleep(Duration::from_millis(50));
        }
        seen.stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
        seen.whole.load(Ordering::Relaxed)
    };
    reload(RELOADS / 2);
    let memory = settled_bytes(&program);
    let (rounds, start) = (one.rounds().len(), Instant::now());
    let whole = reload(RELOADS);
    let seconds = start.elapsed().as_secs_f64();
    let rounds = one.rounds().len() - rounds;
    let after = settled_bytes(&program);
    println!(
        "{RELOADS} reloads in {seconds:.1} s, {whole} whole answers, {rounds} rounds of an unchanged cluster, \
         {memory} -> {after} bytes"
    );
    assert!(whole > 20, "{whole}");
    let due = seconds / INTERVAL_SECONDS;
    assert!(rounds as f64 >= due - 1.5, "{rounds} rounds in {seconds} s");
    assert!(after < memory + (8 << 20), "{memory} -> {after}");
}

/// What stays resident when nobody asks for anything: the least of three seconds, in which each cluster has a round. What a
/// leak holds is in all of them, what a round or an answer is about to give back is not.
fn settled_bytes(program: &Program) -> u64 {
    let bytes = (0..20).map(|_| {
        thread::sleep(Duration::from_millis(150));
        program.resident_bytes()
    });
    bytes.min().expect("twenty readings")
}

/// Reads whole answers until told to stop: each holds the cluster that is never touched.
fn read(address: SocketAddr, encoding: &str, seen: &Seen) {
    let mut connection = Connection::open(address).unwrap();
    let header = format!("Accept-Encoding: {encoding}");
    while !seen.stop.load(Ordering::Relaxed) {
        connection.ask("GET", "/federate", &[&header]).unwrap();
        let answer = connection.answer("GET").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = if encoding == "gzip" {
            answer.unzipped()
        } else {
            answer.text()
        };
        let lines = page
            .lines()
            .filter(|line| line.contains("cluster=\"c1\"") && line.starts_with('m'));
        assert_eq!(lines.count(), 500);
        seen.whole.fetch_add(1, Ordering::Relaxed);
    }
}
