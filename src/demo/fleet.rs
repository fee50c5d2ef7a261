//! The pure generator of a simulated cluster: a specification and a time in, out comes what that cluster's Prometheus
//! would answer at that time on `/federate`, `/api/v1/metadata` and `/api/v1/status/config`.
//!
//! The same arguments give the same bytes: no clock, no socket, no randomness but the seed. The text of each series up
//! to its value is prepared once; a body is made by copying these texts and writing values and timestamps between
//! them, so that simulating a fleet does not take the machine away from what is measured on it.

mod api;
mod catalog;
mod family;
mod recipe;
mod text;
mod things;
mod value;

use std::time::Duration;

pub(super) use crate::demo::fleet::api::build_info;
use crate::demo::fleet::family::Holds;
use crate::demo::fleet::recipe::{Line, Recipe, pod_start_ms};
use crate::demo::fleet::things::{Place, Pod, REPLICAS};
use crate::demo::fleet::value::{Scrape, Value, digits_of, mix};

/// The labels that [`Shape::Plain`] does without, as many real clusters do to save memory.
const LONG_LABELS: &[&str] = &[
    "endpoint",
    "id",
    "image",
    "metrics_path",
    "name",
    "service",
    "uid",
];

/// What the bodies of a simulated cluster look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The families that dashboards show, counters that move and gauges that wander, recording rules among them.
    Demo,
    /// 22 large families, 278 bytes a line in the mean, 40 % of the values change per round: the easy case.
    Plain,
    /// 1,200 families of which half have fewer than five lines, 1 % of the series replaced per round: the real case.
    /// Below 24,000 series the families are fewer, one for 20 series, though never fewer than the named ones.
    Real,
}

/// One simulated cluster, as the caller wishes it.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// Its name, for the reader; no series carries it.
    pub name: String,
    /// Its number, which its addresses are made of.
    pub index: u32,
    /// What its bodies look like.
    pub shape: Shape,
    /// How many series it has; exactly so many lines are in each body.
    pub series: usize,
    /// Two clusters of one seed and index are equal.
    pub seed: u64,
    /// Whether its server fails now and then (see [`server`](crate::demo::server)).
    pub flaky: bool,
    /// How often the cluster's own Prometheus scrapes each of its targets; at least a millisecond.
    pub source_interval: Duration,
}

