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
//! whole group; only a chunk whose series does not follow its group, or comes or goes in these rounds, has a mask, and
//! timestamps of its own where it must.

use std::sync::Arc;

use hashbrown::HashMap;

use super::column::{Column, Groups, NO_STAMP, STALE, SlotValues};
use super::edge::{Edge, Lasts, NEVER};

/// Rounds in a batch; the first of an era has up to twice as many less one.
pub(super) const ROUNDS: usize = 8;

/// Most rounds of a batch: their bits fit into a mask.
pub(super) const ROUNDS_MAX: usize = 16;

/// Every so many slots the place of a chunk is noted.
const STRIDE: usize = 16;

/// Bytes that may be read behind the last chunk.
const PADDING: usize = 16;

/// First bytes of a chunk with a meaning of their own, the first that is the number of a shape, and the one where the
/// shape stands in the chunk.
const EMPTY: u8 = 0;
const SAME: u8 = 1;
const FIRST_SHAPE: u8 = 2;
const SPELLED: u8 = 255;

/// Shapes that a batch can have.
const SHAPES_MAX: usize = (SPELLED - FIRST_SHAPE) as usize;

/// The next batch begins with those shapes that at least so many chunks of the one before had.
const SHAPE_USES: u32 = 16;

/// What chunks have in common, 253 shapes stand for nearly all chunks of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Layout, flags and scale.
    head: u8,
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

/// How the chunks of a slot were written last, as a hint: the scale.
type Hint = u8;

/// Columns being sealed, slice by slice.
#[derive(Debug)]
pub(super) struct Sealing {
    /// Oldest first; the last one is the anchor and is not sealed.
    columns: Vec<Arc<Column>>,
    edge: Edge,
    hints: Vec<Hint>,
    lasts: Lasts,
    batch: Batch,
    /// Whether all columns have the same groups.
    one_grouping: bool,
    writer: ChunkWriter,
    shapes: ShapeNumbers,
}

impl Sealing {
    /// Begins to seal all columns but the newest, which must be [`ROUNDS_MAX`] at most.
    pub(super) fn new(columns: Vec<Arc<Column>>, edge: Edge) -> Self {
        let sealed = &columns[..columns.len() - 1];
        let newest = &sealed[sealed.len() - 1];
        let groups = newest.groups.clone();
        let slots = sealed.iter().map(|column| column.slots()).max();
        let group_count = sealed.iter().map(|column| column.stamps.len()).max();
        let (slots, group_count) = (slots.unwrap_or(0), group_count.unwrap_or(0));
        let mut stamps = Vec::with_capacity(group_count * sealed.len());
        for group in 0..group_count {
            let of = |column: &Arc<Column>| column.stamps.get(group).copied().unwrap_or(NO_STAMP);
            stamps.extend(sealed.iter().map(of));
        }
        let at_ms = sealed.iter().map(|column| column.at_ms);
        let stamps_and_rounds = stamps.iter().copied().chain(at_ms).max().unwrap_or(NEVER);
        let ends = edge.lasts.ends_after(&stamps, sealed.len());
        let lasts = Lasts::new(groups.clone(), ends, slots);
        let one_grouping = columns.iter().all(|c| c.groups.is(&groups));
        let batch = Batch {
            numbers: sealed.iter().map(|column| column.number).collect(),
            at_ms: sealed.iter().map(|column| column.at_ms).collect(),
            stamps,
            masks: vec![0; group_count],
            groups,
            chunks: Vec::with_capacity(slots * 4),
            starts: Vec::with_capacity(slots.div_ceil(STRIDE)),
            shapes: Vec::new(),
            slots,
            samples: 0,
            latest_ms: stamps_and_rounds,
        };
        let mut edge = edge;
        let mut hints = Vec::clone(&edge.hints);
        hints.resize(slots, 0);
        edge.count += 1;
        let shapes = ShapeNumbers::beginning_with(&edge.shapes);
        Self {
            lasts,
            columns,
            edge,
            hints,
            batch,
            one_grouping,
            writer: ChunkWriter::default(),
            shapes,
        }
    }

