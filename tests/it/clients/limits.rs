//! Limits: clients that stop reading or read too slowly are let go, a ninth body is told to come again, and a thousand
//! clients at once all get an answer.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::faults::http::Connection;
use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

/// More than the kernel's buffers take: one family of 32 MiB.
const LINES: usize = 8 << 10;
const LINE: usize = 4 << 10;

/// A cluster that answers one round with a large page and then fails, so that the snapshot stays the same.
fn large() -> (Proxy, Upstream) {
    let filler = "x".repeat(LINE);
    let line = |number| format!("large{{n=\"{number}\",text=\"{filler}\"}} 1\n");
    let body: String = (0..LINES).map(line).collect();
    let (well, asked) = (Reply::chunked(body), AtomicBool::new(false));
    let upstream = Upstream::with(move |_| {
        if asked.swap(true, Ordering::Relaxed) {
            Reply::full("500 Internal Server Error", &[], "")
        } else {
            well.clone()
        }
    });
    let keys = "scrape_interval: 10s, scrape_timeout: 10s, stale_after: 1h";
    let proxy = Proxy::start(&proxy::config(
        "",
        &[proxy::item("c", &upstream.url(), keys)],
    ));
    wait("the large page", || {
        let mut connection = Connection::open(proxy.address()).unwrap();
        connection.ask("HEAD", "/federate", &[]).unwrap();
        let answer = connection.answer("HEAD").unwrap();
        let length = answer.header("content-length").map(str::len);
        if length > Some(7) {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    });
    (proxy, upstream)
}

/// A connection whose own buffer is small.
fn narrow(address: SocketAddr) -> Connection {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    Connection::over(stream)
}

fn ask_for_large(address: SocketAddr, headers: &[&str]) -> Connection {
    let mut connection = narrow(address);
    connection.ask("GET", "/federate", headers).unwrap();
    let head = connection.head().unwrap();
    assert_eq!(head.status, 200, "{head:?}");
    connection
}

/// Reads to the end, which comes too early: the bytes read.
fn rest(mut connection: Connection) -> usize {
    let mut read = 0;
    loop {
        match connection.read(64 << 10) {
            Ok(0) | Err(_) => return read,
            Ok(some) => read += some,
        }
    }
}

#[test]
fn a_ninth_body_is_told_to_come_again_until_stalled_readers_are_dropped() {
    let (proxy, _upstream) = large();
    let stalled: Vec<_> = (0..8)
        .map(|_| ask_for_large(proxy.address(), &[]))
        .collect();
    let begin = Instant::now();
    let ninth = proxy.get("/federate?match[]=up");
    assert_eq!(
        (ninth.status, ninth.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(ninth.text(), "too many answers on their way\n");
    assert_eq!(proxy.get("/federate?match[]=%7B").status, 400);
    assert_eq!(proxy.get("/-/healthy").status, 200);
    wait("places to be free again", || {
        match proxy.get("/federate?match[]=up").status {
            200 => Ok(()),
            status => Err(status),
        }
    });
    let waited = begin.elapsed();
    assert!((14..30).contains(&waited.as_secs()), "after {waited:?}");
    // One place was free: the last of the eight may have stalled some seconds after the first.
    std::thread::sleep(Duration::from_secs(5));
    for connection in stalled {
        assert!(rest(connection) < LINES * LINE, "the whole answer came");
    }
}

/// The scraper's own timeout bounds the answer, also for a client that always takes a little.
#[test]
fn a_reader_that_is_too_slow_is_cut_off_in_time() {
    let (proxy, _upstream) = large();
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 2";
    let mut connection = ask_for_large(proxy.address(), &[timeout]);
    let begin = Instant::now();
    let mut read = 0;
    // 640 KiB a second: the page would take 50 seconds.
    loop {
        std::thread::sleep(Duration::from_millis(100));
        match connection.read(64 << 10) {
            Ok(0) | Err(_) => break,
            Ok(some) => read += some,
        }
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{read} bytes so far"
        );
    }
    assert!(read < LINES * LINE, "{read}");
}

/// A client that takes 2.5 KiB a second counts as one that stopped, since the kernel reports room only by the hundred
/// kilobytes: it would hold its place for hours.
#[test]
fn a_reader_that_takes_crumbs_is_dropped() {
    let (proxy, _upstream) = large();
    let mut connection = ask_for_large(proxy.address(), &[]);
    let begin = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(400));
        if matches!(connection.read(1 << 10), Ok(0) | Err(_)) || begin.elapsed().as_secs() > 22 {
            break;
        }
    }
    let read = rest(connection);
    assert!(read < LINES * LINE / 2, "{read} bytes were still sent");
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    Whole,
    Refused,
}

/// One client: asks, reads a whole answer, and holds its connection until `done`.
async fn client(address: SocketAddr, keep: bool) -> io::Result<(Outcome, TcpStream)> {
    let mut stream = TcpStream::connect(address).await?;
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET /federate HTTP/1.1\r\nHost: t\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            break (head, end + 4 + length);
        }
    };
    while answer.len() < length {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    assert_eq!(answer.len(), length);
    let outcome = if head.starts_with("http/1.1 200") {
        Outcome::Whole
    } else {
        assert!(
            head.starts_with("http/1.1 503") && head.contains("retry-after: "),
            "{head}"
        );
        Outcome::Refused
    };
    Ok((outcome, stream))
}

/// All at once; those that keep their connection hold it until the last has its answer.
fn thousand(keep: bool) {
    let line = |number| format!("probe{{n=\"{number}\",instance=\"i\"}} 1\n");
    let body: String = (0..2000).map(line).collect();
    let upstream = Upstream::new(Reply::chunked(body));
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("c", &upstream.url(), "")]));
    proxy.wait_for_line("probe{");
    let address = proxy.address();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let begin = Instant::now();
    let (whole, refused) = runtime.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..1000 {
            clients.spawn(timeout(Duration::from_secs(30), client(address, keep)));
        }
        let mut held = Vec::new();
        let mut counts = (0, 0);
        while let Some(outcome) = clients.join_next().await {
            let (outcome, stream) = outcome.unwrap().expect("an answer in time").unwrap();
            match outcome {
                Outcome::Whole => counts.0 += 1,
                Outcome::Refused => counts.1 += 1,
            }
            if keep {
                held.push(stream);
            }
        }
        counts
    });
    let took = begin.elapsed();
    println!("1000 clients, keep {keep}: {whole} whole, {refused} told to come again, {took:?}");
    assert_eq!(whole + refused, 1000);
    assert!(whole >= 8, "{whole}");
    assert_eq!(proxy.get("/-/healthy").status, 200);
    assert_eq!(proxy.get("/federate").status, 200);
}

#[test]
fn a_thousand_clients_at_once_get_an_answer() {
    thousand(false);
}

#[test]
fn a_thousand_clients_that_keep_their_connections_get_an_answer() {
    thousand(true);
}
