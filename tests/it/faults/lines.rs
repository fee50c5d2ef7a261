//! Faults that cost a line or a family, counted by reason; everything else of the cluster passes.

use super::proxy::{self, Proxy};
use super::upstream::{Reply, Upstream};

struct Case {
    name: &'static str,
    body: Vec<u8>,
    /// Samples dropped, by reason.
    dropped: &'static [(&'static str, u64)],
    quarantined: &'static [&'static str],
    /// Values of series called `name` that are left.
    left: &'static [&'static str],
    upstream: Upstream,
}

/// `lines` stand between two families that are well.
fn case(
    name: &'static str,
    lines: impl AsRef<[u8]>,
    dropped: &'static [(&'static str, u64)],
    quarantined: &'static [&'static str],
    left: &'static [&'static str],
) -> Case {
    let before = b"# TYPE before untyped\nbefore 1\n";
    let behind = b"# TYPE zz untyped\nzz 1\nzz{a=\"b\"} 2\n";
    let body = [before, lines.as_ref(), behind].concat();
    let upstream = Upstream::new(Reply::chunked(&body));
    Case {
        name,
        body,
        dropped,
        quarantined,
        left,
        upstream,
    }
}

const ONE_BAD: &[(&str, u64)] = &[("bad_line", 1)];
const ONE_BAD_ONE_WITH_IT: &[(&str, u64)] = &[("bad_line", 1), ("quarantined", 1)];

fn cases() -> Vec<Case> {
    let far = "x 1 99999999999999\nx{a=\"1\"} 2\n";
    let very_far = "x 1 99999999999999999999\nx{a=\"1\"} 2\n";
    let duplicate = "x{a=\"1\",b=\"2\"} 1\nx{b=\"2\",a=\"1\"} 2\nx{a=\"1\",b=\"2\"} 3\n";
    let long = format!("x{{a=\"{}\"}} 1\n", "y".repeat(2 << 20));
    let histogram =
        "# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=} 1\nx_sum 1\nx_count 1\n";
    let two = &[("bad_line", 2), ("quarantined", 1)];
    vec![
        case("broken-label", "x{a=\"b} 1\n", ONE_BAD, &["x"], &[]),
        case(
            "one-of-three",
            "x 1\nx{a=\"1\"} z\nx{a=\"2\"} 3\n",
            &[("bad_line", 1), ("quarantined", 2)],
            &["x"],
            &[],
        ),
        case("no-value", "x\n", ONE_BAD, &["x"], &[]),
        case(
            "nul-in-value",
            "x 1\nx{a=\"1\"} 1\0\n",
            ONE_BAD_ONE_WITH_IT,
            &["x"],
            &[],
        ),
        case("nul-lines", "\0\0\0\n\0\n", two, &["before"], &[]),
        case(
            "no-utf8",
            b"x 1\nx{a=\"\xff\xfe\"} 1\n",
            ONE_BAD_ONE_WITH_IT,
            &["x"],
            &[],
        ),
        case(
            "no-name",
            "# TYPE x untyped\nx 1\n{a=\"b\"} 1\n",
            ONE_BAD_ONE_WITH_IT,
            &["x"],
            &[],
        ),
        case(
            "label-twice",
            "x{a=\"1\",a=\"2\"} 1\n",
            ONE_BAD,
            &["x"],
            &[],
        ),
        case("bad-timestamp", very_far, ONE_BAD_ONE_WITH_IT, &["x"], &[]),
        case("too-long", long, ONE_BAD, &["x"], &[]),
        case(
            "of-a-histogram",
            histogram,
            &[("bad_line", 1), ("quarantined", 3)],
            &["x"],
            &[],
        ),
        case("future", far, &[("future", 1)], &[], &["2"]),
        case("duplicate", duplicate, &[("duplicate", 2)], &[], &["1"]),
        case("blank", "\n\n# \n#\n\n", &[], &[], &[]),
        case(
            "odd-values",
            "x NaN\nx{a=\"1\"} -inf\nx{a=\"2\"} 1.5e3\n",
            &[],
            &[],
            &["-Inf", "1.5e3", "NaN"],
        ),
    ]
}

#[test]
fn a_bad_line_costs_its_family_only_and_is_counted() {
    let cases = cases();
    let items: Vec<String> = cases
        .iter()
        .map(|case| proxy::item(case.name, &case.upstream.url(), ""))
        .collect();
    let proxy = Proxy::start(&proxy::config("", &items));
    for case in &cases {
        proxy.wait_for_rounds(case.name, 2);
    }
    let page = proxy.page();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| judge(&proxy, &page, case))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with what is left of a case's body; none when all is well.
fn judge(proxy: &Proxy, page: &str, case: &Case) -> Option<String> {
    let name = case.name;
    let cluster = proxy.cluster(name);
    let dropped = case.dropped.iter().all(|(reason, count)| {
        let series = format!(
            "tributary_cluster_samples_dropped_total{{cluster=\"{name}\",reason=\"{reason}\"}} "
        );
        cluster["dropped"][reason] == *count && proxy.metric(&series) >= *count as f64
    });
    let kinds = cluster["dropped"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    let quarantined: Vec<&str> = cluster["quarantined"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    let explained = cluster["badLine"].is_string() != case.quarantined.is_empty();
    let mut left = values(page, "x", name);
    left.extend(values(page, "x_sum", name));
    left.sort_unstable();
    let neighbours = !values(page, "zz", name).is_empty();
    let right = dropped
        && kinds == case.dropped.len()
        && quarantined == case.quarantined
        && explained
        && left == case.left
        && neighbours
        && cluster["up"] == true;
    (!right).then(|| {
        let body = String::from_utf8_lossy(&case.body[..case.body.len().min(200)]).into_owned();
        format!("{name}: {body:?}\n  left {left:?}, {cluster}")
    })
}

/// The values of all series of this name and cluster.
fn values<'a>(page: &'a str, name: &str, cluster: &str) -> Vec<&'a str> {
    let (name, cluster) = (format!("{name}{{"), format!("cluster=\"{cluster}\""));
    page.lines()
        .filter(|line| line.starts_with(&name) && line.contains(&cluster))
        .filter_map(|line| line.rsplit_once("} ")?.1.split(' ').next())
        .collect()
}