    /// Whether this began with that column.
    pub(super) fn begins_with(&self, column: &Arc<Column>) -> bool {
        Arc::ptr_eq(&self.columns[0], column)
    }

    /// How many columns are sealed.
    pub(super) fn rounds(&self) -> usize {
        self.columns.len() - 1
    }

    /// Seals the next `slots` slots; true when all are.
    pub(super) fn step(&mut self, slots: usize) -> bool {
        let first = self.lasts.slots();
        let end = self.batch.slots.min(first.saturating_add(slots));
        if self.edge.count.is_multiple_of(16) {
            // A scale that was needed once is not kept for ever.
            self.hints[first..end].fill(0);
        }
        for slot in first..end {
            if slot % STRIDE == 0 {
                let start = u32::try_from(self.batch.chunks.len());
                let start =
                    start.expect("a chunk takes less room than its lines in a text of 4 GiB");
                self.batch.starts.push(start);
            }
            self.seal(slot);
        }
        end == self.batch.slots
    }

    /// The batch, and what is known at its end.
    pub(super) fn finish(mut self) -> (Batch, Edge) {
        self.batch.chunks.extend_from_slice(&[0; PADDING]);
        self.batch.chunks.shrink_to_fit();
        self.edge.lasts = Arc::new(self.lasts);
        self.edge.shapes = Arc::new(self.shapes.often_used());
        self.batch.shapes = self.shapes.shapes;
        self.batch.shapes.shrink_to_fit();
        self.edge.hints = Arc::new(self.hints);
        (self.batch, self.edge)
    }

    fn seal(&mut self, slot: usize) {
        let rounds = self.rounds();
        let mut values = [STALE; ROUNDS_MAX];
        let mut in_columns = SlotValues::new(&self.columns, slot);
        for (place, value) in values[..rounds].iter_mut().zip(&mut in_columns) {
            *place = value;
        }
        let behind = in_columns.next().unwrap_or(STALE);
        let values = &values[..rounds];
        let last = self.edge.last(slot);
        if values.iter().all(|value| *value == STALE) && last == NEVER {
            self.batch.chunks.push(EMPTY);
            self.lasts.push(NEVER);
            return;
        }
        if let Some(group) = self.common_group(slot, values) {
            self.seal_member(slot, group, last, values, behind);
        } else {
            self.seal_odd(slot, last, values, behind);
        }
    }

    /// The group of a slot that has a sample in every round, and in all of them the same group.
    fn common_group(&self, slot: usize, values: &[u64]) -> Option<usize> {
        if values.contains(&STALE) {
            return None;
        }
        let group = self.batch.groups.get(slot);
        let is_same = |column: &Arc<Column>| column.groups.get(slot) == group;
        let all_same = self.one_grouping || self.columns[..values.len()].iter().all(is_same);
        all_same.then_some(group as usize)
    }

    /// The sample behind the batch, if it counts.
    fn anchor(&self, slot: usize, value: u64, last: i64) -> Option<u64> {
        let column = &self.columns[self.rounds()];
        (value != STALE && column.stamp(slot) > last).then_some(value)
    }

    /// A series that comes in every round with its group.
    fn seal_member(&mut self, slot: usize, group: usize, last: i64, values: &[u64], behind: u64) {
        let rounds = values.len();
        let stamps = &self.batch.stamps[group * rounds..][..rounds];
        let (mut mask, mut end) = (0_u32, last);
        for (round, &stamp) in stamps.iter().enumerate() {
            if stamp > end {
                mask |= 1 << round;
                end = stamp;
            }
        }
        let of_group = &mut self.batch.masks[group];
        if *of_group == 0 {
            *of_group = mask;
        }
        if *of_group != mask || mask == 0 {
            return self.seal_odd(slot, last, values, behind);
        }
        self.lasts.push(end);
        self.batch.samples += u64::from(mask.count_ones());
        let anchor = self.anchor(slot, behind, end);
        if let Some(anchor) = anchor
            && values.iter().all(|value| *value == anchor)
        {
            self.batch.chunks.push(SAME);
            return;
        }
        let mut taken = [0; ROUNDS_MAX];
        let count = newest_first(values, mask, &mut taken);
        self.writer.clear();
        self.writer
            .values(&taken[..count], anchor, false, &mut self.hints[slot]);
        self.writer
            .append_to(&mut self.shapes, &mut self.batch.chunks);
    }

