//! Random bytes from everywhere: bodies, heads, queries, headers. Nothing may panic, and every cluster's loop goes on.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::http::{self, Connection};
use super::program::Program;
use super::proxy::{self, wait};
use super::upstream::{GZIP, Reply, TEXT, Upstream, gzip};

/// How long everything is thrown at the program.
const TIME: Duration = Duration::from_secs(8);

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.below(most);
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Pieces of the language in any order.
    fn words(&mut self, words: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| self.pick(words)).collect()
    }

    /// The body with some bytes changed, taken out or doubled.
    fn mangled(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(12) {
            if body.is_empty() {
                break;
            }
            let at = self.below(body.len());
            match self.below(4) {
                0 => body[at] = self.next().to_le_bytes()[0],
                1 => drop(body.remove(at)),
                2 => body.truncate(at),
                _ => body.extend_from_within(at..),
            }
        }
        body
    }
}

const PIECES: [&str; 40] = [
    "a",
    "b_total",
    "c_bucket",
    "{",
    "}",
    "le=",
    "\"",
    "\\",
    "\\n",
    "\n",
    "\n",
    "\n",
    " ",
    " ",
    "1",
    "-0",
    "NaN",
    "+Inf",
    "1e999",
    "0x1",
    ".",
    "1700000000000",
    "-1",
    "99999999999999",
    "# TYPE ",
    "# HELP ",
    "# UNIT ",
    "# EOF",
    "#",
    " counter",
    " histogram",
    ",",
    "=",
    "\0",
    "\u{fffd}",
    "\r",
    "cluster=\"c\"",
    "__name__=",
    "instance=\"\"",
    "\t",
];

fn body(random: &mut Random) -> Vec<u8> {
    let text = random.words(&PIECES, 400).into_bytes();
    match random.below(4) {
        0 => random.bytes(5000),
        1 => text,
        2 => {
            let good: String = (0..300)
                .map(|n| format!("m{}{{n=\"{n}\"}} {n} 1000\n", n / 50))
                .collect();
            random.mangled(good.into_bytes())
        }
        _ => [&text[..], b"\n", &random.bytes(50)[..], b"\nok 1\n"].concat(),
    }
}

fn reply(random: &mut Random) -> Reply {
    let body = body(random);
    let open_metrics = "Content-Type: application/openmetrics-text; version=1.0.0";
    match random.below(8) {
        0 | 1 => Reply::text(body),
        2 => Reply::closing(body),
        3 => Reply::gzip(body),
        4 => {
            let mangled = random.mangled(gzip(&body));
            Reply::full("200 OK", &[TEXT, GZIP], mangled)
        }
        5 => Reply::full("200 OK", &[open_metrics], body),
        6 => {
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\na 1\n\n";
            Reply::new().send(random.mangled(head.to_vec()))
        }
        _ => {
            let value = String::from_utf8_lossy(&random.bytes(30)).replace(['\r', '\n'], " ");
            let name = random.pick(&[
                "Content-Type",
                "Content-Encoding",
                "Tributary-Via",
                "Location",
                "X",
            ]);
            let status = random.pick(&[
                "200 OK",
                "302 Found",
                "500 Oops",
                "204 No Content",
                "999 X",
                "101 Switch",
            ]);
            Reply::full(status, &[&format!("{name}: {value}")], body)
        }
    }
}

fn chaotic(seed: u64) -> Upstream {
    let random = Mutex::new(Random(seed));
    let upstream = Upstream::with(move |_| reply(&mut random.lock().unwrap()));
    let random = Mutex::new(Random(seed + 1000));
    upstream.api(move |_| {
        let words = [
            "{", "}", "[", "]", "\"", ":", ",", "data", "a", "1", "yaml", "\\n", "null", "global",
        ];
        let random = &mut random.lock().unwrap();
        let body = match random.below(3) {
            0 => random.bytes(300),
            1 => random.words(&words, 60).into_bytes(),
            _ => random.mangled(
                br#"{"data":{"a":[{"type":"gauge","help":"h"}],"yaml":"global:\n"}}"#.to_vec(),
            ),
        };
        Reply::full("200 OK", &[], body)
    });
    upstream
}

