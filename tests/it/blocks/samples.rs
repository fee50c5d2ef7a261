//! The samples of both sides: bodies of simulated clusters, changed here and there, into a window and into a text.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tributary::demo::{ClusterSpec, Generator, Shape};
use tributary::model::metadata::Metadata;
use tributary::parse::Format;
use tributary::scrape::Cache;
use tributary::scrape::round::{End, Round};
use tributary::scrape::rules::Rules;
use tributary::store::buffers::Buffers;
use tributary::store::window::Window;

pub(super) const START_MS: i64 = 1_767_225_600_000;
pub(super) const INTERVAL_MS: i64 = 15_000;
/// Eighteen minutes.
pub(super) const ROUNDS: i64 = 73;

/// Rounds in which some pods are gone that are there before and after, and the rounds in which others end, begin and
/// restart.
const PAUSE: std::ops::Range<i64> = 26..34;
const LAST: i64 = 29;
const FIRST: i64 = 31;
const RESTART: i64 = 30;
/// No pod of a cluster without replaced pods ends from here on.
pub(super) const CHANGES_END: i64 = 34;

/// All times are looked at modulo this, of which every range, offset and step is a multiple.
const GRID_MS: i64 = 5000;

/// Clusters: the first two keep their pods but for what is changed here, the third replaces one in a hundred series
/// each round.
const CLUSTERS: [(&str, Shape, usize); 3] = [
    ("eu-1", Shape::Demo, 2000),
    ("eu-2", Shape::Demo, 1200),
    ("us-1", Shape::Real, 2500),
];

/// Added to the counters of pods, so that a new pod's do not begin near zero: there 2.x and 3.x extrapolate
/// differently.
const COUNTED_BEFORE: f64 = 1e7;

/// The same samples in two places.
pub(super) struct Samples {
    pub(super) window: Window,
    /// In the format OpenMetrics.
    pub(super) open_metrics: String,
    /// A time within five seconds at which there is no sample, nor is there one at 0.
    pub(super) residue_ms: i64,
}

impl Samples {
    pub(super) fn generate() -> Self {
        let window = Window::new(Duration::from_secs(1800), "cluster".into());
        let mut open_metrics = String::new();
        let (mut seen, mut fates) = (BTreeSet::new(), HashSet::new());
        for (index, (name, shape, series)) in (1..).zip(CLUSTERS) {
            let mut cluster = Cluster::new(name, index, shape, series);
            for round in 0..ROUNDS {
                for line in cluster.round(round, &window) {
                    open_metrics.push_str(&line.open_metrics(name));
                    seen.insert(line.at_ms % GRID_MS);
                    fates.extend(line.pod().map(Fate::of));
                }
            }
        }
        open_metrics.push_str("# EOF\n");
        assert_eq!(fates.len(), 6, "take other clusters: {fates:?}");
        // Subqueries are evaluated at multiples of their step, so 0 must be free too.
        assert!(!seen.contains(&0), "take another seed");
        let residue_ms = (1..GRID_MS).find(|residue| !seen.contains(residue));
        Self {
            window,
            open_metrics,
            residue_ms: residue_ms.expect("a time without samples"),
        }
    }
}

/// One line of a body.
struct Line {
    /// Name and labels, as written.
    series: String,
    value: String,
    at_ms: i64,
}

impl Line {
    fn read(line: &str) -> Self {
        let (rest, at_ms) = line.rsplit_once(' ').unwrap();
        let (series, value) = rest.rsplit_once(' ').unwrap();
        Self {
            series: series.to_owned(),
            value: value.to_owned(),
            at_ms: at_ms.parse().unwrap(),
        }
    }

    fn name(&self) -> &str {
        self.series.split('{').next().unwrap()
    }

    fn pod(&self) -> Option<&str> {
        // No value ends in a backslash, and no other label's name ends in this one's.
        let (_, rest) = self.series.split_once("pod=\"")?;
        rest.split('"')
            .next()
            .filter(|pod| !pod.starts_with("node-exporter"))
    }

    fn is_counter(&self) -> bool {
        let ends = ["_total", "_bucket", "_sum", "_count"];
        ends.iter().any(|end| self.name().ends_with(end)) && !self.name().contains(':')
    }

