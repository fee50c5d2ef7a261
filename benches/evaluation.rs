//! What evaluation costs: the queries that dashboards over many clusters are made of, over series in memory with a
//! sample every 15 seconds for 15 minutes, at one time and as a range of 60 steps. Selecting is not part of it.
//!
//! ```text
//! cargo bench --bench evaluation
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use tokio::runtime::Runtime;
use tributary::pool::Pool;
use tributary::query::budget::Budget;
use tributary::query::labels::LabelSet;
use tributary::query::memory::Memory;
use tributary::query::source::{Hints, Samples, Selected, SeriesSet, Source, SourceError, Want};
use tributary::query::{Engine, Query, Settings, When};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: usize = 20;
/// Series of the metric in each cluster.
const SERIES: usize = 2_000;
const STEP_MS: i64 = 15_000;
const STEPS: i64 = 60;
const START_MS: i64 = 1_800_000_000_000;

/// The bounds of the buckets of a histogram.
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf",
];

const QUERIES: [(&str, &str); 4] = [
    ("rate", "sum by (cluster) (rate(x_total[1m]))"),
    ("sum", "sum by (cluster, namespace) (x_total)"),
    (
        "quantile",
        "histogram_quantile(0.99, sum by (cluster, le) (rate(x_total[1m])))",
    ),
    ("count", "count(x_total)"),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let runtime = Runtime::new().expect("a runtime can be made");
    let engine = Engine::new(Settings::default(), Pool::new(runtime.handle().clone(), 1));
    let source = Fixed(runtime.block_on(series()));
    let end_ms = START_MS + STEPS * STEP_MS;
    let range = When::Range {
        start_ms: START_MS,
        end_ms,
        step_ms: STEP_MS,
    };
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements((CLUSTERS * SERIES) as u64));
    for (name, text) in QUERIES {
        for (kind, when) in [("instant", When::Instant(end_ms)), ("range", range)] {
            let query = Query::new(text, when);
            group.bench_function(format!("{name}/{kind}"), |bench| {
                bench.iter(|| {
                    let answer = runtime.block_on(engine.run(&source, &query));
                    black_box(answer.expect("the query is fine"))
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// Gives the same series whatever is asked for.
struct Fixed(Arc<dyn SeriesSet>);

impl Source for Fixed {
    async fn select(&self, _: &Want<'_>, _: &Budget) -> Result<Selected, SourceError> {
        Ok(Selected::of(self.0.clone()))
    }
}

/// Counters with the labels of a container.
async fn series() -> Arc<dyn SeriesSet> {
    let all = (0..CLUSTERS).flat_map(|cluster| (0..SERIES).map(move |series| (cluster, series)));
    let memory = Memory::new(all.map(|(cluster, series)| {
        let labels = LabelSet::from_pairs([
            ("__name__", "x_total"),
            ("cluster", format!("cluster-{cluster:02}").as_str()),
            ("container", "main"),
            ("instance", format!("10.0.{}.7:9100", series % 50).as_str()),
            ("job", "kubelet"),
            ("le", BOUNDS[series % BOUNDS.len()]),
            ("namespace", format!("team-{:02}", series % 40).as_str()),
            ("pod", format!("pod-{series}-7c9d8f-x2x4z").as_str()),
        ]);
        let mut samples = Samples::default();
        for at in -4..=STEPS {
            let value = (at + 4) as f64 * (1.0 + series as f64);
            samples.push(START_MS + at * STEP_MS, value);
        }
        (labels, samples)
    }));
    let want = Want {
        matchers: &[],
        from_ms: 0,
        to_ms: i64::MAX,
        hints: Hints::default(),
    };
    let budget = Budget::unlimited();
    let found = memory.select(&want, &budget).await;
    found.expect("memory always answers").series
}
