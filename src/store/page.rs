//! Joins the families of all clusters into pages.
//!
//! For each metric name one header, then the clusters' blocks in the order of the clusters' names. Under
//! [`Typed::Full`] the parts of a histogram or summary stand together under the header of the whole.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;

use super::order::{Group, Order, Place};
use super::select::{Memo, Memos, Part, Selection};
use super::snapshot::Family;
use super::{Layout, Typed, View};
use crate::expose::escape::{self, Escaping};
use crate::expose::text::{write_header, write_series};
use crate::expose::{Block, Page, PageBuilder};
use crate::model::metadata::MetricKind;

/// The families that `/federate` always carries, in their order, with their HELP.
pub(crate) const BUILT_IN: [(&str, &str); 2] = [
    (
        "tributary_cluster_snapshot_age_seconds",
        "Time since the served snapshot of the cluster was published.",
    ),
    (
        "tributary_cluster_up",
        "Whether the last round of the cluster succeeded.",
    ),
];

/// At most this many joined pages are kept between two publications.
const PAGES_MAX: usize = 8;

/// The families of all clusters, cut in two where our own families stand in the order of names.
#[derive(Debug)]
pub struct Merged {
    /// Families whose names sort before ours.
    pub before: Arc<Page>,
    /// Families whose names sort behind ours.
    pub after: Arc<Page>,
    /// Lines that clusters themselves sent under the names of our families.
    same_name: [Vec<Block>; 2],
}

/// What a page is made of, beside the view.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The lines wanted; none: all.
    pub selection: Option<&'a Selection>,
    /// How names outside the legacy set are written.
    pub escaping: Escaping,
}

/// Joins the selected families of a view, which stand in this order.
pub(super) fn join(view: &View, order: &Order, ask: Ask<'_>, memos: &Memos) -> Merged {
    let mut joiner = Joiner::new(view, ask, memos);
    for (group, places) in order.groups() {
        joiner.group(group, places);
    }
    joiner.finish()
}

struct Joiner<'a> {
    view: &'a View,
    ask: Ask<'a>,
    remembered: &'a Memos,
    memos: Vec<Arc<Memo>>,
    before: Option<Page>,
    builder: PageBuilder,
    same_name: [Vec<Block>; 2],
    /// Lines selected of one family, used again.
    selected: Vec<u8>,
    judged: usize,
}

impl<'a> Joiner<'a> {
    fn new(view: &'a View, ask: Ask<'a>, remembered: &'a Memos) -> Self {
        let memos = ask
            .selection
            .map(|selection| remembered.take(selection, view.lineages()));
        Self {
            view,
            ask,
            remembered,
            memos: memos.unwrap_or_default(),
            before: None,
            builder: PageBuilder::new(),
            same_name: [Vec::new(), Vec::new()],
            selected: Vec::new(),
            judged: 0,
        }
    }

    fn group(&mut self, group: &Group, places: &[Place]) {
        let built_in = BUILT_IN.iter().position(|(own, _)| *own == &*group.name);
        if self.before.is_none() && *group.name >= *BUILT_IN[0].0 {
            self.before = Some(std::mem::take(&mut self.builder).finish());
        }
        let mut open = built_in.is_some();
        for place in places {
            let seen = &self.view.clusters[place.cluster as usize];
            let Some(snapshot) = &seen.snapshot else {
                continue;
            };
            let family = &snapshot.families[place.family as usize];
            let Some(block) = self.selected_block(place.cluster as usize, family) else {
                continue;
            };
            if let Some(own) = built_in {
                self.same_name[own].push(block.into_owned());
                continue;
            }
            if !std::mem::replace(&mut open, true) {
                let name = escape::name(&group.name, self.ask.escaping);
                write_header(self.builder.text(), &name, group.kind, &group.help);
            }
            self.builder.block(&block);
        }
    }

