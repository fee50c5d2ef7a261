//! What the bodies of the generator promise, checked on whole bodies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::*;

const NOW_MS: i64 = 1_790_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn spec(shape: Shape, series: usize) -> ClusterSpec {
    ClusterSpec {
        name: "cluster-01".into(),
        index: 1,
        shape,
        series,
        seed: 42,
        flaky: false,
        source_interval: Duration::from_secs(15),
    }
}

fn generator(shape: Shape, series: usize) -> Generator {
    Generator::new(&spec(shape, series), NOW_MS)
}

/// The body at the start of a round, and a little later in it.
fn body(generator: &mut Generator, round: i64) -> String {
    let mut out = Vec::new();
    generator.federate(NOW_MS + round * INTERVAL_MS, &mut out);
    String::from_utf8(out).unwrap()
}

/// Series text (name and labels) → value and timestamp.
fn samples(body: &str) -> BTreeMap<&str, (&str, i64)> {
    let mut samples = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (rest, stamp) = line.rsplit_once(' ').unwrap();
        let (series, value) = rest.rsplit_once(' ').unwrap();
        let old = samples.insert(series, (value, stamp.parse().unwrap()));
        assert!(old.is_none(), "twice: {series}");
    }
    samples
}

fn family_sizes(body: &str) -> Vec<(&str, usize)> {
    let mut sizes = Vec::new();
    for line in body.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            sizes.push((name.strip_suffix(" untyped").unwrap(), 0));
            continue;
        }
        let (name, size) = sizes.last_mut().unwrap();
        assert!(line[name.len()..].starts_with('{'), "{line} under {name}");
        *size += 1;
    }
    sizes
}

#[test]
fn every_shape_is_well_formed() {
    let line = regex::Regex::new(concat!(
        r#"^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(([a-z_][a-zA-Z0-9_]*="([^"\\\n]|\\.)*",)*)"#,
        r#"prometheus="monitoring/k8s",prometheus_replica="prometheus-k8s-0"\} "#,
        r"\d+(\.\d+)?(e[+-]\d\d)? \d{13}$"
    ))
    .unwrap();
    for shape in [Shape::Demo, Shape::Plain, Shape::Real] {
        let mut generator = generator(shape, 6000);
        let body = body(&mut generator, 3);
        let names: Vec<_> = family_sizes(&body).iter().map(|(name, _)| *name).collect();
        assert!(
            names.is_sorted_by(|one, other| one < other),
            "{shape:?}: {names:?}"
        );
        assert_eq!(samples(&body).len(), 6000, "{shape:?}");
        for text in body.lines().filter(|line| !line.starts_with('#')) {
            let parts = line
                .captures(text)
                .unwrap_or_else(|| panic!("{shape:?}: {text}"));
            let labels: Vec<_> = parts[2]
                .split_terminator("\",")
                .map(|label| label.split_once('=').unwrap().0)
                .collect();
            let own = labels
                .strip_suffix(&["instance"])
                .filter(|_| text.contains("instance=\"\""));
            assert!(
                own.unwrap_or(&labels)
                    .is_sorted_by(|one, other| one < other),
                "{text}"
            );
            assert!(labels.contains(&"instance"), "{text}");
        }
    }
}

#[test]
fn an_independent_parser_reads_the_same_samples() {
    let mut generator = generator(Shape::Real, 6000);
    let body = body(&mut generator, 1);
    // That parser knows no `:` in names, and splits label values at commas; neither is in this shape.
    let scrape =
        prometheus_parse::Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
    assert_eq!(scrape.samples.len(), 6000);
    let wanted = samples(&body);
    for sample in scrape.samples.iter().take(500) {
        let text = format!("{}{{", sample.metric);
        let found = wanted
            .iter()
            .filter(|(series, _)| series.starts_with(&text))
            .any(|(_, (value, stamp))| {
                sample.value == prometheus_parse::Value::Untyped(value.parse().unwrap())
                    && sample.timestamp.timestamp_millis() == *stamp
            });
        assert!(found, "{sample:?}");
    }
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    for shape in [Shape::Demo, Shape::Plain, Shape::Real] {
        let (mut there, mut back) = (generator(shape, 5000), generator(shape, 5000));
        let forward: Vec<_> = (0..5).map(|round| body(&mut there, round)).collect();
        let backward: Vec<_> = (0..5).rev().map(|round| body(&mut back, round)).collect();
        assert!(forward.iter().eq(backward.iter().rev()), "{shape:?}");
        let mut other = Generator::new(
            &ClusterSpec {
                index: 2,
                ..spec(shape, 5000)
            },
            NOW_MS,
        );
        assert_ne!(forward[0], body(&mut other, 0), "{shape:?}");
    }
}

