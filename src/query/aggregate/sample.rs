//! `limit_ratio` (experimental): a part of all series, chosen by the hash of their labels, so that a ratio and its
//! complement give all.
//!
//! The hash is upstream's (XXH64 of the labels with their lengths), so that the same series are chosen.

use super::rank::emit_some;
use super::{bounds, parameter};
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Sink};
use crate::query::labels::LabelKey;
use crate::query::plan::Aggregate;
use crate::query::value::{ABSENT, Block, Grid};

pub(super) fn rows(
    eval: &Evaluator<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (mut ratios, span) = parameter(eval, aggregate, grid)?;
    let mut block = eval.block(&aggregate.inner, grid)?;
    let (least, most) = bounds(&ratios);
    if ratios.iter().all(|ratio| *ratio == 0.0) {
        return Ok(());
    }
    if ratios.iter().any(|ratio| ratio.is_nan()) {
        return Err(QueryError::execution("Ratio value is NaN"));
    }
    if most > 1.0 {
        eval.notes.invalid_ratio(span, most, 1.0);
    }
    if least < -1.0 {
        eval.notes.invalid_ratio(span, least, -1.0);
    }
    for ratio in ratios.iter_mut() {
        *ratio = ratio.clamp(-1.0, 1.0);
    }
    block.hold((block.len() * grid.steps) as u64)?;
    let mut chosen = Vec::with_capacity(block.len() * grid.steps);
    let (mut scratch, mut bytes) = (LabelKey::default(), Vec::new());
    for key in &block.keys {
        eval.worked(grid.steps)?;
        scratch.clear();
        key.write(&mut scratch);
        let place = place_of(&scratch, &mut bytes);
        chosen.extend(ratios.iter().map(|ratio| is_chosen(*ratio, place)));
    }
    keep(&mut block, &chosen);
    emit_some(block, sink)
}

/// Clears all cells but the chosen ones; one flag for each cell, row by row.
pub(super) fn keep(block: &mut Block, chosen: &[bool]) {
    let steps = block.steps();
    for row in 0..block.len() {
        let chosen = &chosen[row * steps..(row + 1) * steps];
        for (cell, chosen) in block.row_mut(row).iter_mut().zip(chosen) {
            if !chosen {
                *cell = ABSENT;
            }
        }
    }
}

/// From below, or, for a negative ratio, from above.
fn is_chosen(ratio: f64, place: f64) -> bool {
    if ratio >= 0.0 {
        place < ratio
    } else {
        place >= 1.0 + ratio
    }
}

/// A place between 0 and 1 that depends on the labels alone.
fn place_of(labels: &LabelKey, bytes: &mut Vec<u8>) -> f64 {
    bytes.clear();
    for text in labels.pairs().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                let [a, b, c, ..] = text.len().to_le_bytes();
                bytes.extend([255, a, b, c]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(bytes) as f64 / u64::MAX as f64
}

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// XXH64 with seed 0 (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>).
fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let (stripes, mut rest) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        p5
    } else {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0_u64.wrapping_sub(p1)];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let turned = [1, 7, 12, 18];
        let sum = |sum: u64, (lane, turn): (&u64, u32)| sum.wrapping_add(lane.rotate_left(turn));
        let joined = lanes.iter().zip(turned).fold(0, sum);
        lanes.iter().fold(joined, |hash: u64, lane| {
            (hash ^ round(0, *lane)).wrapping_mul(p1).wrapping_add(p4)
        })
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
        rest = after;
    }
    if let Some((word, after)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(p1);
        hash = hash.rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        rest = after;
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(p5);
        hash = hash.rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIMES[1]))
        .rotate_left(31)
        .wrapping_mul(PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_specified() {
        let check = |text: &str, want: u64| assert_eq!(xxh64(text.as_bytes()), want, "{text:?}");
        check("", 0xef46_db37_51d8_e999);
        check("a", 0xd24e_c4f1_a98c_6e5b);
        check("abc", 0x44bc_2cf5_ad77_0999);
        check(
            "Nobody inspects the spammish repetition",
            0xfbce_a83c_8a37_8bf1,
        );
    }

    #[test]
    fn a_ratio_and_its_complement_are_all() {
        for place in [0.0, 0.2, 0.35, 0.75, 0.999] {
            for ratio in [0.1, 0.3, 0.7, 1.0] {
                let complement = is_chosen(ratio - 1.0, place) && ratio < 1.0;
                assert!(is_chosen(ratio, place) != complement, "{place} {ratio}");
            }
        }
    }
}
