//! The values of one chunk as whole numbers of 10^-scale, and their differences bit by bit.

use super::ROUNDS_MAX;

/// The scale of values that are taken as their bits.
pub(super) const RAW: u8 = 15;

/// `v·10^scale` for the scales below [`RAW`].
const POWERS: [f64; RAW as usize] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];

/// 1.5·2^52: added to a float from -2^51 to 2^51 - 1 it leaves the nearest whole number in the low bits; beyond, the sum
/// has another sign or exponent.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// How the differences of a chunk stand in it.
const EACH: u8 = 0;
/// A bit for each whether it is not 0, then those that are not.
const CHANGED: u8 = 1;
/// The smallest, then what each is above it.
const ABOVE: u8 = 2;

/// The bits of a shape's head that say so.
const LAYOUT: u8 = 3;

/// The whole number of 10^-scale that gives a value back bit for bit.
#[inline]
pub(super) fn to_whole(bits: u64, scale: u8) -> Option<i64> {
    let mut whole = [0];
    to_wholes(&[bits], scale, &mut whole).then_some(whole[0])
}

/// The whole numbers of some values, as many as there is room for; false if one has none. Without a branch a value, so
/// that several are computed at once.
#[inline]
fn to_wholes(values: &[u64], scale: u8, wholes: &mut [i64]) -> bool {
    match POWERS.get(usize::from(scale)) {
        Some(power) if scale > 0 => {
            exact_wholes(values, wholes, |value| value * power, |whole| whole / power)
        }
        Some(_) => exact_wholes(values, wholes, |value| value, |whole| whole),
        None => {
            for (whole, bits) in wholes.iter_mut().zip(values) {
                *whole = bits.cast_signed();
            }
            true
        }
    }
}

#[inline]
fn exact_wholes(
    values: &[u64],
    wholes: &mut [i64],
    up: impl Fn(f64) -> f64,
    down: impl Fn(f64) -> f64,
) -> bool {
    let (mut lost, mut beyond) = (0, 0);
    for (whole, &bits) in wholes.iter_mut().zip(values) {
        let rounded = up(f64::from_bits(bits)) + ROUNDER;
        let back = down(rounded - ROUNDER);
        lost |= back.to_bits() ^ bits;
        beyond |= rounded.to_bits() ^ ROUNDER.to_bits();
        *whole = rounded
            .to_bits()
            .wrapping_sub(ROUNDER.to_bits())
            .cast_signed();
    }
    lost == 0 && beyond >> MANTISSA_BITS == 0
}

/// The way back.
#[inline]
pub(super) fn from_whole(whole: i64, scale: u8) -> u64 {
    match POWERS.get(usize::from(scale)) {
        Some(power) => (whole as f64 / power).to_bits(),
        None => whole.cast_unsigned(),
    }
}

/// The smallest scale from `hint` on that gives all values back, and their whole numbers.
#[inline]
pub(super) fn scale_of(values: &[u64], hint: u8, wholes: &mut [i64; ROUNDS_MAX]) -> u8 {
    if hint < RAW && to_wholes(values, hint, wholes) {
        return hint;
    }
    search_scale(values, hint, wholes)
}

/// The same where `hint` will not do.
#[inline(never)]
fn search_scale(values: &[u64], hint: u8, wholes: &mut [i64; ROUNDS_MAX]) -> u8 {
    let mut scale = if hint >= RAW { 0 } else { hint };
    while !to_wholes(values, scale, wholes) {
        let mut refused = values.iter().copied();
        let refused = refused.find(|value| to_whole(*value, scale).is_none());
        scale = refused.map_or(RAW, |value| scale_above(value, scale));
    }
    scale
}

/// The smallest scale above `scale` that gives a value back; [`RAW`] if none does.
///
/// What is whole at one scale is whole at every larger one at which it is still below 2^51, so the largest tells.
fn scale_above(bits: u64, scale: u8) -> u8 {
    let exponent = i64::from((bits >> 52) as u16 & 0x7ff) - 1023;
    // 10^digits is at most 2^(50 - exponent), and one more may still do. 1233/4096 is a little less than log10(2).
    let digits = ((50 - exponent) * 1233) >> 12;
    let largest = u8::try_from((digits + 1).clamp(0, i64::from(RAW - 1))).unwrap_or(0);
    let is_whole = |scale: &u8| to_whole(bits, *scale).is_some();
    if !is_whole(&largest) && !is_whole(&largest.saturating_sub(1)) {
        return RAW;
    }
    (scale + 1..=largest).find(is_whole).unwrap_or(RAW)
}

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The shortest way to write some differences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// Belongs into the shape's head.
    pub(super) layout: u8,
    /// Bits of a difference, 64 at most.
    pub(super) width: u8,
    /// Bytes in all.
    pub(super) len: usize,
    least: i64,
}