    /// A series that comes or goes in these rounds, or does not keep to its group.
    fn seal_odd(&mut self, slot: usize, mut last: i64, values: &[u64], behind: u64) {
        let (mut samples, mut markers) = (0_u32, 0_u32);
        let mut stamps = [0; ROUNDS_MAX];
        let mut own = false;
        let row = self.batch.group(slot).1;
        let mut latest_ms = self.batch.latest_ms;
        for (round, &value) in values.iter().enumerate() {
            let column = &self.columns[round];
            if value == STALE {
                if last != NEVER {
                    markers |= 1 << round;
                    stamps[round] = marker_ms(column.at_ms, last);
                    own |= stamps[round] != column.at_ms;
                    latest_ms = latest_ms.max(stamps[round]);
                    last = NEVER;
                }
                continue;
            }
            let stamp = column.stamp(slot);
            if stamp > last {
                samples |= 1 << round;
                stamps[round] = stamp;
                own |= row.get(round) != Some(&stamp);
                last = stamp;
            }
        }
        self.lasts.push(last);
        self.batch.latest_ms = latest_ms;
        self.batch.samples += u64::from(samples.count_ones());
        if samples | markers == 0 {
            self.batch.chunks.push(EMPTY);
            return;
        }
        self.writer.clear();
        self.writer.masks(samples, markers);
        if own {
            self.writer.stamps(&stamps, samples | markers);
        }
        let mut taken = [0; ROUNDS_MAX];
        let count = newest_first(values, samples, &mut taken);
        let anchor = self.anchor(slot, behind, last);
        self.writer
            .values(&taken[..count], anchor, true, &mut self.hints[slot]);
        self.writer
            .append_to(&mut self.shapes, &mut self.batch.chunks);
    }
}

/// When a series ended that is not in a round which began at `at_ms`: then, but never before its last sample.
#[inline]
pub(super) fn marker_ms(at_ms: i64, last: i64) -> i64 {
    at_ms.max(last.saturating_add(1))
}

/// The values of the rounds in `mask`, newest first; how many.
#[inline]
fn newest_first(values: &[u64], mask: u32, out: &mut [u64; ROUNDS_MAX]) -> usize {
    let mut count = 0;
    for round in (0..values.len()).rev() {
        if mask >> round & 1 == 1 {
            out[count] = values[round];
            count += 1;
        }
    }
    count
}

/// The scale of values that are taken as their bits.
const RAW: u8 = 15;

/// `v·10^scale` for the scales below [`RAW`].
const POWERS: [f64; RAW as usize] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];

/// 1.5·2^52: added to a float below 2^51 it leaves the nearest whole number in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const WHOLE_MAX: f64 = 2_251_799_813_685_248.0;

/// The whole number of 10^-scale that gives a value back bit for bit.
#[inline]
fn to_whole(bits: u64, scale: u8) -> Option<i64> {
    if scale == RAW {
        return Some(bits.cast_signed());
    }
    let power = POWERS[scale as usize];
    let value = f64::from_bits(bits);
    let scaled = value * power;
    let rounded = scaled + ROUNDER;
    let back = (rounded - ROUNDER) / power;
    (scaled.abs() < WHOLE_MAX && back.to_bits() == bits).then(|| {
        rounded
            .to_bits()
            .wrapping_sub(ROUNDER.to_bits())
            .cast_signed()
    })
}

/// The way back.
#[inline]
fn from_whole(whole: i64, scale: u8) -> u64 {
    if scale == RAW {
        return whole.cast_unsigned();
    }
    (whole as f64 / POWERS[scale as usize]).to_bits()
}

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// How the differences of a chunk stand in it.
const EACH: u8 = 0;
/// A bit for each whether it is not 0, then those that are not.
const CHANGED: u8 = 1;
/// The smallest, then what each is above it.
const ABOVE: u8 = 2;

