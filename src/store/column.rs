//! One round of one cluster as numbers: a value for each series, a timestamp for each group of series.
//!
//! In: slot, value and timestamp of every line that a round writes ([`Recorder`]). Out: an immutable [`Column`] that
//! the window keeps. Recording stands on the path of every line of every round, so it stores eight bytes a line and
//! nothing else: series of one target have the same timestamp in every round, so they are a *group*, and a line whose
//! timestamp is the one that its group has already costs one comparison.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::snapshot::Line;

/// The value of a series that is not in a round: Prometheus' stale marker. No text reads as this `NaN`.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The stamp of a group that has no line in a round. No line has it, for it takes 20 bytes to write.
pub(super) const NO_STAMP: i64 = i64::MIN;

/// The group of a series that has none yet.
const NO_GROUP: u32 = u32::MAX;

/// Slots that are worked on together: as many as a word has bits.
pub(super) const WORD: usize = 64;

/// The values of so many slots, [`STALE`] where no series is.
pub(super) type Block = [u64; WORD];

/// What a round said of every series.
#[derive(Debug)]
pub struct Column {
    /// Counts rounds of an era, upwards; the odd numbers are for what happens between two rounds.
    pub(super) number: u32,
    /// When the round began, milliseconds since 1970.
    pub(super) at_ms: i64,
    values: Values,
    /// By group: milliseconds since 1970.
    pub(super) stamps: Vec<i64>,
    /// By slot: its group. Meaningless where no series is.
    pub(super) groups: Groups,
    /// Values that are not [`STALE`].
    pub(super) samples: u64,
}

/// By slot: the bits of the value, [`STALE`] where no series is. Slots beyond the end have none.
#[derive(Debug)]
enum Values {
    All(Vec<u64>),
    /// Those that are not as in the round behind this one.
    Changed {
        slots: usize,
        /// A bit for each slot.
        is_changed: Vec<u64>,
        /// By 64 slots: how many before them have changed.
        ranks: Vec<u32>,
        values: Vec<u64>,
    },
}

/// A column on its way into the window.
#[derive(Debug)]
pub struct Recorded {
    pub(super) column: Column,
    /// Which numbering of series the column's slots belong to.
    pub(super) era: u64,
    /// The round's text and all lines of it, when some are of series that appeared in this round.
    pub(super) born: Option<(Bytes, Arc<Vec<Line>>)>,
    /// The round, as [`Line::born`] has it.
    pub(super) round: u32,
}

impl Column {
    /// No series is left: the cluster has gone, at this time.
    pub(super) fn end(number: u32, at_ms: i64) -> Self {
        Self {
            number,
            at_ms,
            values: Values::All(Vec::new()),
            stamps: Vec::new(),
            groups: Groups::default(),
            samples: 0,
        }
    }

    /// How many slots may have a value.
    pub(super) fn slots(&self) -> usize {
        match &self.values {
            Values::All(values) => values.len(),
            Values::Changed { slots, .. } => *slots,
        }
    }

    /// The value of a slot, unless it is the one in the round behind this.
    #[inline]
    fn own(&self, slot: usize) -> Option<u64> {
        match &self.values {
            Values::All(values) => Some(values.get(slot).copied().unwrap_or(STALE)),
            Values::Changed {
                slots,
                is_changed,
                ranks,
                values,
            } => {
                if slot >= *slots {
                    return Some(STALE);
                }
                let word = is_changed[slot / 64];
                let bit = 1 << (slot % 64);
                let rank = || (word & (bit - 1)).count_ones() + ranks[slot / 64];
                (word & bit != 0).then(|| values[rank() as usize])
            }
        }
    }

    /// Makes the values of the slots from `64 * word` on those of this round; what stands there is those of the round
    /// behind it. Returns a bit for each slot whose value is another then.
    pub(super) fn step_back(&self, word: usize, block: &mut Block) -> u64 {
        match &self.values {
            Values::All(values) => {
                let values = values.get(WORD * word..).unwrap_or_default();
                let mut is_changed = 0;
                for (bit, place) in block.iter_mut().enumerate() {
                    let value = values.get(bit).copied().unwrap_or(STALE);
                    is_changed |= u64::from(*place != value) << bit;
                    *place = value;
                }
                is_changed
            }
            Values::Changed {
                slots,
                is_changed,
                ranks,
                values,
            } => {
                let mut bits = is_changed.get(word).copied().unwrap_or(0);
                let rank = ranks.get(word).map_or(0, |rank| *rank as usize);
                let is_changed = bits | clear_beyond(block, slots.saturating_sub(WORD * word));
                for value in &values[rank..][..bits.count_ones() as usize] {
                    block[bits.trailing_zeros() as usize] = *value;
                    bits &= bits - 1;
                }
                is_changed
            }
        }
    }

