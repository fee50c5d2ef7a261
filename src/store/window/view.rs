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

use std::collections::HashMap;
use std::sync::Arc;

use super::super::chunk::{Event, marker_ms};
use super::super::column::{STALE, SlotValues};
use super::super::edge::NEVER;
use super::super::index::{ALIVE, Index, Place, Rows, Tenancy};
use super::super::page::BUILT_IN;
use super::{Era, OwnSample, State, Window};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;

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

/// A series of a view: its labels and samples.
#[derive(Clone, Copy, Debug)]
pub struct Series<'v> {
    cluster_label: &'v str,
    cluster: &'v ClusterView,
    what: &'v What,
}

/// Room to decode in, used again from series to series.
#[derive(Debug, Default)]
pub struct Scratch {
    events: Vec<Event>,
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

impl<'v> Series<'v> {
    /// Name and value of each label, `__name__` among them, sorted by name.
    pub fn labels(&self) -> impl Iterator<Item = (&'v str, &'v str)> + use<'v> {
        let (scraped, own) = match self.what {
            What::Scraped { at, .. } => (Some(self.era(*at).index.labels(at.place)), None),
            What::Own(own) => {
                let name = BUILT_IN[*own].0;
                let mut pairs = [
                    (METRIC_NAME, name),
                    (self.cluster_label, &*self.cluster.name),
                ];
                pairs.sort_unstable();
                (None, Some(pairs))
            }
        };
        let scraped = scraped
            .into_iter()
            .flatten()
            .map(|(name, value)| (&**name, &**value));
        scraped.chain(own.into_iter().flatten())
    }

    /// The value of a label, if the series has it.
    pub fn label(&self, name: &str) -> Option<&'v str> {
        self.labels()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The cluster that it is from.
    pub fn cluster(&self) -> &'v ClusterView {
        self.cluster
    }

    /// Gives `push` the samples from `start_ms` to `end_ms`, both included: milliseconds since 1970, strictly rising,
    /// and values bit for bit. A stale marker ([`STALE`]) stands where the series ended,
    /// if one of the samples is before it.
    pub fn samples(
        &self,
        start_ms: i64,
        end_ms: i64,
        scratch: &mut Scratch,
        push: impl FnMut(i64, f64),
    ) {
        match self.what {
            What::Own(own) => own_samples(&self.cluster.state.own, *own, start_ms, end_ms, push),
            What::Scraped { at, before } => {
                scratch.events.clear();
                for (number, past) in before.iter().enumerate() {
                    let next = before.get(number + 1).unwrap_or(at);
                    read(
                        self.era(*past),
                        past.place,
                        start_ms,
                        None,
                        &mut scratch.events,
                    );
                    hand_over(
                        self.era(*past),
                        self.era(*next),
                        next.place,
                        &mut scratch.events,
                    );
                }
                read(
                    self.era(*at),
                    at.place,
                    start_ms,
                    self.cut_ms(*at),
                    &mut scratch.events,
                );
                push_rising(&scratch.events, start_ms, end_ms, push);
            }
        }
    }

    /// The newest sample from `start_ms` to `at_ms`, both included: a stale marker too. Mostly without decoding.
    pub fn newest(&self, start_ms: i64, at_ms: i64, scratch: &mut Scratch) -> Option<(i64, f64)> {
        if let What::Scraped { at, .. } = self.what {
            let era = self.era(*at);
            let sealed_ms = era
                .batches
                .iter()
                .map(|batch| batch.latest_ms)
                .max()
                .unwrap_or(NEVER);
            scratch.events.clear();
            let tenancy = era.index.table(at.place.table).tenancy(at.place.row);
            read_columns(era, tenancy, self.cut_ms(*at), &mut scratch.events);
            let found = scratch.events.iter().rfind(|event| event.at_ms <= at_ms);
            // What is later than everything before it cannot be out of order.
            let rise = scratch.events.is_sorted_by(|a, b| a.at_ms < b.at_ms);
            let is_sure = |event: &&Event| rise && event.at_ms > sealed_ms && event.bits != STALE;
            if let Some(event) = found.filter(is_sure).filter(|_| self.is_first(*at)) {
                let found = (event.at_ms, f64::from_bits(event.bits));
                return (event.at_ms >= start_ms).then_some(found);
            }
        }
        let mut newest = None;
        self.samples(start_ms, at_ms, scratch, |at_ms, value| {
            newest = Some((at_ms, value));
        });
        newest
    }

    /// Whether the series has had but one slot.
    fn is_first(&self, at: InEra) -> bool {
        let table = self.era(at).index.table(at.place.table);
        let before = matches!(self.what, What::Scraped { before, .. } if !before.is_empty());
        !before && table.earlier(at.place.row).is_empty()
    }

    fn era(&self, at: InEra) -> &'v Era {
        &self.cluster.state.eras[at.era as usize]
    }

    /// When silence ended the series: only the era under way can have been cut off by it.
    fn cut_ms(&self, at: InEra) -> Option<i64> {
        let is_last = at.era as usize + 1 == self.cluster.state.eras.len();
        self.cluster.end_ms.filter(|_| is_last)
    }
}

/// Takes back the marker at the end of an era, where the next one began right then and with the series.
fn hand_over(past: &Era, next: &Era, place: Place, events: &mut Vec<Event>) {
    let (Some(end), Some(first)) = (past.columns.last(), next.oldest_ms()) else {
        return;
    };
    let table = next.index.table(place.table);
    let earlier = table.earlier(place.row).first();
    let tenancy = earlier.map_or_else(|| table.tenancy(place.row), |(_, tenancy)| *tenancy);
    let goes_on = end.at_ms == first && Some(tenancy.born) == next.oldest_number();
    let is_end = |event: &&Event| event.bits == STALE && event.number == end.number;
    if goes_on && events.last().as_ref().is_some_and(is_end) {
        events.pop();
    }
}

