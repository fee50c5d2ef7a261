//! Beside a real server: what comes through us is byte for byte what the server itself gives.

use std::process::Command;
use std::time::Duration;

use crate::support::app::Running;
use crate::support::process::installed;
use crate::support::prometheus::Prometheus;
use crate::support::{eventually, now_ms, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Series, a recording rule and an alert that fires.
struct Pair {
    server: String,
    through: String,
    /// A time, in seconds, whose samples are all there.
    time: i64,
    _running: (Prometheus, Running, tempfile::TempDir),
}

impl Pair {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules.yml");
        std::fs::write(
            &rules,
            "groups: [{name: g, rules: [{record: 'job:up:sum', expr: 'sum by (job) (up)'}, \
             {alert: Always, expr: 'up == 1', labels: {severity: page}, annotations: {text: '<b>{{ $value }}</b>'}}]}]\n",
        )
        .unwrap();
        let yaml = format!(
            "global: {{scrape_interval: 2s, evaluation_interval: 2s, external_labels: {{prometheus: p}}}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: self, static_configs: [{{targets: ['SELF'], labels: {{zone: 'é'}}}}]}}]\n",
            rules.display()
        );
        let server = Prometheus::start(&yaml, &[]);
        let config = format!(
            "clusters: [{{name: eu-1, url: 'http://{}'}}]",
            server.address
        );
        let tributary = Running::start(&config);
        eventually("an alert that fires", PATIENCE, || {
            let alerts = server.query("ALERTS", now_ms());
            if alerts.is_empty() {
                Err("none")
            } else {
                Ok(())
            }
        });
        let time = now_ms() / 1000 + 1;
        until((time + 3) * 1000);
        Self {
            time,
            server: format!("http://{}", server.address),
            through: format!("http://{}/clusters/eu-1", tributary.address),
            _running: (server, tributary, folder),
        }
    }

    /// Runs a program at both; `URL` in its arguments is the one's or the other's.
    fn both(&self, program: &str, arguments: &[&str]) -> [Vec<u8>; 2] {
        [&self.server, &self.through].map(|url| {
            let (time, start) = (self.time.to_string(), (self.time - 5).to_string());
            let arguments = arguments.iter().map(|argument| {
                let argument = argument.replace("URL", url).replace("TIME", &time);
                argument.replace("START", &start)
            });
            let output = Command::new(program).args(arguments).output().unwrap();
            [output.stdout, output.stderr].concat()
        })
    }

    /// Until both say the same, since what a server says of itself changes between two looks.
    #[track_caller]
    fn check_changing(&self, arguments: &[&str], fixed: impl Fn(Vec<u8>) -> Vec<u8>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        eventually(&format!("{arguments:?}"), PATIENCE, || {
            let [direct, through] = self.both("curl", arguments).map(&fixed);
            assert!(
                text(&direct).contains("\"status\":\"success\""),
                "{}",
                text(&direct)
            );
            if direct == through {
                Ok(())
            } else {
                Err(format!("{}\n{}", text(&direct), text(&through)))
            }
        });
    }
}

/// Status, type, coding and body, as they come; nothing is decoded.
const CURL: [&str; 5] = [
    "-s",
    "--path-as-is",
    "-w",
    "\n%{http_code} %{content_type}",
    "-g",
];

/// What is asked by GET.
const READS: &[&str] = &[
    "query?query=up&time=TIME",
    "query?query=rate(prometheus_http_requests_total[10s])&time=TIME",
    "query?query=1%2B1&time=4",
    "query?query={__name__=~%22.%2B%22}&time=TIME",
    "query?query=%22a%20string%22&time=TIME",
    "query?query=up[10s]&time=TIME",
    "query_range?query=up&start=TIME&end=TIME&step=1",
    "query_range?query=go_goroutines&start=1&end=TIME&step=1000000",
    "query_exemplars?query=test&start=1&end=TIME",
    "series?match[]=up&match[]={__name__=~%22go_.*%22}&end=TIME",
    "series?match[]={job=%22none%22}",
    "labels?end=TIME",
    "labels?match[]=up&start=1&end=TIME",
    "label/__name__/values?end=TIME",
    "label/job/values?match[]=up",
    "label/zone/values",
    "metadata?metric=go_goroutines",
    "metadata?limit=1&metric=up",
    "format_query?query=foo%2Fbar",
    "targets/metadata?metric=go_goroutines&limit=1",
    "status/buildinfo",
];