impl ClusterSpec {
    /// The source interval in milliseconds.
    pub(super) fn interval_ms(&self) -> i64 {
        i64::try_from(self.source_interval.as_millis())
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// The state of a generator: all series of one cluster in the round that was rendered last. The state saves work only;
/// what comes out depends on nothing but the arguments of [`Generator::new`] and [`Generator::federate`].
#[derive(Debug)]
pub struct Generator {
    spec: ClusterSpec,
    /// Start of round 0, a multiple of the source interval, in milliseconds since the Unix epoch.
    first_round_ms: i64,
    recipe: Recipe,
    /// Which block of the body each family of the recipe goes to.
    block_of: Vec<usize>,
    blocks: Vec<Block>,
    series: Vec<Series>,
    pods: Vec<PodSeries>,
    /// After how many rounds a pod is replaced; `None` = never.
    lifetime: Option<u64>,
    /// How far into the interval each target is scraped, in milliseconds.
    offsets_ms: Vec<i64>,
}

/// The lines under one `# TYPE`.
#[derive(Debug)]
struct Block {
    header: Box<[u8]>,
    /// Indices of its series, in the order of their texts.
    order: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Series {
    text: Box<[u8]>,
    value: Value,
    target: u32,
    block: u32,
}

/// Which series are about a pod, in the order in which the recipe gives them.
#[derive(Debug)]
struct PodSeries {
    series: Vec<u32>,
    generation: u64,
}

impl Generator {
    /// Prepares all series. The cluster's processes have run for up to 30 days at `epoch_ms` (milliseconds since the
    /// Unix epoch); rounds are counted from there. Times before it give the values of a cluster that has just started.
    pub fn new(spec: &ClusterSpec, epoch_ms: i64) -> Generator {
        let interval_ms = spec.interval_ms();
        let first_round_ms = epoch_ms - epoch_ms.rem_euclid(interval_ms);
        let recipe = recipe_of(spec, first_round_ms);
        let (blocks, block_of) = blocks_of(&recipe);
        let mut generator = Generator {
            spec: spec.clone(),
            first_round_ms,
            recipe,
            block_of,
            blocks,
            series: Vec::with_capacity(spec.series),
            pods: Vec::new(),
            lifetime: None,
            offsets_ms: Vec::new(),
        };
        generator.fill();
        generator.sort();
        generator
    }

    /// What it was made from.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// Appends the body of `/federate` for everything, at `now_ms` (milliseconds since the Unix epoch): text format
    /// 0.0.4, sorted by name, each sample with the time of its target's last scrape. Where the shape replaces pods,
    /// those are replaced that have lived long enough by then.
    pub fn federate(&mut self, now_ms: i64, out: &mut Vec<u8>) {
        self.replace_pods(self.round_at(now_ms));
        let scrapes = self.scrapes(now_ms);
        for block in self.blocks.iter().filter(|block| !block.order.is_empty()) {
            out.extend_from_slice(&block.header);
            for &at in &block.order {
                let series = &self.series[at as usize];
                let (scrape, stamp) = &scrapes[series.target as usize];
                out.extend_from_slice(&series.text);
                series.value.write(scrape, out);
                out.extend_from_slice(stamp);
            }
        }
    }

    /// The answer of `/api/v1/metadata`, as JSON.
    pub fn metadata_json(&self) -> String {
        api::metadata(&self.recipe.families)
    }

    /// The answer of `/api/v1/status/config`, as JSON: the YAML text of a config with this cluster's external labels.
    pub fn config_json(&self) -> String {
        api::config(self.spec.source_interval)
    }

    /// The round that `now_ms` lies in; never before 0.
    fn round_at(&self, now_ms: i64) -> u64 {
        let round = (now_ms - self.first_round_ms).div_euclid(self.spec.interval_ms());
        round.max(0).unsigned_abs()
    }

    /// Makes all lines, until there are as many as wished.
    fn fill(&mut self) {
        let mut lines = Vec::with_capacity(self.spec.series);
        self.recipe.fixed(&mut |line| lines.push(line));
        let (mut number, mut about_pods) = (0, 0);
        while lines.len() < self.spec.series {
            let pod = self.pod(number, 0);
            if number.is_multiple_of(REPLICAS) {
                self.recipe.deployment(&pod, &mut |line| lines.push(line));
            }
            let first = index(lines.len().min(self.spec.series));
            self.recipe.pod(&pod, &mut |line| lines.push(line));
            let series: Vec<u32> = (first..index(lines.len().min(self.spec.series))).collect();
            about_pods += series.len();
            self.pods.push(PodSeries {
                series,
                generation: 0,
            });
            number += 1;
        }
        lines.truncate(self.spec.series);
        if self.spec.shape == Shape::Real {
            // One in 100 series is replaced per round, and only those of pods can be.
            self.lifetime = Some((about_pods * 100 / lines.len().max(1)).max(1) as u64);
        }
        let targets = lines.iter().map(|line| line.target + 1).max().unwrap_or(0);
        let interval = self.spec.interval_ms().unsigned_abs();
        self.offsets_ms = (0..targets)
            .map(|target| (mix(self.spec.seed, target as u64 + 0x0ff5) % interval).cast_signed())
            .collect();
        self.series = lines.into_iter().map(|line| self.series_of(line)).collect();
    }

    fn series_of(&self, line: Line) -> Series {
        Series {
            text: line.text,
            value: line.value,
            target: index(line.target),
            block: index(self.block_of[line.family]),
        }
    }

    /// Puts the series into the order of the body, also in memory, where rendering then walks straight on.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        let key = |&at: &usize| (self.series[at].block, &self.series[at].text);
        order.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        let mut place = vec![0; order.len()];
        for (new, &old) in (0..).zip(&order) {
            place[old] = new;
            self.blocks[self.series[old].block as usize].order.push(new);
        }
        self.series = order.iter().map(|&old| self.series[old].clone()).collect();
        for at in self.pods.iter_mut().flat_map(|pod| &mut pod.series) {
            *at = place[*at as usize];
        }
    }

    /// Pod `number` in its `generation`.
    fn pod(&self, number: u32, generation: u64) -> Pod {
        let place = self.recipe.place;
        let start_ms = match self.lifetime.filter(|_| generation > 0) {
            None => pod_start_ms(self.first_round_ms, place, number),
            Some(lifetime) => {
                let round = (generation * lifetime - self.phase(number, lifetime)).cast_signed();
                self.first_round_ms + round * self.spec.interval_ms()
            }
        };
        Pod::new(place, number, generation, start_ms)
    }

    /// How many rounds a pod had lived at round 0: spread evenly, so that each round replaces as many as the next.
    fn phase(&self, number: u32, lifetime: u64) -> u64 {
        u64::from(number) * lifetime / (self.pods.len().max(1) as u64)
    }

    /// Brings every pod to the generation that it has in `round`.
    fn replace_pods(&mut self, round: u64) {
        let Some(lifetime) = self.lifetime else {
            return;
        };
        for number in 0..self.pods.len() {
            let id = index(number);
            let generation = (round + self.phase(id, lifetime)) / lifetime;
            if self.pods[number].generation != generation {
                self.pods[number].generation = generation;
                self.replace_pod(&self.pod(id, generation));
            }
        }
    }

    /// Writes another generation of a pod over the one before.
    fn replace_pod(&mut self, pod: &Pod) {
        let places = std::mem::take(&mut self.pods[pod.number as usize].series);
        let mut lines = Vec::with_capacity(places.len());
        self.recipe.pod(pod, &mut |line| lines.push(line));
        for (&at, line) in places.iter().zip(lines) {
            self.take_out(at);
            self.series[at as usize] = self.series_of(line);
            self.put_in(at);
        }
        self.pods[pod.number as usize].series = places;
    }

    fn take_out(&mut self, at: u32) {
        let place = self.find(at).expect("every series stands in its block");
        self.blocks[self.series[at as usize].block as usize]
            .order
            .remove(place);
    }

    fn put_in(&mut self, at: u32) {
        let place = self.find(at).unwrap_or_else(|place| place);
        self.blocks[self.series[at as usize].block as usize]
            .order
            .insert(place, at);
    }

    /// Where a series stands, or would stand, in its block.
    fn find(&self, at: u32) -> Result<usize, usize> {
        let (series, wanted) = (&self.series, &self.series[at as usize]);
        let order = &self.blocks[wanted.block as usize].order;
        order.binary_search_by(|&other| series[other as usize].text.cmp(&wanted.text))
    }

    /// The last scrape of each target at `now_ms`, with the text ` timestamp\n` that ends its lines.
    fn scrapes(&self, now_ms: i64) -> Vec<(Scrape, Vec<u8>)> {
        let interval_ms = self.spec.interval_ms();
        let of = |&offset_ms: &i64| {
            let round = (now_ms - self.first_round_ms - offset_ms).div_euclid(interval_ms);
            let at_ms = self.first_round_ms + offset_ms + round * interval_ms;
            let mut stamp = vec![b' '];
            stamp.extend_from_slice(digits_of(at_ms.max(0).unsigned_abs(), &mut [0; 20]));
            stamp.push(b'\n');
            (
                Scrape {
                    at_ms,
                    round,
                    interval_ms,
                },
                stamp,
            )
        };
        self.offsets_ms.iter().map(of).collect()
    }
}

/// Series, families, pods and targets are counted in 32 bits, to save memory.
fn index(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 4 billion series")
}

/// The families, nodes and laws of a shape.
fn recipe_of(spec: &ClusterSpec, start_ms: i64) -> Recipe {
    let nodes = match spec.shape {
        Shape::Demo => (spec.series / 1000).clamp(2, 40),
        Shape::Plain => 40,
        Shape::Real => (spec.series / 1600).clamp(3, 60),
    };
    let families = catalog::of(spec.shape, spec.series);
    let holds = match spec.shape {
        Shape::Plain => Holds::so_that(0.4, &families),
        Shape::Demo | Shape::Real => Holds::None,
    };
    Recipe {
        families,
        holds,
        dropped: if spec.shape == Shape::Plain {
            LONG_LABELS
        } else {
            &[]
        },
        place: Place {
            seed: mix(spec.seed, u64::from(spec.index)),
            cluster: spec.index,
            nodes: index(nodes),
        },
        start_ms,
    }
}

/// An empty block for each name of the recipe, and which of them each family goes to: several may share a name.
fn blocks_of(recipe: &Recipe) -> (Vec<Block>, Vec<usize>) {
    let mut blocks = Vec::<Block>::new();
    let mut block_of = Vec::with_capacity(recipe.families.len());
    let mut last = "";
    for family in &recipe.families {
        if family.name != last {
            let header = format!("# TYPE {} untyped\n", family.name);
            blocks.push(Block {
                header: header.into_bytes().into(),
                order: Vec::new(),
            });
            last = &family.name;
        }
        block_of.push(blocks.len() - 1);
    }
    (blocks, block_of)
}

#[cfg(test)]
mod tests;