    /// As a client library would write it: with the cluster, without the replica, the time in seconds.
    fn open_metrics(&self, cluster: &str) -> String {
        let series = self
            .series
            .replace(",prometheus_replica=\"prometheus-k8s-0\"", "");
        let series = series.replace("instance=\"\",", "");
        let series = series.strip_suffix('}').unwrap();
        // promtool cuts what is left of a multiplication by 1000: half a millisecond keeps it from the one before.
        let (seconds, ms) = (self.at_ms / 1000, self.at_ms % 1000);
        format!(
            "{series},cluster=\"{cluster}\"}} {} {seconds}.{ms:03}5\n",
            self.value
        )
    }
}

/// What happens to a pod: each of the first five to one in nine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Pauses,
    Ends,
    Begins,
    Restarts,
    HasNoNumber,
    Stays,
}

impl Fate {
    fn of(pod: &str) -> Self {
        let hash = pod.bytes().fold(5381u32, |hash, byte| {
            hash.wrapping_mul(33) ^ u32::from(byte)
        });
        match hash % 9 {
            0 => Fate::Pauses,
            1 => Fate::Ends,
            2 => Fate::Begins,
            3 => Fate::Restarts,
            4 => Fate::HasNoNumber,
            _ => Fate::Stays,
        }
    }
}

struct Cluster {
    generator: Generator,
    cache: Box<Cache>,
    rules: Arc<Rules>,
    buffers: Buffers,
    /// Values at which counters were restarted.
    restarted: HashMap<String, f64>,
}

impl Cluster {
    fn new(name: &str, index: u32, shape: Shape, series: usize) -> Self {
        let spec = ClusterSpec {
            name: name.into(),
            index,
            shape,
            series,
            seed: 7,
            flaky: false,
            source_interval: Duration::from_secs(15),
        };
        let rules = Rules {
            cluster: name.into(),
            cluster_label: "cluster".into(),
            replica_labels: vec!["prometheus_replica".into()],
            honor_timestamps: true,
            ..Rules::default()
        };
        Self {
            generator: Generator::new(&spec, START_MS),
            cache: Box::new(Cache::recording()),
            rules: Arc::new(rules),
            buffers: Buffers::default(),
            restarted: HashMap::new(),
        }
    }

    /// One round: its lines, which went into the window.
    fn round(&mut self, number: i64, window: &Window) -> Vec<Line> {
        let now_ms = START_MS + number * INTERVAL_MS;
        let mut body = Vec::new();
        self.generator.federate(now_ms, &mut body);
        let body = String::from_utf8(body).unwrap();
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| self.changed(number, Line::read(line)));
        let lines: Vec<Line> = lines.collect();
        let body: String = lines
            .iter()
            .map(|line| format!("{} {} {}\n", line.series, line.value, line.at_ms))
            .collect();
        self.append(now_ms, &body, window);
        lines
    }

    /// The line as it goes to both sides; none if there is none in this round.
    fn changed(&mut self, round: i64, mut line: Line) -> Option<Line> {
        let Some(fate) = line.pod().map(Fate::of) else {
            return Some(line);
        };
        let is_there = match fate {
            Fate::Pauses => !PAUSE.contains(&round),
            Fate::Ends => round <= LAST,
            Fate::Begins => round >= FIRST,
            _ => true,
        };
        if !is_there {
            return None;
        }
        if line.is_counter() {
            let value: f64 = line.value.parse().unwrap();
            let value = match fate {
                Fate::Restarts if round >= RESTART => {
                    value - *self.restarted.entry(line.series.clone()).or_insert(value)
                }
                _ => value + COUNTED_BEFORE,
            };
            line.value = value.to_string();
        } else if fate == Fate::HasNoNumber
            && line.name() == "container_memory_rss"
            && round % 5 == 0
        {
            line.value = String::from(if round % 10 == 0 { "NaN" } else { "+Inf" });
        }
        Some(line)
    }

    fn append(&mut self, now_ms: i64, body: &str, window: &Window) {
        let cache = std::mem::take(&mut self.cache);
        let rules = self.rules.clone();
        let mut round = Round::start(cache, rules, Format::Text, now_ms, &self.buffers);
        round.push(body.as_bytes()).unwrap();
        round.end_body(End::Framed).unwrap();
        let (cache, result) = round.finish(&Arc::new(Metadata::default()));
        self.cache = cache;
        let (mut snapshot, _) = result.unwrap();
        let recorded = snapshot.recorded.take().unwrap();
        let cluster = window.cluster(&self.rules.cluster, Duration::from_secs(60));
        let mut work = cluster.append(window, *recorded);
        while !work.is_done() {
            work.step();
        }
    }
}
