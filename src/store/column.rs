//! One round of one cluster as numbers: a value for each series, a timestamp for each group of series.
//!
//! In: slot, value and timestamp of every line that a round writes ([`Recorder`]). Out: an immutable [`Column`] that
//! the window keeps. Recording stands on the path of every line of every round, so it stores eight bytes a line and
//! nothing else: series of one target have the same timestamp in every round, so they are a *group*, and a line whose
//! timestamp is the one that its group has already costs one comparison.

mod changed;
mod groups;
mod recorder;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use self::changed::Changed;
pub(super) use self::groups::Groups;
pub use self::recorder::Recorder;

/// The value of a series that is not in a round: Prometheus' stale marker. No text reads as this `NaN`.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The stamp of a group that has no line in a round. No line has it, for it takes 20 bytes to write.
pub(super) const NO_STAMP: i64 = i64::MIN;

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
    /// A bit for each slot whose group may be another than in the round before; slots beyond the end have none.
    pub(super) regrouped: Arc<[u64]>,
    /// Values that are not [`STALE`].
    pub(super) samples: u64,
}

/// By slot: the bits of the value, [`STALE`] where no series is. Slots beyond the end have none.
#[derive(Debug)]
enum Values {
    All(Vec<u64>),
    /// Those that are not as in the round behind this one.
    Changed(Changed),
}

/// A column on its way into the window.
#[derive(Debug)]
pub struct Recorded {
    pub(super) column: Column,
    /// Which numbering of series the column's slots belong to.
    pub(super) era: u64,
    /// The series that appeared.
    pub born: Born,
}

/// The series that appeared in a round.
#[derive(Debug)]
pub struct Born {
    /// A text that holds their lines; values and timestamps may be those before a floor raised them.
    pub text: Bytes,
    /// In the order of the text.
    pub births: Vec<Birth>,
}

/// A series that appeared.
#[derive(Debug)]
pub struct Birth {
    /// Its slot.
    pub slot: u32,
    /// Its line in the text.
    pub line: Range<usize>,
}

impl Column {
    /// No series is left behind this round: the cluster has gone, at that time.
    pub(super) fn end(&self, at_ms: i64) -> Self {
        Self {
            number: self.number + 1,
            at_ms,
            values: Values::All(Vec::new()),
            stamps: Vec::new(),
            groups: self.groups.clone(),
            regrouped: Arc::default(),
            samples: 0,
        }
    }

    /// How many slots may have a value.
    pub(super) fn slots(&self) -> usize {
        match &self.values {
            Values::All(values) => values.len(),
            Values::Changed(changed) => changed.slots(),
        }
    }

    /// The value of a slot, unless it is the one in the round behind this.
    #[inline]
    fn own(&self, slot: usize) -> Option<u64> {
        match &self.values {
            Values::All(values) => Some(values.get(slot).copied().unwrap_or(STALE)),
            Values::Changed(changed) => changed.get(slot),
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
            Values::Changed(changed) => changed.step_back(word, block),
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
            Values::Changed(_) => None,
        }
    }

    /// The column as what differs from the one `behind` it, if that is shorter and both hold all values. Calls `gone` for
    /// each slot that has a value here and none there.
    pub(super) fn shortened(&self, behind: &Self, gone: impl FnMut(u32)) -> Option<Self> {
        let changed = Changed::between(self.all()?, behind.all()?, gone)?;
        Some(Self {
            number: self.number,
            at_ms: self.at_ms,
            values: Values::Changed(changed),
            stamps: self.stamps.clone(),
            groups: self.groups.clone(),
            regrouped: self.regrouped.clone(),
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
            Values::Changed(changed) => changed.bytes(),
        };
        size_of::<Self>() + values + 8 * (self.stamps.capacity() + self.regrouped.len())
    }
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
