//! Faults that cost a round. All cases stand beside each other in one program: each must be named with its class,
//! must leave with its snapshot's time, must come back, and none may touch the cluster that is well.

use std::time::Duration;

use super::proxy::{self, Proxy, wait};
use super::upstream::{GZIP, Reply, TEXT, Upstream, gzip};

/// How long a snapshot is shown without a newer one.
const STALE_AFTER: f64 = 3.0;

struct Case {
    name: &'static str,
    /// Further keys of the cluster.
    keys: &'static str,
    reply: Reply,
    class: &'static str,
    /// Part of the message.
    message: &'static str,
    upstream: Upstream,
}

/// A cluster that is well at first, and then gives this reply.
fn case(
    name: &'static str,
    keys: &'static str,
    reply: Reply,
    class: &'static str,
    message: &'static str,
) -> Case {
    let upstream = Upstream::new(well(name));
    Case {
        name,
        keys,
        reply,
        class,
        message,
        upstream,
    }
}

fn well(name: &str) -> Reply {
    Reply::chunked(format!("# TYPE probe untyped\nprobe{{of=\"{name}\"}} 1\n"))
}

/// Answers that never end, or not in time.
fn slow() -> Vec<Case> {
    let mut trickle = Reply::head("200 OK", &[TEXT, "Content-Length: 1000"]);
    for _ in 0..100 {
        trickle = trickle.send("a").pause(Duration::from_millis(50));
    }
    let late = Reply::new().pause(Duration::from_secs(2));
    let headers = Reply::new().send("HTTP/1.1 200 OK\r\n").hang();
    let body = Reply::head("200 OK", &[TEXT, "Content-Length: 9"]).send("a 1\n");
    let timeout = "no whole answer within 400ms";
    vec![
        case("late", "", late, "timeout", timeout),
        case("half-a-head", "", headers, "timeout", timeout),
        case("trickle", "", trickle, "timeout", timeout),
        case("half-a-body", "", body.hang(), "timeout", timeout),
    ]
}

/// Answers that end too early.
fn cut() -> Vec<Case> {
    let whole = gzip("probe 1\n".repeat(500).as_bytes());
    let half = &whole[..whole.len() / 2];
    let length = format!("Content-Length: {}", half.len());
    let zipped = Reply::head("200 OK", &[TEXT, GZIP, &length])
        .send(half)
        .keep();
    let zipped_closing = Reply::head("200 OK", &[TEXT, GZIP]).send(half);
    let long = Reply::head("200 OK", &[TEXT, "Content-Length: 100"]).send("a 1\n");
    let chunked =
        Reply::head("200 OK", &[TEXT, "Transfer-Encoding: chunked"]).send("4\r\na 1\n\r\n");
    let middle = "the body ends in the middle of a line";
    let open_metrics = "Content-Type: application/openmetrics-text; version=1.0.0";
    let no_eof = Reply::full("200 OK", &[open_metrics], "# TYPE a gauge\na 1\n");
    vec![
        case("nothing", "", Reply::new(), "cut", "the connection broke"),
        case(
            "in-a-line",
            "",
            Reply::closing("a 1\nprobe{of=\"x"),
            "cut",
            middle,
        ),
        case(
            "in-a-number",
            "",
            Reply::closing("a 1\nprobe 12"),
            "cut",
            middle,
        ),
        case(
            "before-newline",
            "",
            Reply::closing("a 1\nprobe 12 1"),
            "cut",
            middle,
        ),
        case("too-long", "", long, "cut", "the connection broke"),
        case("no-last-chunk", "", chunked, "cut", "the connection broke"),
        case("in-gzip", "", zipped, "encoding", "cannot decode the body"),
        case(
            "in-gzip-closing",
            "",
            zipped_closing,
            "encoding",
            "cannot decode the body",
        ),
        case("no-eof", "", no_eof, "cut", "does not end with # EOF"),
    ]
}

/// Answers that are none.
fn refusals() -> Vec<Case> {
    let page = "<!DOCTYPE html>\n<html><body>Log in</body></html>\n";
    let html = Reply::full("200 OK", &["Content-Type: text/html; charset=utf-8"], page);
    let plain = Reply::full("200 OK", &["Content-Type: text/plain"], page);
    let untyped = Reply::full("200 OK", &[], "probe 1\n");
    let brotli = Reply::full("200 OK", &[TEXT, "Content-Encoding: br"], "probe 1\n");
    let not_zipped = Reply::full("200 OK", &[TEXT, GZIP], "probe 1\n");
    let away = Reply::full("302 Found", &["Location: /login?next=x"], "");
    let status =
        |status: &str| Reply::full(status, &["Content-Type: text/plain"], "out of order\n");
    let error = "500 Internal Server Error";
    vec![
        case(
            "error",
            "",
            status(error),
            "status",
            "answered 500: \"out of order\"",
        ),
        case(
            "unavailable",
            "",
            status("503 Service Unavailable"),
            "status",
            "answered 503",
        ),
        case(
            "unauthorized",
            "",
            status("401 Unauthorized"),
            "status",
            "answered 401",
        ),
        case(
            "no-content",
            "",
            Reply::head("204 No Content", &[]).keep(),
            "status",
            "204",
        ),
        case("html", "", html, "content_type", "\"text/html\""),
        case("html-as-text", "", plain, "bad_line", "cannot read a line"),
        case(
            "no-content-type",
            "",
            untyped,
            "content_type",
            "no Content-Type",
        ),
        case("brotli", "", brotli, "encoding", "\"br\" was not asked for"),
        case(
            "not-gzip",
            "",
            not_zipped,
            "encoding",
            "cannot decode the body",
        ),
        case(
            "redirect",
            "",
            away,
            "redirect",
            "redirects to \"/login?next=x\"",
        ),
        case(
            "not-http",
            "",
            Reply::new().send("SSH-2.0-x\r\n\r\n"),
            "cut",
            "the connection broke",
        ),
    ]
}

