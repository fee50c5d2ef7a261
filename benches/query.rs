//! What a query over the full window of 20 clusters of 48,000 series costs, from its text to its value: a rate, a sum of
//! what never changes, a quantile of histograms and a count of everything, each at one time and as a range of 15 minutes.
//!
//! ```text
//! cargo bench --bench query
//! ```
//!
//! Times are CPU time of the whole process, so that what else runs on the machine hardly counts. Filling the window
//! takes most of the time: 58 million samples go through the real round for each shape.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tributary::demo::{ClusterSpec, Generator, Shape};
use tributary::model::metadata::Metadata;
use tributary::parse::Format;
use tributary::pool::Pool;
use tributary::query::recent::{OnMissing, Recent};
use tributary::query::{Answer, Engine, Query, Settings, Value, When};
use tributary::scrape::Cache;
use tributary::scrape::round::{End, Round};
use tributary::scrape::rules::Rules;
use tributary::store::buffers::Buffers;
use tributary::store::window::Window;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: u32 = 20;
const SERIES: usize = 48_000;
const START_MS: i64 = 1_800_000_000_000;
const INTERVAL_MS: i64 = 15_000;
const KEEP: Duration = Duration::from_secs(15 * 60);
const STALE_AFTER: Duration = Duration::from_secs(60);
/// As many as the window holds, so that a range of its length finds something at its beginning.
const ROUNDS: i64 = 61;

const QUERIES: [&str; 4] = [
    "sum by (cluster)(rate(container_cpu_usage_seconds_total[1m]))",
    r#"sum by (cluster, namespace)(kube_pod_container_resource_requests{resource="cpu"})"#,
    "histogram_quantile(0.99, sum by (cluster, le)(rate(http_request_duration_seconds_bucket[1m])))",
    r#"count({__name__=~".+"})"#,
];

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(OnCpu)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for (name, shape) in [("plain", Shape::Plain), ("real", Shape::Real)] {
        let window = filled(name, shape);
        let asked = Asked::new(&window);
        let mut group = criterion.benchmark_group(format!("query/{name}"));
        group.sampling_mode(SamplingMode::Flat);
        for text in QUERIES {
            asked.bench(&mut group, text);
        }
        group.finish();
    }
    criterion.final_summary();
}

/// When the last round began.
fn last_ms() -> i64 {
    START_MS + (ROUNDS - 1) * INTERVAL_MS
}

/// A window that all rounds of all clusters went into; one cluster after the other, which needs less memory.
#[expect(clippy::print_stdout, reason = "what the numbers are about")]
fn filled(name: &str, shape: Shape) -> Window {
    let begin = Instant::now();
    let window = Window::new(KEEP, "cluster".into());
    for index in 1..=CLUSTERS {
        fill(&window, index, shape);
    }
    let held = window.held();
    let sum = |of: fn(&tributary::store::window::Held) -> u64| -> f64 {
        held.iter().map(|(_, held)| of(held)).sum::<u64>() as f64 / 1e6
    };
    println!(
        "query/{name}: {:.2} million series, {:.1} million samples in {:.0} MB, labels {:.0} MB; filled in {:.0} s",
        sum(|held| held.series),
        sum(|held| held.samples),
        sum(|held| held.chunk_bytes + held.column_bytes),
        sum(|held| held.label_bytes),
        begin.elapsed().as_secs_f64(),
    );
    window
}

/// All rounds of one cluster.
fn fill(window: &Window, index: u32, shape: Shape) {
    let name = format!("cluster-{index:02}");
    let spec = ClusterSpec {
        name: name.clone(),
        index,
        shape,
        series: SERIES,
        seed: 1,
        flaky: false,
        source_interval: Duration::from_secs(15),
    };
    let rules = Arc::new(Rules {
        cluster: name.clone(),
        cluster_label: "cluster".into(),
        replica_labels: vec!["prometheus_replica".into()],
        honor_timestamps: true,
        ..Rules::default()
    });
    let mut generator = Generator::new(&spec, START_MS);
    let (buffers, metadata) = (Buffers::default(), Arc::new(Metadata::default()));
    let (mut cache, mut body) = (Box::new(Cache::recording()), Vec::new());
    for number in 0..ROUNDS {
        let at_ms = START_MS + number * INTERVAL_MS;
        body.clear();
        generator.federate(at_ms, &mut body);
        let mut round = Round::start(cache, rules.clone(), Format::Text, at_ms, &buffers);
        for part in body.chunks(64 << 10) {
            round.push(part).expect("the body is good");
        }
        round.end_body(End::Framed).expect("the body is whole");
        let (next, result) = round.finish(&metadata);
        cache = next;
        let (mut snapshot, _) = result.expect("the body is good");
        let recorded = snapshot.recorded.take().expect("the cache records");
        let mut work = window.cluster(&name, STALE_AFTER).append(window, *recorded);
        while !work.is_done() {
            work.step();
        }
    }
}

/// How far instant selectors look back.
const LOOKBACK_MS: i64 = 300_000;

/// The engine and what it reads.
struct Asked {
    runtime: Runtime,
    engine: Engine,
    source: Recent,
}

impl Asked {
    fn new(window: &Window) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // A thread that ends takes its CPU time along.
            .thread_keep_alive(Duration::MAX)
            .build()
            .expect("a runtime starts");
        let pool = Pool::new(runtime.handle().clone(), 1);
        let view = Arc::new(window.view(last_ms()));
        let source = Recent::new(
            view,
            "cluster".into(),
            pool.clone(),
            LOOKBACK_MS,
            Vec::new(),
            OnMissing::Fail,
        );
        Self {
            engine: Engine::new(Settings::default(), pool),
            runtime,
            source,
        }
    }

    fn ask(&self, query: &Query) -> Answer {
        let answer = self.runtime.block_on(self.engine.run(&self.source, query));
        answer.expect("the query is good")
    }

    fn bench(&self, group: &mut BenchmarkGroup<'_, OnCpu>, text: &str) {
        let range = When::Range {
            start_ms: last_ms() - 15 * 60_000,
            end_ms: last_ms(),
            step_ms: INTERVAL_MS,
        };
        for (title, when) in [("instant", When::Instant(last_ms())), ("range", range)] {
            let query = Query::new(text, when);
            let first = self.ask(&query);
            let size = match &first.value {
                Value::Vector(samples) => samples.len(),
                Value::Matrix(series) => series.iter().map(|series| series.points.len()).sum(),
                Value::Scalar(..) | Value::String(..) => 1,
            };
            assert!(size > 0, "{text} finds something");
            let read = first.stats.samples_read;
            let title = format!("{title}: {text}: {read} read, {size} given");
            group.bench_function(title, |bencher| bencher.iter(|| self.ask(&query)));
        }
    }
}

/// Measures CPU time of all threads.
struct OnCpu;

impl OnCpu {
    /// The first number of `/proc/PID/task/ID/schedstat` is time on a CPU, in nanoseconds.
    fn now() -> Duration {
        let tasks = fs::read_dir("/proc/self/task").expect("the kernel lists threads");
        let nanos = tasks.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Measurement for OnCpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
