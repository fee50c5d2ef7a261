//! Columns on their way into a [`Batch`], 64 slots at a time.
//!
//! Most slots are *regular*: their series comes in every round with its group, which has told already what its last
//! timestamp is and in which rounds it advanced. Of those, one whose value did not change costs a byte and a look at
//! its group; that it did not change is said by the columns, 64 slots in a word.

use std::sync::Arc;

use super::super::column::{Block, Column, NO_STAMP, STALE, WORD};
use super::super::edge::{Edge, Lasts, NEVER, advances};
use super::write::{ChunkWriter, newest_first};
use super::{
    Batch, EMPTY, ODD, OWN_STAMPS, PADDING, ROUNDS, ROUNDS_MAX, SAME, STRIDE, Shape, marker_ms,
};

/// Every so many batches the scales are searched for anew: one that was needed once is not kept for ever.
const HINT_BATCHES: u32 = 16;

/// The mask of samples in all rounds of a batch.
const ALL_ROUNDS: u32 = (1 << ROUNDS) - 1;

/// Columns being sealed, slice by slice.
#[derive(Debug)]
pub(in crate::store) struct Sealing {
    /// Oldest first; the one behind those that are sealed is the anchor.
    columns: Vec<Arc<Column>>,
    /// How many are sealed.
    rounds: usize,
    edge: Edge,
    /// By slot: the scale that its values had last.
    hints: Vec<u8>,
    lasts: Lasts,
    batch: Batch,
    /// By group.
    members: Vec<Member>,
    rows: Box<Rows>,
    writer: ChunkWriter,
}

/// What series have that come in every round with their group, and whose last sample before was that of their group.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// The rounds in which the timestamp advanced.
    mask: u32,
    /// Whether it advanced in the anchor too.
    anchored: bool,
}

/// Values of 64 slots, by round; behind the rounds that of the anchor.
#[derive(Debug)]
struct Rows {
    values: [Block; ROUNDS_MAX + 1],
    /// A bit for each slot: its value is not the same in all rounds and the anchor.
    changed: u64,
    /// By round, and behind them the anchor: a bit for each slot whose group may be another than in the round before.
    regrouped: [u64; ROUNDS_MAX + 1],
    /// Its group is the same in all of them and at the edge, and its last sample was that of its group.
    regular: u64,
}

impl Sealing {
    /// Begins to seal the first `rounds` of these columns, [`ROUNDS_MAX`] at most; the last one holds all values.
    pub(in crate::store) fn new(columns: Vec<Arc<Column>>, rounds: usize, edge: Edge) -> Self {
        let sealed = &columns[..rounds];
        let groups = sealed[rounds - 1].groups.clone();
        let slots = sealed.iter().map(|column| column.slots()).max();
        let group_count = sealed.iter().map(|column| column.stamps.len()).max();
        let (slots, group_count) = (slots.unwrap_or(0), group_count.unwrap_or(0));
        let mut stamps = Vec::with_capacity(group_count * rounds);
        for group in 0..group_count {
            stamps.extend(sealed.iter().map(|column| column.stamp_of(group)));
        }
        let at_ms = sealed.iter().map(|column| column.at_ms);
        let latest_ms = stamps.iter().copied().chain(at_ms).max().unwrap_or(NEVER);
        let by_group = stamps.chunks(rounds).enumerate();
        let (members, ends): (Vec<Member>, Vec<i64>) = by_group
            .map(|(group, stamps)| {
                let (mask, end) = advances(stamps, edge.lasts.end(group));
                let anchored = columns[rounds].stamp_of(group) > end;
                (Member { mask, anchored }, end)
            })
            .unzip();
        let batch = Batch {
            numbers: sealed.iter().map(|column| column.number).collect(),
            at_ms: sealed.iter().map(|column| column.at_ms).collect(),
            stamps,
            masks: members.iter().map(|member| member.mask).collect(),
            groups: groups.clone(),
            chunks: Vec::with_capacity((4 * slots).max(edge.chunk_bytes + edge.chunk_bytes / 16)),
            starts: Vec::with_capacity(slots.div_ceil(STRIDE)),
            shapes: Vec::new(),
            slots,
            samples: 0,
            latest_ms,
        };
        let mut hints = Vec::clone(&edge.hints);
        hints.resize(slots, 0);
        Self {
            columns,
            rounds,
            hints,
            lasts: Lasts::new(groups, ends, slots),
            batch,
            members,
            rows: Box::new(Rows {
                values: [[STALE; WORD]; ROUNDS_MAX + 1],
                changed: 0,
                regrouped: [0; ROUNDS_MAX + 1],
                regular: 0,
            }),
            writer: ChunkWriter::beginning_with(&edge.shapes),
            edge: Edge {
                count: edge.count + 1,
                ..edge
            },
        }
    }

    /// Whether this began with that column.
    pub(in crate::store) fn begins_with(&self, column: &Arc<Column>) -> bool {
        Arc::ptr_eq(&self.columns[0], column)
    }

    /// How many columns are sealed.
    pub(in crate::store) fn rounds(&self) -> usize {
        self.rounds
    }

