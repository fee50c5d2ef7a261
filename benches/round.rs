//! What a round over the body of one cluster costs, 48,000 series of either shape: with the cache of the round before
//! (the steady state), with an empty one (the first round), in gzip; and the reading alone, beside `prometheus-parse`.
//!
//! ```text
//! cargo bench --bench round
//! ```

use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus_parse::Scrape;
use tributary::cluster::decode::{Decoder, Limits};
use tributary::demo::{ClusterSpec, Generator, Shape};
use tributary::model::metadata::Metadata;
use tributary::parse::{self, Entry, Format, Step};
use tributary::scrape::Cache;
use tributary::scrape::round::{End, Round};
use tributary::scrape::rules::Rules;
use tributary::store::buffers::Buffers;
use tributary::store::snapshot::Snapshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 48_000;
const START_MS: i64 = 1_800_000_000_000;
const INTERVAL: Duration = Duration::from_secs(15);

/// What one read of a socket brings.
const WINDOW: usize = 64 << 10;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for (name, shape) in [("plain", Shape::Plain), ("real", Shape::Real)] {
        let [first, second] = bodies(shape);
        let mut group = criterion.benchmark_group(format!("round/{name}"));
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Bytes(first.len() as u64));
        rounds(&mut group, &[&first, &second]);
        rounds_in_gzip(&mut group, &[&gzip(&first), &gzip(&second)]);
        reading(&mut group, &first);
        group.finish();
    }
    criterion.final_summary();
}

/// Two bodies of one cluster, an interval apart.
fn bodies(shape: Shape) -> [Vec<u8>; 2] {
    let spec = ClusterSpec {
        name: "cluster-01".into(),
        index: 1,
        shape,
        series: SERIES,
        seed: 1,
        flaky: false,
        source_interval: INTERVAL,
    };
    let mut generator = Generator::new(&spec, START_MS);
    [START_MS, START_MS + 15_000].map(|now_ms| {
        let mut body = Vec::new();
        generator.federate(now_ms, &mut body);
        body
    })
}

fn gzip(body: &[u8]) -> Vec<u8> {
    // The level that Prometheus' own server uses.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .expect("memory takes all")
}

/// One cluster between two rounds.
#[derive(Default)]
struct Cluster {
    cache: Box<Cache>,
    buffers: Buffers,
    rules: Arc<Rules>,
    metadata: Arc<Metadata>,
    /// Held until the next one is there, as the store does.
    snapshot: Option<Snapshot>,
    rounds: usize,
}

impl Cluster {
    fn new() -> Self {
        let rules = Rules {
            cluster: "cluster-01".into(),
            cluster_label: "cluster".into(),
            honor_timestamps: true,
            replica_labels: vec!["prometheus_replica".into()],
            ..Rules::default()
        };
        Self {
            rules: Arc::new(rules),
            ..Self::default()
        }
    }

    /// One round over the bodies in turn.
    fn round(&mut self, bodies: &[&[u8]; 2], read: impl FnOnce(Round, &[u8]) -> Round) {
        let cache = std::mem::take(&mut self.cache);
        let round = Round::start(
            cache,
            self.rules.clone(),
            Format::Text,
            START_MS + 20_000,
            &self.buffers,
        );
        let mut round = read(round, bodies[self.rounds % 2]);
        self.rounds += 1;
        round.end_body(End::Framed).expect("the body is whole");
        let (cache, result) = round.finish(&self.metadata);
        let (snapshot, _) = result.expect("the body is good");
        assert_eq!(snapshot.series, SERIES as u64);
        self.cache = cache;
        self.snapshot = Some(snapshot);
    }
}

fn read_plain(mut round: Round, body: &[u8]) -> Round {
    for window in body.chunks(WINDOW) {
        round.push(window).expect("the body is good");
    }
    round
}

fn read_gzip(round: Round, body: &[u8]) -> Round {
    let unlimited = Limits {
        compressed: u64::MAX,
        decoded: u64::MAX,
    };
    let mut decoder = Decoder::new(Sink(Some(round)), true, unlimited);
    for chunk in body.chunks(WINDOW) {
        decoder.push(chunk).expect("the body is good");
    }
    decoder.finish().expect("the body is whole");
    decoder.sink().0.take().expect("nobody else takes it")
}

/// A round that a decoder writes to.
struct Sink(Option<Round>);

impl Write for Sink {
    fn write(&mut self, window: &[u8]) -> io::Result<usize> {
        let round = self.0.as_mut().expect("taken when all is written");
        round.push(window).map_err(io::Error::other)?;
        Ok(window.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rounds(group: &mut BenchmarkGroup<'_, WallTime>, bodies: &[&[u8]; 2]) {
    let mut cluster = Cluster::new();
    cluster.round(bodies, read_plain);
    group.bench_function("warm cache", |bencher| {
        bencher.iter(|| cluster.round(bodies, read_plain));
    });
    group.bench_function("empty cache", |bencher| {
        bencher.iter_batched(
            Cluster::new,
            |mut cluster| {
                cluster.round(bodies, read_plain);
                cluster
            },
            BatchSize::PerIteration,
        );
    });
}

fn rounds_in_gzip(group: &mut BenchmarkGroup<'_, WallTime>, packed: &[&[u8]; 2]) {
    let mut cluster = Cluster::new();
    cluster.round(packed, read_gzip);
    group.bench_function("warm cache, gzip", |bencher| {
        bencher.iter(|| cluster.round(packed, read_gzip));
    });
}

fn reading(group: &mut BenchmarkGroup<'_, WallTime>, body: &[u8]) {
    group.bench_function("parse::next", |bencher| {
        bencher.iter(|| assert_eq!(read_entries(body), SERIES));
    });
    let text = str::from_utf8(body).expect("the generator writes UTF-8");
    // It drops names with a colon, so that the number of its samples is not ours.
    group.bench_function("prometheus-parse", |bencher| {
        bencher.iter(|| {
            let lines = text.lines().map(|line| Ok(line.to_owned()));
            black_box(Scrape::parse(lines).expect("nothing is read from outside"))
        });
    });
}

/// Reads name, labels, value text and timestamp of each sample, and the value as a number too, as the baseline does.
fn read_entries(body: &[u8]) -> usize {
    let (mut rest, mut samples) = (body, 0);
    loop {
        match parse::next(Format::Text, rest, true).expect("the body is good") {
            Step::Entry {
                entry: Entry::Eof, ..
            }
            | Step::More => return samples,
            Step::Entry { entry, used } => {
                if let Entry::Sample(sample) = &entry {
                    black_box(parse::number::parse(sample.value)).expect("the value is good");
                    samples += 1;
                }
                black_box(entry);
                rest = &rest[used..];
            }
        }
    }
}
