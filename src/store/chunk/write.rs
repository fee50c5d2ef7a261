//! Chunks on their way into a batch: values in, bytes behind the number of their shape out.

use hashbrown::HashMap;

use super::pack::{Packing, scale_of, to_whole, write_varint};
use super::{ANCHORED, FIRST_SHAPE, HAS_EARLIER, ROUNDS, ROUNDS_MAX, SHAPES_MAX, SPELLED, Shape};

/// The next batch begins with those shapes that at least so many chunks of the one before had.
const SHAPE_USES: u32 = 16;

/// The values of the rounds in `mask`, newest first.
#[inline]
pub(super) fn newest_first<'a>(
    values: &[u64],
    mask: u32,
    out: &'a mut [u64; ROUNDS_MAX],
) -> &'a [u64] {
    let mut count = 0;
    for (round, &value) in values.iter().enumerate().rev() {
        out[count] = value;
        count += (mask >> round & 1) as usize;
    }
    &out[..count]
}

/// Writes chunks, one after the other.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    shapes: ShapeNumbers,
    /// What stands before the values of the chunk under way.
    before: Vec<u8>,
}

impl ChunkWriter {
    /// Some shapes have numbers from the beginning.
    pub(super) fn beginning_with(known: &[Shape]) -> Self {
        Self {
            shapes: ShapeNumbers::beginning_with(known),
            before: Vec::new(),
        }
    }

    /// The shapes by their numbers, and those that are worth a number in the next batch too.
    pub(super) fn into_shapes(self) -> (Vec<Shape>, Vec<Shape>) {
        let unshaped = [Shape::default(); FIRST_SHAPE as usize];
        let by_number = [&unshaped[..], &self.shapes.shapes].concat();
        (by_number, self.shapes.often_used())
    }

    /// Begins a chunk in which nothing stands before the values.
    pub(super) fn begin(&mut self) {
        self.before.clear();
    }

    /// Begins a chunk with the rounds of its samples and its stale markers. `earlier`: the group whose timestamps the
    /// samples before a round have, and that round.
    pub(super) fn masks(&mut self, samples: u32, markers: u32, earlier: Option<(u32, usize)>) {
        self.before.clear();
        write_varint(&mut self.before, samples.into());
        let has_earlier = if earlier.is_some() { HAS_EARLIER } else { 0 };
        write_varint(&mut self.before, (markers << 1 | has_earlier).into());
        if let Some((group, round)) = earlier {
            write_varint(&mut self.before, group.into());
            let round = i64::try_from(round).expect("a batch has 16 rounds at most");
            write_varint(&mut self.before, round);
        }
    }

    /// The timestamps of the rounds in `mask`, newest first.
    pub(super) fn stamps(&mut self, stamps: &[i64; ROUNDS_MAX], mask: u32) {
        let mut behind = 0_i64;
        for round in (0..ROUNDS_MAX).rev().filter(|round| mask >> round & 1 == 1) {
            write_varint(&mut self.before, behind.wrapping_sub(stamps[round]));
            behind = stamps[round];
        }
    }

    /// Ends the chunk with its values, newest first. `shape` has the flags of head and width.
    #[inline]
    pub(super) fn write(
        &mut self,
        values: &[u64],
        anchor: Option<u64>,
        hint: &mut u8,
        shape: Shape,
        chunks: &mut Vec<u8>,
    ) {
        // Nearly all chunks have so many values: where the compiler knows it, no loop over them counts.
        match <&[u64; ROUNDS]>::try_from(values) {
            Ok(values) => self.write_values(values, anchor, hint, shape, chunks),
            Err(_) => self.write_values(values, anchor, hint, shape, chunks),
        }
    }