const ANCHORED: u8 = 4;
const ODD: u8 = 8;
/// In the byte of the width.
const OWN_STAMPS: u8 = 0x80;

/// One chunk under way.
#[derive(Debug, Default)]
struct ChunkWriter {
    head: u8,
    width: u8,
    bytes: Vec<u8>,
    /// What stands between head and values.
    before: Vec<u8>,
    own_stamps: bool,
}

impl ChunkWriter {
    fn clear(&mut self) {
        self.bytes.clear();
        self.before.clear();
        self.own_stamps = false;
    }

    fn masks(&mut self, samples: u32, markers: u32) {
        varint(&mut self.before, u64::from(samples));
        varint(&mut self.before, u64::from(markers));
    }

    /// The timestamps of the rounds in `mask`, newest first.
    fn stamps(&mut self, stamps: &[i64; ROUNDS_MAX], mask: u32) {
        self.own_stamps = true;
        let mut behind = 0_i64;
        for round in (0..ROUNDS_MAX).rev().filter(|round| mask >> round & 1 == 1) {
            varint(&mut self.before, zigzag(behind.wrapping_sub(stamps[round])));
            behind = stamps[round];
        }
    }

    /// Values, newest first.
    fn values(&mut self, values: &[u64], anchor: Option<u64>, odd: bool, hint: &mut Hint) {
        let mut wholes = [0_i64; ROUNDS_MAX];
        let scale = scale_of(values, *hint, &mut wholes);
        *hint = scale;
        let anchor = anchor.and_then(|anchor| to_whole(anchor, scale));
        let wholes = &wholes[..values.len()];
        let mut behind = anchor.or(wholes.first().copied()).unwrap_or(0);
        let mut deltas = [0_i64; ROUNDS_MAX];
        let skip = usize::from(anchor.is_none() && !wholes.is_empty());
        for (delta, &whole) in deltas.iter_mut().zip(&wholes[skip..]) {
            *delta = behind.wrapping_sub(whole);
            behind = whole;
        }
        let deltas = &deltas[..wholes.len() - skip];
        let packing = Packing::of(deltas);
        let mut head = packing.layout | (scale << 4);
        head |= if anchor.is_some() { ANCHORED } else { 0 };
        head |= if odd { ODD } else { 0 };
        let own = if self.own_stamps { OWN_STAMPS } else { 0 };
        (self.head, self.width) = (head, packing.width | own);
        self.bytes.append(&mut self.before);
        if skip == 1 {
            varint(&mut self.bytes, zigzag(wholes[0]));
        }
        packing.write(deltas, &mut self.bytes);
    }

    fn append_to(&self, shapes: &mut ShapeNumbers, chunks: &mut Vec<u8>) {
        let shape = Shape {
            head: self.head,
            width: self.width,
            len: u16::try_from(self.bytes.len()).expect("16 samples take less than 400 bytes"),
        };
        if let Some(number) = shapes.number(shape) {
            chunks.push(number);
        } else {
            let [low, high] = shape.len.to_le_bytes();
            chunks.extend_from_slice(&[SPELLED, shape.head, shape.width, low, high]);
        }
        chunks.extend_from_slice(&self.bytes);
    }
}

/// The shapes of a batch under way.
#[derive(Debug, Default)]
struct ShapeNumbers {
    shapes: Vec<Shape>,
    uses: Vec<u32>,
    numbers: HashMap<Shape, u8>,
}

impl ShapeNumbers {
    fn beginning_with(known: &[Shape]) -> Self {
        Self {
            shapes: known.to_vec(),
            uses: vec![0; known.len()],
            numbers: known.iter().copied().zip(FIRST_SHAPE..).collect(),
        }
    }

    /// The number of a shape, unless it is one too many.
    #[inline]
    fn number(&mut self, shape: Shape) -> Option<u8> {
        if let Some(&number) = self.numbers.get(&shape) {
            self.uses[usize::from(number - FIRST_SHAPE)] += 1;
            return Some(number);
        }
        if self.shapes.len() == SHAPES_MAX {
            return None;
        }
        let number = FIRST_SHAPE + u8::try_from(self.shapes.len()).ok()?;
        self.shapes.push(shape);
        self.uses.push(1);
        self.numbers.insert(shape, number);
        Some(number)
    }

