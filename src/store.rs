//! What every cluster said last: one slot per cluster, swapped whole, and the merged read view of all slots.
//!
//! In: finished [`Snapshot`]s from the scrape loops. Out: [`Page`]s for `/federate`. One writer
//! per slot, many readers; nobody waits on a lock to read.

mod order;
pub mod page;
pub mod select;
pub mod snapshot;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use self::page::{Ask, Layout, PageCache};
use self::select::Memos;
use self::snapshot::Snapshot;
use crate::expose::Page;
use crate::expose::escape::Escaping;

/// What the store needs to know of a cluster.
#[derive(Clone, Debug)]
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

/// All slots, in the order of their names.
#[derive(Debug)]
pub struct Store {
    slots: Vec<Arc<Slot>>,
    cluster_label: String,
    typed: Typed,
    pages: PageCache,
    memos: Memos,
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
}

impl Slot {
    fn new(settings: SlotSettings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::empty(),
            attempted: AtomicBool::new(false),
            up: AtomicBool::new(false),
            retired: ArcSwap::default(),
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

    /// Notes a round that failed. The last snapshot stays until it is stale.
    pub fn fail(&self, now: Instant) {
        self.up.store(false, Ordering::Relaxed);
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
    /// Empty slots for these clusters.
    pub fn new(mut clusters: Vec<SlotSettings>, cluster_label: String, typed: Typed) -> Self {
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        let slots = clusters
            .into_iter()
            .map(|settings| Arc::new(Slot::new(settings)))
            .collect();
        Self {
            slots,
            cluster_label,
            typed,
            pages: PageCache::default(),
            memos: Memos::default(),
            published: AtomicU64::new(0),
        }
    }

    /// The slot of a cluster.
    pub fn slot(&self, name: &str) -> Option<&Arc<Slot>> {
        self.slots
            .binary_search_by(|slot| slot.name().cmp(name))
            .ok()
            .map(|at| &self.slots[at])
    }

    /// All slots, by name.
    pub fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
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
        self.pages.clear();
    }

    /// The label that carries a cluster's name.
    pub fn cluster_label(&self) -> &str {
        &self.cluster_label
    }

    /// True once every cluster has answered or failed.
    pub fn all_attempted(&self) -> bool {
        self.slots.iter().all(|slot| slot.attempted())
    }

    /// The most old snapshots of one cluster that readers hold at this moment.
    pub fn generations_pinned(&self) -> usize {
        self.slots
            .iter()
            .map(|slot| slot.pinned())
            .max()
            .unwrap_or(0)
    }

    /// What every cluster has to show at `now`.
    pub fn view(&self, now: Instant) -> View {
        let clusters = self.slots.iter().map(|slot| {
            let (published, age) = slot.at(now);
            let version = published.as_ref().map_or(0, |published| published.version);
            let snapshot = published.map(|published| published.snapshot.clone());
            Seen {
                slot: slot.clone(),
                snapshot,
                age,
                version,
            }
        });
        View {
            clusters: clusters.collect(),
        }
    }

    /// The answer to `ask` for a view: joined from the cache when nothing was published since. Costs up to some
    /// milliseconds of CPU time for a thousand families, more where lines must be selected or names escaped.
    pub fn pages(&self, view: &View, ask: Ask<'_>) -> [Arc<Page>; 3] {
        let layout = Layout {
            cluster_label: &self.cluster_label,
            typed: self.typed,
        };
        let ask = Ask {
            escaping: view.escaping_needed(ask.escaping),
            ..ask
        };
        let merged = self.pages.get_or_join(view, ask, || {
            let order = self.pages.order(view, self.typed);
            page::join(view, &order, ask, &self.memos, layout)
        });
        merged.pages(view, layout)
    }
}

impl View {
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