/// Answers that are too much.
fn floods() -> Vec<Case> {
    let head = || Reply::head("200 OK", &[TEXT]);
    let zipped = || Reply::head("200 OK", &[TEXT, GZIP]);
    let bomb = gzip(&b"probe 1\n".repeat(8 << 20));
    let small = "body_size_limit: 100KB";
    let wire = "compressed_body_size_limit: 10KB";
    let header = Reply::new()
        .send("HTTP/1.1 200 OK\r\n")
        .flood(format!("X-A: {}\r\n", "a".repeat(1000)));
    let series: String = (0..11).map(|n| format!("s{{n=\"{n}\"}} 1\n")).collect();
    vec![
        case(
            "endless",
            small,
            head().flood("probe 1\n".repeat(500)),
            "too_large",
            "raise body_size_limit",
        ),
        case(
            "endless-line",
            small,
            head().flood("a".repeat(4000)),
            "too_large",
            "the decoded body",
        ),
        case("endless-head", "", header, "cut", "the connection broke"),
        case(
            "bomb",
            small,
            zipped().send(bomb),
            "too_large",
            "exceeds 102400 bytes",
        ),
        case(
            "endless-gzip",
            wire,
            zipped().flood(gzip(b"a 1\n")),
            "too_large",
            "compressed body",
        ),
        case(
            "many-series",
            "series_limit: 10",
            Reply::text(series),
            "series_limit",
            "11 series",
        ),
        case(
            "many-labels",
            "label_limit: 3",
            Reply::text("a{b=\"1\",c=\"2\"} 1\n"),
            "label_limit",
            "a",
        ),
        case(
            "strict",
            "on_bad_line: fail",
            Reply::text("a 1\nb x\n"),
            "bad_line",
            "cannot read a line",
        ),
    ]
}

#[test]
fn a_fault_is_named_stays_for_a_while_and_heals() {
    let cases: Vec<Case> = [slow(), cut(), refusals(), floods()]
        .into_iter()
        .flatten()
        .collect();
    let good = Upstream::new(well("good"));
    let mut items: Vec<String> = cases
        .iter()
        .map(|case| proxy::item(case.name, &case.upstream.url(), case.keys))
        .collect();
    items.push(proxy::item(
        "good",
        &good.url(),
        "scrape_interval: 2s, scrape_timeout: 2s",
    ));
    let stale = format!("stale_after: {STALE_AFTER}s");
    let proxy = Proxy::start(&proxy::config(&stale.replace(".0", ""), &items));
    for case in &cases {
        proxy.wait_for_line(&probe(case.name));
    }
    for case in &cases {
        case.upstream.reply(case.reply.clone());
    }
    shown_until_stale(&proxy, &cases);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| judge(&proxy, case))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for case in &cases {
        case.upstream.reply(well(case.name));
    }
    for case in &cases {
        proxy.wait_for_line(&probe(case.name));
        let healed = || proxy.failing(case.name).map_or(Ok(()), Err);
        wait(&format!("{} to heal", case.name), healed);
    }
    let good = proxy.cluster("good");
    assert!(good["lastError"].is_null(), "{good}");
}

fn probe(name: &str) -> String {
    format!("probe{{of=\"{name}\"")
}

/// Watches the page until all cases have left it. In any one page a cluster's lines stand exactly as long as its
/// snapshot is young enough, and those of the cluster that is well stand always.
fn shown_until_stale(proxy: &Proxy, cases: &[Case]) {
    let mut kept = vec![false; cases.len()];
    wait("all failing clusters to leave the page", || {
        let down: Vec<bool> = cases
            .iter()
            .map(|case| proxy.failing(case.name).is_some())
            .collect();
        let page = proxy.page();
        assert!(page.contains(&probe("good")), "{page}");
        let mut left = Vec::new();
        for ((case, kept), down) in cases.iter().zip(&mut kept).zip(down) {
            let shown = page.contains(&probe(case.name));
            let age = age(&page, case.name);
            let young = age.is_some_and(|age| age <= STALE_AFTER);
            assert_eq!(shown, young, "{}: {age:?}\n{page}", case.name);
            *kept |= down && shown;
            if shown {
                left.push(case.name);
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        }
    });
    for (case, kept) in cases.iter().zip(kept) {
        assert!(kept, "{} left with its first failure", case.name);
    }
}

fn age(page: &str, name: &str) -> Option<f64> {
    let start = format!("tributary_cluster_snapshot_age_seconds{{cluster=\"{name}\"}} ");
    let age = page.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(age.parse().unwrap())
}

/// What is wrong with how a failing cluster is described; none when all is well.
fn judge(proxy: &Proxy, case: &Case) -> Option<String> {
    let Case {
        name,
        class,
        message,
        ..
    } = case;
    let cluster = proxy.cluster(name);
    let error = &cluster["lastError"];
    let said = error["message"].as_str().unwrap_or_default();
    let labels = format!("{{cluster=\"{name}\",reason=\"{class}\"}}");
    let counted = proxy.metric(&format!("tributary_cluster_round_failures_total{labels} "));
    let last = proxy.metric(&format!("tributary_cluster_last_error{labels} "));
    let right = error["reason"] == *class
        && said.contains(message)
        && cluster["up"] == false
        && counted > 0.0
        && last == 1.0;
    (!right).then(|| format!("{name}: want {class} {message:?}, got {counted} {last} {cluster}"))
}