/// Gives what lies in the time asked for, without what does not advance, and markers only where a sample is before.
fn push_rising(events: &[Event], start_ms: i64, end_ms: i64, mut push: impl FnMut(i64, f64)) {
    let (mut last, mut ended) = (NEVER, true);
    for event in events {
        if event.at_ms <= last {
            continue;
        }
        last = event.at_ms;
        let ends = event.bits == STALE;
        if (start_ms..=end_ms).contains(&last) && !(ends && ended) {
            ended = ends;
            push(last, f64::from_bits(event.bits));
        }
    }
}

/// Appends what a row has, oldest first; perhaps not what is before `start_ms`.
fn read(era: &Era, place: Place, start_ms: i64, end_ms: Option<i64>, events: &mut Vec<Event>) {
    let table = era.index.table(place.table);
    let last = table.tenancy(place.row);
    let earlier = table.earlier(place.row).iter().map(|(_, earlier)| *earlier);
    let mut tenancies = earlier.chain([last]).peekable();
    while let Some(tenancy) = tenancies.next() {
        let next = tenancies.peek();
        let end_ms = end_ms.filter(|_| next.is_none());
        read_tenancy(era, tenancy, start_ms, end_ms, events);
        // It went over to another slot: no end.
        if next.is_some_and(|next| next.born == tenancy.died) {
            events.pop_if(|event| event.bits == STALE && event.number == tenancy.died);
        }
    }
}

fn read_tenancy(
    era: &Era,
    tenancy: Tenancy,
    start_ms: i64,
    end_ms: Option<i64>,
    events: &mut Vec<Event>,
) {
    let before = events.len();
    let unsealed = era.columns.first().map_or(u32::MAX, |column| column.number);
    if tenancy.born < unsealed {
        read_sealed(era, tenancy, start_ms, events);
        events[before..].reverse();
    }
    read_columns(era, tenancy, end_ms, events);
}

/// Appends what the rounds not yet sealed have of a tenancy, oldest first, and the marker where silence ended it.
fn read_columns(era: &Era, tenancy: Tenancy, end_ms: Option<i64>, events: &mut Vec<Event>) {
    let slot = tenancy.slot as usize;
    let unsealed = era.columns.first().map_or(u32::MAX, |column| column.number);
    if tenancy.died < unsealed {
        return;
    }
    let mut last = if tenancy.born < unsealed {
        era.edge.lasts.get(slot)
    } else {
        NEVER
    };
    for (column, bits) in era.columns.iter().zip(SlotValues::new(&era.columns, slot)) {
        if column.number < tenancy.born || column.number > tenancy.died {
            continue;
        }
        let number = column.number;
        if bits == STALE {
            if last != NEVER {
                events.push(Event {
                    number,
                    at_ms: marker_ms(column.at_ms, last),
                    bits,
                });
                last = NEVER;
            }
            continue;
        }
        let at_ms = column.stamp(slot);
        if at_ms > last {
            events.push(Event {
                number,
                at_ms,
                bits,
            });
            last = at_ms;
        }
    }
    // A death in a round that came after the view was taken is none to it.
    let newest = era.columns.last().map_or(0, |column| column.number);
    if let Some(end_ms) = end_ms.filter(|_| tenancy.died > newest)
        && last != NEVER
    {
        let at_ms = marker_ms(end_ms, last);
        events.push(Event {
            number: ALIVE,
            at_ms,
            bits: STALE,
        });
    }
}

/// Appends what the batches have of a tenancy, newest first, from the newest batch to the last one that has anything
/// as late as `start_ms`.
fn read_sealed(era: &Era, tenancy: Tenancy, start_ms: i64, events: &mut Vec<Event>) {
    let slot = tenancy.slot as usize;
    let Some(first) = era.columns.first() else {
        return;
    };
    let behind = SlotValues::new(&era.columns, slot).next();
    let (behind, stamp) = (behind.unwrap_or(STALE), first.stamp(slot));
    let counts = behind != STALE && stamp > era.edge.lasts.get(slot);
    let mut anchor = counts.then_some(behind);
    let early = era
        .batches
        .iter()
        .take_while(|batch| batch.latest_ms < start_ms)
        .count();
    for batch in era.batches[early..].iter().rev() {
        if batch
            .numbers
            .last()
            .is_none_or(|newest| *newest < tenancy.born)
        {
            return;
        }
        let before = events.len();
        anchor = batch.read(slot, anchor, events);
        // A slot may have had other series before this one and behind it.
        let rounds = tenancy.born..=tenancy.died;
        let is_ours = |event: &Event| rounds.contains(&event.number);
        let mut ends = [batch.numbers.first(), batch.numbers.last()]
            .into_iter()
            .flatten();
        if !ends.all(|number| rounds.contains(number)) {
            let ours: Vec<Event> = events.drain(before..).filter(is_ours).collect();
            events.extend(ours);
        }
    }
}

fn own_samples(
    samples: &[OwnSample],
    own: usize,
    start_ms: i64,
    end_ms: i64,
    mut push: impl FnMut(i64, f64),
) {
    for sample in samples
        .iter()
        .filter(|sample| (start_ms..=end_ms).contains(&sample.at_ms))
    {
        let value = match own {
            0 => sample.age.map(|age| age.as_secs_f64()),
            _ => Some(f64::from(u8::from(sample.up))),
        };
        if let Some(value) = value {
            push(sample.at_ms, value);
        }
    }
}