#[test]
fn plain_has_22_families_and_278_bytes_a_line() {
    let mut generator = generator(Shape::Plain, 48_000);
    let body = body(&mut generator, 2);
    let sizes = family_sizes(&body);
    assert_eq!(sizes.len(), 22);
    assert!(sizes.iter().all(|(_, size)| *size > 1500), "{sizes:?}");
    let lines: Vec<_> = body.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 48_000);
    let mean = lines.iter().map(|line| line.len() + 1).sum::<usize>() as f64 / 48_000.0;
    assert!((mean / 278.0 - 1.0).abs() < 0.05, "{mean}");
}

#[test]
fn four_in_ten_values_of_plain_change() {
    let mut generator = generator(Shape::Plain, 20_000);
    let bodies: Vec<_> = (10..15).map(|round| body(&mut generator, round)).collect();
    for pair in bodies.windows(2) {
        let (old, new) = (samples(&pair[0]), samples(&pair[1]));
        assert!(old.keys().eq(new.keys()));
        let changed = old
            .iter()
            .filter(|(series, sample)| new[*series].0 != sample.0)
            .count();
        assert!((7600..8400).contains(&changed), "{changed}");
        assert!(
            old.iter()
                .all(|(series, sample)| new[series].1 == sample.1 + INTERVAL_MS)
        );
    }
}

#[test]
fn half_of_the_families_of_real_are_small() {
    let mut generator = generator(Shape::Real, 48_000);
    let body = body(&mut generator, 0);
    let sizes = family_sizes(&body);
    assert_eq!(sizes.len(), 1200);
    let small = sizes.iter().filter(|(_, size)| *size < 5).count();
    assert!((590..=610).contains(&small), "{small}");
    let by_name: HashMap<_, _> = sizes.into_iter().collect();
    for name in [
        "container_cpu_usage_seconds_total",
        "kube_pod_container_resource_requests",
        "http_request_duration_seconds_bucket",
    ] {
        assert!(by_name[name] > 300, "{name}");
    }
    let metadata: serde_json::Value = serde_json::from_str(&generator.metadata_json()).unwrap();
    let known = metadata["data"].as_object().unwrap();
    for name in by_name.keys() {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let entry = known.get(*name).or_else(|| known.get(base?)).unwrap();
        assert!(!entry[0]["help"].as_str().unwrap().is_empty(), "{name}");
    }
    let lengths: HashSet<_> = samples(&body)
        .values()
        .map(|(value, _)| value.len())
        .collect();
    assert!(lengths.len() > 10);
    assert!(
        samples(&body)
            .values()
            .filter(|(value, _)| value.len() - value.find('.').map_or(0, |at| at + 1) == 9)
            .count()
            > 500
    );
}

#[test]
fn one_in_a_hundred_series_of_real_is_replaced() {
    let mut generator = generator(Shape::Real, 48_000);
    let mut old = body(&mut generator, 0);
    let mut all = 0;
    for round in 1..=10 {
        let new = body(&mut generator, round);
        let (before, after) = (samples(&old), samples(&new));
        let gone = before
            .keys()
            .filter(|series| !after.contains_key(*series))
            .count();
        let fresh = after
            .keys()
            .filter(|series| !before.contains_key(*series))
            .count();
        assert_eq!(gone, fresh);
        assert!((300..700).contains(&gone), "{gone} in round {round}");
        all += gone;
        old = new;
    }
    assert!((4400..5300).contains(&all), "{all}");
}