    /// The same for one way to know how many values there are.
    #[expect(
        clippy::inline_always,
        reason = "for the length that one of its callers knows"
    )]
    #[inline(always)]
    fn write_values(
        &mut self,
        values: &[u64],
        anchor: Option<u64>,
        hint: &mut u8,
        shape: Shape,
        chunks: &mut Vec<u8>,
    ) {
        let mut wholes = [0_i64; ROUNDS_MAX];
        let scale = scale_of(values, *hint, &mut wholes);
        *hint = scale;
        let wholes = &wholes[..values.len()];
        let anchor = anchor.and_then(|anchor| to_whole(anchor, scale));
        let first = wholes.first().copied();
        let mut behind = anchor.or(first).unwrap_or(0);
        let mut deltas = [0_i64; ROUNDS_MAX];
        for (delta, &whole) in deltas.iter_mut().zip(wholes) {
            *delta = behind.wrapping_sub(whole);
            behind = whole;
        }
        let deltas = &deltas[..values.len()];
        let head = shape.head | (scale << 4);
        if anchor.is_some() {
            let head = head | ANCHORED;
            return self.write_deltas(deltas, Shape { head, ..shape }, chunks);
        }
        if let Some(first) = first {
            write_varint(&mut self.before, first);
        }
        let deltas = deltas.get(1..).unwrap_or_default();
        self.write_deltas(deltas, Shape { head, ..shape }, chunks);
    }

    /// Ends the chunk with its differences; `shape` lacks what these decide.
    #[expect(clippy::inline_always, reason = "for the length that its callers know")]
    #[inline(always)]
    fn write_deltas(&mut self, deltas: &[i64], shape: Shape, chunks: &mut Vec<u8>) {
        let packing = Packing::of(deltas);
        let len = self.before.len() + packing.len;
        self.shapes.write(
            Shape {
                head: packing.layout | shape.head,
                width: packing.width | shape.width,
                len: u16::try_from(len).expect("16 samples take less than 400 bytes"),
            },
            chunks,
        );
        if !self.before.is_empty() {
            chunks.extend_from_slice(&self.before);
        }
        packing.write(deltas, chunks);
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

    /// Begins a chunk.
    #[inline]
    fn write(&mut self, shape: Shape, chunks: &mut Vec<u8>) {
        if let Some(&number) = self.numbers.get(&shape) {
            self.uses[usize::from(number - FIRST_SHAPE)] += 1;
            chunks.push(number);
        } else if self.shapes.len() < SHAPES_MAX {
            let number =
                FIRST_SHAPE + u8::try_from(self.shapes.len()).expect("SHAPES_MAX is below 256");
            self.shapes.push(shape);
            self.uses.push(1);
            self.numbers.insert(shape, number);
            chunks.push(number);
        } else {
            let [low, high] = shape.len.to_le_bytes();
            chunks.extend_from_slice(&[SPELLED, shape.head, shape.width, low, high]);
        }
    }

    fn often_used(&self) -> Vec<Shape> {
        let uses = self.shapes.iter().zip(&self.uses);
        let often = uses.filter(|(_, uses)| **uses >= SHAPE_USES);
        often.map(|(shape, _)| *shape).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shapes_have_numbers_and_the_others_are_spelled() {
        let shape = |at: usize| Shape {
            head: u8::try_from(at % 16).unwrap(),
            width: u8::try_from(at % 64).unwrap(),
            len: u16::try_from(at).unwrap(),
        };
        let known = [shape(7), shape(300)];
        let mut numbers = ShapeNumbers::beginning_with(&known);
        let write = |numbers: &mut ShapeNumbers, at: usize| {
            let mut chunks = Vec::new();
            numbers.write(shape(at), &mut chunks);
            chunks
        };
        let first: Vec<_> = (0..400).map(|at| write(&mut numbers, at)).collect();
        assert_eq!(
            (&first[7][..], &first[300][..]),
            (&[FIRST_SHAPE][..], &[FIRST_SHAPE + 1][..])
        );
        let spelled: Vec<_> = (0..400).filter(|at| first[*at][0] == SPELLED).collect();
        assert_eq!(spelled.len(), 400 - SHAPES_MAX);
        assert_eq!(first[spelled[0]].len(), 5);
        let mut numbered: Vec<_> = first.iter().filter(|bytes| bytes.len() == 1).collect();
        numbered.sort();
        numbered.dedup();
        assert_eq!(numbered.len(), SHAPES_MAX, "each has its own number");
        for _ in 1..SHAPE_USES {
            let again: Vec<_> = (0..400).map(|at| write(&mut numbers, at)).collect();
            assert_eq!(again, first);
        }
        assert_eq!(numbers.often_used().len(), SHAPES_MAX);
    }
}
