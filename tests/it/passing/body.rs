//! Answers on their way: piece by piece, never more than a client takes, to their end or visibly not, and within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{JSON, TWO, error, passed, through};
use crate::faults::http::Connection;
use crate::faults::program::Program;
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

const TARGET: &str = "/clusters/c/api/v1/query?query=1";
/// Clients at once.
const READERS: u32 = 8;
const CHUNKED: &str = "Transfer-Encoding: chunked";

fn head() -> Reply {
    Reply::head("200 OK", &[JSON, CHUNKED])
}

fn ask(proxy: &Proxy, target: &str) -> Connection {
    let mut connection = Connection::open(proxy.address()).unwrap();
    connection.ask("GET", target, &[]).unwrap();
    connection
}

#[test]
fn pieces_are_handed_on_as_they_come() {
    let reply = head().send("5\r\n\"abc\"\r\n").hang();
    let (proxy, _upstream) = through(reply, "");
    let mut connection = ask(&proxy, TARGET);
    assert_eq!(connection.head().unwrap().status, 200);
    let mut got = 0;
    while got < "5\r\n\"abc\"\r\n".len() {
        got += connection.read(64).unwrap();
    }
}

#[test]
fn an_answer_that_is_cut_is_not_a_whole_one() {
    let check = |reply: Reply| {
        let (proxy, _upstream) = through(reply, "");
        let mut connection = ask(&proxy, TARGET);
        connection.answer("GET").unwrap_err();
    };
    check(Reply::head("200 OK", &[JSON, "Content-Length: 100"]).send("{\"status\":"));
    check(head().send("5\r\n\"abc\"\r\n"));
    check(head().send("zz\r\n"));
}

/// The kernel's buffers are its own affair; ours hold little, however much a server sends.
#[test]
fn no_more_is_read_than_the_client_takes() {
    let taken = Arc::new(AtomicU64::new(0));
    let piece = format!("10000\r\n{}\r\n", "7".repeat(0x10000));
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let flood = head().flood_counted(piece, &taken);
    upstream.api(move |request| match &*request.query {
        "query=flood" => flood.clone(),
        _ => Reply::full("200 OK", &[JSON], TWO),
    });
    let program = Program::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    let resident = || {
        let metrics = program.get("/metrics").text();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        value.unwrap().parse::<f64>().unwrap()
    };
    // The first request of all reads the system's certificates.
    assert_eq!(program.get(TARGET).text(), TWO);
    let before = resident();
    let mut readers: Vec<_> = (0..READERS)
        .map(|_| Connection::open(program.address()).unwrap())
        .collect();
    for reader in &mut readers {
        reader
            .ask("GET", "/clusters/c/api/v1/query?query=flood", &[])
            .unwrap();
        assert_eq!(reader.head().unwrap().status, 200);
    }
    let mut last = u64::MAX;
    let held = wait("the flow to stand still", || {
        thread::sleep(Duration::from_millis(500));
        let now = taken.load(Ordering::Relaxed);
        if std::mem::replace(&mut last, now) == now {
            Ok(now)
        } else {
            Err(now)
        }
    });
    // It flows on for a client that reads on; at once, since one that is silent for long counts as gone.
    let mut read = 0;
    while read < 80 << 20 {
        let more = readers[0].read(1 << 20).unwrap();
        assert!(more > 0, "the answer ended after {read} bytes");
        read += more;
    }
    let grown = wait(
        "memory that was only passed through to be given back",
        || {
            let grown = resident() - before;
            if grown < f64::from(READERS) * f64::from(1 << 20) {
                Ok(grown)
            } else {
                Err(grown)
            }
        },
    );
    println!("{held} bytes under way, {grown} of them in our memory");
    assert_eq!(program.get("/-/healthy").status, 200);
}

#[test]
fn a_client_that_goes_ends_the_clusters_work() {
    let check = |reply: Reply, reads_head: bool| {
        let gone = Arc::new(AtomicBool::new(false));
        let (proxy, upstream) = through(reply.hang().note(&gone), "");
        let mut connection = ask(&proxy, TARGET);
        if reads_head {
            connection.head().unwrap();
        }
        wait("the request to arrive", || {
            if passed(&upstream).is_empty() {
                Err("not yet")
            } else {
                Ok(())
            }
        });
        assert!(!gone.load(Ordering::Relaxed));
        let left = Instant::now();
        drop(connection);
        wait("the cluster to be let go", || {
            if gone.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err("not yet")
            }
        });
        assert!(
            left.elapsed() < Duration::from_secs(5),
            "{:?}",
            left.elapsed()
        );
    };
    check(Reply::new(), false);
    check(head().send("5\r\n\"abc\"\r\n"), true);
}

#[test]
fn one_deadline_holds_over_the_whole_answer() {
    // Five seconds behind the query's own timeout.
    let target = format!("{TARGET}&timeout=1ms");
    let late = |elapsed: Duration| (5..9).contains(&elapsed.as_secs());
    let (proxy, _upstream) = through(Reply::new().hang(), "");
    let begin = Instant::now();
    let (status, kind, text) = error(&proxy.get(&target));
    assert_eq!((status, &*kind), (504, "timeout"), "{text}");
    assert_eq!(text, "c did not answer within 5 s");
    assert!(late(begin.elapsed()), "{:?}", begin.elapsed());
    let (proxy, _upstream) = through(head().send("5\r\n\"abc\"\r\n").hang(), "");
    let begin = Instant::now();
    ask(&proxy, &target).answer("GET").unwrap_err();
    assert!(late(begin.elapsed()), "{:?}", begin.elapsed());
}

