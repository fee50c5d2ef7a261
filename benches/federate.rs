//! What an answer of `/federate` over 20 clusters of 48,000 series costs before it goes to the socket: joined and
//! sent as it lies, as gzip when no segment is made yet and when all are, of one metric, of a selector that must look
//! at labels, and with names escaped.
//!
//! ```text
//! cargo bench --bench federate
//! ```

use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime,
};
use tokio::time::Instant;
use tributary::demo::{ClusterSpec, Generator, Shape};
use tributary::expose::escape::Escaping;
use tributary::expose::gzip::{HEADER, Trailer};
use tributary::expose::{Block, Page};
use tributary::parse::Format;
use tributary::promql;
use tributary::scrape::Cache;
use tributary::scrape::round::{End, Round};
use tributary::scrape::rules::Rules;
use tributary::store::buffers::Buffers;
use tributary::store::page::Ask;
use tributary::store::select::Selection;
use tributary::store::snapshot::{Family, Snapshot};
use tributary::store::{Layout, SlotSettings, Store, Typed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: u32 = 20;
const SERIES: usize = 48_000;
const NOW_MS: i64 = 1_800_000_000_000;

const ONE_METRIC: &str = "container_cpu_usage_seconds_total";
const BY_LABEL: &str = r#"{job="kube-state-metrics"}"#;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for (name, shape) in [("plain", Shape::Plain), ("real", Shape::Real)] {
        let fleet = Fleet::new(shape);
        let mut group = criterion.benchmark_group(format!("federate/{name}"));
        group.sampling_mode(SamplingMode::Flat);
        everything(&mut group, &fleet);
        selected(&mut group, &fleet, "one metric", ONE_METRIC, Escaping::Utf8);
        selected(&mut group, &fleet, BY_LABEL, BY_LABEL, Escaping::Utf8);
        // Dots rewrites every name that has an underscore, so every line.
        let title = "one metric, names escaped";
        selected(&mut group, &fleet, title, ONE_METRIC, Escaping::Dots);
        group.finish();
    }
    criterion.final_summary();
}

/// What each cluster sent last.
struct Fleet {
    snapshots: Vec<(String, Snapshot)>,
}

impl Fleet {
    fn new(shape: Shape) -> Self {
        let snapshots = (1..=CLUSTERS).map(|index| {
            let name = format!("cluster-{index:02}");
            (name.clone(), snapshot(name, index, shape))
        });
        Self {
            snapshots: snapshots.collect(),
        }
    }

    /// A store that was never asked.
    fn store(&self) -> Store {
        let slots = self.snapshots.iter().map(|(name, _)| SlotSettings {
            name: name.clone(),
            stale_after: Duration::from_secs(3600),
            labels_all: true,
        });
        let layout = Layout {
            cluster_label: "cluster".into(),
            typed: Typed::True,
        };
        let store = Store::new(layout.clone());
        store.replace(slots.collect(), layout, |_| false);
        self.publish(&store);
        store
    }

    /// A new round of every cluster: pages and segments made so far are of no more use.
    fn publish(&self, store: &Store) {
        for (name, snapshot) in &self.snapshots {
            let slot = store.slot(name).expect("made from the same names");
            store.publish(&slot, fresh(snapshot), Instant::now());
        }
    }
}

/// The first round of one cluster.
fn snapshot(name: String, index: u32, shape: Shape) -> Snapshot {
    let spec = ClusterSpec {
        name: name.clone(),
        index,
        shape,
        series: SERIES,
        seed: 1,
        flaky: false,
        source_interval: Duration::from_secs(15),
    };
    let mut body = Vec::new();
    Generator::new(&spec, NOW_MS).federate(NOW_MS, &mut body);
    let rules = Rules {
        cluster: name,
        cluster_label: "cluster".into(),
        honor_timestamps: true,
        ..Rules::default()
    };
    let mut round = Round::start(
        Box::<Cache>::default(),
        rules.into(),
        Format::Text,
        NOW_MS,
        &Buffers::default(),
    );
    round.push(&body).expect("the body is good");
    round.end_body(End::Framed).expect("the body is whole");
    round.finish(&Arc::default()).1.expect("the body is good").0
}

/// The same snapshot without deflate segments.
fn fresh(snapshot: &Snapshot) -> Snapshot {
    let families = snapshot.families.iter().map(|family| Family {
        block: Block::new(family.block.text().clone()),
        ..family.clone()
    });
    Snapshot {
        families: families.collect(),
        recorded: None,
        ..*snapshot
    }
}

/// The answer as it lies; returns its length.
fn identity(store: &Store, selection: Option<&Selection>, escaping: Escaping) -> u64 {
    let pages = pages(store, selection, escaping);
    pages
        .iter()
        .flat_map(|page| page.pieces())
        .map(|piece| piece.len() as u64)
        .sum()
}

/// The answer as one gzip member, its segments made one after the other; returns its length.
fn gzip(store: &Store) -> u64 {
    let mut trailer = Trailer::default();
    let mut len = HEADER.len() as u64;
    for page in &pages(store, None, Escaping::Utf8) {
        for index in 0..page.segments() {
            let segment = page.segment(index);
            trailer.add(segment);
            len += segment.data().len() as u64;
        }
    }
    len + trailer.finish().len() as u64
}

fn pages(store: &Store, selection: Option<&Selection>, escaping: Escaping) -> [Arc<Page>; 3] {
    let view = store.view(Instant::now());
    store.pages(
        &view,
        Ask {
            selection,
            escaping,
        },
    )
}

fn everything(group: &mut BenchmarkGroup<'_, WallTime>, fleet: &Fleet) {
    let store = fleet.store();
    group.throughput(Throughput::Bytes(identity(&store, None, Escaping::Utf8)));
    let publish = || fleet.publish(&store);
    group.bench_function("everything, identity", |bencher| {
        bencher.iter_batched(
            publish,
            |()| identity(&store, None, Escaping::Utf8),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("everything, gzip", |bencher| {
        bencher.iter_batched(publish, |()| gzip(&store), BatchSize::PerIteration);
    });
    gzip(&store);
    group.bench_function("everything, gzip, again", |bencher| {
        bencher.iter(|| gzip(&store));
    });
}

/// Lines of a selector: asked for the first time, and after each further round.
fn selected(
    group: &mut BenchmarkGroup<'_, WallTime>,
    fleet: &Fleet,
    title: &str,
    selector: &str,
    escaping: Escaping,
) {
    let matchers = promql::parse_metric_selector(selector).expect("the selector is good");
    let selection = Selection::new(vec![matchers], selector.to_owned());
    let ask = |store: &Store| identity(store, Some(&selection), escaping);
    let known = fleet.store();
    let bytes = ask(&known);
    assert!(bytes > 1 << 16, "{selector} selects something");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function(format!("{title}, first"), |bencher| {
        bencher.iter_batched_ref(
            || fleet.store(),
            |store| ask(store),
            BatchSize::PerIteration,
        );
    });
    group.bench_function(format!("{title}, again"), |bencher| {
        bencher.iter_batched(
            || fleet.publish(&known),
            |()| ask(&known),
            BatchSize::PerIteration,
        );
    });
}
