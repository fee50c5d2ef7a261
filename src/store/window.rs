//! The window: recent rounds of every cluster, kept in memory as samples that queries read.
//!
//! ```text
//! scrape ──Recorded──▶ ClusterWindow ──columns──▶ Sealing (in slices, in the pool) ──▶ batches ──▶ out, when too old
//!                           │ births, deaths
//!                         index                     readers: Window::view ─▶ select ─▶ Series ─▶ samples
//! ```
//!
//! One writer per cluster, its scrape loop; readers take the state of a cluster as it is at one moment and wait for
//! nobody. A sample is kept bit for bit; one whose timestamp is not above that of the sample before is not. Where a
//! series ends (a round lacks it, or the cluster is stale) there is Prometheus' stale marker.
//!
//! The numbers of series (slots) mean something within one *era*: other rules name series otherwise, so they begin
//! another era, and the one before it is read until its last round is too old.

pub mod metrics;
pub mod view;
mod work;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::chunk::Batch;
use super::column::{Column, Groups};
use super::edge::Edge;
use super::index::{Index, IndexWriter};
pub use work::{Part, Work};

/// A window that memory has made shorter than this share of what is configured is given up whole.
const SHARE_MIN: i64 = 16;

/// What is known of a cluster itself at the end of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnSample {
    pub(super) at_ms: i64,
    pub(super) up: bool,
    /// Time since the last snapshot was published.
    pub(super) age: Option<Duration>,
}

/// The recent rounds of all clusters.
#[derive(Debug)]
pub struct Window {
    cluster_label: ArcSwap<String>,
    /// How long rounds are kept, in milliseconds; 0: nothing is.
    configured_ms: i64,
    /// The same as long as there is memory.
    current_ms: AtomicI64,
    /// When it was made shorter or longer last.
    changed_ms: AtomicI64,
    shortened: AtomicU64,
    /// Sorted by name.
    clusters: ArcSwap<Vec<Arc<ClusterWindow>>>,
}

/// The recent rounds of one cluster.
#[derive(Debug)]
pub struct ClusterWindow {
    name: Arc<str>,
    state: ArcSwap<State>,
    writer: Mutex<Writer>,
}

/// What readers see of a cluster.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Oldest first; the last one is under way, unless it is empty.
    pub(super) eras: Vec<Arc<Era>>,
    /// How long after its last round the cluster is stale, in milliseconds.
    pub(super) stale_after_ms: i64,
    /// Oldest first.
    pub(super) own: Arc<Vec<OwnSample>>,
}

/// Rounds under one numbering of series.
#[derive(Clone, Debug)]
pub(super) struct Era {
    pub(super) id: u64,
    pub(super) index: Arc<Index>,
    /// Oldest first.
    pub(super) batches: Vec<Arc<Batch>>,
    /// Rounds not yet sealed, oldest first.
    pub(super) columns: Vec<Arc<Column>>,
    /// What is known at the end of the batches.
    pub(super) edge: Edge,
}

/// The cluster of our own metrics: it has no name, since they are not of any.
pub const OURS: &str = "";

/// The writer's side of a cluster.
#[derive(Debug, Default)]
struct Writer {
    /// Ended eras.
    past: Vec<Arc<Era>>,
    current: Option<(Era, IndexWriter)>,
    own: Arc<Vec<OwnSample>>,
    stale_after_ms: i64,
}

/// What is held of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Samples, of rounds not yet sealed also those whose timestamp did not advance.
    pub samples: u64,
    /// Series, those that have ended among them.
    pub series: u64,
    /// Bytes of sealed rounds.
    pub chunk_bytes: u64,
    /// Bytes of rounds not yet sealed.
    pub column_bytes: u64,
    /// Bytes of labels.
    pub label_bytes: u64,
    /// When the oldest round began, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