#[test]
fn a_cluster_that_is_down_says_so() {
    let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
    assert_eq!(proxy.get(TARGET).text(), TWO);
    drop(upstream);
    let (status, kind, text) = error(&proxy.get(TARGET));
    assert_eq!((status, &*kind), (502, "unavailable"));
    assert!(
        text.starts_with("c cannot be asked: cannot connect: "),
        "{text}"
    );
    let proxy = Proxy::start(&proxy::config(
        "",
        &[proxy::item("c", "http://nowhere.invalid", "")],
    ));
    let (status, _, text) = error(&proxy.get(TARGET));
    assert_eq!(status, 502);
    assert!(
        text.starts_with("c cannot be asked: cannot resolve the host: "),
        "{text}"
    );
}

#[test]
fn a_file_of_ours_that_is_missing_is_not_named() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    upstream.api(|_| Reply::full("200 OK", &[JSON], TWO));
    for (keys, file) in [
        ("tls_config: {ca_file: planted.pem}", "planted.pem"),
        ("authorization: {credentials_file: planted}", "planted"),
    ] {
        let proxy = Proxy::start(&proxy::config(
            "",
            &[proxy::item("c", &upstream.url(), keys)],
        ));
        let (status, _, text) = error(&proxy.get(TARGET));
        assert_eq!(
            (status, &*text),
            (
                502,
                "c cannot be asked: its certificates or credentials cannot be used now"
            )
        );
        if file == "planted" {
            std::fs::write(proxy.folder.path().join(file), "token").unwrap();
            assert_eq!(proxy.get(TARGET).text(), TWO, "{keys}");
        }
    }
}

/// 20 are with the cluster, 44 wait, the next is told to come again; others are not touched.
#[test]
fn a_cluster_takes_its_own_places_only() {
    let (slow, fast) = (
        Upstream::new(Reply::text("probe 1\n")),
        Upstream::new(Reply::text("probe 1\n")),
    );
    slow.api(|request| match &*request.query {
        "query=hang" => Reply::new().hang(),
        _ => Reply::full("200 OK", &[JSON], TWO),
    });
    fast.api(|_| Reply::full("200 OK", &[JSON], TWO));
    let items = [
        proxy::item("c", &slow.url(), ""),
        proxy::item("fast", &fast.url(), ""),
    ];
    let proxy = Proxy::start(&proxy::config("", &items));
    let hanging: Vec<_> = (0..20)
        .map(|_| ask(&proxy, "/clusters/c/api/v1/query?query=hang"))
        .collect();
    wait("20 to arrive", || {
        let arrived = passed(&slow).len();
        if arrived == 20 { Ok(()) } else { Err(arrived) }
    });
    let mut waiting: Vec<_> = (0..44).map(|_| ask(&proxy, TARGET)).collect();
    let refused = wait("the last place to be taken", || {
        let mut connection = Connection::open(proxy.address()).unwrap();
        connection
            .ask("GET", &format!("{TARGET}&timeout=1ms"), &[])
            .unwrap();
        let answer = connection.answer("GET").unwrap();
        if error(&answer)
            .2
            .contains("too many requests to this cluster")
        {
            Ok(answer)
        } else {
            Err(answer.status)
        }
    });
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("2"))
    );
    assert_eq!(passed(&slow).len(), 20, "the others wait here");
    assert_eq!(proxy.get("/clusters/fast/api/v1/query?query=1").text(), TWO);
    wait("the page of the slow cluster", || {
        let page = proxy.get("/clusters/c/federate");
        if page.status == 200 {
            Ok(())
        } else {
            Err(page.text())
        }
    });
    drop(hanging);
    for connection in &mut waiting {
        assert_eq!(connection.answer("GET").unwrap().text(), TWO);
    }
    assert_eq!(proxy.get(TARGET).text(), TWO);
}

/// One replica is asked, the other only where that one cannot be reached.
#[test]
fn the_other_replica_is_asked_when_one_is_gone() {
    let pair = [1, 2].map(|number| {
        let upstream = Upstream::new(Reply::text("probe 1\n"));
        upstream.api(move |_| Reply::full("200 OK", &[JSON], number.to_string()));
        upstream
    });
    let urls = [&pair[0], &pair[1]].map(Upstream::url);
    let item = format!(
        "  - {{name: c, replicas: ['{}', '{}']}}\n",
        urls[0], urls[1]
    );
    let proxy = Proxy::start(&proxy::config("", &[item]));
    assert_eq!(proxy.get(TARGET).text(), "1");
    let [first, second] = pair;
    assert!(passed(&second).is_empty());
    drop(first);
    assert_eq!(proxy.get(TARGET).text(), "2");
    drop(second);
    let (status, _, text) = error(&proxy.get(TARGET));
    assert_eq!(status, 502, "{text}");
}

/// Kept connections that the server has closed cost nobody an answer.
#[test]
fn a_server_that_closes_its_connections_is_asked_over_new_ones() {
    let (proxy, upstream) = through(Reply::full("200 OK", &[JSON], TWO), "");
    for _ in 0..30 {
        let answer = proxy.get(TARGET);
        assert_eq!(answer.text(), TWO);
        upstream.hang_up();
    }
}