    /// The timestamp of a group; [`NO_STAMP`] if it has none.
    pub(super) fn stamp_of(&self, group: usize) -> i64 {
        self.stamps.get(group).copied().unwrap_or(NO_STAMP)
    }

    /// The values of all slots, if they stand here: those of a cluster's newest round do.
    pub(super) fn all(&self) -> Option<&[u64]> {
        match &self.values {
            Values::All(values) => Some(values),
            Values::Changed { .. } => None,
        }
    }

    /// The column as what differs from the one `behind` it, if that is shorter and both hold all values. Calls `gone`
    /// for each slot that has a value here and none there.
    pub(super) fn shortened(&self, behind: &Self, mut gone: impl FnMut(u32)) -> Option<Self> {
        let (values, next) = (self.all()?, behind.all()?);
        let words = values.len().div_ceil(WORD);
        let (mut is_changed, mut ranks) = (Vec::with_capacity(words), Vec::with_capacity(words));
        let mut count = 0;
        for (word, values) in values.chunks(WORD).enumerate() {
            let bits = differing(values, next.get(WORD * word..).unwrap_or_default());
            ranks.push(count);
            is_changed.push(bits);
            count += bits.count_ones();
        }
        let mut changed = Vec::with_capacity(count as usize);
        for (word, &bits) in is_changed.iter().enumerate() {
            let mut left = bits;
            while left != 0 {
                let slot = WORD * word + left.trailing_zeros() as usize;
                left &= left - 1;
                changed.push(values[slot]);
                if next.get(slot).is_none_or(|next| *next == STALE) {
                    gone(u32::try_from(slot).expect("slots are 32 bits wide"));
                }
            }
        }
        if changed.len() > values.len() - values.len() / 8 {
            return None;
        }
        Some(Self {
            number: self.number,
            at_ms: self.at_ms,
            values: Values::Changed {
                slots: values.len(),
                is_changed,
                ranks,
                values: changed,
            },
            stamps: self.stamps.clone(),
            groups: self.groups.clone(),
            samples: self.samples,
        })
    }

    /// The timestamp of a slot that has a value.
    #[inline]
    pub(super) fn stamp(&self, slot: usize) -> i64 {
        self.stamp_of(self.groups.get(slot) as usize)
    }

    /// Bytes held, without the groups, which columns share.
    pub(super) fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::All(values) => 8 * values.capacity(),
            Values::Changed {
                is_changed,
                ranks,
                values,
                ..
            } => 8 * (is_changed.capacity() + values.capacity()) + 4 * ranks.capacity(),
        };
        size_of::<Self>() + values + 8 * self.stamps.capacity()
    }
}

/// A bit for each of 64 slots, or the fewer there are, whose value is another one in `next`. Without a branch a slot:
/// which have changed is not to be foreseen.
fn differing(values: &[u64], next: &[u64]) -> u64 {
    let mut bits = 0;
    if let (Some(values), Some(next)) = (values.first_chunk::<WORD>(), next.first_chunk::<WORD>()) {
        for bit in 0..WORD {
            bits |= u64::from(values[bit] != next[bit]) << bit;
        }
        return bits;
    }
    for (bit, &value) in values.iter().enumerate() {
        bits |= u64::from(value != next.get(bit).copied().unwrap_or(STALE)) << bit;
    }
    bits
}

/// Leaves only the first `slots` values of a block; returns a bit for each that is another then.
fn clear_beyond(block: &mut Block, slots: usize) -> u64 {
    let mut is_changed = 0;
    for (bit, value) in block.iter_mut().enumerate().skip(slots) {
        is_changed |= u64::from(*value != STALE) << bit;
        *value = STALE;
    }
    is_changed
}

/// The values of a slot in columns one behind the other, of which the last one holds all.
#[derive(Debug)]
pub(super) struct SlotValues<'a> {
    columns: &'a [Arc<Column>],
    slot: usize,
    /// The next column, the one whose value it has, and that.
    at: usize,
    until: usize,
    value: u64,
}

impl<'a> SlotValues<'a> {
    pub(super) fn new(columns: &'a [Arc<Column>], slot: usize) -> Self {
        Self {
            columns,
            slot,
            at: 0,
            until: 0,
            value: STALE,
        }
    }
}