const QUERIES: [&str; 30] = [
    "match[]",
    "match%5B%5D",
    "=",
    "&",
    "&",
    "%",
    "%7B",
    "%7D",
    "{",
    "}",
    "a",
    "~",
    "%22",
    "\"",
    "(",
    ")",
    "*",
    "+",
    "|",
    "\\",
    "%00",
    "%ff",
    "%F0%9F%98%80",
    "[",
    "^",
    "$",
    ".",
    ",",
    "!",
    "%0A",
];

const VALUES: [&str; 22] = [
    "gzip",
    ";",
    ",",
    "q=",
    "0",
    "1",
    ".",
    "nan",
    "-",
    "1e400",
    "*",
    "/",
    "=",
    " ",
    "\t",
    "text/plain",
    "escaping=",
    "values",
    "dots",
    "underscores",
    "\u{e9}",
    "99999999999999999999",
];

/// Some requests on one connection, the last one maybe raw bytes.
fn ask(address: std::net::SocketAddr, random: &mut Random) -> std::io::Result<()> {
    let mut connection = Connection::open(address)?;
    for _ in 0..random.below(6) {
        let path = random.pick(&[
            "/federate",
            "/federate",
            "/metrics",
            "/api/v1/clusters",
            "/-/ready",
            "/x",
        ]);
        let target = format!("{path}?{}", random.words(&QUERIES, 40));
        let name = random.pick(&[
            "Accept",
            "Accept-Encoding",
            "X-Prometheus-Scrape-Timeout-Seconds",
            "Connection",
            "Range",
        ]);
        let header = format!("{name}: {}", random.words(&VALUES, 12));
        let method = random.pick(&["GET", "GET", "GET", "HEAD"]);
        connection.ask(method, &target, &[&header])?;
        let answer = connection.answer(method)?;
        assert_ne!(answer.status, 500, "{target} {header}");
    }
    connection.write(random.bytes(400))
}

#[test]
fn random_bytes_harm_nothing() {
    let upstreams: Vec<_> = (0..5).map(chaotic).collect();
    let good = Upstream::new(Reply::chunked("probe 1\n"));
    let mut items: Vec<_> = upstreams
        .iter()
        .enumerate()
        .map(|(number, upstream)| {
            let conflict = ["rename", "honor", "override"][number % 3];
            let keys = format!(
                "scrape_interval: 20ms, scrape_timeout: 20ms, cluster_label_conflict: {conflict}, follow_redirects: true"
            );
            proxy::item(&format!("c{number}"), &upstream.url(), &keys)
        })
        .collect();
    items.push(proxy::item(
        "good",
        &good.url(),
        "scrape_interval: 1s, scrape_timeout: 1s",
    ));
    let mut program = Program::start(&proxy::config(
        "typed: full\n  metadata_refresh_interval: 50ms",
        &items,
    ));
    let (mut random, begin) = (Random(7), Instant::now());
    let mut asked = 0;
    while begin.elapsed() < TIME {
        // Connections end as they must when nonsense is sent on them.
        let _ = ask(program.address(), &mut random);
        asked += 1;
    }
    println!(
        "{asked} connections, {} rounds",
        upstreams.iter().map(|u| u.rounds().len()).sum::<usize>()
    );
    let rounds = || -> Vec<u64> {
        let answer: Value = serde_json::from_slice(&program.get("/api/v1/clusters").body).unwrap();
        let clusters = answer["data"]["clusters"].as_array().unwrap().clone();
        clusters
            .iter()
            .map(|cluster| cluster["rounds"].as_u64().unwrap())
            .collect()
    };
    let before = rounds();
    wait("every loop to go on", || {
        let now = rounds();
        let all = now.iter().zip(&before).all(|(now, before)| now > before);
        if all {
            Ok(())
        } else {
            Err(format!("{before:?} {now:?} {}", panics(&program.log())))
        }
    });
    assert_eq!(panics(&program.log()), "");
    let health = http::request(program.address(), "GET", "/-/healthy", &[]).unwrap();
    assert_eq!(health.status, 200);
    assert!(program.get("/federate").text().contains("\nprobe{"));
    assert!(program.is_running());
}

/// Panics in a log, with some lines behind each.
fn panics(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let bad = |line: &str| line.contains("panicked") || line.contains("reason=internal");
    let places = lines.iter().enumerate().filter(|(_, line)| bad(line));
    places
        .flat_map(|(at, _)| lines[at..].iter().take(4).copied())
        .collect::<Vec<_>>()
        .join("\n")
}
