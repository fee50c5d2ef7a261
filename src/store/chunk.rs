//! Rounds of one cluster, sealed: columns in, a [`Batch`] of one short chunk per series out, and the samples back.
//!
//! ```text
//! batch:   newest round ◀───────────── oldest round          one chunk per slot, in the order of slots
//! chunk:   0                           no sample
//!          1                           in every round the value of the anchor
//!          number of a shape, deltas   shape: head, width, length; each batch has a list of them
//! ```
//!
//! A chunk is written **backwards**: each sample as the difference to the one after it, and its newest to the *anchor*,
//! the sample in the round just behind the batch. Readers come from the newest column anyway, so a chunk needs no first
//! value of its own, and the oldest batch leaves without anybody having to be told.
//!
//! Exposition text is decimal, so values are taken as whole numbers of 10^-scale where that gives them back bit for bit
//! (`v·10^s` rounded and divided again), else as their bits. The timestamps of a group of series are kept once for the
//! whole group; only a chunk whose series does not follow its group, or comes or goes in these rounds, has a mask. Where
//! another series had the slot before it says which group that was in, and only what no groups say has timestamps of its
//! own.

mod pack;
mod seal;
mod write;

use self::pack::{Differences, from_whole, read_varint, to_whole};
pub(super) use self::seal::Sealing;
use super::column::{Groups, NO_STAMP, STALE};

/// Rounds in a batch; the first of an era has up to twice as many less one.
pub(super) const ROUNDS: usize = 8;

/// Most rounds of a batch: their bits fit into a mask.
pub(super) const ROUNDS_MAX: usize = 16;

/// Every so many slots the place of a chunk is noted.
const STRIDE: usize = 8;

/// Bytes that may be read behind the last chunk.
const PADDING: usize = 16;

/// First bytes of a chunk with a meaning of their own, the first that is the number of a shape, and the one where the
/// shape stands in the chunk.
const EMPTY: u8 = 0;
const SAME: u8 = 1;
const FIRST_SHAPE: u8 = 2;
const SPELLED: u8 = 255;

/// Bits of a shape's head, beside layout and scale: the newest value is written as the difference to the anchor; there
/// is a mask.
const ANCHORED: u8 = 4;
const ODD: u8 = 8;

/// In the byte of the width: the timestamps are not those of the group.
const OWN_STAMPS: u8 = 0x80;

/// Below the mask of stale markers: the samples before some round have the timestamps of another group.
const HAS_EARLIER: u32 = 1;

/// What chunks have in common, 253 shapes stand for nearly all chunks of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Layout, flags and scale.
    head: u8,
    /// Bits of a difference, and a flag.
    width: u8,
    /// Bytes that follow.
    len: u16,
}

/// Sealed rounds.
#[derive(Debug)]
pub(super) struct Batch {
    /// Numbers and times of the rounds, oldest first.
    pub(super) numbers: Vec<u32>,
    pub(super) at_ms: Vec<i64>,
    /// By group, then by round.
    stamps: Vec<i64>,
    /// By group: the rounds in which its series have a sample.
    masks: Vec<u32>,
    /// By slot, as of the newest round.
    groups: Groups,
    chunks: Vec<u8>,
    starts: Vec<u32>,
    /// By the first byte of a chunk. Those of [`EMPTY`] and [`SAME`] are there for their length, which is 0.
    shapes: Vec<Shape>,
    /// Slots that have a chunk.
    slots: usize,
    /// Samples held, stale markers not counted.
    pub(super) samples: u64,
    /// No sample and no marker is later.
    pub(super) latest_ms: i64,
}

/// A sample or stale marker read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The round's number.
    pub(super) number: u32,
    pub(super) at_ms: i64,
    pub(super) bits: u64,
}