impl Iterator for SlotValues<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.at == self.until {
            let rest = self.columns.get(self.at..)?;
            let found = (1..)
                .zip(rest)
                .find_map(|(more, column)| Some((more, column.own(self.slot)?)));
            let (more, value) = found?;
            (self.until, self.value) = (self.at + more, value);
        }
        self.at += 1;
        Some(self.value)
    }
}

/// The group of each slot. Where series come and go every round a few slots change theirs, so what columns share is a
/// base, and beside it stands what has moved since.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    base: Arc<Vec<u32>>,
    moved: Arc<Moved>,
}

#[derive(Debug, Default)]
struct Moved {
    /// A bit for each slot.
    slots: Vec<u64>,
    /// By 64 slots: how many before them have moved.
    ranks: Vec<u32>,
    /// The groups of those that have, by slot.
    groups: Vec<u32>,
}

/// A new base is made when more than one slot in so many has moved.
const MOVED_SHARE: usize = 8;

impl Groups {
    /// The group of a slot; a number that no group has for a slot without.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> u32 {
        let (word, bit) = (self.moved_in(slot / WORD), 1 << (slot % WORD));
        if word & bit != 0 {
            let rank = self.moved.ranks[slot / WORD] + (word & (bit - 1)).count_ones();
            return self.moved.groups[rank as usize];
        }
        self.base.get(slot).copied().unwrap_or(NO_GROUP)
    }

    /// A bit for each of 64 slots: it is not in the group that the base says.
    #[inline]
    fn moved_in(&self, word: usize) -> u64 {
        self.moved.slots.get(word).copied().unwrap_or(0)
    }

    /// The same, of the bases alone; all bits where one of them does not have all of the 64 slots.
    fn base_differing(&self, other: &Self, word: usize) -> u64 {
        let of = |base: &Arc<Vec<u32>>| base.get(WORD * word..)?.first_chunk::<WORD>().copied();
        let (Some(ours), Some(theirs)) = (of(&self.base), of(&other.base)) else {
            return u64::MAX;
        };
        let mut differing = 0;
        for bit in 0..WORD {
            differing |= u64::from(ours[bit] != theirs[bit]) << bit;
        }
        differing
    }

    /// A bit for each of 64 slots whose group is another one in `other`.
    #[inline]
    pub(super) fn differing(&self, other: &Self, word: usize) -> u64 {
        if self.is(other) {
            return 0;
        }
        let mut left = self.moved_in(word) | other.moved_in(word);
        if !Arc::ptr_eq(&self.base, &other.base) {
            left |= self.base_differing(other, word);
        }
        let mut differing = 0;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            let slot = WORD * word + bit;
            differing |= u64::from(self.get(slot) != other.get(slot)) << bit;
        }
        differing
    }

    /// Whether the groups of all slots are known to be the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base) && Arc::ptr_eq(&self.moved, &other.moved)
    }

    /// Address and bytes of what others may share.
    pub(super) fn shared(&self) -> [(usize, usize); 2] {
        let Moved {
            slots,
            ranks,
            groups,
        } = &*self.moved;
        let moved = 8 * slots.capacity() + 4 * (ranks.capacity() + groups.capacity());
        [
            (Arc::as_ptr(&self.base).addr(), 4 * self.base.capacity()),
            (Arc::as_ptr(&self.moved).addr(), moved),
        ]
    }
}

/// Writes the columns of one cluster, round by round.
#[derive(Debug)]
pub struct Recorder {
    era: u64,
    values: Vec<u64>,
    stamps: Vec<i64>,
    /// By slot, as of now.
    groups: Vec<u32>,
    /// The groups as they were published last, and whether a series has changed its group since.
    published: Groups,
    moved: bool,
    /// Slots whose group is not the one in the published base.
    changed: Vec<u32>,
    /// The group that was first to have a timestamp, in the round under way.
    by_stamp: HashMap<i64, u32>,
    /// Groups without series.
    free: Vec<u32>,
    /// Slots of this round whose series are in no group or not in theirs, with their timestamps.
    strays: Vec<(u32, i64)>,
}

/// Numbers eras; 0 is none.
static ERAS: AtomicU64 = AtomicU64::new(1);

impl Default for Recorder {
    fn default() -> Self {
        Self {
            era: ERAS.fetch_add(1, Ordering::Relaxed),
            values: Vec::new(),
            stamps: Vec::new(),
            groups: Vec::new(),
            published: Groups::default(),
            moved: false,
            changed: Vec::new(),
            by_stamp: HashMap::new(),
            free: Vec::new(),
            strays: Vec::new(),
        }
    }
}