impl Window {
    /// An empty window that keeps rounds for `keep`; zero keeps nothing.
    pub fn new(keep: Duration, cluster_label: String) -> Self {
        let configured_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / 2);
        Self {
            cluster_label: ArcSwap::from_pointee(cluster_label),
            configured_ms,
            current_ms: AtomicI64::new(configured_ms),
            changed_ms: AtomicI64::new(i64::MIN / 2),
            shortened: AtomicU64::new(0),
            clusters: ArcSwap::default(),
        }
    }

    /// From now on our own series carry the cluster's name under this label.
    pub fn set_cluster_label(&self, label: &str) {
        if **self.cluster_label.load() != *label {
            self.cluster_label.store(Arc::new(label.to_owned()));
        }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.configured_ms > 0
    }

    /// How long rounds are kept at this moment: less than was asked for while memory is short.
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.current_ms.load(Ordering::Relaxed).unsigned_abs())
    }

    /// Whether memory has made it shorter than configured.
    pub fn is_short(&self) -> bool {
        self.current_ms.load(Ordering::Relaxed) < self.configured_ms
    }

    /// How often memory has made it shorter.
    pub fn times_shortened(&self) -> u64 {
        self.shortened.load(Ordering::Relaxed)
    }

    /// The window of a cluster, an empty one for a new name. The same name goes on with what is there.
    pub fn cluster(&self, name: &str, stale_after: Duration) -> Arc<ClusterWindow> {
        let find =
            |all: &[Arc<ClusterWindow>]| all.binary_search_by(|known| (*known.name).cmp(name));
        self.clusters.rcu(|all| match find(all) {
            Ok(_) => all.clone(),
            Err(at) => {
                let mut all = Vec::clone(all);
                all.insert(at, Arc::new(ClusterWindow::new(name.into())));
                Arc::new(all)
            }
        });
        let all = self.clusters.load();
        let found = find(&all).map(|at| all[at].clone());
        let found = found.unwrap_or_else(|_| Arc::new(ClusterWindow::new(name.into())));
        found.set_stale_after(stale_after);
        found
    }

    /// Forgets all clusters but these, and what is about us.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.clusters.rcu(|all| {
            let kept = all
                .iter()
                .filter(|cluster| *cluster.name == *OURS || keep(&cluster.name));
            kept.cloned().collect::<Vec<_>>()
        });
    }

    /// Makes room: halves the window and forgets what has become too old. False: there was nothing left to forget.
    pub fn shorten(&self, now_ms: i64) -> bool {
        let before = self.current_ms.load(Ordering::Relaxed);
        if before == 0 {
            return false;
        }
        let half = if before / 2 < self.configured_ms / SHARE_MIN {
            0
        } else {
            before / 2
        };
        self.current_ms.store(half, Ordering::Relaxed);
        self.changed_ms.store(now_ms, Ordering::Relaxed);
        self.shortened.fetch_add(1, Ordering::Relaxed);
        let window = Duration::from_millis(half.unsigned_abs());
        warn!(
            ?window,
            "Memory is short: the window holds less. Raise --memory.limit or lower --storage.window."
        );
        for cluster in self.clusters.load().iter() {
            cluster.forget(now_ms.saturating_sub(half));
        }
        true
    }

    /// Doubles a window that was made shorter, once it has been full and there was `room` all the time.
    pub fn lengthen(&self, now_ms: i64, room: bool) {
        let current = self.current_ms.load(Ordering::Relaxed);
        if !self.is_short() {
            return;
        }
        let since = now_ms.saturating_sub(self.changed_ms.load(Ordering::Relaxed));
        if !room {
            self.changed_ms.store(now_ms, Ordering::Relaxed);
        } else if since > current.max(self.configured_ms / SHARE_MIN) {
            let longer = (2 * current)
                .max(self.configured_ms / SHARE_MIN + 1)
                .min(self.configured_ms);
            self.current_ms.store(longer, Ordering::Relaxed);
            self.changed_ms.store(now_ms, Ordering::Relaxed);
            let window = Duration::from_millis(longer.unsigned_abs());
            info!(?window, "There is memory again: the window holds more.");
        }
    }

    /// Rounds that began before this are too old.
    fn oldest_allowed(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.current_ms.load(Ordering::Relaxed))
    }

    /// What is held of each cluster, by name.
    pub fn held(&self) -> Vec<(Arc<str>, Held)> {
        let clusters = self.clusters.load();
        clusters
            .iter()
            .map(|cluster| (cluster.name.clone(), cluster.state.load().held()))
            .collect()
    }
}

impl ClusterWindow {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: ArcSwap::default(),
            writer: Mutex::default(),
        }
    }

    /// The cluster's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_stale_after(&self, stale_after: Duration) {
        let mut writer = self.lock();
        writer.stale_after_ms = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
        self.publish(&writer);
    }

    /// Notes how a round ended, for the series that tell of the cluster itself, and forgets what is too old.
    pub fn ended(&self, window: &Window, at_ms: i64, up: bool, age: Option<Duration>) {
        if !window.is_on() {
            return;
        }
        let oldest_ms = window.oldest_allowed(at_ms);
        let mut writer = self.lock();
        let own = Arc::make_mut(&mut writer.own);
        own.retain(|sample| sample.at_ms >= oldest_ms);
        if own.last().is_none_or(|last| last.at_ms < at_ms) {
            own.push(OwnSample { at_ms, up, age });
        }
        writer.forget(oldest_ms);
        if !up {
            writer.expire(); // where rounds come, a step of theirs does it, in the pool
        }
        self.publish(&writer);
    }

    /// Forgets rounds that began before `oldest_ms`.
    fn forget(&self, oldest_ms: i64) {
        let mut writer = self.lock();
        Arc::make_mut(&mut writer.own).retain(|sample| sample.at_ms >= oldest_ms);
        writer.forget(oldest_ms);
        while !writer.expire() {}
        self.publish(&writer);
    }

    /// Shows readers what the writer has.
    fn publish(&self, writer: &Writer) {
        let current = writer
            .current
            .as_ref()
            .map(|(era, _)| Arc::new(era.clone()));
        self.state.store(Arc::new(State {
            eras: writer.past.iter().cloned().chain(current).collect(),
            stale_after_ms: writer.stale_after_ms,
            own: writer.own.clone(),
        }));
    }
}

