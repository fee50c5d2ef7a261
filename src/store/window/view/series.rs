//! One series of a view: its labels, and its samples out of batches and columns.

use super::{ClusterView, InEra, What};
use crate::model::labels::METRIC_NAME;
use crate::store::chunk::{Event, marker_ms};
use crate::store::column::{STALE, SlotValues};
use crate::store::edge::NEVER;
use crate::store::index::{ALIVE, Place, Tenancy};
use crate::store::page::BUILT_IN;
use crate::store::window::{Era, OwnSample};

/// A series of a view: its labels and samples.
#[derive(Clone, Copy, Debug)]
pub struct Series<'v> {
    pub(super) cluster_label: &'v str,
    pub(super) cluster: &'v ClusterView,
    pub(super) what: &'v What,
}

/// Room to decode in, used again from series to series.
#[derive(Debug, Default)]
pub struct Scratch {
    events: Vec<Event>,
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
            read_columns(era, tenancy, self.cut_ms(*at), true, &mut scratch.events);
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
    let is_shown = events[before..].iter().any(|event| event.bits != STALE);
    read_columns(era, tenancy, end_ms, is_shown, events);
}

/// Appends what the rounds not yet sealed have of a tenancy, oldest first, and the marker where silence ended it. Where no
/// sample of it `is_shown`, the one that the newest round repeats: the round in which it was new has been forgotten.
fn read_columns(
    era: &Era,
    tenancy: Tenancy,
    end_ms: Option<i64>,
    mut is_shown: bool,
    events: &mut Vec<Event>,
) {
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
    let mut repeated = None;
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
            repeated = None;
            continue;
        }
        let at_ms = column.stamp(slot);
        let event = Event {
            number,
            at_ms,
            bits,
        };
        repeated = (at_ms == last).then_some(event);
        if at_ms > last {
            events.push(event);
            (last, is_shown) = (at_ms, true);
        }
    }
    events.extend(repeated.filter(|_| !is_shown));
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
