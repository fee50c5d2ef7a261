//! Which series have the same timestamp in every round, as a number for each slot.
//!
//! Where series come and go every round a few slots change their group, so what columns share is a base, and beside it
//! stands what has moved since.

use std::sync::Arc;

use super::{WORD, bits_of};

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

    /// A bit for each of 64 slots that is in another group in the base of `other`; all bits where one of the bases does
    /// not have all of the slots.
    fn base_differing(&self, other: &Self, word: usize) -> u64 {
        let of = |base: &Arc<Vec<u32>>| base.get(WORD * word..)?.first_chunk::<WORD>().copied();
        let (Some(ours), Some(theirs)) = (of(&self.base), of(&other.base)) else {
            return u64::MAX;
        };
        bits_of(|at| ours[at] != theirs[at])
    }

    /// A bit for each of 64 slots whose group is another one in `other`.
    #[inline]
    pub(in crate::store) fn differing(&self, other: &Self, word: usize) -> u64 {
        if self.is(other) || self.is_in(other, word) {
            return 0;
        }
        let (ours, theirs) = (self.moved_in(word), other.moved_in(word));
        let mut left = ours | theirs;
        if !Arc::ptr_eq(&self.base, &other.base) {
            left |= self.base_differing(other, word);
        }
        // Those that have moved are met in their order.
        let (mut our_moved, mut their_moved) = (
            self.moved.of_word(word).iter(),
            other.moved.of_word(word).iter(),
        );
        let mut differing = 0;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            let group = |groups: &Self, moved: u64, next: &mut std::slice::Iter<'_, u32>| {
                let base = || groups.base.get(WORD * word + bit);
                let moved = (moved >> bit & 1 == 1).then(|| next.next());
                moved.flatten().or_else(base).copied().unwrap_or(NO_GROUP)
            };
            let is_other =
                group(self, ours, &mut our_moved) != group(other, theirs, &mut their_moved);
            differing |= u64::from(is_other) << bit;
        }
        differing
    }

    /// Whether the groups of 64 slots are known to be the same.
    #[inline]
    fn is_in(&self, other: &Self, word: usize) -> bool {
        let bits = self.moved_in(word);
        Arc::ptr_eq(&self.base, &other.base)
            && bits == other.moved_in(word)
            && (bits == 0 || self.moved.of_word(word) == other.moved.of_word(word))
    }

    /// Whether the groups of all slots are known to be the same.
    pub(in crate::store) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base) && Arc::ptr_eq(&self.moved, &other.moved)
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

    /// The groups of those of 64 slots that have moved.
    fn of_word(&self, word: usize) -> &[u32] {
        let rank = |word: usize| self.ranks.get(word).map(|rank| *rank as usize);
        let end = self.groups.len();
        &self.groups[rank(word).unwrap_or(end)..rank(word + 1).unwrap_or(end)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOTS: usize = 150;

    /// Groups with this base, of whose slots some have moved.
    fn groups(base: &Arc<Vec<u32>>, moved: &[(usize, u32)]) -> Groups {
        let mut now = Vec::clone(base);
        for &(slot, group) in moved {
            if slot >= now.len() {
                now.resize(slot + 1, NO_GROUP);
            }
            now[slot] = group;
        }
        let slots = moved.iter().map(|(slot, _)| u32::try_from(*slot).unwrap());
        let mut slots: Vec<u32> = slots.collect();
        slots.sort_unstable();
        slots.dedup();
        Groups {
            base: base.clone(),
            moved: Arc::new(Moved::new(&slots, &now)),
        }
    }

    proptest! {
        #[test]
        fn what_differs_is_what_slots_say(
            bases in proptest::collection::vec(proptest::collection::vec(0_u32..3, 0..SLOTS), 2),
            same_base: bool,
            moved in proptest::collection::vec(proptest::collection::vec((0..SLOTS, 0_u32..3), 0..40), 2),
        ) {
            let bases: Vec<_> = bases.into_iter().map(Arc::new).collect();
            let one = groups(&bases[0], &moved[0]);
            let other = groups(&bases[usize::from(!same_base)], &moved[1]);
            for word in 0..4 {
                let differing = one.differing(&other, word);
                for bit in 0..WORD {
                    let slot = WORD * word + bit;
                    let want = one.get(slot) != other.get(slot);
                    prop_assert_eq!(differing >> bit & 1 == 1, want, "slot {}", slot);
                }
            }
        }
    }
}
