//! Runs of the real binary: exit codes (0 done, 1 failed at run time, 2 wrong flags or configuration), what it says
//! and where, and how it stops.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use super::support::process::Process;
use super::support::{eventually, http};

const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than the demo's bad minute.
const DEMO_PATIENCE: Duration = Duration::from_secs(90);

/// Shorter than connections that wait for more requests, longer than the grace period.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// The program, from the folder of this project.
pub(crate) fn tributary(arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    Process::start(
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments),
    )
}

/// Runs to the end; gives standard output and standard error.
#[track_caller]
pub(crate) fn run(arguments: &[&str], exit_code: i32) -> (String, String) {
    let mut process = tributary(arguments);
    let code = process.exit_code(PATIENCE);
    let (out, err) = (process.stdout(), process.stderr());
    assert_eq!(code, Some(exit_code), "{arguments:?}: {out}{err}");
    (out, err)
}

#[track_caller]
pub(crate) fn check_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn without_clusters_there_is_usage() {
    let (out, err) = run(&[], 2);
    assert_eq!(out, "");
    check_contains(
        &err,
        &["no cluster to scrape", "--config.file FILE", "Usage:"],
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (flag, want) in [
        ("--help", "--cluster <NAME=URL[,URL]>"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let (out, err) = run(&[flag], 0);
        check_contains(&out, &[want]);
        assert_eq!(err, "");
    }
}

#[test]
fn the_shipped_files_are_good() {
    for file in ["config/example.yaml", "config/minimal.yaml"] {
        let (out, err) = run(&["check-config", file], 0);
        check_contains(&out, &["cluster-1", "cluster-2"]);
        assert_eq!(err, "", "{file}");
    }
}

#[test]
fn all_five_mistakes_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("five.yaml");
    let yaml = "\
global:
  scrape_interval: 15
  typed: maybe
clusters:
  - name: a
    url: ftp://a.example.com
  - name: a
    url: http://b.example.com
  - name: c
    url: http://c.example.com
    matches: [up]
";
    fs::write(&file, yaml).unwrap();
    let file = file.to_str().unwrap();
    let mistakes = [
        (2, "scrape_interval"),
        (3, "typed"),
        (6, "url"),
        (7, "\"a\" is already used"),
        (11, "matches"),
    ];
    for arguments in [vec!["check-config", file], vec!["--config.file", file]] {
        let (out, err) = run(&arguments, 2);
        assert_eq!(out, "");
        for (line, word) in mistakes {
            let place = format!("{file}:{line}:");
            let told = err.lines().find(|told| told.starts_with(&place));
            check_contains(
                told.unwrap_or_else(|| panic!("no {place} in: {err}")),
                &[word],
            );
        }
        let told = err.lines().filter(|told| told.starts_with(file)).count();
        assert_eq!(told, mistakes.len(), "{err}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (_, err) = run(&["check-config", "config/absent.yaml"], 2);
    check_contains(&err, &["config/absent.yaml", "cannot be read"]);
}

#[test]
fn two_clusters_of_one_name_are_refused() {
    let (out, err) = run(&["--cluster", "a=http://x", "--cluster", "a=http://y"], 2);
    assert_eq!(out, "");
    check_contains(&err, &["--cluster", "the name \"a\" is already used"]);
}

#[test]
fn completions_are_printed() {
    let (out, err) = run(&["completions", "bash"], 0);
    check_contains(&out, &["_tributary", "--config.file"]);
    assert_eq!(err, "");
}

#[test]
fn a_busy_port_is_said_plainly() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let flags = ["--web.listen-address", &address];
    let commands = [
        &["--cluster", "a=http://127.0.0.1:1"][..],
        &["demo", "--clusters", "1", "--series", "10"][..],
    ];
    for command in commands {
        let (out, err) = run(&[command, &flags].concat(), 1);
        assert_eq!(out, "", "no banner for what cannot be opened");
        let wanted = format!("cannot listen on {address}: ");
        check_contains(
            &err,
            &[
                &wanted,
                "another program has this port",
                "--web.listen-address",
            ],
        );
    }
}

/// The address behind the first `http://` of the banner.
fn banner_address(process: &Process) -> SocketAddr {
    eventually("the banner", PATIENCE, || {
        let text = process.stdout();
        let (_, rest) = text.split_once("behind http://").ok_or(process.stderr())?;
        let (address, _) = rest.split_once('\n').ok_or("half a line")?;
        Ok::<_, String>(address.parse().unwrap())
    })
}

#[test]
fn the_demo_serves_until_it_is_told_to_stop() {
    let flags =
        "demo --clusters 2 --series 200 --web.listen-address 127.0.0.1:0 --scrape.interval 1s";
    let mut demo = tributary(&flags.split(' ').collect::<Vec<_>>());
    let address = banner_address(&demo);
    check_contains(
        &demo.stdout(),
        &[
            "2 simulated clusters",
            "scrape_configs:",
            "Stop with Ctrl-C.",
        ],
    );
    let page = eventually("both clusters", DEMO_PATIENCE, || {
        assert!(demo.ended().is_none(), "it ended: {}", demo.stderr());
        let answer = http::get(address, "/federate").map_err(|error| error.to_string())?;
        let has = |cluster: &str| {
            let label = format!("cluster=\"{cluster}\"");
            answer
                .body
                .lines()
                .filter(|line| line.contains(&label))
                .count()
                > 100
        };
        if has("cluster-1") && has("cluster-2") {
            Ok(answer.body)
        } else {
            Err(answer.body)
        }
    });
    check_contains(&page, &["\ntributary_cluster_up{cluster=\"cluster-1\"} 1"]);
    demo.terminate();
    assert_eq!(demo.exit_code(STOP_PATIENCE), Some(0), "{}", demo.stderr());
}
