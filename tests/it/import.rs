//! `tributary import` as a program: what it writes where, its exit codes, and that a real `promtool` loads the central
//! configurations.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::faults::upstream::{Reply, Upstream};
use super::support::app::Running;
use super::support::eventually;
use super::support::process::{Process, installed};
use super::testdata;

const PATIENCE: Duration = Duration::from_secs(60);

/// The workshop's central Prometheus in our own words, and a job that stays.
const CENTRAL: &str = "\
global:
  scrape_interval: 15s
  external_labels: {monitor: central}
scrape_configs:
  # Ourselves.
  - job_name: prometheus
    static_configs: [{targets: ['localhost:9090']}]
  - job_name: federate-eu
    honor_labels: true
    metrics_path: /federate
    params:
      'match[]': ['{job=\"kubernetes-pods\"}']
    scheme: https
    tls_config: {ca_file: ca.pem}
    bearer_token: PLANTED
    static_configs:
      - targets: ['prometheus.eu.example.com:9090']
        labels: {cluster: eu, region: europe}
  - job_name: federate-others
    honor_labels: true
    metrics_path: /prometheus/federate
    params:
      'match[]': ['{__name__=~\"job:.*\"}', up]
    relabel_configs:
      - source_labels: [__address__]
        regex: 'prometheus\\.([^.]+)\\..*'
        target_label: cluster
    static_configs:
      - targets: [prometheus.us.example.com, prometheus.ap.example.com]
  - job_name: other
    basic_auth: {username: u, password: PLANTED}
    static_configs: [{targets: ['localhost:9100']}]
";

/// Runs a program to its end; gives the exit code, standard output and standard error.
fn run(program: &str, arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let mut process = Process::start(Command::new(program).current_dir(folder).args(arguments));
    let code = process.exit_code(PATIENCE);
    (code, process.stdout(), process.stderr())
}

fn tributary(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    run(env!("CARGO_BIN_EXE_tributary"), arguments, folder)
}

/// Ours is good for `check-config`, which names these clusters.
#[track_caller]
fn check_ours(folder: &Path, file: &str, clusters: &[&str]) {
    let (code, out, err) = tributary(&["check-config", file], folder);
    assert_eq!(code, Some(0), "{out}{err}");
    for cluster in clusters {
        assert!(out.contains(&format!("  {cluster}: ")), "{out}");
    }
}

#[test]
fn standard_output_is_a_configuration_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prometheus.yml"), CENTRAL).unwrap();
    let (code, out, err) = tributary(&["import", "prometheus.yml"], folder.path());
    assert_eq!(code, Some(0), "{err}");
    fs::write(folder.path().join("ours.yaml"), &out).unwrap();
    check_ours(folder.path(), "ours.yaml", &["eu", "us", "ap"]);
    for part in [
        "https://prometheus.eu.example.com:9090\n",
        "http://prometheus.us.example.com/prometheus\n",
        "region: europe\n",
        "#|   - job_name: prometheus\n",
        "#|       - url: http://localhost:9095/sd/prometheus\n",
    ] {
        assert!(out.contains(part), "no {part:?} in {out}");
    }
    assert!(
        !out.contains("PLANTED") && !err.contains("PLANTED"),
        "{out}{err}"
    );
    let told = "prometheus.yml:15: job \"federate-eu\": bearer_token: is a secret that stands in the file itself; write it into \
                the file federate-eu.token";
    assert!(err.contains(told), "{err}");
    assert!(err.contains("--central-output"), "{err}");
}

#[test]
fn files_are_written_and_secrets_kept_private() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prometheus.yml"), CENTRAL).unwrap();
    let arguments = [
        "import",
        "prometheus.yml",
        "--output",
        "ours.yaml",
        "--central-output",
        "central.yml",
    ];
    let (code, out, err) = tributary(&arguments, folder.path());
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    check_ours(folder.path(), "ours.yaml", &["eu", "us", "ap"]);
    let central = fs::read_to_string(folder.path().join("central.yml")).unwrap();
    assert_eq!(
        central.matches("PLANTED").count(),
        1,
        "that of the job which stays: {central}"
    );
    assert!(central.contains("  # Ourselves.\n"), "{central}");
    let mode = |file: &str| {
        fs::metadata(folder.path().join(file))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("central.yml"), 0o600);
    assert_eq!(mode("ours.yaml") & 0o600, 0o600);
    for (flag, file) in [
        ("--output", "prometheus.yml"),
        ("--central-output", "./prometheus.yml"),
    ] {
        let (code, _, err) = tributary(&["import", "prometheus.yml", flag, file], folder.path());
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("is the file that is imported"), "{err}");
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("prometheus.yml")).unwrap(),
        CENTRAL
    );
    let (code, _, err) = tributary(
        &["import", "prometheus.yml", "--output", "absent/ours.yaml"],
        folder.path(),
    );
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("cannot write absent/ours.yaml"), "{err}");
}