#[test]
fn counters_never_fall_and_histograms_stay_cumulative() {
    for shape in [Shape::Demo, Shape::Plain, Shape::Real] {
        let mut generator = generator(shape, 6000);
        let mut old = body(&mut generator, 0);
        for round in [1, 2, 3, 50, 51, 5000] {
            let new = body(&mut generator, round);
            let before = samples(&old);
            for (series, (value, stamp)) in samples(&new) {
                let name = series.split('{').next().unwrap();
                let counts = ["_total", "_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.ends_with(end));
                let Some((earlier, then)) = before.get(series).filter(|_| counts) else {
                    continue;
                };
                assert!(then < &stamp);
                let (earlier, value): (f64, f64) =
                    (earlier.parse().unwrap(), value.parse().unwrap());
                assert!(value >= earlier, "{series}: {earlier} > {value}");
            }
            check_buckets(&new);
            old = new;
        }
    }
}

/// Buckets grow with their bound, and the last one is the count.
fn check_buckets(body: &str) {
    let samples = samples(body);
    let mut buckets: HashMap<String, Vec<(f64, f64)>> = HashMap::new();
    for (series, (value, _)) in &samples {
        let Some((head, tail)) = series.split_once(",le=\"") else {
            continue;
        };
        let (bound, rest) = tail.split_once("\",").unwrap();
        let whole = format!("{head},{rest}").replace("_bucket{", "_count{");
        buckets
            .entry(whole)
            .or_default()
            .push((bound.parse().unwrap(), value.parse().unwrap()));
    }
    for (count, mut buckets) in buckets {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            buckets.is_sorted_by(|one, other| one.1 <= other.1),
            "{count}: {buckets:?}"
        );
        if let Some((value, _)) = samples.get(count.as_str()) {
            assert_eq!(
                buckets.last().unwrap(),
                &(f64::INFINITY, value.parse().unwrap()),
                "{count}"
            );
        }
    }
}

#[test]
fn demo_has_what_dashboards_ask_for() {
    let mut generator = generator(Shape::Demo, 5000);
    let body = body(&mut generator, 1);
    let sizes: HashMap<_, _> = family_sizes(&body).into_iter().collect();
    for name in [
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "kube_pod_info",
        "kube_pod_status_phase",
        "kube_deployment_status_replicas",
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_filesystem_avail_bytes",
        "http_request_duration_seconds_bucket",
        "http_request_duration_seconds_sum",
        "http_request_duration_seconds_count",
        "up",
        "cluster:node_cpu:ratio_rate5m",
    ] {
        assert!(sizes.contains_key(name), "{name}");
    }
    assert!(
        body.contains("kube_pod_container_resource_requests{") && body.contains("resource=\"cpu\"")
    );
}

#[test]
fn time_inside_a_round_moves_only_targets_that_were_scraped_since() {
    let mut generator = generator(Shape::Demo, 3000);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    generator.federate(NOW_MS + 4000, &mut early);
    generator.federate(NOW_MS + 9000, &mut late);
    let (early, late) = (
        String::from_utf8(early).unwrap(),
        String::from_utf8(late).unwrap(),
    );
    let (early, late) = (samples(&early), samples(&late));
    let moved = early
        .iter()
        .filter(|(series, sample)| late[*series].1 != sample.1)
        .count();
    assert!(moved > 300 && moved < 2700, "{moved}");
    assert!(
        early
            .iter()
            .all(|(series, sample)| late[series].1 != sample.1 || late[series].0 == sample.0)
    );
}

/// Not run by default: prints what rendering costs. `cargo test --release … -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a measurement on the real clock"
)]
fn cost_of_a_body() {
    for shape in [Shape::Plain, Shape::Real] {
        let mut generator = generator(shape, 48_000);
        let mut out = Vec::new();
        for round in 0..20 {
            out.clear();
            let start = std::time::Instant::now();
            generator.federate(NOW_MS + round * INTERVAL_MS, &mut out);
            eprintln!(
                "{shape:?} {round}: {:?} for {} bytes",
                start.elapsed(),
                out.len()
            );
        }
    }
}
