//! The order in which the families of all clusters stand in a page, and what stands above each group of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::snapshot::{Heading, Snapshot};
use super::{Typed, View};
use crate::model::metadata::MetricKind;

/// The families of all clusters by name, and under one name by cluster.
///
/// It changes only when a family comes, goes or is described anew, so it is kept from page to page: sorting 24,000
/// families takes ten times as long as looking whether the order still fits.
#[derive(Debug)]
pub(super) struct Order {
    typed: Typed,
    /// What it was made from: the headings of each cluster's families; none for a cluster without snapshot.
    made_from: Vec<Option<Vec<Arc<Heading>>>>,
    /// Sorted by name.
    groups: Vec<Group>,
    /// The families of all groups, one group behind the other.
    places: Vec<Place>,
}

/// Families under one header.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    /// The kind that the page may tell: unknown where the clusters disagree.
    pub(super) kind: MetricKind,
    /// The HELP of the first cluster that has one.
    pub(super) help: Arc<str>,
    /// Where its places end; they begin where those of the group before end.
    end: usize,
}

/// Where to find a family: position of the cluster in the view, and of the family in its snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) cluster: u32,
    pub(super) family: u32,
}

/// A family on its way to its place.
struct Entry<'a> {
    place: Place,
    heading: &'a Arc<Heading>,
    /// The name in whose header it stands: its own, or under [`Typed::Full`] that of the histogram it is part of.
    group: &'a Arc<str>,
}

impl Order {
    /// Sorts the families of a view.
    pub(super) fn new(view: &View) -> Self {
        let typed = view.layout.typed;
        let made_from: Vec<Option<Vec<Arc<Heading>>>> = view
            .clusters
            .iter()
            .map(|seen| seen.snapshot.as_deref().map(headings))
            .collect();
        let whole = if typed == Typed::Full {
            agreed_groups(&made_from)
        } else {
            HashMap::new()
        };
        let (mut groups, mut places) = (Vec::new(), Vec::new());
        let entries = sorted_entries(&made_from, &whole);
        for entries in entries.chunk_by(|a, b| a.group == b.group) {
            places.extend(entries.iter().map(|entry| entry.place));
            let name = entries[0].group.clone();
            let (kind, help) = describe(entries, typed, whole.get(&*name) == Some(&true));
            let end = places.len();
            groups.push(Group {
                name,
                kind,
                help,
                end,
            });
        }
        Self {
            typed,
            made_from,
            groups,
            places,
        }
    }

    /// Whether it is the order of a view's families too.
    pub(super) fn fits(&self, view: &View) -> bool {
        self.typed == view.layout.typed
            && self.made_from.len() == view.clusters.len()
            && self
                .made_from
                .iter()
                .zip(&view.clusters)
                .all(|(known, seen)| match (known, &seen.snapshot) {
                    (Some(known), Some(snapshot)) => same_headings(known, snapshot),
                    (None, None) => true,
                    _ => false,
                })
    }

    /// The groups, each with the places of its families.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&Group, &[Place])> {
        let begins = [0]
            .into_iter()
            .chain(self.groups.iter().map(|group| group.end));
        self.groups
            .iter()
            .zip(begins)
            .map(|(group, begin)| (group, &self.places[begin..group.end]))
    }
}

fn headings(snapshot: &Snapshot) -> Vec<Arc<Heading>> {
    snapshot
        .families
        .iter()
        .map(|family| family.heading.clone())
        .collect()
}

fn same_headings(known: &[Arc<Heading>], snapshot: &Snapshot) -> bool {
    known.len() == snapshot.families.len()
        && known
            .iter()
            .zip(&snapshot.families)
            .all(|(known, family)| Arc::ptr_eq(known, &family.heading))
}

/// All families, by group, cluster and name.
fn sorted_entries<'a>(
    clusters: &'a [Option<Vec<Arc<Heading>>>],
    whole: &HashMap<&str, bool>,
) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for (cluster, headings) in (0..).zip(clusters) {
        for (family, heading) in (0..).zip(headings.iter().flatten()) {
            let group = match &heading.base {
                Some(base) if whole.get(&**base) == Some(&true) => base,
                _ => &heading.name,
            };
            let place = Place { cluster, family };
            entries.push(Entry {
                place,
                heading,
                group,
            });
        }
    }
    // A stable sort, since it finds the runs that are sorted already.
    entries.sort_by(|a, b| {
        a.group
            .cmp(b.group)
            .then(a.place.cluster.cmp(&b.place.cluster))
            .then_with(|| a.heading.name.cmp(&b.heading.name))
    });
    entries
}

/// For each histogram or summary whether all clusters agree that it is one: then its parts stand together.
fn agreed_groups(clusters: &[Option<Vec<Arc<Heading>>>]) -> HashMap<&str, bool> {
    let mut kinds: HashMap<&str, MetricKind> = HashMap::new();
    let mut agreed: HashMap<&str, bool> = HashMap::new();
    let all = || clusters.iter().flatten().flatten();
    for heading in all() {
        if let Some(base) = &heading.base {
            let kind = *kinds.entry(base).or_insert(heading.kind);
            *agreed.entry(base).or_insert(true) &= kind == heading.kind;
        }
    }
    for heading in all() {
        // A cluster where the name is no part, or the name of the whole is something else, disagrees.
        let base = heading
            .base
            .as_deref()
            .unwrap_or_else(|| part_of(&heading.name));
        if let Some(agreed) = agreed.get_mut(base) {
            *agreed &= heading.base.is_some();
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

/// Type and HELP of a group: the type only where all clusters agree, and for histograms and summaries only where
/// the group is the `whole` of one.
fn describe(entries: &[Entry<'_>], typed: Typed, whole: bool) -> (MetricKind, Arc<str>) {
    if typed == Typed::False {
        return (MetricKind::Unknown, Arc::default());
    }
    let mut helps = entries.iter().map(|entry| &entry.heading.help);
    let help = helps
        .find(|help| !help.is_empty())
        .cloned()
        .unwrap_or_default();
    let kind = entries[0].heading.kind;
    let agreed = entries.iter().all(|entry| entry.heading.kind == kind);
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