impl Packing {
    #[inline]
    pub(super) fn of(deltas: &[i64]) -> Self {
        let (mut least, mut most, mut changed) = (i64::MAX, i64::MIN, 0);
        for &delta in deltas {
            least = least.min(delta);
            most = most.max(delta);
            changed += u32::from(delta != 0);
        }
        let count = u32::try_from(deltas.len()).unwrap_or(0);
        Self::shortest(count, changed, least, most)
    }

    /// For so many differences, of which some are not 0, and which lie between these.
    fn shortest(count: u32, changed: u32, least: i64, most: i64) -> Self {
        let widest = if count > 0 {
            zigzag(least).max(zigzag(most))
        } else {
            0
        };
        let width = 64 - widest.leading_zeros();
        let each = count * width;
        let some = count + changed * width;
        let above_width = 64 - most.wrapping_sub(least).cast_unsigned().leading_zeros();
        let above = varint_len(zigzag(least)) * 8 + count * above_width;
        let (layout, width, bits) = if count > 0 && above < each.min(some) {
            (ABOVE, above_width, above)
        } else if some < each {
            (CHANGED, width, some)
        } else {
            (EACH, width, each)
        };
        Self {
            layout,
            width: u8::try_from(width).unwrap_or(64),
            len: bits.div_ceil(8) as usize,
            least,
        }
    }

    #[inline]
    pub(super) fn write(self, deltas: &[i64], out: &mut Vec<u8>) {
        let (width, mut count) = (u32::from(self.width), deltas.len());
        if self.layout == ABOVE {
            write_varint(out, self.least);
        }
        let number = |delta: i64| {
            if self.layout == ABOVE {
                delta.wrapping_sub(self.least).cast_unsigned()
            } else {
                zigzag(delta)
            }
        };
        let mut numbers = [0; ROUNDS_MAX];
        for (place, &delta) in numbers.iter_mut().zip(deltas) {
            *place = number(delta);
        }
        let mut bits = BitWriter {
            out,
            word: 0,
            len: 0,
        };
        if self.layout == CHANGED {
            let mut mask = 0;
            let mut changed = [0; ROUNDS_MAX];
            let mut kept = 0;
            for (at, &number) in numbers[..count].iter().enumerate() {
                mask |= u64::from(number != 0) << at;
                changed[kept] = number;
                kept += usize::from(number != 0);
            }
            bits.write(mask, u32::try_from(count).unwrap_or(0));
            (numbers, count) = (changed, kept);
        }
        bits.write_all(&numbers, count, width);
        bits.finish();
    }
}

/// Appends numbers bit by bit, the lowest first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    /// Bits in the word, less than 64.
    len: u32,
}

impl BitWriter<'_> {
    /// `width` bits for each of the first numbers; those behind them are 0.
    #[inline]
    fn write_all(&mut self, numbers: &[u64; ROUNDS_MAX], count: usize, width: u32) {
        match width {
            ..=8 => self.write_by::<8>(numbers, count, width),
            9..=16 => self.write_by::<4>(numbers, count, width),
            17..=32 => self.write_by::<2>(numbers, count, width),
            _ => self.write_by::<1>(numbers, count, width),
        }
    }

    /// The same where `N` of them fit into a word.
    #[inline]
    fn write_by<const N: usize>(&mut self, numbers: &[u64; ROUNDS_MAX], count: usize, width: u32) {
        // A word of its own may be as wide as that: nothing is to be shifted out of it.
        let shift = if N == 1 { 0 } else { width };
        let mut left = count;
        for numbers in numbers.as_chunks::<N>().0 {
            let shifted = |word: u64, number: &u64| word << shift | number;
            let word = numbers.iter().rev().fold(0, shifted);
            let some = left.min(N);
            self.write(word, u32::try_from(some).unwrap_or(0) * width);
            left -= some;
            if left == 0 {
                break;
            }
        }
    }

    #[inline]
    fn write(&mut self, value: u64, width: u32) {
        self.word |= value << self.len;
        let len = self.len + width;
        if len >= 64 {
            self.out.extend_from_slice(&self.word.to_le_bytes());
            self.word = value.checked_shr(64 - self.len).unwrap_or(0);
        }
        self.len = len % 64;
    }

    fn finish(self) {
        let unused = 8 - self.len.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_le_bytes());
        self.out.truncate(self.out.len() - unused);
    }
}

/// Reads what a [`BitWriter`] wrote; there are [`super::PADDING`] bytes behind every chunk.
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

