//! What `/federate` answers for selectors: Prometheus' own scenarios against a real server, and our own vectors
//! against a page that a small upstream sends.
//!
//! The scenarios' series are written into a server by remote write, the only way in that carries stale markers. All
//! timestamps are shifted so that the scenarios' now, 101 minutes after the epoch, is the present: `/federate` of a
//! real server knows no other now. Three things must then be equal: the scenario's body, the server's answer and ours.

mod notation;
mod remote_write;
mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use self::upstream::Upstream;
use super::support::app::Running;
use super::support::process::installed;
use super::support::prometheus::Prometheus;
use super::support::{http, now_ms};
use super::testdata;

/// The scenarios' now, in milliseconds.
const SCENARIO_NOW_MS: i64 = 101 * 60_000;

/// How Tributary is set up to answer as Prometheus does, for one cluster `c`.
const AS_PROMETHEUS: &str = "global:\n  scrape_interval: 1s\n  typed: false\n  empty_match: none\n";

/// A page without what Tributary adds, with the lines inside each family sorted.
fn normalized(page: &str) -> String {
    let mut families: Vec<Vec<String>> = Vec::new();
    for line in page.lines() {
        if line.starts_with("# TYPE ") {
            families.push(Vec::new());
        }
        if families.is_empty() {
            families.push(Vec::new());
        }
        let line = line
            .replace(",cluster=\"c\"", "")
            .replace("cluster=\"c\",", "");
        families.last_mut().unwrap().push(line);
    }
    families.retain(|family| !family[0].contains(" tributary_cluster_"));
    for family in &mut families {
        family[1..].sort_unstable();
    }
    families.concat().join("\n")
}

/// A scenario's body with its timestamps shifted.
fn shifted(body: &str, by_ms: i64) -> String {
    let shift = |line: &str| match line.rsplit_once(' ') {
        Some((rest, time)) if !line.starts_with('#') => {
            format!("{rest} {}", time.parse::<i64>().unwrap() + by_ms)
        }
        _ => line.to_owned(),
    };
    body.lines().map(shift).collect::<Vec<_>>().join("\n")
}

/// The two ways of the data: a server that holds it, and Tributary that federates that server.
struct Pair {
    prometheus: Prometheus,
    tributary: Running,
}

impl Pair {
    fn start(external_labels: &Value, write_request: &[u8]) -> Self {
        let yaml = format!("global:\n  external_labels: {external_labels}\n");
        let prometheus = Prometheus::start(&yaml, &["--web.enable-remote-write-receiver"]);
        remote_write::send(prometheus.address, write_request);
        let clusters = format!(
            "clusters: [{{name: c, url: 'http://{}'}}]\n",
            prometheus.address
        );
        Self {
            prometheus,
            tributary: Running::start(&format!("{AS_PROMETHEUS}{clusters}")),
        }
    }

