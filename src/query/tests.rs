//! The engine as a whole: errors, limits, plans, and that a range query is the same as its steps one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;

use super::budget::Budget;
use super::labels::LabelSet;
use super::memory::Memory;
use super::source::{Samples, Selected, SeriesSet, Short, Source, SourceError, Want};
use super::{Answer, Engine, ErrorKind, Query, QueryError, Settings, Value, When};
use crate::pool::Pool;
use crate::promql::{Feature, Features};

const MINUTE: i64 = 60_000;

fn engine(settings: Settings) -> Engine {
    Engine::new(settings, Pool::new(tokio::runtime::Handle::current(), 2))
}

fn experimental() -> Settings {
    Settings {
        features: Features::all(),
        ..Settings::default()
    }
}

/// Series written as `name{a="1"}`, with a sample each minute from 0.
fn memory(series: &[(&str, &[f64])]) -> Memory {
    Memory::new(series.iter().map(|(metric, values)| {
        let matchers = crate::promql::parse_metric_selector(metric).unwrap();
        let labels = LabelSet::from_pairs(matchers.iter().map(|m| (m.name(), m.value())));
        let mut samples = Samples::default();
        for (minute, value) in (0..).zip(*values) {
            samples.push(minute * MINUTE, *value);
        }
        (labels, samples)
    }))
}

fn run_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn ask(
    source: &impl Source,
    settings: Settings,
    text: &str,
    when: When,
) -> Result<Answer, QueryError> {
    run_on(async { engine(settings).run(source, &Query::new(text, when)).await })
}

fn range(minutes: i64) -> When {
    When::Range {
        start_ms: 0,
        end_ms: minutes * MINUTE,
        step_ms: MINUTE,
    }
}