/// What the server refuses, with the status it gives.
const REFUSED: &[(&str, &str)] = &[
    ("query?query=foo(", "400"),
    ("query", "400"),
    ("query?query=up&time=soon", "400"),
    (
        "query?query=label_replace(up,%22job%22,%22x%22,%22zone%22,%22.*%22)%20%2B%20on(a)%20group_left%20up&time=TIME",
        "200",
    ),
    (
        "query?query=up%20*%20on(nothing)%20{__name__=~%22up|go_goroutines%22}&time=TIME",
        "422",
    ),
    ("query_range?query=up&start=1&end=TIME&step=1", "400"),
    ("query_range?query=up&start=9&end=1&step=1", "400"),
    ("series", "400"),
    ("series?match[]={}", "400"),
    ("label/a-b/values", "400"),
    ("format_query?query=(", "400"),
];

#[test]
fn curl_gets_the_servers_own_bytes() {
    if !installed(&["prometheus", "curl"]) {
        return;
    }
    let pair = Pair::start();
    let check = |arguments: &[&str], want: &str| {
        let [direct, through] = pair.both("curl", &[&CURL, arguments].concat());
        let text = String::from_utf8_lossy(&direct).into_owned();
        assert!(
            text.ends_with(&format!("\n{want} application/json")),
            "{arguments:?}: {text}"
        );
        assert!(
            direct == through,
            "{arguments:?}\n{text:.2000}\n{:.2000}",
            String::from_utf8_lossy(&through)
        );
    };
    for path in READS {
        let url = format!("URL/api/v1/{path}");
        check(&[&url], "200");
        check(&["-H", "Accept-Encoding: gzip", &url], "200");
    }
    // What the server refuses, in its own words.
    for (path, status) in REFUSED {
        check(&[&format!("URL/api/v1/{path}")], status);
    }
    // It says by chance where the time was over.
    for answer in pair.both(
        "curl",
        &[&CURL[..], &["URL/api/v1/query?query=up&timeout=0"]].concat(),
    ) {
        let text = String::from_utf8(answer).unwrap();
        assert!(
            text.contains("\"errorType\":\"timeout\"") && text.ends_with("503 application/json"),
            "{text}"
        );
    }
    // Forms; parameters in both places.
    let time = "time=TIME";
    for (path, form) in [
        ("query", &["query=up", time][..]),
        ("query?time=TIME", &["query=sum by (job) (up)"]),
        (
            "query_range",
            &["query=up", "start=TIME", "end=TIME", "step=1s"],
        ),
        ("query_exemplars", &["query=up", "start=1", "end=TIME"]),
        (
            "series",
            &["match[]=up", "match[]=go_goroutines", "end=TIME"],
        ),
        ("labels", &["match[]={zone=\"é\"}", "end=TIME"]),
        ("format_query", &["query=a+b"]),
    ] {
        let url = format!("URL/api/v1/{path}");
        let mut arguments = vec![url.as_str()];
        for part in form {
            arguments.extend(["--data-urlencode", part]);
        }
        check(&arguments, "200");
    }
    check(&["URL/api/v1/query", "-d", "query=foo("], "400");
    changing(&pair);
}

/// Times of scrapes and evaluations, and numbers of threads, are others at each look.
fn changing(pair: &Pair) {
    let as_it_is = |body: Vec<u8>| body;
    for path in [
        "rules",
        "rules?type=alert",
        "alerts",
        "targets",
        "targets?state=active",
        "status/tsdb",
        "label/__name__/values",
    ] {
        pair.check_changing(&["-s", &format!("URL/api/v1/{path}")], as_it_is);
    }
    let no_threads = |body: Vec<u8>| {
        let mut value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(value["data"]["goroutineCount"].take().is_number());
        serde_json::to_vec(&value).unwrap()
    };
    pair.check_changing(&["-s", "URL/api/v1/status/runtimeinfo"], no_threads);
}

#[test]
fn promtool_says_the_same() {
    if !installed(&["prometheus", "promtool"]) {
        return;
    }
    let pair = Pair::start();
    let check = |arguments: &[&str], want: &str| {
        let arguments = [&["query"], arguments].concat();
        let [direct, through] = pair
            .both("promtool", &arguments)
            .map(|out| String::from_utf8(out).unwrap());
        assert!(direct.contains(want), "{arguments:?}: {direct}");
        assert_eq!(direct, through, "{arguments:?}");
    };
    check(&["instant", "--time=TIME", "URL", "up"], "zone=\"é\"");
    check(
        &["instant", "--time=TIME", "URL", "{__name__=~\"go_.*\"}"],
        "go_goroutines",
    );
    check(&["instant", "--time=TIME", "URL", "up["], "parse error");
    check(
        &[
            "range",
            "--start=START",
            "--end=TIME",
            "--step=1s",
            "URL",
            "job:up:sum",
        ],
        "job:up:sum",
    );
    check(
        &[
            "series",
            "--match=up",
            "--match=go_info",
            "--end=TIME",
            "URL",
        ],
        "job=\"self\"",
    );
    check(&["labels", "--end=TIME", "URL", "job"], "self");
    check(&["labels", "--end=TIME", "URL", "__name__"], "ALERTS");
}
