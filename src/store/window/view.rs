//! Reading the window: a consistent look at all clusters, the series that matchers select, and their samples.
//!
//! ```
//! # use tributary::store::window::{Window, view::Scratch};
//! # use tributary::model::matcher::{MatchOp, Matcher};
//! # let window = Window::new(std::time::Duration::from_secs(900), "cluster".into());
//! # let now_ms = 1_700_000_000_000;
//! let view = window.view(now_ms);
//! let matchers = [Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()];
//! let (mut scratch, mut samples) = (Scratch::default(), Vec::new());
//! for found in view.select(&matchers) {
//!     samples.clear();
//!     let series = view.series(&found);
//!     series.samples(now_ms - 300_000, now_ms, &mut scratch, |at_ms, value| samples.push((at_ms, value)));
//! }
//! ```

mod series;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::series::{Scratch, Series};
use super::{Era, State, Window};
use crate::model::matcher::Matcher;
use crate::store::index::{Index, Place, Rows};
use crate::store::page::BUILT_IN;

/// All clusters as they were at one moment.
#[derive(Debug)]
pub struct WindowView {
    cluster_label: Arc<str>,
    clusters: Vec<ClusterView>,
}

/// One cluster as a view saw it.
#[derive(Debug)]
pub struct ClusterView {
    name: Arc<str>,
    state: Arc<State>,
    /// When it went stale, if it has.
    end_ms: Option<i64>,
}

/// A series that a view has found; [`WindowView::series`] opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Position of the cluster.
    cluster: u32,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Scraped {
        at: InEra,
        /// The same labels in eras before, oldest first; mostly there are none.
        before: Box<[InEra]>,
    },
    /// What we know of a cluster ourselves, by position in [`BUILT_IN`].
    Own(usize),
}

/// A row of an era of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InEra {
    era: u32,
    place: Place,
}

impl Window {
    /// What there is at `now_ms`, milliseconds since 1970: a cluster without a round for its `stale_after` has ended.
    pub fn view(&self, now_ms: i64) -> WindowView {
        let clusters = self.clusters.load();
        let clusters = clusters.iter().map(|cluster| {
            let state = cluster.state.load_full();
            let last = state.eras.last().and_then(|era| era.newest_ms());
            let end_ms = last.map(|last| last.saturating_add(state.stale_after_ms));
            ClusterView {
                name: cluster.name.clone(),
                state,
                end_ms: end_ms.filter(|end| *end < now_ms),
            }
        });
        WindowView {
            cluster_label: self.cluster_label.load().as_str().into(),
            clusters: clusters.collect(),
        }
    }
}

impl Found {
    /// The row; none of a series of our own.
    fn row(&self) -> Option<u32> {
        match &self.what {
            What::Scraped { at, .. } => Some(at.place.row),
            What::Own(_) => None,
        }
    }

    /// Era and table of a row; none of a series of our own.
    fn table(&self) -> Option<(u32, u32)> {
        match &self.what {
            What::Scraped { at, .. } => Some((at.era, at.place.table)),
            What::Own(_) => None,
        }
    }
}

impl ClusterView {
    /// The cluster's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When its oldest round began, milliseconds since 1970; none without any. What a selector reaches for before that
    /// is missing.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.state.eras.iter().find_map(|era| era.oldest_ms())
    }

    /// Whether it has gone stale.
    pub fn is_stale(&self) -> bool {
        self.end_ms.is_some()
    }
}

impl WindowView {
    /// The clusters, by name.
    pub fn clusters(&self) -> &[ClusterView] {
        &self.clusters
    }