#[test]
fn promtool_loads_both_central_configurations() {
    if !installed(&["promtool"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = vec![("own", CENTRAL.to_owned())];
    if let Some(data) = std::env::var_os("TRIBUTARY_TESTDATA") {
        let file = Path::new(&data).join("workshop/prometheus.yml");
        inputs.push(("workshop", fs::read_to_string(file).unwrap()));
    }
    let brackets = "scrape_configs: [{job_name: a, params: {'match[]': [up]}, static_configs: [{targets: ['a:1']}]}]";
    inputs.push(("brackets", brackets.to_owned()));
    for (name, text) in &inputs {
        for kind in ["sd", "federate"] {
            let input = format!("{name}.yml");
            fs::write(folder.path().join(&input), text).unwrap();
            // Files named in a configuration must be there for promtool.
            fs::write(folder.path().join("ca.pem"), "").unwrap();
            let central = format!("{name}-{kind}.yml");
            let ours = format!("{name}-{kind}.yaml");
            let arguments = [
                "import",
                &input,
                "--central-job",
                kind,
                "--central-output",
                &central,
                "--output",
                &ours,
            ];
            let (code, _, err) = tributary(&arguments, folder.path());
            assert_eq!(code, Some(0), "{err}");
            let (code, out, err) = run("promtool", &["check", "config", &central], folder.path());
            let written = fs::read_to_string(folder.path().join(&central)).unwrap();
            assert_eq!(code, Some(0), "{out}{err}{written}");
            assert!(written.contains("job_name: tributary\n"), "{written}");
            // What is shown without a file loads as well.
            let (_, shown, _) = tributary(
                &["import", &input, "--central-job", kind, "--output", &ours],
                folder.path(),
            );
            fs::write(folder.path().join("shown.yml"), &shown).unwrap();
            let (code, out, err) =
                run("promtool", &["check", "config", "shown.yml"], folder.path());
            assert_eq!(code, Some(0), "{out}{err}{shown}");
            assert!(!shown.contains("PLANTED"), "{shown}");
        }
    }
}

#[test]
fn the_workshop_comes_over() {
    let Some(data) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        println!("left out: TRIBUTARY_TESTDATA is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(&data).join("workshop/prometheus.yml");
    let (code, out, err) = tributary(&["import", file.to_str().unwrap()], folder.path());
    assert_eq!(code, Some(0), "{err}");
    fs::write(folder.path().join("ours.yaml"), &out).unwrap();
    check_ours(folder.path(), "ours.yaml", &["cluster-1", "cluster-2"]);
    testdata::count("import_workshop", 2);
}

/// The way of a team that takes over: import, start, and the same series come out under the same labels.
#[test]
fn what_was_imported_runs() {
    let body = "probe{job=\"kubernetes-pods\",instance=\"i\"} 1\nrule:probe 2\nother{cluster=\"inner\"} 3\n";
    let clusters = [
        Upstream::new(Reply::text(body)),
        Upstream::new(Reply::text(body)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let central = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: federate\n    honor_labels: true\n    \
         metrics_path: /federate\n    params: {{'match[]': [probe, '{{job=~\"a|b\"}}']}}\n    metric_relabel_configs:\n      \
         - {{source_labels: [__name__], regex: 'rule:.*', action: drop}}\n    static_configs:\n      \
         - {{targets: ['{}'], labels: {{cluster: eu, region: r1}}}}\n      - {{targets: ['{}'], labels: {{cluster: us}}}}\n",
        clusters[0].address(),
        clusters[1].address()
    );
    fs::write(folder.path().join("prometheus.yml"), central).unwrap();
    let (code, out, err) = tributary(&["import", "prometheus.yml"], folder.path());
    assert_eq!(code, Some(0), "{err}");
    let running = Running::start(&out);
    let page = eventually("both clusters", PATIENCE, || {
        let page = running.federate("");
        let both = page.contains("cluster=\"eu\"} 1") || page.contains("region=\"r1\"} 1");
        if both && page.contains("instance=\"i\",cluster=\"us\"} 1") {
            Ok(page)
        } else {
            Err(page)
        }
    });
    assert!(page.contains("region=\"r1\""), "{page}");
    // What a cluster says itself stays, as honor_labels did; it belongs to the cluster that said it first.
    assert_eq!(page.matches("cluster=\"inner\"").count(), 1, "{page}");
    assert!(!page.contains("rule:probe"), "{page}");
    let asked = clusters[0].rounds();
    assert_eq!(asked[0].matches(), ["probe", "{job=~\"a|b\"}"]);
}

#[test]
fn wrong_input_exits_with_2_and_prints_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        name.to_owned()
    };
    let cases = [
        (file("empty.yml", ""), "empty.yml: is empty"),
        (file("broken.yml", "a: ["), "broken.yml:1: is not YAML"),
        (
            file("two.yml", "scrape_configs: [{job_name: a}, {job_name: a}]"),
            "two.yml:1: scrape_configs[1]: job_name \"a\" is already used",
        ),
        (".".to_owned(), "cannot be read"),
        ("absent.yml".to_owned(), "cannot be read"),
    ];
    for (name, want) in cases {
        let (code, out, err) = tributary(&["import", &name], folder.path());
        assert_eq!((code, &*out), (Some(2), ""), "{name}: {err}");
        assert!(err.contains(want), "{name}: {err}");
    }
}
