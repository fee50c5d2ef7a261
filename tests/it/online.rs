//! `check-config --online`: real Prometheus servers, and servers that are down, refuse, dawdle or are no Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::faults::upstream::{Reply, TEXT, Upstream};
use super::support::app::Running;
use super::support::process::{Process, free_address, installed};
use super::support::prometheus::Prometheus;
use super::support::{eventually, now_ms};

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of the configuration: name, address, further keys.
type Item<'a> = (&'a str, String, &'a str);

/// Runs the program on these clusters; gives exit code and standard output. Nothing goes to standard error.
fn check(items: &[Item<'_>]) -> (Option<i32>, String) {
    let mut yaml = "global: {scrape_interval: 5s, scrape_timeout: 2s}\nclusters:\n".to_owned();
    for (name, url, keys) in items {
        writeln!(yaml, "  - {{name: {name}, url: '{url}', {keys}}}").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.yaml");
    fs::write(&file, yaml).unwrap();
    fs::write(folder.path().join("password"), "PLANTED").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let mut process = Process::start(command.arg("check-config").arg(&file).arg("--online"));
    let code = process.exit_code(PATIENCE);
    let (out, err) = (process.stdout(), process.stderr());
    assert_eq!(err, "", "{out}");
    assert!(!out.contains("PLANTED"), "{out}");
    (code, out)
}

/// The cells of a cluster's row; columns are separated by two blanks at least.
fn row<'a>(out: &'a str, cluster: &str) -> Vec<&'a str> {
    let (_, table) = out
        .split_once("CLUSTER")
        .unwrap_or_else(|| panic!("no table in {out}"));
    let start = format!("{cluster} ");
    let line = table
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("no {cluster} in {out}"));
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// What is said of a cluster below the table.
fn said<'a>(out: &'a str, class: &str, cluster: &str) -> Vec<&'a str> {
    let start = format!("{class}: cluster {cluster}: ");
    out.lines()
        .filter_map(|line| line.strip_prefix(&*start))
        .collect()
}

fn json(data: &str) -> Reply {
    Reply::full(
        "200 OK",
        &["Content-Type: application/json"],
        format!("{{\"status\":\"success\",\"data\":{data}}}"),
    )
}