    /// Seals the next `words` times 64 slots; true when all are.
    pub(in crate::store) fn step(&mut self, words: usize) -> bool {
        for _ in 0..words {
            let first = self.lasts.slots();
            if first == self.batch.slots {
                break;
            }
            let end = self.batch.slots.min(first + WORD);
            if self.edge.count.is_multiple_of(HINT_BATCHES) {
                self.hints[first..end].fill(0);
            }
            self.load(first / WORD);
            for slot in first..end {
                if slot.is_multiple_of(STRIDE) {
                    self.batch.note_start();
                }
                self.seal(slot);
            }
        }
        self.lasts.slots() == self.batch.slots
    }

    /// The batch, and what is known at its end.
    pub(in crate::store) fn finish(mut self) -> (Batch, Edge) {
        self.edge.chunk_bytes = self.batch.chunks.len();
        self.batch.chunks.extend([0; PADDING]);
        if self.batch.chunks.capacity() > self.batch.chunks.len() / 8 * 9 {
            // A copy: shrinking leaves a block of up to twice the size in use.
            self.batch.chunks = self.batch.chunks.as_slice().to_vec();
        }
        self.edge.lasts = Arc::new(self.lasts);
        let (shapes, often_used) = self.writer.into_shapes();
        self.batch.shapes = shapes;
        self.edge.shapes = Arc::new(often_used);
        self.edge.hints = Arc::new(self.hints);
        (self.batch, self.edge)
    }

    /// Brings the values of the next 64 slots together: from the newest column, which has all, backwards.
    fn load(&mut self, word: usize) {
        let Rows {
            values,
            changed,
            regrouped,
            regular,
        } = &mut *self.rows;
        values[self.rounds] = [STALE; WORD];
        for column in self.columns[self.rounds..].iter().rev() {
            column.step_back(word, &mut values[self.rounds]);
        }
        *changed = 0;
        for round in (0..self.rounds).rev() {
            values[round] = values[round + 1];
            *changed |= self.columns[round].step_back(word, &mut values[round]);
        }
        let mut irregular = self.edge.lasts.others(word);
        for (bits, column) in regrouped.iter_mut().zip(&self.columns[..=self.rounds]) {
            *bits = column.regrouped.get(word).copied().unwrap_or(0);
            irregular |= *bits;
        }
        *regular = !irregular;
    }

    fn seal(&mut self, slot: usize) {
        let (lane, rounds) = (slot % WORD, self.rounds);
        let is_regular = self.rows.regular >> lane & 1 == 1;
        let behind = self.rows.values[rounds][lane];
        if is_regular && self.seal_regular(slot, behind) {
            return;
        }
        let values = self.values(lane);
        self.seal_irregular(slot, &values[..rounds], behind);
    }

    /// By round: the value of a slot.
    #[inline]
    fn values(&self, lane: usize) -> [u64; ROUNDS_MAX] {
        let mut values = [STALE; ROUNDS_MAX];
        for (value, row) in values.iter_mut().zip(&self.rows.values[..self.rounds]) {
            *value = row[lane];
        }
        values
    }

    /// Seals a series that goes on with its group; false: nothing is written, since it or its group lacks samples.
    #[inline]
    fn seal_regular(&mut self, slot: usize, behind: u64) -> bool {
        let lane = slot % WORD;
        let group = self.batch.groups.get(slot) as usize;
        let member = self.members.get(group).filter(|member| member.mask != 0);
        let Some(&Member { mask, anchored }) = member else {
            return false;
        };
        let anchor = (anchored && behind != STALE).then_some(behind);
        let is_changed = self.rows.changed >> lane & 1 == 1;
        if !is_changed && anchor.is_some() {
            self.batch.samples += u64::from(mask.count_ones());
            self.lasts.push_with_group();
            self.batch.chunks.push(SAME);
            return true;
        }
        // Most that have changed: as many rounds as the compiler knows, and a sample in each.
        if self.rounds == ROUNDS && mask == ALL_ROUNDS {
            let rows = &self.rows.values;
            let newest_first: [u64; ROUNDS] = std::array::from_fn(|at| rows[ROUNDS - 1 - at][lane]);
            if newest_first.contains(&STALE) {
                return false;
            }
            self.lasts.push_with_group();
            self.write_changed(slot, &newest_first, anchor);
            return true;
        }
        let values = self.values(lane);
        let values = &values[..self.rounds];
        if values.contains(&STALE) {
            return false;
        }
        self.lasts.push_with_group();
        let mut taken = [0; ROUNDS_MAX];
        self.write(slot, newest_first(values, mask, &mut taken), anchor);
        true
    }