    /// The lines of a family that are asked for, as they are asked for.
    fn selected_block(&mut self, cluster: usize, family: &'a Family) -> Option<Cow<'a, Block>> {
        let block = match self.part_of(cluster, family) {
            Part::None => return None,
            Part::Whole => Cow::Borrowed(&family.block),
            Part::Lines => Cow::Owned(self.lines_of(cluster, family)?),
        };
        let as_it_is = match self.ask.escaping {
            Escaping::Utf8 => true,
            Escaping::Underscores | Escaping::Values => !family.heading.utf8,
            Escaping::Dots => false,
        };
        Some(if as_it_is {
            block
        } else {
            Cow::Owned(Block::new(
                escape::rewrite(block.text(), self.ask.escaping).into(),
            ))
        })
    }

    fn part_of(&self, cluster: usize, family: &Family) -> Part {
        let Some(selection) = self.ask.selection else {
            return Part::Whole;
        };
        let slot = &self.view.clusters[cluster].slot;
        let cluster = slot
            .labels_all()
            .then(|| (&*self.view.layout.cluster_label, slot.name()));
        selection.part_of(&family.heading.name, cluster)
    }

    fn lines_of(&mut self, cluster: usize, family: &Family) -> Option<Block> {
        let selection = self.ask.selection?;
        self.selected.clear();
        let memo = &mut self.memos[cluster];
        self.judged += Memo::copy_lines(memo, selection, family, &mut self.selected);
        (!self.selected.is_empty()).then(|| Block::new(Bytes::copy_from_slice(&self.selected)))
    }

    fn finish(self) -> Merged {
        if let (Some(selection), true) = (self.ask.selection, self.judged > 0) {
            self.remembered.put(selection, self.memos);
        }
        let last = self.builder.finish();
        let (before, after) = match self.before {
            Some(before) => (before, last),
            None => (last, PageBuilder::new().finish()),
        };
        Merged {
            before: before.into(),
            after: after.into(),
            same_name: self.same_name,
        }
    }
}

impl Merged {
    /// All pages of an answer: the clusters' families with our own in their place among them.
    pub(super) fn pages(&self, view: &View) -> [Arc<Page>; 3] {
        [
            self.before.clone(),
            self.built_in(view).into(),
            self.after.clone(),
        ]
    }

    /// State and age of every cluster. Without timestamps, so that the central server stamps and ends them itself.
    fn built_in(&self, view: &View) -> Page {
        let layout = view.layout();
        let mut builder = PageBuilder::new();
        for (own, (name, help)) in BUILT_IN.iter().enumerate() {
            match layout.typed {
                Typed::False => write_header(builder.text(), name, MetricKind::Unknown, ""),
                Typed::True | Typed::Full => {
                    write_header(builder.text(), name, MetricKind::Gauge, help);
                }
            }
            for seen in &view.clusters {
                let value = match own {
                    0 => seen.age.as_ref().map(Duration::as_secs_f64),
                    _ => Some(f64::from(u8::from(seen.slot.is_up()))),
                };
                let Some(value) = value else { continue };
                let text = builder.text();
                write_series(text, name, [(&*layout.cluster_label, seen.slot.name())]);
                text.extend_from_slice(format!(" {value}\n").as_bytes());
            }
            self.same_name[own]
                .iter()
                .for_each(|block| builder.block(block));
        }
        builder.finish()
    }
}

/// Joined pages of the current snapshots, by selection, and the order that the last one was joined in.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    pages: ArcSwap<Vec<CachedPage>>,
    order: ArcSwapOption<Order>,
}

#[derive(Clone, Debug)]
struct CachedPage {
    selection: Option<Arc<str>>,
    escaping: Escaping,
    versions: Vec<u64>,
    layout: Arc<Layout>,
    merged: Arc<Merged>,
}

impl PageCache {
    /// The order of a view's families.
    pub(super) fn order(&self, view: &View) -> Arc<Order> {
        if let Some(kept) = self.order.load_full().filter(|kept| kept.fits(view)) {
            return kept;
        }
        let order = Arc::new(Order::new(view));
        self.order.store(Some(order.clone()));
        order
    }

    /// Forgets all pages: they hold on to the text of snapshots.
    pub(super) fn clear(&self) {
        self.pages.store(Arc::default());
    }

    pub(super) fn get_or_join(
        &self,
        view: &View,
        ask: Ask<'_>,
        join: impl FnOnce() -> Merged,
    ) -> Arc<Merged> {
        let versions: Vec<u64> = view.clusters.iter().map(|seen| seen.version).collect();
        let key = ask.selection.map(Selection::key);
        let fits = |page: &&CachedPage| {
            page.selection.as_ref() == key
                && page.escaping == ask.escaping
                && page.versions == versions
                && Arc::ptr_eq(&page.layout, &view.layout)
        };
        if let Some(found) = self.pages.load().iter().find(fits) {
            return found.merged.clone();
        }
        let merged = Arc::new(join());
        let page = CachedPage {
            selection: key.cloned(),
            escaping: ask.escaping,
            versions,
            layout: view.layout.clone(),
            merged: merged.clone(),
        };
        self.pages.rcu(|pages| {
            let current = pages
                .iter()
                .filter(|old| old.versions == page.versions)
                .take(PAGES_MAX - 1);
            current.cloned().chain([page.clone()]).collect::<Vec<_>>()
        });
        merged
    }
}