impl Writer {
    fn forget(&mut self, oldest_ms: i64) {
        self.past
            .retain(|era| era.newest_ms().is_some_and(|newest| newest >= oldest_ms));
        for era in &mut self.past {
            if era.oldest_ms().is_some_and(|oldest| oldest < oldest_ms) && !era.batches.is_empty() {
                Arc::make_mut(era).forget_batches(oldest_ms);
            }
        }
        let Some((era, _)) = &mut self.current else {
            return;
        };
        era.forget_batches(oldest_ms);
        era.forget_columns(oldest_ms);
    }

    /// Forgets labels of series that have left with the oldest rounds: a step of it; false if there are more of them.
    fn expire(&mut self) -> bool {
        let Some((era, index)) = &mut self.current else {
            return true;
        };
        let is_done = era
            .oldest_number()
            .is_none_or(|oldest| index.expire(oldest));
        index.publish(&mut era.index);
        is_done
    }
}

impl Era {
    fn new(id: u64) -> Self {
        Self {
            id,
            index: Arc::default(),
            batches: Vec::new(),
            columns: Vec::new(),
            edge: Edge::default(),
        }
    }

    /// Drops batches whose every round is too old.
    fn forget_batches(&mut self, oldest_ms: i64) {
        let is_old = |batch: &Arc<Batch>| batch.at_ms.last().is_none_or(|at| *at < oldest_ms);
        let old = self
            .batches
            .iter()
            .take_while(|batch| is_old(batch))
            .count();
        self.batches.drain(..old);
    }

    /// Drops columns that are too old to wait for being sealed, but never the newest: it says which series there are.
    fn forget_columns(&mut self, oldest_ms: i64) {
        if !self.batches.is_empty() {
            return;
        }
        let few = self.columns.len().saturating_sub(1);
        let old = self.columns[..few]
            .iter()
            .take_while(|column| column.at_ms < oldest_ms)
            .count();
        for at in 0..old {
            self.edge.pass(&self.columns[at..]);
        }
        self.columns.drain(..old);
    }

    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let sealed = self
            .batches
            .first()
            .and_then(|batch| batch.at_ms.first().copied());
        sealed.or_else(|| self.columns.first().map(|column| column.at_ms))
    }

    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.columns.last().map(|column| column.at_ms)
    }

    /// The number of the oldest round.
    pub(super) fn oldest_number(&self) -> Option<u32> {
        let sealed = self.batches.first().map(|batch| batch.numbers[0]);
        sealed.or_else(|| self.columns.first().map(|column| column.number))
    }

    fn held(&self) -> Held {
        let mut known = HashSet::new();
        let mut bytes_once = |groups: &Groups| -> usize {
            let new = |(address, _): &(usize, usize)| known.insert(*address);
            groups
                .shared()
                .into_iter()
                .filter(new)
                .map(|(_, bytes)| bytes)
                .sum()
        };
        let mut held = Held {
            series: self.index.rows as u64,
            ..Held::default()
        };
        let edge = self.edge.bytes() + bytes_once(self.edge.lasts.groups());
        let (mut chunks, mut columns) = (edge, 0);
        for batch in &self.batches {
            held.samples += batch.samples;
            chunks += batch.bytes() + bytes_once(batch.groups());
        }
        for column in &self.columns {
            held.samples += column.samples;
            columns += column.bytes() + bytes_once(&column.groups);
        }
        held.chunk_bytes = chunks as u64;
        held.column_bytes = columns as u64;
        held.label_bytes = self.index.bytes() as u64;
        held.oldest_ms = self.oldest_ms();
        held
    }
}

impl State {
    pub(super) fn held(&self) -> Held {
        self.eras
            .iter()
            .map(|era| era.held())
            .fold(Held::default(), |sum, era| Held {
                samples: sum.samples + era.samples,
                series: sum.series + era.series,
                chunk_bytes: sum.chunk_bytes + era.chunk_bytes,
                column_bytes: sum.column_bytes + era.column_bytes,
                label_bytes: sum.label_bytes + era.label_bytes,
                oldest_ms: sum.oldest_ms.or(era.oldest_ms),
            })
    }
}