    fn often_used(&self) -> Vec<Shape> {
        let uses = self.shapes.iter().zip(&self.uses);
        let often = uses.filter(|(_, uses)| **uses >= SHAPE_USES);
        often.map(|(shape, _)| *shape).collect()
    }
}

/// The smallest scale from the hint on that gives all values back.
#[inline]
fn scale_of(values: &[u64], hint: Hint, wholes: &mut [i64; ROUNDS_MAX]) -> u8 {
    let mut scale = if hint >= RAW { 0 } else { hint };
    'scales: while scale < RAW {
        for (whole, &bits) in wholes.iter_mut().zip(values) {
            let Some(found) = to_whole(bits, scale) else {
                scale += 1;
                continue 'scales;
            };
            *whole = found;
        }
        return scale;
    }
    for (whole, &bits) in wholes.iter_mut().zip(values) {
        *whole = bits.cast_signed();
    }
    RAW
}

/// The shortest way to write some differences.
#[derive(Clone, Copy, Debug)]
struct Packing {
    layout: u8,
    width: u8,
    least: i64,
}

impl Packing {
    fn of(deltas: &[i64]) -> Self {
        let (mut all, mut changed) = (0_u64, 0);
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for &delta in deltas {
            all |= zigzag(delta);
            changed += u32::from(delta != 0);
            least = least.min(delta);
            most = most.max(delta);
        }
        let count = u32::try_from(deltas.len()).unwrap_or(0);
        let width = 64 - all.leading_zeros();
        let each = count * width;
        let some = count + changed * width;
        let above_width = 64 - most.wrapping_sub(least).cast_unsigned().leading_zeros();
        let above = varint_len(zigzag(least)) * 8 + count * above_width;
        let (layout, width) = if count > 0 && above < each.min(some) {
            (ABOVE, above_width)
        } else if some < each {
            (CHANGED, width)
        } else {
            (EACH, width)
        };
        Self {
            layout,
            width: u8::try_from(width).unwrap_or(64),
            least,
        }
    }

    fn write(self, deltas: &[i64], out: &mut Vec<u8>) {
        let width = u32::from(self.width);
        let mut bits = BitWriter {
            out,
            word: 0,
            len: 0,
        };
        match self.layout {
            ABOVE => {
                varint(bits.out, zigzag(self.least));
                for &delta in deltas {
                    bits.write(delta.wrapping_sub(self.least).cast_unsigned(), width);
                }
            }
            CHANGED => {
                for &delta in deltas {
                    bits.write(u64::from(delta != 0), 1);
                }
                for &delta in deltas.iter().filter(|delta| **delta != 0) {
                    bits.write(zigzag(delta), width);
                }
            }
            _ => {
                for &delta in deltas {
                    bits.write(zigzag(delta), width);
                }
            }
        }
        bits.finish();
    }
}

/// Appends numbers bit by bit, the lowest first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u128,
    len: u32,
}

impl BitWriter<'_> {
    #[inline]
    fn write(&mut self, value: u64, width: u32) {
        self.word |= u128::from(value) << self.len;
        self.len += width;
        if self.len >= 64 {
            self.out.extend_from_slice(&self.word.to_le_bytes()[..8]);
            self.word >>= 64;
            self.len -= 64;
        }
    }

    fn finish(self) {
        let left = self.len.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_le_bytes()[..left]);
    }
}

