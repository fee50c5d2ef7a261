//! What every cluster said last: one slot per cluster, swapped whole, and the merged read view of all slots.
//!
//! In: finished [`Snapshot`]s from the scrape loops. Out: [`Page`]s for `/federate`. One writer
//! per slot, many readers; nobody waits on a lock to read.

pub mod buffers;
mod chunk;
pub mod column;
mod edge;
mod index;
mod order;
pub mod page;
pub mod select;
pub mod snapshot;
pub mod window;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use self::page::{Ask, PageCache};
use self::select::Memos;
use self::snapshot::Snapshot;
use crate::expose::Page;
use crate::expose::escape::Escaping;

/// What the store needs to know of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSettings {
    /// The cluster's name, the value of its cluster label.
    pub name: String,
    /// How long a snapshot is served after it was published, when no newer one comes.
    pub stale_after: Duration,
    /// Whether every series of the cluster carries the cluster label with the cluster's name: not so under `honor`.
    pub labels_all: bool,
}

/// The place of one cluster.
#[derive(Debug)]
pub struct Slot {
    settings: SlotSettings,
    current: ArcSwapOption<Published>,
    /// Set by the first round, however it ended.
    attempted: AtomicBool,
    /// Whether the last round succeeded.
    up: AtomicBool,
    /// Snapshots that were replaced and may still be held by slow readers. Written by the publisher only.
    retired: ArcSwap<Vec<Weak<Snapshot>>>,
    /// For pages of this cluster alone.
    kept: Kept,
}

/// What is kept from one answer to the next: pages until something is published, and verdicts on series.
#[derive(Debug, Default)]
struct Kept {
    pages: PageCache,
    memos: Memos,
}

#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    at: Instant,
    /// Counts publications of all slots, from 1.
    version: u64,
}

/// How a typed page is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Typed {
    /// Counters and gauges typed; histograms and summaries untyped, part by part.
    #[default]
    True,
    /// Histograms and summaries typed too, their parts together under one header.
    Full,
    /// Everything untyped and without HELP, as Prometheus' own `/federate`.
    False,
}

/// What is the same for all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The label that carries a cluster's name.
    pub cluster_label: String,
    /// What a page says of kinds.
    pub typed: Typed,
}

/// All clusters: their slots, in the order of their names, and how their pages look. A reload swaps it whole.
#[derive(Debug)]
struct Clusters {
    slots: Vec<Arc<Slot>>,
    layout: Arc<Layout>,
}

/// The slots of all clusters, and what is kept of their pages.
#[derive(Debug)]
pub struct Store {
    clusters: ArcSwap<Clusters>,
    /// For pages of all clusters.
    kept: Kept,
    /// Snapshots published so far.
    published: AtomicU64,
}

/// One cluster as a view saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The cluster's slot.
    pub slot: Arc<Slot>,
    /// Its snapshot, unless there is none or it has gone stale.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Time since the last snapshot was published.
    pub age: Option<Duration>,
    /// Differs for any two snapshots; 0 where there is none.
    pub version: u64,
}

/// A consistent look at all clusters: holds their snapshots while a page of them is sent. Sorted by cluster name.
#[derive(Clone, Debug)]
pub struct View {
    /// The clusters, all of them.
    pub clusters: Vec<Seen>,
    layout: Arc<Layout>,
}

