//! What the window costs: time to take a sample in, bytes to hold it beside Prometheus' XOR chunks of the same samples,
//! time to find series among 960,000 and to read them.
//!
//! ```text
//! cargo bench --bench window
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use rustix::time::{ClockId, clock_gettime};
use tributary::demo::{ClusterSpec, Generator, Shape};
use tributary::model::matcher::{MatchOp, Matcher};
use tributary::model::metadata::Metadata;
use tributary::parse::Format;
use tributary::scrape::Cache;
use tributary::scrape::round::{End, Round};
use tributary::scrape::rules::Rules;
use tributary::store::buffers::Buffers;
use tributary::store::snapshot::Snapshot;
use tributary::store::window::view::{Scratch, WindowView};
use tributary::store::window::{Part, Window};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 48_000;
const CLUSTERS: u32 = 20;
const START_MS: i64 = 1_800_000_000_000;
const INTERVAL: Duration = Duration::from_secs(15);
const KEEP: Duration = Duration::from_secs(15 * 60);
const STALE_AFTER: Duration = Duration::from_secs(60);

/// Rounds until the window is full, and some more.
const ROUNDS: u32 = 72;

/// What a sample costs is measured with the window full, in passes of so many rounds: 16 times all is sealed, once with
/// scales that are searched for anew, and once or twice the labels of series that have gone are cleared away. How
/// far the passes lie apart shows the machine's hour.
const PASS_ROUNDS: u32 = 128;
const PASSES: u32 = 3;

fn main() {
    for (name, shape) in [("plain", Shape::Plain), ("real", Shape::Real)] {
        costs(name, shape);
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let window = Window::new(KEEP, "cluster".into());
    for index in 1..=CLUSTERS {
        let mut cluster = Simulated::new(index, Shape::Real, Some(&window));
        for round in 0..2 {
            cluster.round(round);
        }
    }
    let mut group = criterion.benchmark_group("window/select among 960,000");
    selecting(&mut group, &window.view(START_MS + 15_000));
    group.finish();
    let mut group = criterion.benchmark_group("window/read 48,000 series of 60 samples");
    group.sampling_mode(SamplingMode::Flat);
    let window = Window::new(KEEP, "cluster".into());
    let mut cluster = Simulated::new(1, Shape::Plain, Some(&window));
    (0..ROUNDS).for_each(|round| cluster.round(round));
    reading(&mut group, &window.view(now_ms(ROUNDS - 1)));
    group.finish();
    criterion.final_summary();
}

/// CPU time of this thread: what else runs on the machine does not count.
fn on_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("CPU time is not negative")
}

fn now_ms(round: u32) -> i64 {
    START_MS + 15_000 * i64::from(round)
}

/// One cluster, its cache and where its rounds go.
struct Simulated<'w> {
    generator: Generator,
    cache: Box<Cache>,
    rules: Arc<Rules>,
    buffers: Buffers,
    /// Bodies are written here: as garbage of the bench they would be given back to the system within what is measured.
    body: Vec<u8>,
    window: Option<&'w Window>,
    name: String,
    /// Time of each round, and of the window's steps behind it.
    parsing: Vec<Duration>,
    cost: Cost,
    /// Series that came after the first round.
    born: usize,
    last: Option<Snapshot>,
}

/// Time of the window's steps.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Samples, on the scrape thread.
    appending: Duration,
    /// Samples, in the pool: the round before shortened, and sealing.
    sealing: Duration,
    /// Labels: series that come and go, and clearing away.
    labels: Duration,
    longest: Duration,
}

impl Cost {
    fn samples(&self) -> Duration {
        self.appending + self.sealing
    }

    fn all(&self) -> Duration {
        self.samples() + self.labels
    }
}

impl<'w> Simulated<'w> {
    fn new(index: u32, shape: Shape, window: Option<&'w Window>) -> Self {
        let name = format!("cluster-{index:02}");
        let spec = ClusterSpec {
            name: name.clone(),
            index,
            shape,
            series: SERIES,
            seed: 1,
            flaky: false,
            source_interval: INTERVAL,
        };
        let rules = Rules {
            cluster: name.clone(),
            cluster_label: "cluster".into(),
            replica_labels: vec!["prometheus_replica".into()],
            honor_timestamps: true,
            ..Rules::default()
        };
        Self {
            generator: Generator::new(&spec, START_MS),
            cache: Box::new(if window.is_some() {
                Cache::recording()
            } else {
                Cache::default()
            }),
            rules: Arc::new(rules),
            buffers: Buffers::default(),
            body: Vec::new(),
            window,
            name,
            parsing: Vec::new(),
            cost: Cost::default(),
            born: 0,
            last: None,
        }
    }

