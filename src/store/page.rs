//! Joins the families of all clusters into pages.
//!
//! For each metric name one header, then the clusters' blocks in the order of the clusters' names. Under
//! [`Typed::Full`] the parts of a histogram or summary stand together under the header of the whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::select::{Memo, Memos, Part, Selection};
use super::snapshot::{Family, Snapshot};
use super::{Typed, View};
use crate::expose::escape::{self, Escaping};
use crate::expose::text::{write_header, write_series};
use crate::expose::{Block, Page, PageBuilder};
use crate::model::metadata::MetricKind;

/// The families that `/federate` always carries, in their order, with their HELP.
const BUILT_IN: [(&str, &str); 2] = [
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

/// What is the same for all pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    /// The label that carries a cluster's name.
    pub(super) cluster_label: &'a str,
    pub(super) typed: Typed,
}

/// One family of one cluster on its way into a page.
struct Entry<'a> {
    cluster: usize,
    family: &'a Family,
}

impl<'a> Entry<'a> {
    /// The name in whose header the family stands: its own, or under [`Typed::Full`] that of the histogram it is
    /// part of.
    fn group(&self, whole: &HashMap<&str, bool>) -> &'a str {
        match &self.family.base {
            Some(base) if whole.get(&**base) == Some(&true) => base,
            _ => &self.family.name,
        }
    }
}

/// What a page is made of, beside the view.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The lines wanted; none: all.
    pub selection: Option<&'a Selection>,
    /// How names outside the legacy set are written.
    pub escaping: Escaping,
}

/// Joins the selected families of a view.
pub(super) fn join(view: &View, ask: Ask<'_>, memos: &Memos, layout: Layout<'_>) -> Merged {
    let Layout { typed, .. } = layout;
    let snapshots: Vec<Option<&Snapshot>> = view
        .clusters
        .iter()
        .map(|seen| seen.snapshot.as_deref())
        .collect();
    let whole = if typed == Typed::Full {
        agreed_groups(&snapshots)
    } else {
        HashMap::new()
    };
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for (cluster, snapshot) in snapshots.iter().enumerate() {
        entries.extend(
            snapshot
                .iter()
                .flat_map(|s| &s.families)
                .map(|family| Entry { cluster, family }),
        );
    }
    // A stable sort, since it finds the runs that are sorted already.
    entries.sort_by(|a, b| {
        let (group_a, group_b) = (a.group(&whole), b.group(&whole));
        group_a
            .cmp(group_b)
            .then(a.cluster.cmp(&b.cluster))
            .then_with(|| a.family.name.cmp(&b.family.name))
    });
    let mut joiner = Joiner::new(view, ask, memos, layout);
    for group in entries.chunk_by(|a, b| a.group(&whole) == b.group(&whole)) {
        let name = group[0].group(&whole);
        let (kind, help) = describe(group, typed, whole.get(name) == Some(&true));
        joiner.group(&Header { name, kind, help }, group);
    }
    joiner.finish()
}

/// For each histogram or summary whether all clusters agree that it is one: then its parts stand together.
fn agreed_groups<'a>(snapshots: &[Option<&'a Snapshot>]) -> HashMap<&'a str, bool> {
    let mut kinds: HashMap<&str, MetricKind> = HashMap::new();
    let mut agreed: HashMap<&str, bool> = HashMap::new();
    let families = || {
        snapshots
            .iter()
            .flatten()
            .flat_map(|snapshot| &snapshot.families)
    };
    for family in families() {
        if let Some(base) = &family.base {
            let kind = *kinds.entry(base).or_insert(family.kind);
            *agreed.entry(base).or_insert(true) &= kind == family.kind;
        }
    }
    for family in families() {
        // A cluster where the name is no part, or the name of the whole is something else, disagrees.
        let base = family
            .base
            .as_deref()
            .unwrap_or_else(|| part_of(&family.name));
        if let Some(agreed) = agreed.get_mut(base) {
            *agreed &= family.base.is_some();
        }
    }
    agreed
}

/// The name without the ending of a part of a histogram or summary.
fn part_of(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

/// What stands above the lines of a group.
struct Header<'a> {
    name: &'a str,
    kind: MetricKind,
    help: &'a str,
}

