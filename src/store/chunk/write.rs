//! Chunks on their way into a batch: values in, bytes behind the number of their shape out.

use super::pack::{Packing, scale_of, to_whole, write_varint};
use super::{ANCHORED, FIRST_SHAPE, HAS_EARLIER, ROUNDS, ROUNDS_MAX, SPELLED, Shape};

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
        let often_used = self.shapes.often_used();
        (self.shapes.shapes, often_used)
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
#[derive(Debug)]
struct ShapeNumbers {
    /// By number; those below [`FIRST_SHAPE`] are none.
    shapes: Vec<Shape>,
    /// By number: how many chunks have the shape.
    uses: Vec<u32>,
    /// Numbers by shape, each at the [`place_of`] its shape or, where others were before, at the next free one. Every chunk
    /// looks its shape up, in a table that stays near the processor.
    numbers: Box<[u8; PLACES]>,
}

/// Some four places for each shape that has a number: few looks find another.
const PLACES: usize = 1024;

/// The number in a free place; no shape has it.
const FREE: u8 = 0;

/// Where the number of a shape is sought first.
#[inline]
fn place_of(shape: Shape) -> usize {
    let [low, high] = shape.len.to_le_bytes();
    let key = u32::from_le_bytes([shape.head, shape.width, low, high]);
    // 2^32 by the golden ratio; the highest bits depend on all of the key.
    (key.wrapping_mul(0x9e37_79b9) >> (u32::BITS - PLACES.ilog2())) as usize
}

impl ShapeNumbers {
    fn beginning_with(known: &[Shape]) -> Self {
        let none = usize::from(FIRST_SHAPE);
        let mut numbers = Self {
            shapes: vec![Shape::default(); none],
            uses: vec![0; none],
            numbers: Box::new([FREE; PLACES]),
        };
        for &shape in known {
            if let Err(place) = numbers.find(shape) {
                numbers.add(shape, place, 0);
            }
        }
        numbers
    }

    /// The number of a shape, or the place for one.
    #[inline]
    fn find(&self, shape: Shape) -> Result<u8, usize> {
        let mut place = place_of(shape);
        loop {
            match self.numbers[place] {
                FREE => return Err(place),
                number if self.shapes[usize::from(number)] == shape => return Ok(number),
                _ => place = (place + 1) % PLACES,
            }
        }
    }

    fn add(&mut self, shape: Shape, place: usize, uses: u32) -> u8 {
        let number = u8::try_from(self.shapes.len()).expect("SPELLED is 255");
        self.shapes.push(shape);
        self.uses.push(uses);
        self.numbers[place] = number;
        number
    }

    /// Begins a chunk.
    #[inline]
    fn write(&mut self, shape: Shape, chunks: &mut Vec<u8>) {
        match self.find(shape) {
            Ok(number) => {
                self.uses[usize::from(number)] += 1;
                chunks.push(number);
            }
            Err(place) if self.shapes.len() < usize::from(SPELLED) => {
                chunks.push(self.add(shape, place, 1));
            }
            Err(_) => {
                let [low, high] = shape.len.to_le_bytes();
                chunks.extend_from_slice(&[SPELLED, shape.head, shape.width, low, high]);
            }
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

    /// Shapes that have a number.
    const SHAPES_MAX: usize = (SPELLED - FIRST_SHAPE) as usize;

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