    fn round(&mut self, number: u32) {
        let at_ms = now_ms(number);
        self.body.clear();
        self.generator.federate(at_ms, &mut self.body);
        let begin = on_cpu();
        let cache = std::mem::take(&mut self.cache);
        let mut round = Round::start(
            cache,
            self.rules.clone(),
            Format::Text,
            at_ms,
            &self.buffers,
        );
        for window in self.body.chunks(64 << 10) {
            round.push(window).expect("the body is good");
        }
        round.end_body(End::Framed).expect("the body is whole");
        let (cache, result) = round.finish(&Arc::new(Metadata::default()));
        self.cache = cache;
        let (mut snapshot, _) = result.expect("the body is good");
        self.parsing.push(on_cpu().saturating_sub(begin));
        if let (Some(window), Some(recorded)) = (self.window, snapshot.recorded.take()) {
            self.append(window, *recorded);
        }
        self.last = Some(snapshot);
    }

    fn append(&mut self, window: &Window, recorded: tributary::store::column::Recorded) {
        if self.last.is_some() {
            self.born += recorded.born.births.len();
        }
        let begin = on_cpu();
        let cluster = window.cluster(&self.name, STALE_AFTER);
        let mut work = cluster.append(window, recorded);
        self.cost.appending += on_cpu().saturating_sub(begin);
        while !work.is_done() {
            let (begin, is_heavy, part) = (on_cpu(), work.is_heavy(), work.part());
            work.step();
            let spent = on_cpu().saturating_sub(begin);
            let total = match (part, is_heavy) {
                (Part::Labels, _) => &mut self.cost.labels,
                (Part::Samples, false) => &mut self.cost.appending,
                (Part::Samples, true) => &mut self.cost.sealing,
            };
            *total += spent;
            if is_heavy {
                self.cost.longest = self.cost.longest.max(spent);
            }
        }
    }
}

/// Time and bytes of one cluster over a full window.
#[expect(clippy::print_stdout, reason = "the numbers of the bench")]
fn costs(name: &str, shape: Shape) {
    let window = Window::new(KEEP, "cluster".into());
    let (mut with, mut without) = (
        Simulated::new(1, shape, Some(&window)),
        Simulated::new(1, shape, None),
    );
    let mut round = 0;
    let mut run = |rounds: u32| {
        (with.cost, with.parsing, without.parsing) = Default::default();
        for number in round..round + rounds {
            // Neither is always the one that finds the machine's caches warm.
            if number % 2 == 0 {
                with.round(number);
                without.round(number);
            } else {
                without.round(number);
                with.round(number);
            }
        }
        round += rounds;
        let slower = slower(&with.parsing, &without.parsing);
        (with.cost, slower, without.parsing.iter().sum::<Duration>())
    };
    let (first, ..) = run(ROUNDS);
    let mut passes: Vec<_> = (0..PASSES).map(|_| run(PASS_ROUNDS)).collect();
    passes.sort_by_key(|(cost, ..)| cost.all());
    let samples = f64::from(PASS_ROUNDS) * SERIES as f64;
    let nanos = |time: Duration| time.as_nanos() as f64 / samples;
    let (median, slower, parsing) = passes[passes.len() / 2];
    let longest = passes.iter().map(|(cost, ..)| cost.longest);
    let longest = longest.fold(first.longest, Duration::max);
    let churn = with.born as f64 / f64::from(ROUNDS + PASSES * PASS_ROUNDS - 1);
    let each = |time: Duration| time.as_nanos() as f64 / f64::from(PASS_ROUNDS) / churn;
    println!(
        "window/{name}/append: {:.1} ns a sample, the median of {PASSES} passes ({:.1} on the scrape thread, {:.1} in the pool), {:.1} in the quietest; longest slice {:.1} ms; recording makes a round {slower:+.1} ns a sample slower (median; of {:.1})",
        nanos(median.samples()),
        nanos(median.appending),
        nanos(median.sealing),
        nanos(passes[0].0.samples()),
        longest.as_secs_f64() * 1e3,
        nanos(parsing),
    );
    if with.born == 0 {
        println!("window/{name}/labels: no series comes or goes");
    } else {
        println!(
            "window/{name}/labels: {:.0} ns a series that comes and goes, of which there are {churn:.0} a round: {:.1} ns a sample; with append {:.1}, {:.1} in the quietest pass",
            each(median.labels),
            nanos(median.labels),
            nanos(median.all()),
            nanos(passes[0].0.all()),
        );
    }
    let held = window.held()[0].1;
    let (count, xor) = xor_bytes(&window.view(now_ms(ROUNDS + PASSES * PASS_ROUNDS - 1)));
    let each = |bytes: u64| bytes as f64 / held.samples as f64;
    println!(
        "window/{name}/bytes a sample: {:.3} (chunks {:.3}, unsealed rounds {:.3}) beside Prometheus' XOR chunks {:.3}; labels {:.1} bytes a series; {} samples of {} series",
        each(held.chunk_bytes + held.column_bytes),
        each(held.chunk_bytes),
        each(held.column_bytes),
        xor as f64 / count as f64,
        held.label_bytes as f64 / held.series as f64,
        held.samples,
        held.series,
    );
}

