//! What is known of all slots where the sealed rounds end: when each had its last sample, and how its chunks look.
//!
//! Nearly every series has its last sample when its group has, so that is kept by group, and for the others apart.

use std::sync::Arc;

use super::chunk::Shape;
use super::column::{Column, Groups, NO_STAMP, STALE, SlotValues, WORD};

/// No last timestamp: the slot is empty.
pub(super) const NEVER: i64 = i64::MIN;

/// The end of the sealed rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    pub(super) lasts: Arc<Lasts>,
    /// By slot: the scale that its values had last.
    pub(super) hints: Arc<Vec<u8>>,
    /// Shapes that many chunks of the last batch had.
    pub(super) shapes: Arc<Vec<Shape>>,
    /// Batches sealed so far, and the bytes of the chunks in the last one.
    pub(super) count: u32,
    pub(super) chunk_bytes: usize,
}

/// By slot: the timestamp of the last sample.
#[derive(Debug, Default)]
pub(super) struct Lasts {
    groups: Groups,
    /// By group.
    ends: Vec<i64>,
    /// A bit for each slot whose last sample is not at the end of its group.
    is_other: Vec<u64>,
    /// Those that have one, by slot.
    others: Vec<(u32, i64)>,
    slots: usize,
}

impl Edge {
    /// Bytes held, without the groups, which columns and batches share.
    pub(super) fn bytes(&self) -> usize {
        self.lasts.bytes() + self.hints.capacity() + size_of::<Shape>() * self.shapes.capacity()
    }

    /// Passes over the first of these columns, which leaves without being sealed.
    pub(super) fn pass(&mut self, columns: &[Arc<Column>]) {
        let Some(column) = columns.first() else {
            return;
        };
        let slots = self.lasts.slots.max(column.slots());
        let stamps = column.stamps.chunks(1).enumerate();
        let ends = stamps.map(|(group, stamp)| advances(stamp, self.lasts.end(group)).1);
        let mut lasts = Lasts::new(column.groups.clone(), ends.collect(), slots);
        for slot in 0..slots {
            let value = SlotValues::new(columns, slot).next();
            lasts.push(if value.is_none_or(|value| value == STALE) {
                NEVER
            } else {
                self.lasts.get(slot).max(column.stamp(slot))
            });
        }
        self.lasts = Arc::new(lasts);
    }
}

/// In which rounds the timestamp of a group is above all before, `last` among them; and the last one then. A group that
/// a round lacks has no series in it, so it begins anew.
pub(super) fn advances(stamps: &[i64], last: i64) -> (u32, i64) {
    let (mut mask, mut end) = (0, last);
    for (round, &stamp) in stamps.iter().enumerate() {
        if stamp == NO_STAMP {
            end = NEVER;
        } else if stamp > end {
            mask |= 1 << round;
            end = stamp;
        }
    }
    (mask, end)
}

impl Lasts {
    /// None yet, of `slots` to come; `ends` are the last timestamps of the groups.
    pub(super) fn new(groups: Groups, ends: Vec<i64>, slots: usize) -> Self {
        Self {
            groups,
            ends,
            is_other: vec![0; slots.div_ceil(WORD)],
            others: Vec::new(),
            slots: 0,
        }
    }

    /// How many slots were entered.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The groups, which columns and batches may share.
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Enters the next slot.
    #[inline]
    pub(super) fn push(&mut self, last: i64) {
        let slot = self.slots;
        self.slots += 1;
        if last != self.end_of_group(slot) {
            self.is_other[slot / WORD] |= 1 << (slot % WORD);
            if last != NEVER {
                let slot = u32::try_from(slot).expect("slots are 32 bits wide");
                self.others.push((slot, last));
            }
        }
    }

    /// Enters the next slot: its last sample is the one of its group.
    #[inline]
    pub(super) fn push_with_group(&mut self) {
        self.slots += 1;
    }

    /// A bit for each of 64 slots whose last sample is not the one of its group, or that was not entered.
    pub(super) fn others(&self, word: usize) -> u64 {
        let entered = self.slots.saturating_sub(WORD * word);
        let beyond = u64::MAX.checked_shl(u32::try_from(entered).unwrap_or(u32::MAX));
        self.is_other.get(word).copied().unwrap_or(0) | beyond.unwrap_or(0)
    }

    /// The last timestamp of a group; [`NEVER`] if it has none.
    pub(super) fn end(&self, group: usize) -> i64 {
        self.ends.get(group).copied().unwrap_or(NEVER)
    }

    /// The last timestamp of a slot; [`NEVER`] where no series is.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> i64 {
        if slot >= self.slots {
            return NEVER;
        }
        if self.is_other[slot / WORD] >> (slot % WORD) & 1 == 1 {
            let found = self
                .others
                .binary_search_by_key(&slot, |(slot, _)| *slot as usize);
            return found.map_or(NEVER, |at| self.others[at].1);
        }
        self.end_of_group(slot)
    }

    #[inline]
    fn end_of_group(&self, slot: usize) -> i64 {
        self.end(self.groups.get(slot) as usize)
    }

    fn bytes(&self) -> usize {
        8 * (self.ends.capacity() + self.is_other.capacity())
            + size_of::<(u32, i64)>() * self.others.capacity()
    }
}