impl Slot {
    fn new(settings: SlotSettings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::empty(),
            attempted: AtomicBool::new(false),
            up: AtomicBool::new(false),
            retired: ArcSwap::default(),
            kept: Kept::default(),
        }
    }

    /// The slot for other settings of the same cluster: what was published stays until the next round.
    fn with(&self, settings: SlotSettings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::new(self.current.load_full()),
            attempted: AtomicBool::new(self.attempted()),
            up: AtomicBool::new(self.is_up()),
            retired: ArcSwap::new(self.retired.load_full()),
            kept: Kept::default(),
        }
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether every series of the cluster carries the cluster label with the cluster's name.
    pub fn labels_all(&self) -> bool {
        self.settings.labels_all
    }

    /// Whether the last round succeeded.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether a round has ended, well or not.
    pub fn attempted(&self) -> bool {
        self.attempted.load(Ordering::Acquire)
    }

    /// How long a snapshot is served when no newer one comes.
    pub fn stale_after(&self) -> Duration {
        self.settings.stale_after
    }

    /// Time since the last snapshot was published.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.at(now).1
    }

    /// Notes a round that failed. The last snapshot stays until it is stale.
    pub fn fail(&self, now: Instant) {
        self.up.store(false, Ordering::Relaxed);
        self.kept.pages.clear();
        if self.at(now).0.is_none() {
            self.retire(None);
        }
        self.attempted.store(true, Ordering::Release);
    }

    /// How many replaced snapshots are still held by readers.
    pub fn pinned(&self) -> usize {
        self.retired
            .load()
            .iter()
            .filter(|old| old.strong_count() > 0)
            .count()
    }

    fn retire(&self, next: Option<Arc<Published>>) {
        let Some(old) = self.current.swap(next) else {
            return;
        };
        let mut retired: Vec<_> = self
            .retired
            .load()
            .iter()
            .filter(|old| old.strong_count() > 0)
            .cloned()
            .collect();
        retired.push(Arc::downgrade(&old.snapshot));
        self.retired.store(Arc::new(retired));
    }

    /// The snapshot unless it is stale, and the age of the last one.
    fn at(&self, now: Instant) -> (Option<Arc<Published>>, Option<Duration>) {
        let Some(published) = self.current.load_full() else {
            return (None, None);
        };
        let age = now.saturating_duration_since(published.at);
        let fresh = age <= self.settings.stale_after;
        (fresh.then_some(published), Some(age))
    }
}

impl Store {
    /// A store without clusters.
    pub fn new(layout: Layout) -> Self {
        let clusters = Clusters {
            slots: Vec::new(),
            layout: layout.into(),
        };
        Self {
            clusters: ArcSwap::from_pointee(clusters),
            kept: Kept::default(),
            published: AtomicU64::new(0),
        }
    }

    /// Replaces the clusters by these, whose names are unique. Those for which `keep` is true keep their slot. Others
    /// that were there before get a new one that shows their last snapshot until their next round, unless their lines
    /// were labelled otherwise. One writer at a time.
    pub fn replace(
        &self,
        mut clusters: Vec<SlotSettings>,
        layout: Layout,
        keep: impl Fn(&str) -> bool,
    ) {
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        let old = self.clusters.load();
        let same_label = old.layout.cluster_label == layout.cluster_label;
        // At the start everybody is waited for; a cluster that comes later keeps nobody waiting.
        let started = !old.slots.is_empty() && self.all_attempted();
        let slot = |settings: SlotSettings| match self.slot(&settings.name) {
            Some(slot) if keep(slot.name()) => slot,
            Some(slot) if same_label && slot.labels_all() == settings.labels_all => {
                Arc::new(slot.with(settings))
            }
            _ => {
                let slot = Slot::new(settings);
                slot.attempted.store(started, Ordering::Release);
                Arc::new(slot)
            }
        };
        let slots = clusters.into_iter().map(slot).collect();
        let layout = if layout == *old.layout {
            old.layout.clone()
        } else {
            layout.into()
        };
        self.clusters.store(Arc::new(Clusters { slots, layout }));
        self.kept.pages.clear();
    }

