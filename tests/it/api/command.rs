//! `tributary query` as a user calls it.

use std::process::Command;

use super::{ago, fleet};
use crate::support::process::{free_address, installed};
use crate::support::prometheus::Prometheus;

/// Exit code, standard output and standard error.
fn query(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let output = command.arg("query").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn answers_are_tables() {
    let url = format!("http://{}", fleet());
    let (code, out, errors) = query(&[&url, "sum by (cluster) (up * 0 + 1)"]);
    assert_eq!((code, &*errors), (Some(0), ""));
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["CLUSTER", "VALUE"], "{out}");
    assert_eq!(
        (lines[1][0], lines[2][0], lines.len()),
        ("cluster-1", "cluster-2", 3)
    );
    assert!(
        out.lines()
            .all(|line| line.len() == out.lines().next().unwrap().len()),
        "{out}"
    );
    let (start, end) = (ago(3), ago(1));
    let range = [
        &url,
        "count(up)",
        "--start",
        &start,
        "--end",
        &end,
        "--step",
        "1s",
    ];
    let (code, out, _) = query(&range);
    assert_eq!((code, out.lines().count()), (Some(0), 4), "{out}");
    assert!(out.starts_with("TIME "), "{out}");
    assert_eq!(query(&[&url, "1 + 1"]).1, "2\n");
    let (code, _, errors) = query(&[&url, "increase(up[1h])"]);
    assert_eq!(code, Some(0));
    assert!(
        errors.starts_with("warning: up[1h] reaches back"),
        "{errors}"
    );
}

#[test]
fn what_goes_wrong_has_a_code_and_words() {
    let url = format!("http://{}", fleet());
    let check = |arguments: &[&str], want: i32, words: &str| {
        let (code, out, errors) = query(arguments);
        assert_eq!((code, &*out), (Some(want), ""), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    };
    check(
        &[&url, "up["],
        1,
        "bad_data: invalid parameter \"query\": 1:4: parse error:",
    );
    check(&[&url, "up * on(job) up"], 1, "execution: ");
    let nobody = format!("http://{}", free_address());
    check(&[&nobody, "up"], 1, "cannot connect");
    let address = "the server's address \"x:1\" does not begin with http:// or https://";
    check(&["x:1", "up"], 2, address);
    check(&["http://me:secret@x", "up"], 2, "this command sends none");
    check(&[&url], 2, "<EXPRESSION>");
    let page = format!("{url}/nothing");
    check(&[&page, "up"], 1, "404");
}

#[test]
fn any_prometheus_can_be_asked() {
    if !installed(&["prometheus"]) {
        return;
    }
    let prometheus = Prometheus::start("global: {}\n", &[]);
    let url = format!("http://{}", prometheus.address);
    let (code, out, errors) = query(&[&url, "vector(7)", "--time", "2026-01-31T12:00:00Z"]);
    assert_eq!((code, &*out, &*errors), (Some(0), "VALUE\n    7\n", ""));
}
