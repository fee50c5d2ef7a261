//! The values of a column that are not as in the round behind it.

use super::{Block, STALE, WORD};

/// Words of slots whose values stand together. What two columns have of so many stays near the processor while it is
/// compared, counted and copied.
const PART: usize = 128;

/// Values by slot, as what differs from those of the round behind.
#[derive(Debug)]
pub(super) struct Changed {
    slots: usize,
    /// A bit for each slot.
    differs: Vec<u64>,
    /// By 64 slots: how many before them in their part have changed.
    ranks: Vec<u32>,
    /// By [`PART`]: the values that have changed, by slot. As long as they need to be, for a new piece of memory is dear to
    /// touch.
    parts: Vec<Box<[u64]>>,
}

impl Changed {
    /// What differs from the values behind, if that is shorter. Calls `gone` for each slot that has a value here and none
    /// there.
    pub(super) fn between(
        values: &[u64],
        behind: &[u64],
        mut gone: impl FnMut(u32),
    ) -> Option<Self> {
        let words = values.len().div_ceil(WORD);
        let mut changed = Self {
            slots: values.len(),
            differs: Vec::with_capacity(words),
            ranks: Vec::with_capacity(words),
            parts: Vec::with_capacity(words.div_ceil(PART)),
        };
        for (part, values) in values.chunks(WORD * PART).enumerate() {
            let first = WORD * PART * part;
            let behind = behind.get(first..).unwrap_or_default();
            changed.push_part(values, behind, |slot| {
                gone(u32::try_from(first + slot).expect("slots are 32 bits wide"));
            });
        }
        let held: usize = changed.parts.iter().map(|part| part.len()).sum();
        (held <= values.len() - values.len() / 8).then_some(changed)
    }

    fn push_part(&mut self, values: &[u64], behind: &[u64], mut gone: impl FnMut(usize)) {
        let first = self.differs.len();
        let mut count = 0;
        for (word, values) in values.chunks(WORD).enumerate() {
            let behind = behind.get(WORD * word..).unwrap_or_default();
            let (bits, mut lost) = differing(values, behind);
            self.differs.push(bits);
            self.ranks.push(count);
            count += bits.count_ones();
            while lost != 0 {
                gone(WORD * word + lost.trailing_zeros() as usize);
                lost &= lost - 1;
            }
        }
        let mut part = Vec::with_capacity(count as usize);
        for (values, bits) in values.chunks(WORD).zip(&self.differs[first..]) {
            push_chosen(values, *bits, &mut part);
        }
        self.parts.push(part.into());
    }

    /// How many slots may have a value.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The value of a slot, unless it is the one in the round behind.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<u64> {
        if slot >= self.slots {
            return Some(STALE);
        }
        let word = self.differs[slot / WORD];
        let bit = 1 << (slot % WORD);
        let rank = || (word & (bit - 1)).count_ones() + self.ranks[slot / WORD];
        (word & bit != 0).then(|| self.parts[slot / WORD / PART][rank() as usize])
    }

    /// As [`super::Column::step_back`].
    pub(super) fn step_back(&self, word: usize, block: &mut Block) -> u64 {
        let beyond = clear_beyond(block, self.slots.saturating_sub(WORD * word));
        let Some(&bits) = self.differs.get(word) else {
            return beyond;
        };
        let values = &self.parts[word / PART][self.ranks[word] as usize..];
        if let Some(all) = values.first_chunk().filter(|_| bits == u64::MAX) {
            *block = *all;
            return bits;
        }
        let mut left = bits;
        for value in &values[..bits.count_ones() as usize] {
            block[left.trailing_zeros() as usize] = *value;
            left &= left - 1;
        }
        bits | beyond
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let values = self.parts.iter().map(|part| 8 * part.len());
        let parts = size_of::<Box<[u64]>>() * self.parts.capacity() + values.sum::<usize>();
        8 * self.differs.capacity() + 4 * self.ranks.capacity() + parts
    }
}

/// A bit for each of 64 values, or of the fewer there are, that is another behind; and one for each that has a value here
/// and none there.
fn differing(values: &[u64], behind: &[u64]) -> (u64, u64) {
    if let (Some(values), Some(behind)) = (values.first_chunk(), behind.first_chunk()) {
        return differing_of(values, behind);
    }
    let mut whole_behind = [STALE; WORD];
    let len = behind.len().min(WORD);
    whole_behind[..len].copy_from_slice(&behind[..len]);
    let mut whole = whole_behind; // beyond the values nothing differs
    whole[..values.len()].copy_from_slice(values);
    differing_of(&whole, &whole_behind)
}