    /// The series that all matchers take, each set of labels once: by cluster and metric name, in no order beyond.
    /// Series that have ended are there until their last sample leaves.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<Found> {
        self.select_any(&[matchers])
    }

    /// What a select of this view has found.
    pub fn series<'v>(&'v self, found: &'v Found) -> Series<'v> {
        Series {
            cluster_label: &self.cluster_label,
            cluster: &self.clusters[found.cluster as usize],
            what: &found.what,
        }
    }

    /// The series that one of the sets takes whole; no set takes everything.
    pub fn select_any<M: AsRef<[Matcher]>>(&self, sets: &[M]) -> Vec<Found> {
        let mut found = Vec::new();
        for (number, cluster) in (0..).zip(&self.clusters) {
            self.select_own(number, sets, &mut found);
            let first = found.len();
            for (era, of_era) in (0..).zip(&cluster.state.eras) {
                let of_place = |place| Found {
                    cluster: number,
                    what: What::Scraped {
                        at: InEra { era, place },
                        before: Box::default(),
                    },
                };
                found.extend(places(of_era, sets).into_iter().map(of_place));
            }
            if cluster.state.eras.len() > 1 {
                let joined = self.join_eras(&found.split_off(first));
                found.extend(joined);
            }
        }
        found
    }

    /// Whether one of these series has one of these labels.
    pub fn any_has_label(&self, found: &[Found], labels: &[&str]) -> bool {
        let has = |name: &str| labels.contains(&name);
        tables(found).any(|run| self.series(&run[0]).labels().any(|(name, _)| has(name)))
    }

    /// A number for each of these series: those with the same one have the same values of the labels that count.
    pub fn alike(&self, found: &[Found], counts: impl Fn(&str) -> bool) -> Vec<u32> {
        let (mut numbers, mut count) = (Vec::with_capacity(found.len()), 0);
        for run in tables(found) {
            match &run[0].what {
                What::Scraped { at, .. } => {
                    let cluster = &self.clusters[run[0].cluster as usize];
                    let index = &cluster.state.eras[at.era as usize].index;
                    let rows = run.iter().filter_map(Found::row);
                    count = index.alike(at.place.table, &rows, &counts, count, &mut numbers);
                }
                What::Own(_) => {
                    for _ in run {
                        numbers.push(count);
                        count += 1;
                    }
                }
            }
        }
        numbers
    }

    /// Sorts series by their labels, as answers list them.
    pub fn sort(&self, found: &mut [Found]) {
        found.sort_by(|a, b| self.series(a).labels().cmp(self.series(b).labels()));
    }

    /// Makes one series of those that have the same labels in several eras.
    fn join_eras(&self, found: &[Found]) -> Vec<Found> {
        let mut joined: Vec<Found> = Vec::with_capacity(found.len());
        let mut by_labels: HashMap<Vec<(&str, &str)>, usize> = HashMap::with_capacity(found.len());
        for next in found {
            let labels = self.series(next).labels().collect();
            let at = *by_labels.entry(labels).or_insert(joined.len());
            let Some(known) = joined.get_mut(at) else {
                joined.push(next.clone());
                continue;
            };
            if let (What::Scraped { at, before }, What::Scraped { at: next, .. }) =
                (&mut known.what, &next.what)
            {
                *before = before.iter().copied().chain([*at]).collect();
                *at = *next;
            }
        }
        joined
    }

    /// Names of the labels of all series that one of the sets takes, sorted; no set takes everything.
    pub fn label_names<M: AsRef<[Matcher]>>(&self, sets: &[M]) -> Vec<Arc<str>> {
        self.texts(sets, Index::names, |_, _| true)
    }

    /// Values of a label in all series that one of the sets takes, sorted; no set takes everything.
    pub fn label_values<M: AsRef<[Matcher]>>(&self, name: &str, sets: &[M]) -> Vec<Arc<str>> {
        self.texts(
            sets,
            |index, rows, oldest, found| index.values(name, rows, oldest, found),
            |label, is_value| is_value && label == name,
        )
    }

    /// Texts that `collect` finds in the index of each era, and of our own series the names (or the values, where the
    /// second argument of `own` is true) that `own` wants.
    fn texts<M: AsRef<[Matcher]>>(
        &self,
        sets: &[M],
        collect: impl Fn(&Index, Rows<'_>, u32, &mut Vec<Arc<str>>),
        own: impl Fn(&str, bool) -> bool,
    ) -> Vec<Arc<str>> {
        let mut found = Vec::new();
        for (number, cluster) in (0..).zip(&self.clusters) {
            for era in &cluster.state.eras {
                let oldest = era.oldest_number().unwrap_or(0);
                if sets.is_empty() {
                    collect(&era.index, Rows::All, oldest, &mut found);
                } else {
                    collect(
                        &era.index,
                        Rows::Some(&places(era, sets)),
                        oldest,
                        &mut found,
                    );
                }
            }
            let mut ours = Vec::new();
            self.select_own(number, sets, &mut ours);
            for (name, value) in ours.iter().flat_map(|found| self.series(found).labels()) {
                if own(name, false) {
                    found.push(name.into());
                } else if own(name, true) {
                    found.push(value.into());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn select_own<M: AsRef<[Matcher]>>(&self, cluster: u32, sets: &[M], found: &mut Vec<Found>) {
        if self.clusters[cluster as usize].state.own.is_empty() {
            return;
        }
        for own in 0..BUILT_IN.len() {
            let own = Found {
                cluster,
                what: What::Own(own),
            };
            let series = self.series(&own);
            let takes =
                |matcher: &Matcher| matcher.matches(series.label(matcher.name()).unwrap_or(""));
            if sets.is_empty() || sets.iter().any(|set| set.as_ref().iter().all(takes)) {
                found.push(own);
            }
        }
    }
}

/// Series cut into those of a table, which have the same label names and come together.
fn tables(found: &[Found]) -> impl Iterator<Item = &[Found]> {
    found.chunk_by(|a, b| a.cluster == b.cluster && a.table() == b.table())
}

/// The rows of an era that one of the sets takes, each once, those of a table together.
fn places<M: AsRef<[Matcher]>>(era: &Era, sets: &[M]) -> Vec<Place> {
    let mut places = Vec::new();
    let oldest = era.oldest_number().unwrap_or(0);
    match sets {
        [] => era.index.select(&[], oldest, |place| places.push(place)),
        [one] => era
            .index
            .select(one.as_ref(), oldest, |place| places.push(place)),
        many => {
            for set in many {
                era.index
                    .select(set.as_ref(), oldest, |place| places.push(place));
            }
            places.sort_unstable_by_key(|place| (place.table, place.row));
            places.dedup();
        }
    }
    places
}