/// Reads what a [`BitWriter`] wrote; there are [`PADDING`] bytes behind every chunk.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    #[inline]
    fn read(&mut self, width: u32) -> u64 {
        let byte = self.at / 8;
        let word = self
            .bytes
            .get(byte..)
            .and_then(|rest| rest.first_chunk::<16>());
        let word = word.map_or(0, |word| u128::from_le_bytes(*word));
        let shifted = word >> (self.at % 8);
        self.at += width as usize;
        let mask = (1_u128 << width) - 1;
        u64::try_from(shifted & mask).unwrap_or(u64::MAX)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[inline]
const fn varint_len(value: u64) -> u32 {
    let bits = 64 - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

#[inline]
fn read_varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0_u64, 0);
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            break;
        }
    }
    value
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
                EMPTY | SAME => 1,
                SPELLED => 5 + usize::from(self.spelled(at).len),
                number => 1 + usize::from(self.shape(number).len),
            };
        }
        match self.chunks[at] {
            EMPTY => Chunk::Empty,
            SAME => Chunk::Same,
            SPELLED => Chunk::Written(self.spelled(at), &self.chunks[at + 5..]),
            number => Chunk::Written(self.shape(number), &self.chunks[at + 1..]),
        }
    }

    #[inline]
    fn shape(&self, number: u8) -> Shape {
        self.shapes[usize::from(number - FIRST_SHAPE)]
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
        let rounds = self.numbers.len();
        let group = self.groups.get(slot) as usize;
        let mask = self.masks.get(group).copied().unwrap_or(0);
        let row = group
            .checked_mul(rounds)
            .and_then(|at| self.stamps.get(at..at + rounds));
        (mask, row.unwrap_or_default())
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
        for round in (0..self.numbers.len()).rev() {
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
        let (mut samples, row) = self.group(slot);
        let mut markers = 0;
        if head & ODD != 0 {
            samples = read_mask(chunk, &mut at);
            markers = read_mask(chunk, &mut at);
        }
        let before = out.len();
        let own_at = at;
        let count = samples.count_ones() + markers.count_ones();
        if width & OWN_STAMPS != 0 {
            for _ in 0..count {
                read_varint(chunk, &mut at);
            }
        }
        let mut differences =
            Differences::new(chunk, at, head, width, samples.count_ones(), anchor);
        self.push(
            samples,
            markers,
            row,
            |_| from_whole(differences.next(), scale),
            out,
        );
        if width & OWN_STAMPS != 0 {
            let (mut at, mut behind) = (own_at, 0_i64);
            for event in &mut out[before..] {
                behind = behind.wrapping_sub(unzigzag(read_varint(chunk, &mut at)));
                event.at_ms = behind;
            }
        }
    }
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

/// The whole numbers of a chunk, newest first.
struct Differences<'a> {
    bits: BitReader<'a>,
    layout: u8,
    width: u32,
    least: i64,
    /// Under [`CHANGED`]: the differences that are not 0, the next one in the lowest bit.
    changed: u64,
    behind: i64,
    /// The newest is given as it is.
    first: bool,
}

impl<'a> Differences<'a> {
    fn new(
        chunk: &'a [u8],
        mut at: usize,
        head: u8,
        width: u8,
        count: u32,
        anchor: Option<u64>,
    ) -> Self {
        let anchored = head & ANCHORED != 0;
        let behind = match anchor {
            Some(anchor) if anchored => to_whole(anchor, head >> 4).unwrap_or(0),
            _ if count > 0 => unzigzag(read_varint(chunk, &mut at)),
            _ => 0,
        };
        let layout = head & 3;
        let least = if layout == ABOVE {
            unzigzag(read_varint(chunk, &mut at))
        } else {
            0
        };
        let mut bits = BitReader {
            bytes: chunk,
            at: 8 * at,
        };
        let deltas = count.saturating_sub(u32::from(!anchored));
        let changed = if layout == CHANGED {
            bits.read(deltas)
        } else {
            0
        };
        Self {
            bits,
            layout,
            width: u32::from(width & !OWN_STAMPS),
            least,
            changed,
            behind,
            first: !anchored,
        }
    }

    #[inline]
    fn next(&mut self) -> i64 {
        if std::mem::take(&mut self.first) {
            return self.behind;
        }
        let delta = match self.layout {
            ABOVE => self
                .least
                .wrapping_add(self.bits.read(self.width).cast_signed()),
            CHANGED => {
                let changed = self.changed & 1 == 1;
                self.changed >>= 1;
                if changed {
                    unzigzag(self.bits.read(self.width))
                } else {
                    0
                }
            }
            _ => unzigzag(self.bits.read(self.width)),
        };
        self.behind = self.behind.wrapping_sub(delta);
        self.behind
    }
}