/// The same of whole blocks.
fn differing_of(values: &Block, behind: &Block) -> (u64, u64) {
    let bits = bits_of(|at| values[at] != behind[at]);
    // Seldom there is one.
    let lost = if bits != 0 && behind.contains(&STALE) {
        bits & bits_of(|at| behind[at] == STALE)
    } else {
        0
    };
    (bits, lost)
}

/// Appends those of 64 values, or of the fewer there are, that have a bit.
fn push_chosen(values: &[u64], bits: u64, chosen: &mut Vec<u64>) {
    match values.first_chunk::<WORD>() {
        _ if bits == 0 => {}
        Some(values) if bits == u64::MAX => chosen.extend_from_slice(values),
        Some(values) => {
            // Which have one is not to be foreseen, so there is no branch a value.
            let (mut kept, mut count) = ([0; WORD], 0);
            for (at, &value) in values.iter().enumerate() {
                kept[count] = value;
                count += usize::from(bits >> at & 1 == 1);
            }
            chosen.extend_from_slice(&kept[..count]);
        }
        None => {
            let each = (0..values.len()).filter(|at| bits >> at & 1 == 1);
            chosen.extend(each.map(|at| values[at]));
        }
    }
}

/// A bit for each of 64 slots.
#[inline]
fn bits_of(is_set: impl Fn(usize) -> bool) -> u64 {
    let eight = |first: usize| {
        let each = (first..first + 8).rev();
        each.fold(0_u64, |bits, at| bits << 1 | u64::from(is_set(at)))
    };
    // Eight at a time, so that there are eight sums none of which waits for another.
    let eights = (0..WORD).step_by(8);
    eights.fold(0, |bits, first| bits | eight(first) << first)
}

/// Leaves only the first `slots` values of a block; returns a bit for each that is another then.
fn clear_beyond(block: &mut Block, slots: usize) -> u64 {
    let mut differs = 0;
    for (bit, value) in block.iter_mut().enumerate().skip(slots) {
        differs |= u64::from(*value != STALE) << bit;
        *value = STALE;
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the values of a word none change, a quarter or all.
    fn history(slots: usize, round: u64) -> Vec<u64> {
        let value = |slot: usize| match (slot / WORD % 3, slot as u64 + round) {
            (_, sum) if sum % 11 == 0 => STALE,
            (0, _) => slot as u64,
            (1, sum) => slot as u64 + sum / 4,
            (_, sum) => sum,
        };
        (0..slots).map(value).collect()
    }

    #[test]
    fn what_differs_leads_from_a_round_to_the_one_before() {
        let whole_part = WORD * PART;
        for (slots, behind) in [
            (0, 10),
            (10, 0),
            (100, 200),
            (200, 100),
            (whole_part, whole_part + 1),
            (2 * whole_part + 130, 2 * whole_part + 70),
        ] {
            let (values, behind) = (history(slots, 1), history(behind, 2));
            let at = |values: &[u64], slot| values.get(slot).copied().unwrap_or(STALE);
            let mut gone = Vec::new();
            let changed = Changed::between(&values, &behind, |slot| gone.push(slot as usize));
            let lost = |slot: &usize| at(&values, *slot) != STALE && at(&behind, *slot) == STALE;
            assert_eq!(gone, (0..slots).filter(lost).collect::<Vec<_>>());
            let Some(changed) = changed else {
                assert!(slots == 10, "the other rounds have values in common");
                continue;
            };
            assert_eq!(changed.slots(), slots);
            for word in 0..=slots.max(behind.len()).div_ceil(WORD) {
                let all = WORD * word..WORD * (word + 1);
                let mut block: Block = std::array::from_fn(|lane| at(&behind, all.start + lane));
                let bits = changed.step_back(word, &mut block);
                for (lane, slot) in all.enumerate() {
                    let (want, before) = (at(&values, slot), at(&behind, slot));
                    assert_eq!(block[lane], want, "{slot} of {slots}");
                    assert_eq!(bits >> lane & 1 == 1, want != before, "{slot} of {slots}");
                    assert_eq!(
                        changed.get(slot).unwrap_or(before),
                        want,
                        "{slot} of {slots}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_held_is_as_long_as_it_needs_to_be() {
        let (values, behind) = (history(20_000, 1), history(20_000, 2));
        let changed = Changed::between(&values, &behind, |_| {}).unwrap();
        let differing = values.iter().zip(&behind).filter(|(a, b)| a != b).count();
        let words = values.len().div_ceil(WORD);
        let parts = size_of::<Box<[u64]>>() * words.div_ceil(PART);
        assert_eq!(changed.bytes(), 8 * differing + (8 + 4) * words + parts);
        let others: Vec<u64> = values.iter().map(|value| value + 1).collect();
        assert!(Changed::between(&values, &others, |_| {}).is_none());
    }
}
