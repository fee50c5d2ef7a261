//! `promtool query` of Debian's Prometheus against us.

use std::process::Command;

use super::{ago, data, fleet};
use crate::support::process::installed;

/// What it prints, sorted; it must succeed.
fn promtool(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("promtool")
        .arg("query")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn promtool_reads_our_answers() {
    if !installed(&["promtool"]) {
        return;
    }
    let url = format!("http://{}", fleet());
    let time = ago(1);
    let lines = promtool(&["instant", "--time", &time, &url, "count by (cluster) (up)"]);
    let want = data(
        fleet(),
        "/api/v1/query",
        &[("query", "count by (cluster) (up)"), ("time", &time)],
    );
    let want: Vec<String> = (0..2)
        .map(|at| {
            let sample = &want["result"][at];
            let (name, value) = (
                &sample["metric"]["cluster"],
                sample["value"][1].as_str().unwrap(),
            );
            format!("{{cluster={name}}} => {value} @[{time}]")
        })
        .collect();
    assert_eq!(lines, want);
    let start = ago(3);
    let range = [
        "range",
        "--start",
        &start,
        "--end",
        &time,
        "--step",
        "1s",
        &url,
        "count(up)",
    ];
    let lines = promtool(&range);
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with(&format!("@[{time}]"))),
        "{lines:?}"
    );
    let lines = promtool(&["series", "--match", "up", &url]);
    let series = data(fleet(), "/api/v1/series", &[("match[]", "up")]);
    assert_eq!(lines.len(), series.as_array().unwrap().len());
    assert!(lines[0].contains("cluster=\"cluster-1\""), "{}", lines[0]);
    assert_eq!(
        promtool(&["labels", &url, "cluster"]),
        ["cluster-1", "cluster-2"]
    );
    let output = Command::new("promtool")
        .args(["query", "instant", &url, "up["])
        .output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(
        text.contains("1:4: parse error: unexpected end of input"),
        "{text}"
    );
}