/// The query API of a Prometheus with one external label.
fn api(path: &str, labels: &str) -> Reply {
    match path {
        "/api/v1/status/buildinfo" => json(r#"{"version":"2.53.0"}"#),
        "/api/v1/status/config" => json(&format!(
            r#"{{"yaml":"global:\n  external_labels:\n    {labels}\n"}}"#
        )),
        "/api/v1/metadata" => json(r#"{"probe":[{"type":"gauge","help":"","unit":""}]}"#),
        _ => Reply::full("404 Not Found", &[], ""),
    }
}

#[test]
fn real_servers_are_shown_with_version_series_and_labels() {
    if !installed(&["prometheus"]) {
        return;
    }
    let yaml = "global: {scrape_interval: 1s, external_labels: {prometheus: monitoring/k8s, prometheus_replica: p-0}}\n\
                scrape_configs: [{job_name: prometheus, static_configs: [{targets: [SELF]}]}]\n";
    let server = Prometheus::start(yaml, &[]);
    eventually("samples", PATIENCE, || {
        let up = server.query("up == 1", now_ms());
        if up.is_empty() { Err("none") } else { Ok(()) }
    });
    let url = format!("http://{}", server.address);
    let (code, out) = check(&[
        ("all", url.clone(), ""),
        ("few", url.clone(), "match: [up]"),
        ("none", url, "match: [absent_metric]"),
    ]);
    assert_eq!(code, Some(0), "{out}");
    let all = row(&out, "all");
    assert_eq!(all[1], "ok", "{out}");
    assert!(
        all[2].starts_with("2.") || all[2].starts_with("3."),
        "{out}"
    );
    assert!(all[3].parse::<u64>().unwrap() > 100, "{out}");
    assert_eq!(
        all[7], r#"prometheus="monitoring/k8s" prometheus_replica="p-0""#,
        "{out}"
    );
    assert_eq!(row(&out, "few")[3], "1", "{out}");
    assert_eq!(row(&out, "none")[1..4], ["warning", all[2], "0"], "{out}");
    assert!(
        said(&out, "warning", "none")[0].starts_with("no series matches"),
        "{out}"
    );
    assert!(out.ends_with("All 3 servers can be scraped.\n"), "{out}");
}

#[test]
fn each_fault_is_named_with_its_remedy() {
    let good = Upstream::new(Reply::text("probe 1\n"));
    let refusing = Upstream::new(Reply::full("401 Unauthorized", &[], "no"));
    let slow = Upstream::new(Reply::new().hang());
    let page = Upstream::new(Reply::full(
        "200 OK",
        &["Content-Type: text/html"],
        "<html>Sign in</html>",
    ));
    let cut = Upstream::new(Reply::closing("probe 1\nprobe_x 2"));
    let gone = format!("http://{}", free_address());
    let login = "basic_auth: {username: u, password_file: password}";
    let start = tokio::time::Instant::now();
    let (code, out) = check(&[
        ("good", good.url(), "external_labels: {a: b}"),
        ("down", gone, ""),
        ("refusing", refusing.url(), login),
        ("slow", slow.url(), ""),
        ("page", page.url(), ""),
        ("cut", cut.url(), ""),
        (
            "many",
            good.url(),
            "series_limit: 1, external_labels: {a: b}",
        ),
    ]);
    assert_eq!(code, Some(1), "{out}");
    assert!(start.elapsed() < Duration::from_secs(20), "side by side");
    let wants = [
        (
            "down",
            "cannot connect: ",
            "see whether the server runs there",
        ),
        (
            "refusing",
            "the server answered 401: \"no\"; ",
            "write authorization or basic_auth",
        ),
        (
            "slow",
            "no whole answer within 2s",
            "see whether the server is overloaded",
        ),
        (
            "page",
            "the answer is no metrics text",
            "this may be a login page",
        ),
        (
            "cut",
            "the body ends in the middle of a line",
            "closes early",
        ),
    ];
    for (cluster, why, remedy) in wants {
        let said = said(&out, "error", cluster);
        assert!(
            said[0].contains(why) && said[0].contains(remedy),
            "{cluster}: {said:?}"
        );
        assert_eq!(row(&out, cluster)[1], "failed", "{out}");
    }
    assert_eq!(row(&out, "good")[3], "1", "{out}");
    assert_eq!(row(&out, "good")[7], "a=\"b\"", "{out}");
    assert!(
        out.ends_with("5 of 7 servers cannot be scraped.\n"),
        "{out}"
    );
}

#[test]
fn labels_that_clash_and_missing_rights_are_warned_of() {
    let body = "probe{cluster=\"theirs\",region=\"us\"} 1\nprobe{cluster=\"theirs\",x=\"1\"} 1\nprobe{x=\"2\"} 1\n";
    let labelled = Upstream::new(Reply::text(body));
    labelled.api(|request| api(&request.path, "zone: z"));
    let own = Upstream::new(Reply::text("probe{cluster=\"prod\"} 1\n"));
    own.api(|request| api(&request.path, "cluster: prod"));
    let closed = Upstream::new(Reply::text("probe 1\n"));
    closed.api(|request| match &*request.path {
        "/api/v1/status/config" => Reply::full("403 Forbidden", &[], ""),
        "/api/v1/metadata" => Reply::full("401 Unauthorized", &[], ""),
        path => api(path, "a: b"),
    });
    let (code, out) = check(&[
        ("rename", labelled.url(), "labels: {region: eu}"),
        ("honor", labelled.url(), "cluster_label_conflict: honor"),
        (
            "override",
            labelled.url(),
            "cluster_label_conflict: override",
        ),
        ("own", own.url(), ""),
        ("closed", closed.url(), ""),
    ]);
    assert_eq!(code, Some(0), "{out}");
    let has = |cluster: &str, parts: &[&str]| {
        let said = said(&out, "warning", cluster);
        let found = said
            .iter()
            .any(|said| parts.iter().all(|part| said.contains(part)));
        assert!(found, "{cluster} {parts:?}: {said:#?}");
    };
    has(
        "rename",
        &["2 series have the label cluster already, such as \"theirs\": it becomes exported_"],
    );
    has(
        "rename",
        &["1 series have the label region already, such as \"us\": it keeps its own value"],
    );
    has(
        "honor",
        &["2 series have the label cluster already", "it is kept"],
    );
    has(
        "override",
        &["2 series have the label cluster already", "it is lost"],
    );
    assert_eq!(
        row(&out, "own")[1],
        "ok",
        "its own external label is replaced: {out}"
    );
    has(
        "closed",
        &[
            "external labels are unknown",
            "answers 403 to /api/v1/status/config",
            "write them as external_labels",
        ],
    );
    has(
        "closed",
        &["no metadata", "answers 401 to /api/v1/metadata"],
    );
    assert_eq!(row(&out, "rename")[2], "2.53.0", "{out}");
    assert_eq!(
        row(&out, "closed")[1..4],
        ["warning", "2.53.0", "1"],
        "{out}"
    );
}

#[test]
fn clocks_that_differ_and_lines_that_cannot_be_read_are_warned_of() {
    let at = |offset_ms: i64| format!("probe 1 {}\n", now_ms() + offset_ms);
    let ahead = Upstream::new(Reply::text(at(60_000)));
    let far = Upstream::new(Reply::text(at(3_600_000)));
    let old = Upstream::new(Reply::text(at(-600_000)));
    let bad = Upstream::new(Reply::full("200 OK", &[TEXT], "good 1\nbad{ 1\n"));
    let (code, out) = check(&[
        ("ahead", ahead.url(), ""),
        ("far", far.url(), ""),
        ("old", old.url(), ""),
        ("bad", bad.url(), ""),
    ]);
    assert_eq!(code, Some(0), "{out}");
    let has = |cluster: &str, part: &str| {
        let said = said(&out, "warning", cluster);
        assert!(
            said.iter().any(|said| said.contains(part)),
            "{cluster} {part}: {said:#?}"
        );
    };
    has("ahead", "s in the future; set the clocks");
    has(
        "far",
        "1 samples are dropped: they are more than ten minutes ahead",
    );
    has("old", "s old; see whether the server still scrapes");
    has("bad", "a line cannot be read: ");
}

#[test]
fn ourselves_as_upstream_is_an_error() {
    let good = Upstream::new(Reply::text("probe 1\n"));
    let port = free_address().port();
    let own = format!("http://127.0.0.1:{port}");
    let yaml = format!(
        "global: {{scrape_interval: 1s}}\nclusters:\n  - {{name: good, url: '{}'}}\n  - {{name: own, url: '{own}'}}\n",
        good.url()
    );
    let running = Running::start_at(&yaml, port);
    running.federate("");
    let (code, out) = check(&[("own", own.clone(), ""), ("region", own, "")]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        said(&out, "error", "own")[0].contains("is the Tributary that this file is for"),
        "{out}"
    );
    let warning = said(&out, "warning", "region");
    assert!(
        warning[0].contains("the server is a Tributary itself"),
        "{out}"
    );
}

#[test]
fn every_replica_is_asked() {
    let good = Upstream::new(Reply::text("probe 1\n"));
    let gone = format!("http://{}", free_address());
    let replicas = format!("replicas: ['{}', '{gone}']", good.url());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.yaml");
    fs::write(&file, format!("clusters: [{{name: pair, {replicas}}}]\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let mut process = Process::start(command.arg("check-config").arg(&file).arg("--online"));
    assert_eq!(process.exit_code(PATIENCE), Some(1));
    let out = process.stdout();
    let first = format!("pair at {}", good.url());
    assert_eq!(row(&out, &first)[3], "1", "{out}");
    assert!(
        said(&out, "error", &format!("pair at {gone}"))[0].contains("cannot connect"),
        "{out}"
    );
}
