//! `tributary grafana datasources`: the file that is shipped, the rules of Grafana's provisioning, and `--check`.
//! No Grafana can be installed here, so the rules are those of its documentation and source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::binary::{check_contains, run};
use super::testdata;

const SHIPPED: &str = "grafana/provisioning/datasources/tributary.yaml";

/// How the shipped file was made.
const COMMAND: [&str; 6] = [
    "grafana",
    "datasources",
    "--config.file",
    "config/minimal.yaml",
    "--url",
    "http://tributary.monitoring.svc:9095",
];

fn shipped() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED)).unwrap()
}

fn sources(yaml: &str) -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(file["apiVersion"], 1);
    file["datasources"].as_array().unwrap().clone()
}

fn texts(sources: &[Value], key: &str) -> Vec<String> {
    let text = |source: &Value| source[key].as_str().unwrap().to_owned();
    sources.iter().map(text).collect()
}

/// What Grafana demands of every data source, and we of ours.
fn check_rules(sources: &[Value]) {
    for source in sources {
        let uid = source["uid"].as_str().unwrap();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(
            (1..=40).contains(&uid.len()) && uid.bytes().all(allowed),
            "{uid}"
        );
        let url = source["url"].as_str().unwrap();
        assert!(url.starts_with("http"), "{url}");
        let want = [("type", "prometheus"), ("access", "proxy")];
        for (key, value) in want {
            assert_eq!(source[key], value, "{source}");
        }
        assert_eq!(source["editable"], false, "{source}");
        let data = &source["jsonData"];
        assert_eq!(data["httpMethod"], "POST", "{source}");
        assert_eq!(data["prometheusType"], "Prometheus", "{source}");
        assert_eq!(data["manageAlerts"], false, "{source}");
    }
    for key in ["name", "uid"] {
        let all = texts(sources, key);
        let different: BTreeSet<String> = all.iter().map(|text| text.to_lowercase()).collect();
        assert_eq!(different.len(), all.len(), "{key}: {all:?}");
    }
    let defaults = sources.iter().filter(|source| source["isDefault"] == true);
    assert!(defaults.count() <= 1, "Grafana takes one default only");
}

#[test]
fn the_shipped_file_is_what_the_command_writes() {
    let (out, err) = run(&COMMAND, 0);
    assert_eq!(err, "");
    assert_eq!(
        out,
        shipped(),
        "write it again: tributary {} > {SHIPPED}",
        COMMAND.join(" ")
    );
    let (out, _) = run(&[&COMMAND[..], &["--no-default"]].concat(), 0);
    assert_eq!(
        out,
        shipped().replace("isDefault: true", "isDefault: false")
    );
    let (out, err) = run(&[&COMMAND[..], &["--check", SHIPPED]].concat(), 0);
    assert_eq!(
        (out.as_str(), err.as_str()),
        (&*format!("{SHIPPED}: up to date\n"), "")
    );
}

#[test]
fn the_shipped_file_is_that_of_the_workshop() {
    let sources = sources(&shipped());
    check_rules(&sources);
    assert_eq!(
        texts(&sources, "name"),
        [
            "Cluster-1",
            "Cluster-2",
            "All-Clusters",
            "All-Clusters (recent)"
        ]
    );
    assert_eq!(
        texts(&sources, "url"),
        [
            "http://tributary.monitoring.svc:9095/clusters/cluster-1",
            "http://tributary.monitoring.svc:9095/clusters/cluster-2",
            "http://tributary.monitoring.svc:9095",
            "http://tributary.monitoring.svc:9095/recent",
        ]
    );
    assert!(
        sources
            .iter()
            .all(|source| source["jsonData"]["timeInterval"] == "15s")
    );
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        println!("left out: TRIBUTARY_TESTDATA is not set");
        return;
    };
    let file = Path::new(&folder).join("workshop/grafana-datasources.yaml");
    let theirs = self::sources(&fs::read_to_string(file).unwrap());
    for key in ["name", "type", "isDefault"] {
        let all = |sources: &[Value]| sources.iter().map(|s| s[key].clone()).collect::<Vec<_>>();
        assert_eq!(all(&sources)[..3], all(&theirs), "{key}");
    }
    testdata::count("workshop_datasources", theirs.len());
}

