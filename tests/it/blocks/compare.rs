//! Answers of both sides in one form, and what differs between two of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value as Json;
use tributary::query::{Value, When};

use crate::support::http;

/// Queries whose answers have an order at one time.
const ORDERED: [&str; 4] = ["sort(", "sort_desc(", "topk(", "bottomk("];

type Labels = BTreeMap<String, String>;

/// Series with their points, in the order of the answer.
#[derive(Debug)]
pub(super) struct Answer {
    kind: &'static str,
    series: Vec<(Labels, Vec<(i64, f64)>)>,
    /// Samples read, over all steps.
    read: u64,
}

impl Answer {
    /// What the engine gave.
    pub(super) fn ours(answer: tributary::query::Answer) -> Self {
        let read = answer.stats.samples_read;
        let labels = |set: &tributary::query::labels::LabelSet| -> Labels {
            let pairs = set.iter();
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        match answer.value {
            Value::Scalar(at_ms, value) => {
                Self::of("scalar", vec![(Labels::new(), vec![(at_ms, value)])], read)
            }
            Value::Vector(samples) => {
                let one = samples.iter();
                let one = one
                    .map(|sample| (labels(&sample.labels), vec![(sample.time_ms, sample.value)]));
                Self::of("vector", one.collect(), read)
            }
            Value::Matrix(series) => {
                let all = series.into_iter();
                Self::of(
                    "matrix",
                    all.map(|series| (labels(&series.labels), series.points))
                        .collect(),
                    read,
                )
            }
            Value::String(..) => panic!("no query gives a text"),
        }
    }

    /// What a server says.
    pub(super) fn theirs(server: SocketAddr, query: &str, when: When) -> Result<Self, String> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let answer = match when {
            When::Instant(at_ms) => {
                let time = seconds(at_ms);
                http::get_with(
                    server,
                    "/api/v1/query",
                    &[("query", query), ("time", &time), ("stats", "true")],
                )
            }
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => {
                let [start, end, step] = [start_ms, end_ms, step_ms].map(seconds);
                let times = [
                    ("query", query),
                    ("start", &start),
                    ("end", &end),
                    ("step", &step),
                    ("stats", "true"),
                ];
                http::get_with(server, "/api/v1/query_range", &times)
            }
        };
        let answer = answer.unwrap();
        if answer.status != 200 {
            return Err(answer.body);
        }
        let json: Json = serde_json::from_str(&answer.body).unwrap();
        let (kind, result) = (&json["data"]["resultType"], &json["data"]["result"]);
        let list = || result.as_array().unwrap().iter();
        let read = &json["data"]["stats"]["samples"]["totalQueryableSamples"];
        let read = read.as_u64().unwrap();
        Ok(match kind.as_str().unwrap() {
            "scalar" => Self::of("scalar", vec![(Labels::new(), vec![point(result)])], read),
            "vector" => Self::of(
                "vector",
                list()
                    .map(|one| (metric(one), vec![point(&one["value"])]))
                    .collect(),
                read,
            ),
            "matrix" => {
                let points = |one: &Json| {
                    one["values"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(point)
                        .collect()
                };
                Self::of(
                    "matrix",
                    list().map(|one| (metric(one), points(one))).collect(),
                    read,
                )
            }
            other => panic!("{query}: {other}"),
        })
    }

    fn of(kind: &'static str, series: Vec<(Labels, Vec<(i64, f64)>)>, read: u64) -> Self {
        Self { kind, series, read }
    }
}

fn metric(series: &Json) -> Labels {
    let labels = series["metric"].as_object().unwrap().iter();
    labels
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// `[seconds, "value"]`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds of this century"
)]
fn point(pair: &Json) -> (i64, f64) {
    let at_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
    (at_ms, pair[1].as_str().unwrap().parse().unwrap())
}

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) series: usize,
    pub(super) values: usize,
    /// The largest relative difference of two values.
    pub(super) difference: f64,
}

