//! Which series have the same timestamp in every round, as a number for each slot.
//!
//! Where series come and go every round a few slots change their group, so what columns share is a base, and beside it
//! stands what has moved since.

use std::sync::Arc;

use super::WORD;

/// The group of a series that has none yet.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// The group of each slot.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Groups {
    pub(super) base: Arc<Vec<u32>>,
    pub(super) moved: Arc<Moved>,
}

/// Slots whose group is not the one in the base.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// A bit for each slot.
    slots: Vec<u64>,
    /// By 64 slots: how many before them have moved.
    ranks: Vec<u32>,
    /// The groups of those that have, by slot.
    groups: Vec<u32>,
}

impl Groups {
    /// The group of a slot; a number that no group has for a slot without.
    #[inline]
    pub(in crate::store) fn get(&self, slot: usize) -> u32 {
        let word = self.moved.slots.get(slot / WORD).copied().unwrap_or(0);
        let bit = 1 << (slot % WORD);
        if word & bit != 0 {
            let rank = self.moved.ranks[slot / WORD] + (word & (bit - 1)).count_ones();
            return self.moved.groups[rank as usize];
        }
        self.base.get(slot).copied().unwrap_or(NO_GROUP)
    }

    /// Address and bytes of what others may share.
    pub(in crate::store) fn shared(&self) -> [(usize, usize); 2] {
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

impl Moved {
    /// These slots, rising; `groups` are those of all slots.
    pub(super) fn new(moved: &[u32], groups: &[u32]) -> Self {
        let mut slots = vec![0_u64; groups.len().div_ceil(WORD)];
        for &slot in moved {
            slots[slot as usize / WORD] |= 1 << (slot as usize % WORD);
        }
        let ranks = slots.iter().scan(0, |rank, word| {
            let before = *rank;
            *rank += word.count_ones();
            Some(before)
        });
        Self {
            ranks: ranks.collect(),
            groups: moved.iter().map(|&slot| groups[slot as usize]).collect(),
            slots,
        }
    }
}