#[test]
fn every_cluster_has_its_own_interval_and_a_name_that_grafana_takes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.yaml");
    let long = "x".repeat(63);
    let yaml = format!(
        "global: {{scrape_interval: 30s}}\nclusters:\n\
         - {{name: z.eu, url: http://z}}\n\
         - {{name: {long}, url: http://x}}\n\
         - {{name: EU, url: http://a, scrape_interval: 1m30s}}\n\
         - {{name: eu, url: http://b}}\n"
    );
    fs::write(&file, yaml).unwrap();
    let file = file.to_str().unwrap();
    let flags = ["grafana", "datasources", "--config.file", file];
    let more = [
        "--cluster",
        "flag=http://c",
        "--url",
        "https://t/$x/",
        "--user",
        "g$f",
    ];
    let (out, err) = run(&[&flags[..], &more].concat(), 0);
    assert_eq!(err, "");
    let sources = sources(&out);
    check_rules(&sources);
    let names = texts(&sources, "name");
    assert_eq!(names[..2], ["EU", "Eu (4829322d03d1)"]);
    assert_eq!(names[2..4], ["Flag".to_owned(), format!("X{}", &long[1..])]);
    let interval = |source: &Value| {
        source["jsonData"]["timeInterval"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let intervals: Vec<String> = sources.iter().map(interval).collect();
    assert_eq!(intervals, ["90s", "30s", "30s", "30s", "30s", "90s", "90s"]);
    assert_eq!(
        sources[2]["url"], "https://t/$$x/clusters/flag",
        "Grafana reads $$ as $"
    );
    assert_eq!(sources[2]["basicAuthUser"], "g$$f");
    let password = &sources[2]["secureJsonData"]["basicAuthPassword"];
    assert_eq!(
        password, "$TRIBUTARY_PASSWORD",
        "from Grafana's environment"
    );
}

#[test]
fn a_file_edited_by_hand_is_told_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edited.yaml");
    let file = path.to_str().unwrap();
    let check = || [&COMMAND[..], &["--check", file]].concat();
    let edited = shipped()
        .replacen("timeInterval: 15s", "timeInterval: 1m", 1)
        .replace(
            "/clusters/cluster-2\"",
            "/clusters/cluster-2\" # mine\n    orgId: 7",
        )
        + "  - {name: Mine, type: loki, secureJsonData: {token: hunter2}}\n";
    fs::write(&path, &edited).unwrap();
    let (out, err) = run(&check(), 1);
    assert_eq!(err, "");
    let want = [
        r#"Cluster-1: jsonData.timeInterval is "1m", it should be "15s""#,
        "Cluster-2: orgId is 7, it should not be there",
        "Mine: belongs to no cluster of this configuration",
    ];
    let lines: Vec<String> = want.map(|line| format!("{file}: {line}")).into();
    assert_eq!(out.lines().collect::<Vec<_>>(), lines);

    fs::write(&path, format!("# mine\n{}", shipped().replace('"', "'"))).unwrap();
    run(&check(), 0);
}

#[test]
fn what_is_no_provisioning_file_is_refused_as_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: Option<&str>, want: &str| {
        let path = folder.path().join(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let file = path.to_str().unwrap();
        let (out, err) = run(&[&COMMAND[..], &["--check", file]].concat(), 2);
        assert_eq!(out, "");
        check_contains(&err, &[file, want]);
    };
    check("absent.yaml", None, "cannot be read");
    check("broken.yaml", Some("datasources: [\n"), "is not YAML");
    check(
        "other.yaml",
        Some("groups: []\n"),
        "has no `apiVersion: 1`; write one with",
    );
    check(
        "dashboards.yaml",
        Some("apiVersion: 1\nproviders: []\n"),
        "no list of `datasources`",
    );
    check("empty.yaml", Some(""), "is no provisioning file");
}

#[test]
fn without_clusters_or_with_a_bad_configuration_nothing_is_written() {
    let (out, err) = run(&["grafana", "datasources"], 2);
    assert_eq!(out, "");
    check_contains(&err, &["no cluster to write of", "--config.file FILE"]);
    let (out, err) = run(&["grafana", "datasources", "--cluster", "a=ftp://a"], 2);
    assert_eq!(out, "");
    check_contains(&err, &["ftp://a"]);
}