impl Batch {
    /// Bytes held, without the groups, which columns and batches share.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.chunks.capacity()
            + size_of::<Shape>() * self.shapes.capacity()
            + 4 * (self.starts.capacity() + self.masks.capacity() + self.numbers.capacity())
            + 8 * (self.stamps.capacity() + self.at_ms.capacity())
    }

    /// The groups, which other batches and columns may share.
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Appends what a slot has, newest first, and returns the anchor for the batch before this one. `anchor` is the
    /// sample in the round behind this batch, where it has one that counts.
    pub(super) fn read(
        &self,
        slot: usize,
        anchor: Option<u64>,
        out: &mut Vec<Event>,
    ) -> Option<u64> {
        if slot >= self.slots {
            return None;
        }
        let before = out.len();
        let chunk = self.find(slot);
        match chunk {
            Chunk::Empty => return None,
            Chunk::Same => {
                let (mask, row) = self.group(slot);
                let bits = anchor.unwrap_or(STALE);
                self.push(mask, 0, row, |_| bits, out);
            }
            Chunk::Written(shape, chunk) => self.decode(slot, shape, chunk, anchor, out),
        }
        let oldest = out[before..].last()?;
        (oldest.number == self.numbers[0] && oldest.bits != STALE).then_some(oldest.bits)
    }

    fn find(&self, slot: usize) -> Chunk<'_> {
        let mut at = self.starts[slot / STRIDE] as usize;
        for _ in 0..slot % STRIDE {
            at += match self.chunks[at] {
                SPELLED => 5 + usize::from(self.spelled(at).len),
                number => 1 + usize::from(self.shapes[usize::from(number)].len),
            };
        }
        match self.chunks[at] {
            EMPTY => Chunk::Empty,
            SAME => Chunk::Same,
            SPELLED => Chunk::Written(self.spelled(at), &self.chunks[at + 5..]),
            number => Chunk::Written(self.shapes[usize::from(number)], &self.chunks[at + 1..]),
        }
    }

    fn spelled(&self, at: usize) -> Shape {
        let byte = |more: usize| self.chunks[at + more];
        Shape {
            head: byte(1),
            width: byte(2),
            len: u16::from_le_bytes([byte(3), byte(4)]),
        }
    }

    /// Mask and timestamps of a slot's group.
    fn group(&self, slot: usize) -> (u32, &[i64]) {
        let group = self.groups.get(slot) as usize;
        let mask = self.masks.get(group).copied().unwrap_or(0);
        (mask, self.row(group))
    }

    /// By round: the timestamps of a group; none if there is no such group.
    fn row(&self, group: usize) -> &[i64] {
        let rounds = self.numbers.len();
        let begin = group.checked_mul(rounds);
        let row = begin.and_then(|begin| self.stamps.get(begin..begin.checked_add(rounds)?));
        row.unwrap_or_default()
    }

    /// The timestamps of a slot that another series had before: up to some round those of another group.
    fn joined(&self, row: &[i64], chunk: &[u8], at: &mut usize) -> [i64; ROUNDS_MAX] {
        let mut joined = [NO_STAMP; ROUNDS_MAX];
        joined[..row.len()].copy_from_slice(row);
        let group = usize::try_from(read_varint(chunk, at)).unwrap_or(usize::MAX);
        let rounds = usize::try_from(read_varint(chunk, at)).unwrap_or(0);
        if let Some(earlier) = self.row(group).get(..rounds) {
            joined[..rounds].copy_from_slice(earlier);
        }
        joined
    }

    /// The samples of the rounds in `samples` and the stale markers of those in `markers`, newest first.
    fn push(
        &self,
        samples: u32,
        markers: u32,
        row: &[i64],
        mut next: impl FnMut(usize) -> u64,
        out: &mut Vec<Event>,
    ) {
        let rounds = self.numbers.len();
        if samples.count_ones() as usize == rounds && row.len() == rounds {
            // A sample in every round, as nearly all chunks have: room is made once.
            let each = self.numbers.iter().zip(row).enumerate().rev();
            out.extend(each.map(|(round, (&number, &at_ms))| Event {
                number,
                at_ms,
                bits: next(round),
            }));
            return;
        }
        for round in (0..rounds).rev() {
            let number = self.numbers[round];
            if samples >> round & 1 == 1 {
                let at_ms = row.get(round).copied().unwrap_or(NO_STAMP);
                let bits = next(round);
                out.push(Event {
                    number,
                    at_ms,
                    bits,
                });
            } else if markers >> round & 1 == 1 {
                let at_ms = self.at_ms[round];
                out.push(Event {
                    number,
                    at_ms,
                    bits: STALE,
                });
            }
        }
    }

    fn decode(
        &self,
        slot: usize,
        shape: Shape,
        chunk: &[u8],
        anchor: Option<u64>,
        out: &mut Vec<Event>,
    ) {
        let Shape { head, width, .. } = shape;
        let scale = head >> 4;
        let mut at = 0;
        let (mut samples, mut row) = self.group(slot);
        let mut markers = 0;
        let joined;
        if head & ODD != 0 {
            samples = read_mask(chunk, &mut at);
            let more = read_mask(chunk, &mut at);
            markers = more >> 1;
            if more & HAS_EARLIER != 0 {
                joined = self.joined(row, chunk, &mut at);
                row = &joined[..self.numbers.len()];
            }
        }
        let before = out.len();
        let own_at = at;
        let count = samples.count_ones() + markers.count_ones();
        let own_stamps = width & OWN_STAMPS != 0;
        if own_stamps {
            for _ in 0..count {
                read_varint(chunk, &mut at);
            }
        }
        let whole = |anchor| to_whole(anchor, scale);
        let anchor = (head & ANCHORED != 0).then(|| anchor.and_then(whole).unwrap_or(0));
        let (width, count) = (width & !OWN_STAMPS, samples.count_ones());
        let mut differences = Differences::new(chunk, at, head, width, count, anchor);
        self.push(
            samples,
            markers,
            row,
            |_| from_whole(differences.next(), scale),
            out,
        );
        if own_stamps {
            let (mut at, mut behind) = (own_at, 0_i64);
            for event in &mut out[before..] {
                behind = behind.wrapping_sub(read_varint(chunk, &mut at));
                event.at_ms = behind;
            }
        }
    }

    /// Notes where the next chunk will begin.
    fn note_start(&mut self) {
        let start = u32::try_from(self.chunks.len());
        self.starts
            .push(start.expect("a chunk takes less room than its lines in a text of 4 GiB"));
    }
}

/// When a series ended that is not in a round which began at `at_ms`: then, but never before its last sample.
#[inline]
pub(super) fn marker_ms(at_ms: i64, last: i64) -> i64 {
    at_ms.max(last.saturating_add(1))
}

fn read_mask(chunk: &[u8], at: &mut usize) -> u32 {
    u32::try_from(read_varint(chunk, at)).unwrap_or(0)
}

enum Chunk<'a> {
    Empty,
    Same,
    /// What follows the shape, and further than its end.
    Written(Shape, &'a [u8]),
}
