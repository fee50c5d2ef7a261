//! Numbers as Go writes most of them, read without branches on how many digits they have: values of one family differ in
//! that from line to line, and a processor that guesses wrong loses more time than it takes to read the number.

use super::{POWERS, ZEROS, join_digits, not_digits};

/// Digits and point of a value come to at most so many bytes.
const MANTISSA: usize = 16;

/// Mantissa, exponent, and the byte that ends a value.
const WINDOW: usize = MANTISSA + 4 + 1;

/// Sixteen times `0`.
const ZEROS_WIDE: u128 = (ZEROS as u128) << 64 | ZEROS as u128;

/// A value without sign, with at most 16 bytes of digits and point, and an exponent, if any, of a sign and two digits.
/// As [`super::scan_value`]; none means that it must be read another way.
#[inline]
pub(super) fn value(input: &[u8]) -> Option<(usize, f64)> {
    let window = input.first_chunk::<WINDOW>()?;
    let mantissa = Mantissa::read(window)?;
    let (exponent, len) = exponent(window, mantissa.len)?;
    let ends = matches!(window[len], b' ' | b'\n');
    if !ends || mantissa.digits >= 1 << 53 {
        return None;
    }
    // Of these two one is 1: the value is rounded once (Clinger's fast path).
    let power = exponent - mantissa.scale;
    let up = POWERS.get(power.max(0).unsigned_abs() as usize)?;
    let down = POWERS.get(power.min(0).unsigned_abs() as usize)?;
    Some((len, mantissa.digits as f64 * up / down))
}

/// Digits, with or without a point among them.
struct Mantissa {
    /// The number that the digits make.
    digits: u64,
    /// How many of them stand behind the point.
    scale: i32,
    /// Bytes.
    len: usize,
}

impl Mantissa {
    #[inline]
    fn read(window: &[u8; WINDOW]) -> Option<Self> {
        let bytes = u128::from_le_bytes(*window.first_chunk()?) ^ ZEROS_WIDE;
        let [first, last] = halves(bytes).map(not_digits).map(u128::from);
        let odd = first | last << 64;
        let whole = (odd.trailing_zeros() / 8) as usize;
        let has_point = window[whole] == b'.' && whole < MANTISSA;
        let behind = if has_point { odd & (odd - 1) } else { odd };
        let len = (behind.trailing_zeros() / 8) as usize;
        let fraction = if has_point { len - whole - 1 } else { 0 };
        if whole == 0 || has_point && fraction == 0 {
            return None;
        }
        // The last digit goes to the top; what is below the first counts as zeros before it.
        let aligned = bytes << (8 * (MANTISSA - len));
        let point = 8 * (MANTISSA - 1 - fraction);
        let below = (1 << point) - 1;
        let joined = aligned & !(below | 0xff << point) | (aligned & below) << 8;
        let digits = if has_point { joined } else { aligned };
        let [high, low] = halves(digits).map(join_digits);
        Some(Self {
            digits: high * 100_000_000 + low,
            scale: i32::try_from(fraction).ok()?,
            len,
        })
    }
}

/// The first eight bytes and the last eight.
#[inline]
fn halves(bytes: u128) -> [u64; 2] {
    let bytes = bytes.to_le_bytes();
    let (halves, _) = bytes.as_chunks();
    [halves[0], halves[1]].map(u64::from_le_bytes)
}

/// The exponent behind a mantissa of `len` bytes, 0 if there is none, and where it ends.
#[inline]
fn exponent(window: &[u8; WINDOW], len: usize) -> Option<(i32, usize)> {
    let &[letter, sign, tens, ones] = window[len..].first_chunk::<4>()?;
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    let is_there = letter == b'e';
    let is_read = matches!(sign, b'+' | b'-') && tens < 10 && ones < 10;
    if is_there && !is_read {
        return None;
    }
    let read = i32::from(tens) * 10 + i32::from(ones);
    let signed = if sign == b'-' { -read } else { read };
    Some(if is_there {
        (signed, len + 4)
    } else {
        (0, len)
    })
}

/// A timestamp of 13 digits, of the years 2001 to 2286, and the newline behind it.
#[inline]
pub(super) fn timestamp_line(input: &[u8]) -> Option<(i64, usize)> {
    let line = input.first_chunk::<14>()?;
    let high = u64::from_le_bytes(*line.first_chunk::<8>()?) ^ ZEROS;
    let low = u64::from_le_bytes(*line[5..].first_chunk::<8>()?) ^ ZEROS;
    if not_digits(high) | not_digits(low) != 0 || line[13] != b'\n' {
        return None;
    }
    let read = join_digits(high) * 100_000 + join_digits(low) % 100_000;
    Some((read.cast_signed(), line.len()))
}

#[cfg(test)]
mod tests {
    use super::super::{parse, timestamp};
    use super::*;

    fn check(text: &str, want: Option<&str>) {
        let line = format!("{text} 1795906678164\nnext_line 1\n");
        let read = value(line.as_bytes()).map(|(len, value)| (len, value.to_bits()));
        let want = want.map(|text| (text.len(), parse(text.as_bytes()).unwrap().to_bits()));
        assert_eq!(read, want, "{text}");
    }

    #[test]
    fn reads_what_go_writes_most() {
        for text in [
            "0",
            "7",
            "0.1",
            "-0.1",
            "101475.437754736",
            "85718.699971165",
            "9007199254740991",
            "0.00000000000001",
            "123456789.123456",
            "1.795212996e+09",
            "3.4e-05",
            "1e+22",
            "1e-22",
            "1.2345678901e-12",
        ] {
            let is_read = !text.starts_with('-');
            check(text, is_read.then_some(text));
        }
    }

    #[test]
    fn leaves_the_rest_to_others() {
        for text in [
            "",
            "-1",
            "+1",
            ".5",
            "5.",
            "1..2",
            "1.2.3",
            "1e5",
            "1e+5",
            "1e+005",
            "1E+05",
            "1e+0x",
            "1e+23",
            "1e-23",
            "9007199254740992",
            "0.12345678901234567",
            "12345678901234567",
            "NaN",
            "+Inf",
            "1_000",
            "1\t",
        ] {
            check(text, None);
        }
        assert_eq!(value(b"1 1795906678164\n"), None, "too short to look at");
    }

    #[test]
    fn reads_timestamps_of_our_times() {
        for line in ["1795906678164\n", "1000000000000\nnext", "9999999999999\n"] {
            let want = timestamp(line.as_bytes()).map(|(read, len)| (read, len + 1));
            assert_eq!(timestamp_line(line.as_bytes()), want, "{line}");
        }
        for line in [
            "179590667816\n",
            "17959066781640\n",
            "1795906678164",
            "1795906678164 \n",
            "179590667816x\n",
        ] {
            assert_eq!(timestamp_line(line.as_bytes()), None, "{line}");
        }
    }
}