    /// Anything but a series that goes on with its group.
    #[inline(never)]
    fn seal_irregular(&mut self, slot: usize, values: &[u64], behind: u64) {
        let last = self.edge.lasts.get(slot);
        if values.iter().all(|value| *value == STALE) && last == NEVER {
            self.batch.chunks.push(EMPTY);
            self.lasts.push(NEVER);
            return;
        }
        let of_batch = self.batch.groups.get(slot) as usize;
        // A sample in every round, and always the batch's group.
        let mut keeps = !values.contains(&STALE) && of_batch < self.members.len();
        let mut stamps = [NO_STAMP; ROUNDS_MAX];
        self.stamp_until(self.rounds, of_batch, &mut stamps);
        for round in (1..self.rounds).rev() {
            if self.rows.regrouped[round] >> (slot % WORD) & 1 == 1 {
                let group = self.columns[round - 1].groups.get(slot) as usize;
                keeps &= group == of_batch;
                self.stamp_until(round, group, &mut stamps);
            }
        }
        if keeps {
            let (mask, end) = advances(&stamps[..self.rounds], last);
            if mask != 0 && mask == self.members[of_batch].mask {
                self.lasts.push(end);
                let anchor = self.anchor(slot, behind, end);
                let mut taken = [0; ROUNDS_MAX];
                return self.write(slot, newest_first(values, mask, &mut taken), anchor);
            }
        }
        self.seal_odd(slot, last, values, &stamps, behind);
    }

    /// Makes the timestamps of the first rounds those of a group.
    fn stamp_until(&self, rounds: usize, group: usize, stamps: &mut [i64; ROUNDS_MAX]) {
        match self.batch.row(group).get(..rounds) {
            Some(row) => stamps[..rounds].copy_from_slice(row),
            None => stamps[..rounds].fill(NO_STAMP),
        }
    }

    /// The sample behind the batch, if it counts.
    fn anchor(&self, slot: usize, value: u64, last: i64) -> Option<u64> {
        let column = &self.columns[self.rounds];
        (value != STALE && column.stamp(slot) > last).then_some(value)
    }

    /// Writes the chunk of a series that has samples in the rounds in which its group has them: their values, newest
    /// first.
    #[inline]
    fn write(&mut self, slot: usize, values: &[u64], anchor: Option<u64>) {
        if let Some(anchor) = anchor
            && values.iter().all(|value| *value == anchor)
        {
            self.batch.samples += values.len() as u64;
            self.batch.chunks.push(SAME);
            return;
        }
        self.write_changed(slot, values, anchor);
    }

    /// The same where not all values are the anchor's.
    #[inline]
    fn write_changed(&mut self, slot: usize, values: &[u64], anchor: Option<u64>) {
        self.batch.samples += values.len() as u64;
        self.writer.begin();
        let (hint, chunks) = (&mut self.hints[slot], &mut self.batch.chunks);
        self.writer
            .write(values, anchor, hint, Shape::default(), chunks);
    }

    /// The group whose timestamps the samples in the first rounds have: that of the series that had the slot then.
    fn earlier_group(&self, slot: usize, samples: u32, stamps: &[i64]) -> Option<u32> {
        let first = samples.trailing_zeros() as usize;
        let group = self.columns[first].groups.get(slot);
        let row = self.batch.row(group as usize);
        let mut rounds = stamps.iter().enumerate();
        let is_its = |(round, stamp): (usize, &i64)| {
            samples >> round & 1 == 0 || row.get(round) == Some(stamp)
        };
        rounds.all(is_its).then_some(group)
    }

    /// A series that comes or goes in these rounds, or does not keep to its group. `sample_stamps` are the timestamps of
    /// its samples, by round.
    fn seal_odd(
        &mut self,
        slot: usize,
        mut last: i64,
        values: &[u64],
        sample_stamps: &[i64; ROUNDS_MAX],
        behind: u64,
    ) {
        let (mut samples, mut markers) = (0_u32, 0_u32);
        let mut stamps = [0; ROUNDS_MAX];
        // Whether a marker's timestamp is another than that of its round; the round from which on those of the samples are
        // the group's.
        let (mut own, mut group_from) = (false, 0);
        let row = self.batch.group(slot).1;
        let mut latest_ms = self.batch.latest_ms;
        for (round, (&value, &stamp)) in values.iter().zip(sample_stamps).enumerate() {
            if value == STALE {
                if last != NEVER {
                    let at_ms = self.batch.at_ms[round];
                    markers |= 1 << round;
                    stamps[round] = marker_ms(at_ms, last);
                    own |= stamps[round] != at_ms;
                    latest_ms = latest_ms.max(stamps[round]);
                    last = NEVER;
                }
                continue;
            }
            if stamp > last {
                samples |= 1 << round;
                stamps[round] = stamp;
                if row.get(round) != Some(&stamp) {
                    group_from = round + 1;
                }
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
        let mut earlier = None;
        if group_from > 0 && !own {
            let group = self.earlier_group(slot, samples, &stamps[..group_from]);
            earlier = group.map(|group| (group, group_from));
        }
        own |= group_from > 0 && earlier.is_none();
        self.writer.masks(samples, markers, earlier);
        if own {
            self.writer.stamps(&stamps, samples | markers);
        }
        let mut taken = [0; ROUNDS_MAX];
        let taken = newest_first(values, samples, &mut taken);
        let anchor = self.anchor(slot, behind, last);
        let shape = Shape {
            head: ODD,
            width: if own { OWN_STAMPS } else { 0 },
            len: 0,
        };
        let (hint, chunks) = (&mut self.hints[slot], &mut self.batch.chunks);
        self.writer.write(taken, anchor, hint, shape, chunks);
    }
}