    /// The slot of a cluster.
    pub fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        let slots = &self.clusters.load().slots;
        let at = slots.binary_search_by(|slot| slot.name().cmp(name));
        at.ok().map(|at| slots[at].clone())
    }

    /// Makes a round's result the cluster's current snapshot.
    pub fn publish(&self, slot: &Slot, snapshot: Snapshot, now: Instant) {
        let version = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        slot.retire(Some(Arc::new(Published {
            snapshot: Arc::new(snapshot),
            at: now,
            version,
        })));
        slot.up.store(true, Ordering::Relaxed);
        slot.attempted.store(true, Ordering::Release);
        self.kept.pages.clear();
        slot.kept.pages.clear();
    }

    /// How pages look.
    pub fn layout(&self) -> Arc<Layout> {
        self.clusters.load().layout.clone()
    }

    /// True once every cluster has answered or failed.
    pub fn all_attempted(&self) -> bool {
        self.clusters
            .load()
            .slots
            .iter()
            .all(|slot| slot.attempted())
    }

    /// The most old snapshots of one cluster that readers hold at this moment.
    pub fn generations_pinned(&self) -> usize {
        self.clusters
            .load()
            .slots
            .iter()
            .map(|slot| slot.pinned())
            .max()
            .unwrap_or(0)
    }

    /// What every cluster has to show at `now`.
    pub fn view(&self, now: Instant) -> View {
        let all = self.clusters.load();
        let clusters = all.slots.iter().map(|slot| Seen::new(slot, now));
        View {
            clusters: clusters.collect(),
            layout: all.layout.clone(),
        }
    }

    /// What one cluster has to show at `now`.
    pub fn view_of(&self, slot: &Arc<Slot>, now: Instant) -> View {
        View {
            clusters: vec![Seen::new(slot, now)],
            layout: self.clusters.load().layout.clone(),
        }
    }

    /// The answer to `ask` for a view: joined from the cache when nothing was published since. Costs up to some
    /// milliseconds of CPU time for a thousand families, more where lines must be selected or names escaped.
    pub fn pages(&self, view: &View, ask: Ask<'_>) -> [Arc<Page>; 3] {
        joined(&self.kept, view, ask)
    }

    /// The same for the view of one cluster ([`Store::view_of`]), which is kept apart: neither kind of page pushes the
    /// other out, and verdicts on the series of one cluster are of no use for another.
    pub fn pages_of(&self, slot: &Slot, view: &View, ask: Ask<'_>) -> [Arc<Page>; 3] {
        joined(&slot.kept, view, ask)
    }
}

impl Seen {
    fn new(slot: &Arc<Slot>, now: Instant) -> Self {
        let (published, age) = slot.at(now);
        let version = published.as_ref().map_or(0, |published| published.version);
        Self {
            slot: slot.clone(),
            snapshot: published.map(|published| published.snapshot.clone()),
            age,
            version,
        }
    }
}

/// Pages of a view: those that are kept, or new ones.
fn joined(kept: &Kept, view: &View, ask: Ask<'_>) -> [Arc<Page>; 3] {
    let ask = Ask {
        escaping: view.escaping_needed(ask.escaping),
        ..ask
    };
    let merged = kept.pages.get_or_join(view, ask, || {
        let order = kept.pages.order(view);
        page::join(view, &order, ask, &kept.memos)
    });
    merged.pages(view)
}

impl View {
    /// How pages of it look.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The numbering of each cluster's series; 0 where there is no snapshot.
    fn lineages(&self) -> impl Iterator<Item = u64> {
        self.clusters.iter().map(|seen| {
            seen.snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.lineage)
        })
    }

    /// How many clusters have a snapshot to show.
    pub fn present(&self) -> usize {
        self.clusters
            .iter()
            .filter(|seen| seen.snapshot.is_some())
            .count()
    }

    /// The scheme asked for, or none where no name would change.
    fn escaping_needed(&self, asked: Escaping) -> Escaping {
        let unusual = || {
            self.clusters
                .iter()
                .filter_map(|seen| seen.snapshot.as_ref())
                .any(|snapshot| snapshot.utf8)
        };
        match asked {
            Escaping::Underscores | Escaping::Values if !unusual() => Escaping::Utf8,
            scheme => scheme,
        }
    }
}