    fn check(&self, scenario: &Value, shift_ms: i64) {
        let text = |key: &str| scenario[key].as_str().unwrap();
        let (name, params) = (
            text("name"),
            text("params").replace('{', "%7B").replace('}', "%7D"),
        );
        let theirs = http::get(self.prometheus.address, &format!("/federate?{params}")).unwrap();
        assert_eq!(scenario["code"], theirs.status, "{name}");
        let theirs = normalized(&theirs.body);
        assert_eq!(
            theirs,
            normalized(&shifted(text("body"), shift_ms)),
            "the oracle: {name}"
        );
        assert_eq!(
            normalized(&self.tributary.federate(&params)),
            theirs,
            "{name}"
        );
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn answers_as_prometheus_does_in_its_own_scenarios() {
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        eprintln!("left out: TRIBUTARY_TESTDATA is not set");
        return;
    };
    if !installed(&["prometheus"]) {
        return;
    }
    let read = |name: &str| {
        let path = Path::new(&folder).join("federate").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let scenarios: Vec<Value> = serde_json::from_str(&read("scenarios.json")).unwrap();
    let shift_ms = now_ms() / 1000 * 1000 - SCENARIO_NOW_MS;
    let series = notation::expand(&read("load.txt"), shift_ms);
    let request = remote_write::request(&series);
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for scenario in &scenarios {
        let labels = &scenario["external_labels"];
        let pair = pairs.entry(labels.to_string());
        let pair = pair.or_insert_with(|| Pair::start(labels, &request));
        pair.check(scenario, shift_ms);
    }
    testdata::count("federate_scenarios", scenarios.len());
}

/// A server's page with four families: one has no `instance`, one label has an empty value.
const PAGE: &str = r#"# TYPE a_total untyped
a_total{job="x",code="200",instance="i"} 1 1000
a_total{job="x",code="500",instance="i"} 2 1000
a_total{job="y",code="200",instance=""} 3 1001
# TYPE b:rule untyped
b:rule{job="x",instance=""} NaN 1000
# TYPE c untyped
c{job="y",cluster="own",instance="i"} -Inf 999
# TYPE d untyped
d{job="x",prometheus_replica="p-0",text="a\"b\\c\nd",instance="i"} 1e-07 1000
"#;

/// Everything of [`PAGE`] as it must leave, in the order in which it must.
const LINES: [&str; 6] = [
    r#"a_total{job="x",code="200",instance="i"} 1 1000"#,
    r#"a_total{job="x",code="500",instance="i"} 2 1000"#,
    r#"a_total{job="y",code="200",instance=""} 3 1001"#,
    r#"b:rule{job="x",instance=""} NaN 1000"#,
    r#"c{job="y",exported_cluster="own",instance="i"} -Inf 999"#,
    r#"d{job="x",text="a\"b\\c\nd",instance="i"} 1e-07 1000"#,
];

fn lines_for(tributary: &Running, selectors: &[&str]) -> Vec<String> {
    let pairs = selectors.iter().map(|selector| ("match[]", *selector));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let page = normalized(&tributary.federate(&query));
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The same labels in another order are the same line.
fn sorted_labels(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else {
        return line.to_owned();
    };
    let (labels, value) = rest.rsplit_once('}').unwrap();
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}{value}", labels.join(","))
}

#[test]
fn selectors_choose_lines() {
    let upstream = Upstream::start(PAGE);
    let clusters = format!(
        "clusters: [{{name: c, url: 'http://{}'}}]\n",
        upstream.address
    );
    let tributary = Running::start(&format!("{AS_PROMETHEUS}{clusters}"));
    let check = |selectors: &[&str], want: &[usize]| {
        let found: Vec<_> = lines_for(&tributary, selectors)
            .iter()
            .map(|line| sorted_labels(line))
            .collect();
        let want: Vec<_> = want.iter().map(|at| sorted_labels(LINES[*at])).collect();
        assert_eq!(found, want, "{selectors:?}");
    };
    check(&[], &[]);
    check(&["nothing"], &[]);
    check(&["a_total"], &[0, 1, 2]);
    check(&["b:rule"], &[3]);
    check(&[r#"{__name__=~".+"}"#], &[0, 1, 2, 3, 4, 5]);
    check(&["{job='x'}"], &[0, 1, 3, 5]);
    // A union, in which nothing stands twice.
    check(&["a_total", "{code='200'}", "c"], &[0, 1, 2, 4]);
    check(&["c", "a_total{code='500'}"], &[1, 4]);
    // An empty value is an absent label.
    check(&[r#"{code="",__name__!=""}"#], &[3, 4, 5]);
    check(&[r#"{instance="",job=~".+"}"#], &[2, 3]);
    check(&[r#"{text!="",job!=""}"#], &[5]);
    check(&[r#"{job=~"x|z",code!~"5.."}"#], &[0, 3, 5]);
    // Regexes are anchored, and see the text unescaped.
    check(&[r#"{__name__=~"a"}"#], &[]);
    check(&[r#"{text="a\"b\\c\nd"}"#], &[5]);
    check(&[r#"{text=~"a.b.c.d"}"#], &[5]);
    // What was dropped cannot be selected, what was added can.
    check(&[r#"{prometheus_replica="p-0"}"#], &[]);
    check(&[r#"{exported_cluster="own"}"#], &[4]);
    check(&[r#"{cluster="own"}"#], &[]);
    check(&[r#"d{cluster="c"}"#], &[5]);
}

#[test]
fn a_wrong_selector_is_400_at_any_time() {
    // Nothing listens there, so that there is no page yet or ever.
    let tributary = Running::start("clusters: [{name: c, url: 'http://127.0.0.1:1'}]");
    let check = |selectors: &[&str], status: u16, want: &str| {
        let pairs: Vec<_> = selectors
            .iter()
            .map(|selector| ("match[]", *selector))
            .collect();
        let answer = http::get_with(tributary.address, "/federate", &pairs).unwrap();
        assert_eq!(answer.status, status, "{selectors:?}: {}", answer.body);
        assert!(answer.body.contains(want), "{selectors:?}: {}", answer.body);
    };
    check(
        &["{"],
        400,
        "1:2: parse error: unexpected end of input inside braces",
    );
    check(&["up", "up{"], 400, "parse error");
    check(&["up offset 5m"], 400, "parse error");
    check(&["sum(up)"], 400, "parse error");
    check(&[r#"{job=~"("}"#], 400, "missing");
    check(&[""], 400, "parse error");
    check(&["up"; 65], 400, "65 match[] parameters");
    check(&["up"], 503, "");
}

#[test]
fn external_labels_are_added_where_absent() {
    let upstream =
        Upstream::start("m{zone=\"own\",instance=\"i\"} 1 1000\nm{instance=\"\"} 2 1000\n");
    let yaml = format!(
        "clusters:\n  - {{name: c, url: 'http://{}', external_labels: {{zone: ie, replica: r-1}}, labels: {{tier: gold}}}}",
        upstream.address
    );
    let tributary = Running::start(&format!("{AS_PROMETHEUS}{yaml}"));
    let check = |selector: &str, want: &[&str]| {
        let found: Vec<_> = lines_for(&tributary, &[selector])
            .iter()
            .map(|line| sorted_labels(line))
            .collect();
        assert_eq!(found, want, "{selector}");
    };
    let own = r#"m{instance="i",tier="gold",zone="own"} 1 1000"#;
    let added = r#"m{instance="",tier="gold",zone="ie"} 2 1000"#;
    check("m", &[added, own]);
    check("{zone='ie'}", &[added]);
    check("{tier='gold'}", &[added, own]);
    check("{replica='r-1'}", &[]);
}

#[test]
fn pages_are_normalized() {
    let page = "# TYPE a untyped\na{x=\"2\",cluster=\"c\"} 1\na{x=\"1\",cluster=\"c\"} 1\n\
                # TYPE tributary_cluster_up untyped\ntributary_cluster_up{cluster=\"c\"} 1\n# TYPE z untyped\nz{cluster=\"c\",y=\"\"} 1\n";
    let want = "# TYPE a untyped\na{x=\"1\"} 1\na{x=\"2\"} 1\n# TYPE z untyped\nz{y=\"\"} 1";
    assert_eq!(normalized(page), want);
    assert_eq!(
        shifted("# TYPE a untyped\na{b=\"c d\"} 1 5\n", 10),
        "# TYPE a untyped\na{b=\"c d\"} 1 15"
    );
}