struct Joiner<'a> {
    view: &'a View,
    ask: Ask<'a>,
    layout: Layout<'a>,
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
    fn new(view: &'a View, ask: Ask<'a>, remembered: &'a Memos, layout: Layout<'a>) -> Self {
        let memos = ask
            .selection
            .map(|selection| remembered.take(selection, view.clusters.len()));
        Self {
            view,
            ask,
            layout,
            remembered,
            memos: memos.unwrap_or_default(),
            before: None,
            builder: PageBuilder::new(),
            same_name: [Vec::new(), Vec::new()],
            selected: Vec::new(),
            judged: 0,
        }
    }

    fn group(&mut self, header: &Header<'_>, entries: &[Entry<'_>]) {
        let built_in = BUILT_IN.iter().position(|(own, _)| *own == header.name);
        if self.before.is_none() && header.name >= BUILT_IN[0].0 {
            self.before = Some(std::mem::take(&mut self.builder).finish());
        }
        let mut open = built_in.is_some();
        for entry in entries {
            let Some(block) = self.selected_block(entry) else {
                continue;
            };
            if let Some(own) = built_in {
                self.same_name[own].push(block);
                continue;
            }
            if !std::mem::replace(&mut open, true) {
                let name = escape::name(header.name, self.ask.escaping);
                write_header(self.builder.text(), &name, header.kind, header.help);
            }
            self.builder.block(&block);
        }
    }

    /// The lines of a family that are asked for, as they are asked for.
    fn selected_block(&mut self, entry: &Entry<'_>) -> Option<Block> {
        let family = entry.family;
        let block = match self.part_of(entry) {
            Part::None => return None,
            Part::Whole => family.block.clone(),
            Part::Lines => self.lines_of(entry)?,
        };
        let as_it_is = match self.ask.escaping {
            Escaping::Utf8 => true,
            Escaping::Underscores | Escaping::Values => !family.utf8,
            Escaping::Dots => false,
        };
        Some(if as_it_is {
            block
        } else {
            Block::new(escape::rewrite(block.text(), self.ask.escaping).into())
        })
    }

    fn part_of(&self, entry: &Entry<'_>) -> Part {
        let Some(selection) = self.ask.selection else {
            return Part::Whole;
        };
        let slot = &self.view.clusters[entry.cluster].slot;
        let cluster = slot
            .labels_all()
            .then(|| (self.layout.cluster_label, slot.name()));
        selection.part_of(&entry.family.name, cluster)
    }

    fn lines_of(&mut self, entry: &Entry<'_>) -> Option<Block> {
        let selection = self.ask.selection?;
        self.selected.clear();
        let memo = &mut self.memos[entry.cluster];
        self.judged += Memo::copy_lines(memo, selection, entry.family, &mut self.selected);
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

/// Type and HELP of a group: the type only where all clusters agree, and for histograms and summaries only where
/// the group is the `whole` of one; the HELP of the first cluster that has one.
fn describe<'a>(entries: &[Entry<'a>], typed: Typed, whole: bool) -> (MetricKind, &'a str) {
    if typed == Typed::False {
        return (MetricKind::Unknown, "");
    }
    let help = entries
        .iter()
        .map(|entry| &*entry.family.help)
        .find(|help| !help.is_empty())
        .unwrap_or_default();
    let kind = entries[0].family.kind;
    let agreed = entries.iter().all(|entry| entry.family.kind == kind);
    let shown = whole || matches!(kind, MetricKind::Counter | MetricKind::Gauge);
    (
        if agreed && shown {
            kind
        } else {
            MetricKind::Unknown
        },
        help,
    )
}

impl Merged {
    /// All pages of an answer: the clusters' families with our own in their place among them.
    pub(super) fn pages(&self, view: &View, layout: Layout<'_>) -> [Arc<Page>; 3] {
        [
            self.before.clone(),
            self.built_in(view, layout).into(),
            self.after.clone(),
        ]
    }

    /// State and age of every cluster. Without timestamps, so that the central server stamps and ends them itself.
    fn built_in(&self, view: &View, layout: Layout<'_>) -> Page {
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
                write_series(text, name, [(layout.cluster_label, seen.slot.name())]);
                text.extend_from_slice(format!(" {value}\n").as_bytes());
            }
            self.same_name[own]
                .iter()
                .for_each(|block| builder.block(block));
        }
        builder.finish()
    }
}

/// Joined pages of the current snapshots, by selection.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    pages: ArcSwap<Vec<CachedPage>>,
}

#[derive(Clone, Debug)]
struct CachedPage {
    selection: Option<Arc<str>>,
    escaping: Escaping,
    versions: Vec<u64>,
    merged: Arc<Merged>,
}

impl PageCache {
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
        };
        if let Some(found) = self.pages.load().iter().find(fits) {
            return found.merged.clone();
        }
        let merged = Arc::new(join());
        let page = CachedPage {
            selection: key.cloned(),
            escaping: ask.escaping,
            versions,
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
