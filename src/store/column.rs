//! One round of one cluster as numbers: a value for each series, a timestamp for each group of series.
//!
//! In: slot, value and timestamp of every line that a round writes ([`Recorder`]). Out: an immutable [`Column`] that
//! the window keeps. Recording stands on the path of every line of every round, so it stores eight bytes a line and
//! nothing else: series of one target have the same timestamp in every round, so they are a *group*, and a line whose
//! timestamp is the one that its group has already costs one comparison.

mod groups;
mod recorder;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

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

/// Room for one more value in so many than are expected to have changed.
const CHANGED_MORE: usize = 16;

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

    /// Whether the group of a slot may be another than in the round before.
    #[inline]
    pub(super) fn may_regroup(&self, slot: usize) -> bool {
        let word = self.regrouped.get(slot / WORD).copied().unwrap_or(0);
        word >> (slot % WORD) & 1 == 1
    }

    /// The timestamp of a group; [`NO_STAMP`] if it has none.
    pub(super) fn stamp_of(&self, group: usize) -> i64 {
        self.stamps.get(group).copied().unwrap_or(NO_STAMP)
    }

    /// How many values are held: if not of all slots, as many as differ from those of the round behind.
    pub(super) fn held(&self) -> usize {
        match &self.values {
            Values::All(values) | Values::Changed { values, .. } => values.len(),
        }
    }

    /// The values of all slots, if they stand here: those of a cluster's newest round do.
    pub(super) fn all(&self) -> Option<&[u64]> {
        match &self.values {
            Values::All(values) => Some(values),
            Values::Changed { .. } => None,
        }
    }

    /// The column as what differs from the one `behind` it, if that is shorter and both hold all values: about as many
    /// values as are `expected`. Calls `gone` for each slot that has a value here and none there.
    pub(super) fn shortened(
        &self,
        behind: &Self,
        expected: usize,
        mut gone: impl FnMut(u32),
    ) -> Option<Self> {
        let (values, next) = (self.all()?, behind.all()?);
        let words = values.len().div_ceil(WORD);
        let (mut is_changed, mut ranks) = (Vec::with_capacity(words), Vec::with_capacity(words));
        let room = expected + expected / CHANGED_MORE + WORD;
        let mut changed = Vec::with_capacity(room);
        for (word, values) in values.chunks(WORD).enumerate() {
            let next = next.get(WORD * word..).unwrap_or_default();
            ranks.push(u32::try_from(changed.len()).expect("slots are 32 bits wide"));
            let (bits, mut lost) = push_differing(values, next, &mut changed);
            is_changed.push(bits);
            while lost != 0 {
                let slot = WORD * word + lost.trailing_zeros() as usize;
                lost &= lost - 1;
                gone(u32::try_from(slot).expect("slots are 32 bits wide"));
            }
        }
        if changed.len() > values.len() - values.len() / 8 {
            return None;
        }
        if changed.capacity() > changed.len() + changed.len() / 8 + WORD {
            changed = changed.as_slice().to_vec(); // shrinking may leave the block as large as it was
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
            Values::Changed {
                is_changed,
                ranks,
                values,
                ..
            } => 8 * (is_changed.capacity() + values.capacity()) + 4 * ranks.capacity(),
        };
        size_of::<Self>() + values + 8 * (self.stamps.capacity() + self.regrouped.len())
    }
}

/// Appends those of 64 values, or of the fewer there are, that are others in `next`. Returns a bit for each of them, and
/// one for each that has a value here and none there.
fn push_differing(values: &[u64], next: &[u64], differing: &mut Vec<u64>) -> (u64, u64) {
    if let (Some(values), Some(next)) = (values.first_chunk(), next.first_chunk()) {
        return push_differing_of(values, next, differing);
    }
    let mut whole_next = [STALE; WORD];
    let len = next.len().min(WORD);
    whole_next[..len].copy_from_slice(&next[..len]);
    let mut whole = whole_next; // beyond the values nothing differs
    whole[..values.len()].copy_from_slice(values);
    push_differing_of(&whole, &whole_next, differing)
}

/// The same of whole blocks. Which values have changed is not to be foreseen, so there is no branch a value.
fn push_differing_of(values: &Block, next: &Block, differing: &mut Vec<u64>) -> (u64, u64) {
    let bits = bits_of(|at| values[at] != next[at]);
    if bits == 0 {
        return (0, 0);
    }
    if bits == u64::MAX {
        differing.extend_from_slice(values);
    } else {
        let (mut kept, mut count) = ([0; WORD], 0);
        for (at, &value) in values.iter().enumerate() {
            kept[count] = value;
            count += usize::from(bits >> at & 1 == 1);
        }
        differing.extend_from_slice(&kept[..count]);
    }
    // Seldom there is one.
    let lost = if next.contains(&STALE) {
        bits & bits_of(|at| next[at] == STALE)
    } else {
        0
    };
    (bits, lost)
}

/// A bit for each of 64 slots.
#[inline]
fn bits_of(is_set: impl Fn(usize) -> bool) -> u64 {
    // A byte each first, several of which are computed at once; the product moves the bits of eight bytes together.
    let bytes: [u8; WORD] = std::array::from_fn(|at| u8::from(is_set(at)));
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let gather = |word: u64| word.wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let gathered = words.enumerate().map(|(at, word)| gather(word) << (8 * at));
    gathered.fold(0, |bits, word| bits | word)
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