impl Compared {
    /// Compares two answers of a query; says where they differ, or that they are empty.
    pub(super) fn add(
        &mut self,
        ours: &Answer,
        theirs: &Answer,
        query: &str,
    ) -> Result<(), String> {
        if ours.kind != theirs.kind {
            return Err(format!("a {}, not a {}", ours.kind, theirs.kind));
        }
        if theirs.series.is_empty() {
            return Err(format!("empty, ours has {} series", ours.series.len()));
        }
        if ours.read != theirs.read {
            let (mine, wanted) = (ours.read, theirs.read);
            return Err(format!("{mine} samples read, not {wanted}"));
        }
        let is_ordered =
            theirs.kind == "vector" && ORDERED.iter().any(|start| query.starts_with(start));
        let order = |answer: &Answer| -> Vec<Labels> {
            let mut labels: Vec<Labels> = answer
                .series
                .iter()
                .map(|(labels, _)| labels.clone())
                .collect();
            if !is_ordered {
                labels.sort();
            }
            labels
        };
        let (mine, wanted) = (order(ours), order(theirs));
        if mine != wanted {
            let only = |these: &[Labels], those: &[Labels]| {
                these.iter().find(|one| !those.contains(one)).cloned()
            };
            let (extra, lost) = (only(&mine, &wanted), only(&wanted, &mine));
            return Err(format!(
                "{} series, not {}; only ours: {extra:?}; only theirs: {lost:?}",
                mine.len(),
                wanted.len()
            ));
        }
        let wanted: BTreeMap<_, _> = theirs
            .series
            .iter()
            .map(|(labels, points)| (labels, points))
            .collect();
        for (labels, points) in &ours.series {
            self.points(points, wanted[labels])
                .map_err(|why| format!("{labels:?}: {why}"))?;
        }
        self.series += mine.len();
        Ok(())
    }

    fn points(&mut self, ours: &[(i64, f64)], theirs: &[(i64, f64)]) -> Result<(), String> {
        let times =
            |points: &[(i64, f64)]| -> Vec<i64> { points.iter().map(|point| point.0).collect() };
        if times(ours) != times(theirs) {
            return Err(format!(
                "{} points, not {}: {ours:?}, not {theirs:?}",
                ours.len(),
                theirs.len()
            ));
        }
        for (&(at_ms, mine), &(_, wanted)) in ours.iter().zip(theirs) {
            let difference = difference(mine, wanted);
            if difference > super::DIFFERENCE_MAX {
                return Err(format!("{mine} at {at_ms}, not {wanted}"));
            }
            self.difference = self.difference.max(difference);
        }
        self.values += ours.len();
        Ok(())
    }
}

/// Relative to the larger one; none between numbers that are equal, or both none.
fn difference(one: f64, other: f64) -> f64 {
    if one == other || one.is_nan() && other.is_nan() {
        return 0.0;
    }
    let difference = (one - other).abs() / one.abs().max(other.abs());
    if difference.is_nan() {
        f64::INFINITY
    } else {
        difference
    }
}

#[test]
fn differences_are_relative() {
    let check = |one, other, want| assert_eq!(difference(one, other), want, "{one} {other}");
    check(1.0, 1.0, 0.0);
    check(f64::NAN, f64::NAN, 0.0);
    check(f64::NAN, 1.0, f64::INFINITY);
    check(f64::INFINITY, f64::INFINITY, 0.0);
    check(f64::INFINITY, 1.0, f64::INFINITY);
    check(0.0, 1e-300, 1.0);
    check(3.0, 4.0, 0.25);
}

#[test]
fn answers_that_differ_are_told() {
    let labels = |value: &str| Labels::from([("a".to_owned(), value.to_owned())]);
    let answer = |list: &[(&str, i64, f64)]| {
        let series = list
            .iter()
            .map(|&(value, at_ms, number)| (labels(value), vec![(at_ms, number)]));
        Answer::of("vector", series.collect(), 0)
    };
    let mut compared = Compared::default();
    let two = answer(&[("x", 1, 1.0), ("y", 1, 2.0)]);
    let turned = answer(&[("y", 1, 2.0), ("x", 1, 1.0)]);
    assert!(compared.add(&two, &turned, "a").is_ok());
    assert!(compared.add(&two, &turned, "sort(a)").is_err());
    assert_eq!((compared.series, compared.values), (2, 2));
    assert!(compared.add(&two, &answer(&[("x", 1, 1.0)]), "a").is_err());
    assert!(
        compared
            .add(&two, &answer(&[("x", 1, 1.0), ("y", 2, 2.0)]), "a")
            .is_err()
    );
    assert!(
        compared
            .add(&two, &answer(&[("x", 1, 1.0), ("y", 1, 2.001)]), "a")
            .is_err()
    );
    assert!(compared.add(&answer(&[]), &answer(&[]), "a").is_err());
}