impl Recorder {
    /// Begins a round over so many slots; what was recorded of a round that was given up is forgotten.
    pub fn begin(&mut self, slots: usize) {
        self.values.clear();
        self.values.resize(slots, STALE);
        self.stamps.fill(NO_STAMP);
        self.by_stamp.clear();
        self.strays.clear();
    }

    /// Another series has the slot from now on.
    pub fn enter(&mut self, slot: u32) {
        let at = slot as usize;
        if at >= self.groups.len() {
            self.groups.resize(at + 1, NO_GROUP);
        }
        self.groups[at] = NO_GROUP;
    }

    /// Notes the sample of a slot.
    #[inline]
    pub fn record(&mut self, slot: u32, value: f64, timestamp_ms: i64) {
        let at = slot as usize;
        let group = self.groups.get(at).copied().unwrap_or(NO_GROUP);
        if self.stamps.get(group as usize) != Some(&timestamp_ms) {
            self.stamp(slot, group, timestamp_ms);
        }
        if let Some(place) = self.values.get_mut(at) {
            *place = value.to_bits();
        } else {
            self.values.resize(at + 1, STALE);
            self.values[at] = value.to_bits();
        }
    }

    /// Takes the sample of a slot back.
    pub fn forget(&mut self, slot: u32) {
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = STALE;
        }
    }

    /// The first line of a group in this round, or one whose series needs another group.
    #[cold]
    fn stamp(&mut self, slot: u32, group: u32, timestamp_ms: i64) {
        match self.stamps.get_mut(group as usize) {
            Some(stamp) if *stamp == NO_STAMP => {
                *stamp = timestamp_ms;
                self.by_stamp.entry(timestamp_ms).or_insert(group);
            }
            _ => self.strays.push((slot, timestamp_ms)),
        }
    }

    /// Finds groups for the series that have none, now that all others have shown their timestamps.
    fn gather_strays(&mut self) {
        for (slot, timestamp_ms) in std::mem::take(&mut self.strays) {
            let known = self.by_stamp.get(&timestamp_ms).copied();
            let group = known.unwrap_or_else(|| self.new_group(timestamp_ms));
            let at = slot as usize;
            if at >= self.groups.len() {
                self.groups.resize(at + 1, NO_GROUP);
            }
            self.groups[at] = group;
            self.changed.push(slot);
            self.moved = true;
        }
    }

    fn new_group(&mut self, timestamp_ms: i64) -> u32 {
        // A group that was free may have been taken up again.
        let is_free = |group: &u32| self.stamps[*group as usize] == NO_STAMP;
        let group = std::iter::from_fn(|| self.free.pop()).find(is_free);
        let group = group.unwrap_or_else(|| {
            self.stamps.push(NO_STAMP);
            u32::try_from(self.stamps.len() - 1).expect("not more groups than slots")
        });
        self.stamps[group as usize] = timestamp_ms;
        self.by_stamp.insert(timestamp_ms, group);
        group
    }

    /// Shows where series are now: as what differs from the base, unless that is much.
    fn publish_groups(&mut self) {
        self.moved = false;
        self.changed.sort_unstable();
        self.changed.dedup();
        if self.changed.len() * MOVED_SHARE > self.groups.len() {
            self.changed.clear();
            self.published = Groups {
                base: Arc::new(self.groups.clone()),
                moved: Arc::default(),
            };
            return;
        }
        let mut moved = Moved {
            slots: vec![0; self.groups.len().div_ceil(WORD)],
            ..Moved::default()
        };
        for &slot in &self.changed {
            moved.slots[slot as usize / WORD] |= 1 << (slot as usize % WORD);
            moved.groups.push(self.groups[slot as usize]);
        }
        let mut rank = 0;
        for word in &moved.slots {
            moved.ranks.push(rank);
            rank += word.count_ones();
        }
        self.published.moved = Arc::new(moved);
    }

    /// Ends a round, which stands for `samples` lines and began at `at_ms`. `born` is its text with the table of all
    /// lines, wanted when a line's series appeared in this round.
    pub fn finish(
        &mut self,
        round: u32,
        at_ms: i64,
        samples: u64,
        born: Option<(Bytes, Arc<Vec<Line>>)>,
    ) -> Recorded {
        self.gather_strays();
        if self.moved {
            self.publish_groups();
        }
        self.free.clear();
        let unused = (0..).zip(&self.stamps).filter(|(_, at)| **at == NO_STAMP);
        self.free.extend(unused.map(|(group, _)| group));
        let column = Column {
            number: 2 * round,
            at_ms,
            values: Values::All(std::mem::take(&mut self.values)),
            stamps: self.stamps.clone(),
            groups: self.published.clone(),
            samples,
        };
        Recorded {
            column,
            era: self.era,
            born,
            round,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(recorder: &mut Recorder, round: u32, samples: &[(u32, f64, i64)]) -> Column {
        recorder.begin(4);
        for &(slot, value, at) in samples {
            if recorder.groups.get(slot as usize).is_none() {
                recorder.enter(slot);
            }
            recorder.record(slot, value, at);
        }
        recorder.finish(round, 0, samples.len() as u64, None).column
    }

    fn shown(column: &Column) -> Vec<Option<(f64, i64)>> {
        let values = column.all().unwrap_or_default().iter().enumerate();
        values
            .map(|(slot, &value)| {
                (value != STALE).then(|| (f64::from_bits(value), column.stamp(slot)))
            })
            .collect()
    }

    #[test]
    fn series_of_one_target_share_their_timestamps() {
        let mut recorder = Recorder::default();
        let first = [(0, 1.0, 10), (1, 2.0, 20), (2, 3.0, 10), (5, 4.0, 20)];
        let one = column(&mut recorder, 1, &first);
        let want = [
            Some((1.0, 10)),
            Some((2.0, 20)),
            Some((3.0, 10)),
            None,
            None,
            Some((4.0, 20)),
        ];
        assert_eq!((shown(&one), one.stamps.len()), (want.to_vec(), 2));
        let second = [(0, 1.0, 11), (1, 2.0, 21), (2, 3.0, 11), (5, 4.0, 21)];
        let two = column(&mut recorder, 2, &second);
        assert!(one.groups.is(&two.groups), "nothing has moved");
        assert_eq!(two.stamps, [11, 21]);
    }

    #[test]
    fn a_group_splits_and_an_empty_one_is_used_again() {
        let mut recorder = Recorder::default();
        column(
            &mut recorder,
            1,
            &[(0, 1.0, 10), (1, 1.0, 10), (2, 1.0, 10)],
        );
        let split = column(
            &mut recorder,
            2,
            &[(0, 1.0, 20), (1, 1.0, 21), (2, 1.0, 21)],
        );
        let want = [Some((1.0, 20)), Some((1.0, 21)), Some((1.0, 21)), None];
        assert_eq!(shown(&split), want);
        assert_eq!(split.groups.get(1), split.groups.get(2));
        let gone = column(&mut recorder, 3, &[(1, 1.0, 30), (2, 1.0, 30)]);
        assert_eq!(shown(&gone)[0], None);
        let new = column(
            &mut recorder,
            4,
            &[(1, 1.0, 40), (2, 1.0, 40), (3, 1.0, 41)],
        );
        assert_eq!((shown(&new)[3], new.stamps.len()), (Some((1.0, 41)), 2));
        recorder.begin(4);
        recorder.record(1, 5.0, 50);
        recorder.forget(1);
        let forgotten = recorder.finish(5, 0, 0, None).column;
        assert_eq!(shown(&forgotten)[1], None);
    }

    #[test]
    fn a_shortened_column_has_the_same_values() {
        let mut recorder = Recorder::default();
        let samples = |round: u32| -> Vec<(u32, f64, i64)> {
            let there = (0..200).filter(move |slot| !(slot + round).is_multiple_of(11));
            there
                .map(|slot| (slot, f64::from(slot + round / (1 + slot % 4)), 10))
                .collect()
        };
        let columns: Vec<_> = (0..6)
            .map(|round| column(&mut recorder, round, &samples(round)))
            .collect();
        let mut gone = Vec::new();
        let shorter = |pair: &[Column]| pair[0].shortened(&pair[1], |slot| gone.push(slot));
        let short: Vec<_> = columns
            .windows(2)
            .map(shorter)
            .map(Option::unwrap)
            .collect();
        let newest = column(&mut recorder, 5, &samples(5));
        let short: Vec<_> = short.into_iter().chain([newest]).map(Arc::new).collect();
        for slot in 0..202 {
            let want = columns.iter().map(|column| column.own(slot).unwrap());
            let want: Vec<_> = want.collect();
            assert_eq!(
                SlotValues::new(&short, slot).collect::<Vec<_>>(),
                want,
                "{slot}"
            );
        }
        assert!(short[0].bytes() < columns[0].bytes());
        assert_eq!(&gone[..3], [10, 21, 32], "those that round 1 lacks");
    }
}