#[test]
fn wrong_queries_get_prometheus_errors() {
    let source = memory(&[
        (r#"a{x="1",y="1"}"#, &[1.0, 2.0, 3.0]),
        (r#"a{x="1",y="2"}"#, &[4.0, 5.0, 6.0]),
        (r#"b{x="1",z="1"}"#, &[1.0, 2.0, 3.0]),
        (r#"b{x="1",z="2"}"#, &[1.0, 2.0, 3.0]),
        (r#"c{x="1"}"#, &[1.0, 2.0, 3.0]),
        (r#"d{y="1"}"#, &[0.0, 0.0, 0.0]),
        (r#"e{y="1"}"#, &[0.0, 0.0, 0.0]),
    ]);
    let check = |text: &str, kind: ErrorKind, want: &str| {
        let error = ask(&source, experimental(), text, When::Instant(2 * MINUTE)).unwrap_err();
        assert_eq!((error.text.as_str(), error.kind), (want, kind), "{text}");
    };
    let execution = |text: &str, want: &str| check(text, ErrorKind::Execution, want);
    execution(
        "a * on (x) b",
        r#"found duplicate series for the match group {x="1"} on the right hand-side of the operation: [{__name__="b", x="1", z="1"}, {__name__="b", x="1", z="2"}];many-to-many matching not allowed: matching labels must be unique on one side"#,
    );
    execution(
        "a * on (x) group_right b",
        r#"found duplicate series for the match group {x="1"} on the left hand-side of the operation: [{__name__="a", x="1", y="1"}, {__name__="a", x="1", y="2"}];many-to-many matching not allowed: matching labels must be unique on one side"#,
    );
    execution(
        "a * on (x) c",
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
    execution(
        "a * on (x) group_left (y) c",
        "multiple matches for labels: grouping labels must ensure unique matches",
    );
    execution(
        r#"label_replace(a, "y", "", "", "")"#,
        "vector cannot contain metrics with the same labelset",
    );
    execution(
        r#"-{__name__=~"d|e"}"#,
        "vector cannot contain metrics with the same labelset",
    );
    execution(
        r#"label_replace(a, "y", "$1", "x", "(.*")"#,
        "invalid regular expression in label_replace(): (.*",
    );
    execution(
        r#"label_join(a, "", "-", "x")"#,
        "invalid destination label name in label_join(): ",
    );
    execution(
        r#"count_values("a\xc5z", a)"#,
        r#"invalid label name "a\xc5z""#,
    );
    execution("topk(NaN, a)", "Parameter value is NaN");
    execution("topk(1e20, a)", "Scalar value 1e+20 overflows int64");
    execution("limitk(scalar(a), a)", "Parameter value is NaN");
    execution("limit_ratio(NaN, a)", "Ratio value is NaN");
    execution(
        "double_exponential_smoothing(a[5m], 1, 0.1)",
        "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000",
    );
    execution(
        "max_over_time(a[5m] smoothed)",
        "smoothed modifier can only be used with: delta, increase, rate - not with max_over_time",
    );
    check(
        "sum(a",
        ErrorKind::BadData,
        "1:6: parse error: unclosed left parenthesis",
    );
    check(
        "sum(a[5m])",
        ErrorKind::BadData,
        "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
    );
}

#[test]
fn names_are_dropped_where_they_stand_by_default() {
    let source = memory(&[
        (r#"d_total{y="1"}"#, &[0.0, 1.0, 2.0]),
        (r#"e_total{y="1"}"#, &[0.0, 2.0, 4.0]),
    ]);
    let run = |text: &str| {
        ask(
            &source,
            Settings::default(),
            text,
            When::Instant(2 * MINUTE),
        )
    };
    for text in [
        r#"rate({__name__=~"d_total|e_total"}[5m])"#,
        r#"{__name__=~"d_total|e_total"} + 1"#,
        r#"abs({y="1"})"#,
        r#"timestamp({y="1"})"#,
    ] {
        let error = run(text).unwrap_err();
        assert_eq!(
            error.text, "vector cannot contain metrics with the same labelset",
            "{text}"
        );
    }
    for text in [
        "rate(d_total[5m])",
        "d_total + 1",
        "last_over_time(d_total[5m]) * 2",
        r#"sum by (y) ({y="1"})"#,
    ] {
        let Value::Vector(samples) = run(text).unwrap().value else {
            panic!("{text} gives no vector");
        };
        assert_eq!(samples.len(), 1, "{text}");
        assert_eq!(samples[0].labels.to_string(), r#"{y="1"}"#, "{text}");
    }
}

#[test]
fn a_range_query_gives_a_matrix() {
    let source = memory(&[("a", &[1.0, 2.0, 3.0])]);
    let ask = |text: &str| ask(&source, Settings::default(), text, range(1));
    for (text, got) in [("a[1m]", "range vector"), (r#""a""#, "string")] {
        let error = ask(text).unwrap_err();
        let want = format!(
            "invalid expression type \"{got}\" for range query, must be Scalar or instant Vector"
        );
        assert_eq!((error.kind, error.text), (ErrorKind::BadData, want));
    }
    let Value::Matrix(series) = ask("time()").unwrap().value else {
        panic!("no matrix");
    };
    assert_eq!(series[0].points, [(0, 0.0), (MINUTE, 60.0)]);
}

#[test]
fn a_query_over_a_budget_fails_alone() {
    let ones = [1.0; 60];
    let source = memory(&[("a", &ones), ("b", &ones)]);
    let few = Settings {
        samples_max: 100,
        ..Settings::default()
    };
    let samples = "query processing would load too many samples into memory in query execution";
    for (text, when) in [
        (r#"{__name__=~"a|b"}"#, range(59)),
        ("a + on () b", range(59)),
        ("topk(1, a) or topk(1, b)", range(59)),
        ("vector(1)", range(100)),
        ("count_over_time(vector(1)[200y:1ms])", When::Instant(0)),
        ("count_over_time(a[200y:1ms])", When::Instant(0)),
        ("max_over_time(vector(time())[200y:1ms])", When::Instant(0)),
    ] {
        let error = ask(&source, few.clone(), text, when).unwrap_err();
        assert_eq!(
            (error.kind, error.text.as_str()),
            (ErrorKind::Execution, samples),
            "{text}"
        );
    }
    let sum = ask(&source, few, r#"sum({__name__=~"a|b"})"#, range(39)).unwrap();
    assert!(
        sum.stats.samples_read >= 80 && sum.stats.samples_peak <= 80,
        "{sum:?}"
    );
    let small = Settings {
        memory_max_bytes: 2000,
        ..Settings::default()
    };
    let error = ask(&source, small.clone(), "a", range(59)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Execution);
    assert!(error.text.contains("that one query may"), "{error}");
    assert!(ask(&source, small, "a", range(1)).is_ok());
}

/// Two hundred series with long labels, the value of each its number.
fn many() -> Memory {
    let values: Vec<[f64; 1]> = (0..200).map(|n| [f64::from(n)]).collect();
    let long = "x".repeat(2000);
    let names: Vec<String> = (0..200)
        .map(|n| format!(r#"a{{n="{n}",le="{n}",long="{long}{n}"}}"#))
        .collect();
    let series = names.iter().map(String::as_str);
    let series: Vec<(&str, &[f64])> = series
        .zip(values.iter().map(<[f64; 1]>::as_slice))
        .collect();
    memory(&series)
}

#[test]
fn all_that_a_query_makes_counts_as_its_memory() {
    let source = many();
    let limited = |limit: u64| Settings {
        memory_max_bytes: limit,
        ..experimental()
    };
    // Each makes, beside numbers, 400 kB at least of labels, tables or rows, and gives little; a sum makes none.
    for text in [
        "count(count by (long) (a))",
        "count(count without (n) (a))",
        r#"count(count_values by (long) ("v", a))"#,
        r#"count(label_replace(a, "m", "$1", "long", "(.*)"))"#,
        "count(topk by (long) (1, a))",
        "count(quantile by (long) (0.5, a))",
        "count(a + a)",
        "count(a and on (long) a)",
        "count(a or on (long) a)",
        r#"sum(sort_by_label(a, "long"))"#,
        "count(info(a))",
        "count(histogram_quantile(0.5, a))",
        "a",
        "a[1m]",
        "max_over_time(vector(time())[50000s:1s])",
        "max_over_time(vector(scalar(a))[50000s:1s])",
        r#"count(histogram_quantiles(a, "q", 0.1, 0.2))"#,
    ] {
        let error = ask(&source, limited(600_000), text, When::Instant(0));
        let error = error.expect_err(text);
        assert!(error.text.contains("that one query may"), "{text}: {error}");
        let enough = ask(&source, limited(20_000_000), text, When::Instant(0));
        assert!(enough.is_ok(), "{text}: {enough:?}");
    }
    let sum = ask(&source, limited(600_000), "sum(a)", When::Instant(0));
    assert!(sum.is_ok(), "{sum:?}");
}

/// A short query that makes long texts of short ones ends at its budget, before the texts are made.
#[test]
fn texts_that_double_end_at_the_budget() {
    let small = Settings {
        memory_max_bytes: 4 << 20,
        ..Settings::default()
    };
    let fill = r#"label_replace(vector(1), "j", "ab", "", "")"#.to_owned();
    let doubled = (0..60).fold(fill, |inner, _| {
        format!(r#"label_replace({inner}, "j", "$1$1", "j", "(.*)")"#)
    });
    let separator = "x".repeat(1000);
    let sources = r#", "n""#.repeat(10_000);
    let joined = format!(r#"label_join(vector(1), "x", "{separator}"{sources})"#);
    let class = r#"label_replace(vector(1), "x", "$1", "j", "([\\pL\\pN]{1,300}.)")"#;
    for text in [doubled, joined, class.to_owned()] {
        let error = ask(&memory(&[]), small.clone(), &text, When::Instant(0));
        let error = error.expect_err("more than the budget");
        assert!(error.text.contains("that one query may"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_ends_at_its_deadline() {
    let settings = Settings {
        timeout: Duration::from_secs(10),
        concurrency_max: 1,
        ..Settings::default()
    };
    let engine = engine(settings);
    let query = Query::new("a", When::Instant(0));
    let brief = Query {
        timeout: Some(Duration::from_secs(3)),
        ..query.clone()
    };
    let before = tokio::time::Instant::now();
    let silent = Silent;
    let (first, second) = tokio::join!(engine.run(&silent, &query), engine.run(&silent, &brief));
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert_eq!(first.kind, ErrorKind::Timeout);
    assert_eq!(first.text, "query timed out in expression evaluation");
    assert_eq!(
        (second.kind, second.text.as_str()),
        (ErrorKind::Timeout, "query timed out in query queue")
    );
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    assert_eq!(engine.running(), 0);
    let late = Query {
        timeout: Some(Duration::ZERO),
        ..query
    };
    let error = engine
        .run(&memory(&[("a", &[1.0])]), &late)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_query_does_not_wait_longer_than_its_deadline_for_the_pool() {
    let full = Pool::new(tokio::runtime::Handle::current(), 0);
    let engine = Engine::new(Settings::default(), full);
    let query = Query {
        timeout: Some(Duration::from_secs(3)),
        ..Query::new("a", When::Instant(0))
    };
    let before = tokio::time::Instant::now();
    let error = engine.run(&memory(&[("a", &[1.0])]), &query).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.text, "query timed out in expression evaluation");
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    assert_eq!((engine.running(), engine.held_bytes()), (0, 0));
}

#[test]
fn samples_read_count_at_each_step() {
    let (steady, gone) = ([1.0; 10], [1.0, 2.0]);
    let source = memory(&[("a", &steady), ("b", &gone)]);
    let brief = Settings {
        lookback: Duration::from_secs(60),
        ..Settings::default()
    };
    let check = |text: &str, when: When, want: u64| {
        let answer = ask(&source, brief.clone(), text, when).unwrap();
        assert_eq!(answer.stats.samples_read, want, "{text}");
    };
    check("a", When::Instant(5 * MINUTE), 1);
    check("a", range(9), 10);
    check("b", range(9), 2);
    check("a + b", range(9), 12);
    check("a[3m]", When::Instant(5 * MINUTE), 3);
    check("sum_over_time(a[2m])", range(9), 1 + 9 * 2);
    check("a @ 60", range(9), 10);
    check("scalar(a @ 60) + vector(1)", range(9), 10);
    check("sum_over_time(a[2m] @ 120)", range(9), 20);
    // The points of a subquery, not the samples that they are made of.
    check("sum_over_time(a[3m:1m])", When::Instant(5 * MINUTE), 3);
    check(
        "sum_over_time(sum_over_time(a[3m])[3m:1m])",
        When::Instant(5 * MINUTE),
        3,
    );
    check(
        "sum_over_time((a @ 60)[3m:1m]) + a",
        When::Instant(5 * MINUTE),
        4,
    );
}

/// Never answers.
struct Silent;

impl Source for Silent {
    async fn select(&self, _: &Want<'_>, _: &Budget) -> Result<Selected, SourceError> {
        std::future::pending().await
    }
}

/// Series that are made as they are read.
#[derive(Clone, Debug)]
struct Made {
    count: usize,
    read: Arc<AtomicUsize>,
    /// The series at which reading panics.
    panics_at: usize,
}

impl Source for Made {
    async fn select(&self, _: &Want<'_>, _: &Budget) -> Result<Selected, SourceError> {
        let mut found = Selected::of(Arc::new(self.clone()));
        found.short = ["b", "a"]
            .map(|cluster| Short {
                cluster: cluster.to_owned(),
                oldest_ms: 90 * MINUTE,
            })
            .to_vec();
        Ok(found)
    }
}

impl SeriesSet for Made {
    fn len(&self) -> usize {
        self.count
    }

    fn labels(&self, series: usize, visit: &mut dyn FnMut(&str, &str)) {
        visit("__name__", "made");
        visit("number", &series.to_string());
    }

    fn samples(&self, series: usize, out: &mut Samples) {
        assert_ne!(series, self.panics_at, "nobody can read this");
        self.read.fetch_add(1, Relaxed);
        out.push(100 * MINUTE, 1.0);
    }

    fn may_have_type_or_unit(&self) -> bool {
        false
    }
}

fn made(count: usize, panics_at: usize) -> Made {
    Made {
        count,
        read: Arc::default(),
        panics_at,
    }
}

#[test]
fn a_panic_fails_one_query() {
    let bad = made(10, 5);
    run_on(async {
        let engine = engine(Settings::default());
        let query = Query::new("count(made)", When::Instant(100 * MINUTE));
        let (bad, good) = (
            engine.run(&bad, &query).await,
            engine.run(&made(10, 10), &query).await,
        );
        let bad = bad.unwrap_err();
        assert_eq!(bad.kind, ErrorKind::Internal);
        assert!(
            bad.text.starts_with("unexpected error: ") && bad.text.contains("nobody can read this"),
            "{bad}"
        );
        assert!(matches!(good.unwrap().value, Value::Vector(v) if v[0].value == 10.0));
        assert_eq!((engine.running(), engine.held_bytes()), (0, 0));
    });
}

#[test]
fn dropping_the_future_ends_the_evaluation() {
    let many = made(usize::MAX, usize::MAX);
    run_on(async {
        let engine = engine(Settings::default());
        let query = Query::new("count(made)", When::Instant(100 * MINUTE));
        let mut run = Box::pin(engine.run(&many, &query));
        while many.read.load(Relaxed) == 0 {
            tokio::select! {
                biased;
                answer = &mut run => panic!("answered: {answer:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(run);
        // The evaluation holds the series; it lets go of them where it ends.
        while Arc::strong_count(&many.read) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(engine.running(), 0);
    });
}

#[test]
fn a_reach_beyond_the_samples_is_told() {
    let source = made(1, 1);
    let at = When::Instant(100 * MINUTE);
    let told = ask(&source, Settings::default(), "increase(made[1h])", at).unwrap();
    assert_eq!(
        told.warnings,
        [
            "made[1h] reaches back 1h to 1970-01-01T00:40:00Z, but the samples in memory of cluster \"b\", \"a\" begin at \
             1970-01-01T01:30:00Z: the result lacks what was before; a longer --storage.window keeps more"
        ]
    );
    let near = ask(&source, Settings::default(), "made", at).unwrap();
    assert_eq!(near.warnings, Vec::<String>::new());
    let strict = Query {
        strict: true,
        ..Query::new("increase(made[1h])", at)
    };
    let error =
        run_on(async { engine(Settings::default()).run(&source, &strict).await }).unwrap_err();
    assert_eq!(
        (error.kind, error.text),
        (ErrorKind::Execution, told.warnings[0].clone())
    );
}

#[test]
fn plans_print_as_one_line() {
    let check = |text: &str, want: &str| {
        let got = run_on(async {
            let query = Query::new(text, range(10));
            engine(experimental()).plan(&query).unwrap().to_string()
        });
        assert_eq!(got, want);
    };
    check("1 + 2 * -3", "-5");
    check("a", "a");
    check(
        r#"{__name__=~"a|b"} offset 5m"#,
        r#"{__name__=~"a|b"} offset 300s"#,
    );
    check(
        "sum by (b, a) (rate(x_total{y!=\"\"}[1m]))",
        r#"sum by (a, b) (rate(x_total{y!=""}[60s]))"#,
    );
    check(
        "x / on (a) group_left (b) (y @ end())",
        "(x / on (a) group_left (b) once(y @ 600s))",
    );
    check(
        "rate(x[5m] @ start()) + time()",
        "(once(rate(once(x[300s] @ 0s))) + time())",
    );
    check(
        "max_over_time(x[1h:]) > bool 1",
        "(max_over_time(x[3600s:60s]) > bool 1)",
    );
    check("topk without (a) (3, -x)", "topk without (a) (3, -x)");
    check(
        "rate(x[step() * 2] offset range())",
        "rate(x[120s] offset 600s)",
    );
    check(r#"info(x, {a="b"})"#, r#"info(x, target_info{a="b"})"#);
}

#[test]
fn selectors_know_their_reach() {
    let check = |text: &str, want: (i64, i64)| {
        let plan = run_on(async {
            engine(experimental())
                .plan(&Query::new(text, range(10)))
                .unwrap()
        });
        assert_eq!(plan.selectors[0].reach, Some(want), "{text}");
    };
    let m = MINUTE;
    check("x", (-5 * m + 1, 10 * m));
    check("rate(x[1m])", (-m + 1, 10 * m));
    check("rate(x[1m] offset 1h)", (-61 * m + 1, -50 * m));
    check("x @ 60", (-4 * m + 1, m));
    check("x smoothed", (-5 * m + 1, 15 * m));
    check("rate(x[1m] anchored)", (-6 * m + 1, 10 * m));
    check("max_over_time(x[1h:1m])", (-59 * m - 5 * m + 1, 10 * m));
    check("max_over_time(x[1h:7m])", (-56 * m - 5 * m + 1, 7 * m));
    check(
        "max_over_time(rate(x[1m] offset 2m)[1h:1m] offset 3m)",
        (-62 * m - 2 * m - m + 1, 5 * m),
    );
    check("max_over_time(x[10m:1m] @ 0)", (-9 * m - 5 * m + 1, 0));
    check("info(y, {a=\"b\"}) + x", (-5 * m + 1, 10 * m));
}

#[test]
fn absence_has_the_labels_that_are_given() {
    let source = memory(&[("x", &[1.0])]);
    let check = |text: &str, want: &str| {
        let answer = ask(&source, Settings::default(), text, When::Instant(0)).unwrap();
        let Value::Vector(samples) = answer.value else {
            panic!("{text} gives no vector");
        };
        let labels: Vec<String> = samples.iter().map(|s| s.labels.to_string()).collect();
        assert_eq!(labels, [want], "{text}");
    };
    check("absent(y)", "{}");
    check(r#"absent(y{a="1",b!="2",c=~"3",d=""})"#, r#"{a="1"}"#);
    check(r#"absent(y{a="1",a="2",b="3"})"#, r#"{b="3"}"#);
    check(r#"absent(y{a="1",a!="2"})"#, "{}");
    check(r#"absent(y{a!="2",a="1"})"#, r#"{a="1"}"#);
    check(r#"absent_over_time(y{a="1"}[5m])"#, r#"{a="1"}"#);
    check(r#"absent(sum(y{a="1"}))"#, "{}");
}

/// Evaluation recurses as deep as the parser lets a query be, on the small stacks of the pool's threads.
#[test]
fn deep_queries_are_evaluated() {
    let source = memory(&[("x", &[1.0; 30])]);
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}x{}", open.repeat(levels), close.repeat(levels))
    };
    let levels = crate::promql::NESTING_MAX - 10;
    for text in [
        nested("-", "", levels),
        nested("(", ")", levels),
        nested("abs(", ")", levels),
        nested("sum(", ")", levels),
        nested("topk(1, ", ")", levels),
        nested("sort(", ")", levels),
        nested("vector(scalar(", "))", levels / 2),
        nested("label_replace(", r#", "a", "b", "", "")"#, levels),
        nested("absent(", ")", levels),
        nested("clamp_min(", ", 1)", levels),
        nested("", " + x", levels),
        nested("", " or x", levels),
        nested("x and (", ")", levels / 2),
        nested("max_over_time(", "[2ms:1ms])", levels / 2),
        nested("info(", ")", levels),
        nested("histogram_quantile(0.5, ", ")", levels),
    ] {
        for when in [When::Instant(20 * MINUTE), range(2)] {
            let answer = ask(&source, experimental(), &text, when);
            assert!(answer.is_ok(), "{text}: {answer:?}");
        }
    }
}

/// Queries that are evaluated differently over many steps than at one: windows that slide, joins and groups that are
/// found once, parts that are the same at every step.
const QUERIES: [&str; 40] = [
    "a",
    "a offset 3m",
    "-a",
    "rate(a[3m])",
    "increase(a[150s])",
    "irate(a[5m])",
    "delta(a[4m] offset 1m)",
    "resets(a[6m])",
    "changes(a[6m])",
    "deriv(a[6m])",
    "predict_linear(a[6m], 60)",
    "sum_over_time(a[3m])",
    "avg_over_time(a[3m])",
    "quantile_over_time(scalar(b{x=\"1\"}) / 10, a[5m])",
    "stddev_over_time(a[5m])",
    "last_over_time(a[2m])",
    "absent_over_time(a{x=\"1\"}[1m])",
    "absent(a{x=\"1\"})",
    "timestamp(a)",
    "sum by (x) (a)",
    "avg without (y) (a)",
    "stddev(a)",
    "count by (x) (a > 3)",
    "quantile(0.5, a)",
    "topk by (x) (1, a)",
    "bottomk(2, a)",
    "count_values(\"v\", a)",
    "limitk(2, a)",
    "a + on (x, y) b",
    "a > b",
    "a >= bool b",
    "a / on (x) group_left () (b{y=\"1\"})",
    "a and on (x) b",
    "a or b",
    "a unless b",
    "max_over_time(sum by (x) (a)[5m:1m])",
    "rate(a[5m:30s])",
    "scalar(a{x=\"1\",y=\"1\"}) + time()",
    "sum(a @ 300) + a",
    "clamp(a, scalar(b{x=\"1\",y=\"1\"}), 8) * on (x, y) group_left () b",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_range_query_is_its_steps(
        rows in proptest::collection::vec(proptest::collection::vec(proptest::option::weighted(0.7, 0_u8..12), 12), 8),
        delayed in any::<bool>(),
    ) {
        let stale = f64::from_bits(super::source::STALE_BITS);
        let series = rows.iter().enumerate().map(|(at, row)| {
            let name = if at < 4 { "a" } else { "b" };
            let [x, y] = [at / 2 % 2, at % 2].map(|n| n.to_string());
            let labels = LabelSet::from_pairs([("__name__", name), ("x", x.as_str()), ("y", y.as_str())]);
            let mut samples = Samples::default();
            let late = [0, 1, 2][at % 3];
            for (minute, value) in (0..).zip(row) {
                if let Some(value) = value {
                    let value = if *value == 11 { stale } else { f64::from(*value) };
                    samples.push(minute * MINUTE + 7_000 * late, value);
                }
            }
            (labels, samples)
        });
        let source = Memory::new(series);
        let features: Features = Feature::ALL.into_iter().filter(|f| delayed || *f != Feature::DelayedNameRemoval).collect();
        let settings = Settings { features, ..Settings::default() };
        run_on(async {
            let engine = engine(settings);
            for text in QUERIES {
                let (start, step, steps) = (MINUTE / 2, 50_000, 14);
                let when = When::Range { start_ms: start, end_ms: start + (steps - 1) * step, step_ms: step };
                let whole = engine.run(&source, &Query::new(text, when)).await;
                let mut single = Vec::new();
                let mut failed = None;
                for at in 0..steps {
                    let time = start + at * step;
                    match engine.run(&source, &Query::new(text, When::Instant(time))).await {
                        Ok(answer) => single.extend(points(answer.value)),
                        Err(error) => failed = failed.or(Some(error.text)),
                    }
                }
                match whole {
                    Err(error) => assert_eq!(Some(error.text), failed, "{text}"),
                    Ok(answer) => {
                        assert_eq!(failed, None, "{text}");
                        let mut whole = points(answer.value);
                        whole.sort();
                        single.sort();
                        assert_eq!(whole, single, "{text}");
                    }
                }
            }
        });
    }
}

/// All samples of a value as text, so that NaN is NaN.
fn points(value: Value) -> Vec<(String, i64, String)> {
    let rounded = |value: f64| format!("{value:.9e}");
    match value {
        Value::Scalar(time, value) => vec![(String::from("{}"), time, rounded(value))],
        Value::String(..) => vec![],
        Value::Vector(samples) => samples
            .into_iter()
            .map(|s| (s.labels.to_string(), s.time_ms, rounded(s.value)))
            .collect(),
        Value::Matrix(series) => series
            .into_iter()
            .flat_map(|s| {
                let labels = s.labels.to_string();
                s.points
                    .into_iter()
                    .map(move |(t, v)| (labels.clone(), t, rounded(v)))
            })
            .collect(),
    }
}

/// Series that say which of them are alike: by their labels, and those at even places never with those at odd ones.
#[derive(Debug)]
struct Alike(Arc<dyn SeriesSet>);

impl SeriesSet for Alike {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize, visit: &mut dyn FnMut(&str, &str)) {
        self.0.labels(series, visit);
    }

    fn samples(&self, series: usize, out: &mut Samples) {
        self.0.samples(series, out);
    }

    fn alike(&self, counts: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        let mut known = Vec::new();
        let number = |at: usize| {
            let mut labels = vec![(at % 2).to_string()];
            self.0.labels(at, &mut |name, value| {
                if counts(name) {
                    labels.push(format!("{name}={value}"));
                }
            });
            let place = known.iter().position(|other| *other == labels);
            let place = place.unwrap_or_else(|| {
                known.push(labels);
                known.len() - 1
            });
            u32::try_from(place).unwrap()
        };
        Some((0..self.0.len()).map(number).collect())
    }

    fn may_have_type_or_unit(&self) -> bool {
        self.0.may_have_type_or_unit()
    }
}

struct Knowing(Memory);

impl Source for Knowing {
    async fn select(&self, want: &Want<'_>, budget: &Budget) -> Result<Selected, SourceError> {
        let selected = self.0.select(want, budget).await?;
        Ok(Selected::of(Arc::new(Alike(selected.series))))
    }
}

#[test]
fn a_source_that_knows_which_series_are_alike_changes_no_group() {
    let source = memory(&[
        (r#"a{x="1",y="1"}"#, &[1.0, 2.0]),
        (r#"a{x="1",y="2"}"#, &[2.0, 3.0]),
        (r#"a{x="2",y="1"}"#, &[4.0, 5.0]),
        (r#"a{x="2",y="2",__unit__="s"}"#, &[8.0, 9.0]),
        (r#"b{x="1",z="1"}"#, &[16.0, 20.0]),
        (r#"b{y="1"}"#, &[32.0, 40.0]),
    ]);
    let knowing = Knowing(source.clone());
    for text in [
        "sum by (x) (a)",
        "sum by (x, __name__) ({__name__=~\"a|b\"})",
        "sum by (x, __unit__) (rate({__name__=~\"a|b\"}[1m]) or a)",
        "sum without (y) ({__name__=~\"a|b\"})",
        "sum without (z) (a or b or -a)",
        "avg without () (rate({__name__=~\"a|b\"}[2m]) or a)",
        "topk by (x) (1, a or b)",
        "quantile by (y) (0.5, {__name__=~\"a|b\"})",
        "count_values by (x) (\"v\", a)",
        "group(a)",
    ] {
        let want = ask(&source, experimental(), text, range(2)).unwrap();
        let got = ask(&knowing, experimental(), text, range(2)).unwrap();
        assert_eq!(got.value, want.value, "{text}");
    }
}