/// By how many nanoseconds a sample rounds take longer than others: the median, since a difference of sums is noise.
fn slower(rounds: &[Duration], others: &[Duration]) -> f64 {
    let nanos = |time: &Duration| time.as_nanos() as f64 / SERIES as f64;
    let pairs = rounds.iter().zip(others);
    let mut differences: Vec<f64> = pairs.map(|(a, b)| nanos(a) - nanos(b)).collect();
    differences.sort_by(f64::total_cmp);
    differences[differences.len() / 2]
}

fn selecting(group: &mut BenchmarkGroup<'_, WallTime>, view: &WindowView) {
    let matcher =
        |op, name: &str, value: &str| Matcher::new(op, name, value).expect("a good regex");
    let selectors = [
        (
            "a name",
            vec![matcher(
                MatchOp::Equal,
                "__name__",
                "container_cpu_usage_seconds_total",
            )],
        ),
        (
            "a name and a regex",
            vec![
                matcher(
                    MatchOp::Equal,
                    "__name__",
                    "container_cpu_usage_seconds_total",
                ),
                matcher(MatchOp::Regex, "namespace", "shop.*|kube-.*"),
            ],
        ),
        (
            "a label",
            vec![matcher(MatchOp::Equal, "namespace", "kube-system")],
        ),
        (
            "a cluster",
            vec![matcher(MatchOp::Equal, "cluster", "cluster-07")],
        ),
        ("a regex", vec![matcher(MatchOp::Regex, "pod", ".*a.*b.*")]),
        (
            "a negative regex",
            vec![matcher(MatchOp::NotRegex, "pod", ".+")],
        ),
        (
            "everything",
            vec![matcher(MatchOp::Regex, "__name__", ".+")],
        ),
    ];
    for (name, matchers) in selectors {
        let found = view.select(&matchers).len();
        group.bench_function(format!("{name}: {found}"), |bencher| {
            bencher.iter(|| black_box(view.select(&matchers)));
        });
    }
    let none: [&[Matcher]; 0] = [];
    group.bench_function("values of pod", |bencher| {
        bencher.iter(|| black_box(view.label_values("pod", &none)));
    });
}

fn reading(group: &mut BenchmarkGroup<'_, WallTime>, view: &WindowView) {
    let found = view.select(&[]);
    let mut scratch = Scratch::default();
    let end_ms = view.clusters()[0].oldest_ms().unwrap_or(0) + 3_600_000;
    for (name, start_ms) in [
        ("all samples", i64::MIN),
        ("the last minute", now_ms(ROUNDS - 5)),
    ] {
        group.throughput(Throughput::Elements(found.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut sum = 0.0;
                for series in &found {
                    view.series(series)
                        .samples(start_ms, end_ms, &mut scratch, |_, value| sum += value);
                }
                black_box(sum)
            });
        });
    }
    group.bench_function("the newest", |bencher| {
        bencher.iter(|| {
            let newest = |series| view.series(series).newest(START_MS, end_ms, &mut scratch);
            black_box(found.iter().filter_map(newest).count())
        });
    });
}

/// Samples in the view, and the bytes that Prometheus' chunks of up to 120 samples take for them.
fn xor_bytes(view: &WindowView) -> (u64, u64) {
    let (mut scratch, mut samples, mut count, mut bits) = (Scratch::default(), Vec::new(), 0, 0);
    for found in &view.select(&[]) {
        samples.clear();
        let push = |at, value: f64| samples.push((at, value.to_bits()));
        view.series(found)
            .samples(i64::MIN, i64::MAX, &mut scratch, push);
        count += samples.len() as u64;
        bits += samples
            .chunks(120)
            .map(|chunk| xor_bits(chunk).div_ceil(8) * 8)
            .sum::<u64>();
    }
    (count, bits / 8)
}

/// Length of one chunk: `tsdb/chunkenc/xor.go` of Prometheus.
fn xor_bits(samples: &[(i64, u64)]) -> u64 {
    let mut bits = 16;
    let (mut leading, mut trailing) = (u32::MAX, 0);
    let mut before: Option<(i64, u64)> = None;
    let mut step = None;
    for &(at, value) in samples {
        let Some((last_at, last)) = before.replace((at, value)) else {
            bits += varint_bits((at << 1 ^ at >> 63).cast_unsigned()) + 64;
            continue;
        };
        let delta = at - last_at;
        bits += match step.replace(delta) {
            None => varint_bits(delta.cast_unsigned()),
            Some(known) => match delta - known {
                0 => 1,
                -8191..=8192 => 2 + 14,
                -65_535..=65_536 => 3 + 17,
                -524_287..=524_288 => 4 + 20,
                _ => 4 + 64,
            },
        };
        let xor = value ^ last;
        if xor == 0 {
            bits += 1;
            continue;
        }
        let (zeros_before, zeros_behind) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if leading != u32::MAX && zeros_before >= leading && zeros_behind >= trailing {
            bits += 2 + u64::from(64 - leading - trailing);
        } else {
            (leading, trailing) = (zeros_before, zeros_behind);
            bits += 2 + 5 + 6 + u64::from(64 - leading - trailing);
        }
    }
    bits
}

fn varint_bits(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).max(1).div_ceil(7)) * 8
}