/// Appends a number in 1 to 10 bytes, small ones of either sign in few.
#[inline]
pub(super) fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut value = zigzag(value);
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Bytes of a number that was zigzagged.
#[inline]
const fn varint_len(value: u64) -> u32 {
    let bits = 64 - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Reads what [`write_varint`] wrote, from `at` on, which stands behind it then.
#[inline]
pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            break;
        }
    }
    unzigzag(value)
}

/// The whole numbers of a chunk, newest first.
pub(super) struct Differences<'a> {
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
    /// Reads `count` numbers from `at` on. The first is the difference to `anchor`, without one the number itself.
    pub(super) fn new(
        chunk: &'a [u8],
        mut at: usize,
        head: u8,
        width: u8,
        count: u32,
        anchor: Option<i64>,
    ) -> Self {
        let behind = match anchor {
            Some(anchor) => anchor,
            None if count > 0 => read_varint(chunk, &mut at),
            None => 0,
        };
        let layout = head & LAYOUT;
        let least = if layout == ABOVE {
            read_varint(chunk, &mut at)
        } else {
            0
        };
        let mut bits = BitReader {
            bytes: chunk,
            at: 8 * at,
        };
        let deltas = count.saturating_sub(u32::from(anchor.is_none()));
        let changed = if layout == CHANGED {
            bits.read(deltas)
        } else {
            0
        };
        Self {
            bits,
            layout,
            width: u32::from(width),
            least,
            changed,
            behind,
            first: anchor.is_none(),
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> i64 {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The scale by trying one after the other.
    fn scale_by_trying(values: &[u64]) -> u8 {
        let fits = |scale: &u8| values.iter().all(|bits| to_whole(*bits, *scale).is_some());
        (0..RAW).find(fits).unwrap_or(RAW)
    }

    #[test]
    fn the_largest_scale_tells_whether_there_is_one() {
        let mut wholes = [0; ROUNDS_MAX];
        for digits in 0..18 {
            for text in [
                "1",
                "7",
                "123456789",
                "2251799813685247",
                "2251799813685248",
                "2251799813685247.75",
                "4503599627370497",
                "11258999068426240",
                "99999",
            ] {
                for sign in ["", "-"] {
                    let value: f64 = format!("{sign}{text}e-{digits}").parse().unwrap();
                    let values = [value.to_bits(), 1_f64.to_bits()];
                    let scale = scale_of(&values, 0, &mut wholes);
                    assert_eq!(scale, scale_by_trying(&values), "{value}");
                    for (whole, bits) in wholes.iter().zip(values) {
                        assert_eq!(from_whole(*whole, scale), bits, "{value}");
                    }
                }
            }
        }
        for value in [
            f64::NAN,
            f64::INFINITY,
            -0.0,
            1e300,
            5e-324,
            0.1 + 0.2,
            std::f64::consts::PI,
        ] {
            assert_eq!(scale_of(&[value.to_bits()], 3, &mut wholes), RAW, "{value}");
            assert_eq!(from_whole(wholes[0], RAW), value.to_bits(), "{value}");
        }
    }

    #[test]
    fn differences_are_read_as_they_were_written() {
        let rows: [&[i64]; 8] = [
            &[],
            &[0, 0, 0],
            &[1, -1, 63, -64],
            &[0, 0, 0, 0, 0, 0, 0, 5_000_000],
            &[1_000_000, 1_000_001, 1_000_003, 1_000_000],
            &[i64::MAX, i64::MIN, 0, -1],
            &[i64::MIN; 16],
            &[1 << 40, -(1 << 41), 1 << 42, 3, -(1 << 40)],
        ];
        rows.into_iter().for_each(check_differences);
    }

    fn check_differences(deltas: &[i64]) {
        let packing = Packing::of(deltas);
        let mut chunk = Vec::new();
        packing.write(deltas, &mut chunk);
        assert_eq!(chunk.len(), packing.len, "{deltas:?}");
        chunk.extend([0; super::super::PADDING]);
        let count = u32::try_from(deltas.len()).unwrap();
        let (layout, width) = (packing.layout, packing.width);
        let mut read = Differences::new(&chunk, 0, layout, width, count, Some(7));
        let mut behind = 7_i64;
        for delta in deltas {
            behind = behind.wrapping_sub(*delta);
            assert_eq!(read.next(), behind, "{deltas:?}");
        }
    }

    proptest! {
        /// Each difference is a number of so many bits at most, so that all widths come.
        #[test]
        fn any_differences_are_read_as_they_were_written(
            bits in 0_u32..64,
            least in prop_oneof![Just(0), any::<i64>()],
            numbers in proptest::collection::vec(prop_oneof![Just(0), any::<i64>()], 0..=ROUNDS_MAX),
        ) {
            let narrow = |number: &i64| least.wrapping_add(number >> bits);
            let deltas: Vec<i64> = numbers.iter().map(narrow).collect();
            check_differences(&deltas);
        }
    }
}
