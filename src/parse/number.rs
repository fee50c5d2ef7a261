//! Numbers as exposition text writes them: bytes in, `f64` or milliseconds out, and back. Everything is decided by
//! Go's `strconv`, because that is what every scraped and every scraping Prometheus uses: a number that Go refuses
//! fails a whole scrape.
//!
//! Two kinds of functions: [`scan_value`] and [`timestamp_line`] are called for every line of every round, [`scan`] and
//! [`timestamp`] for every line that is new, so they look at eight or sixteen bytes at once (the first two in `short.rs`);
//! [`parse`] and [`write_float`] know all the rules.

mod short;

use std::io::Write as _;

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// `p`, `P` or `_`, which Go would take and Prometheus refuses (`parseFloat` in its `model/textparse`).
    #[error("unsupported character in float")]
    Unsupported,
    /// Not the form of a number.
    #[error("invalid syntax")]
    Syntax,
    /// Rounds to an infinity without having been written as one.
    #[error("value out of range")]
    Range,
}

/// Mantissas up to here stay finite with any two-digit exponent: 10^(128 + 99) is far below 10^308.
const MANTISSA_BYTES_MAX: usize = 128;

/// Measures a plain decimal number at the start of `input`: `[+-]digits[.digits][e[+-]digits]`, followed by a space or
/// a newline, and certain to be finite. `None` does not mean that it is no number, only that it must be looked at
/// closely ([`parse`]): words, hexadecimal, three-digit exponents, `.5`, the end of `input`.
#[inline]
pub fn scan(input: &[u8]) -> Option<usize> {
    let whole = usize::from(matches!(input.first()?, b'+' | b'-'));
    let mut at = digits_end(input, whole);
    let mut some_digits = at > whole;
    if *input.get(at)? == b'.' {
        let fraction = at + 1;
        at = digits_end(input, fraction);
        some_digits &= at > fraction;
    }
    some_digits &= at <= MANTISSA_BYTES_MAX;
    if *input.get(at)? == b'e' {
        let exponent = at + 1 + usize::from(matches!(input.get(at + 1)?, b'+' | b'-'));
        at = digits_end(input, exponent);
        some_digits &= matches!(at - exponent, 1..=2);
    }
    (some_digits && matches!(*input.get(at)?, b' ' | b'\n')).then_some(at)
}

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Measures as [`scan`] does and reads the number on the way: the same answer as [`parse`] gives for those bytes.
///
/// Up to 19 digits that make a whole number below 2^53 and a power of ten that a float holds exactly need one
/// multiplication or division, which rounds correctly (Clinger's fast path); all others are left to [`parse`].
#[inline]
pub fn scan_value(input: &[u8]) -> Option<(usize, f64)> {
    short::value(input).or_else(|| long_value(input))
}

/// As [`scan_value`], for numbers of any length.
fn long_value(input: &[u8]) -> Option<(usize, f64)> {
    let sign = *input.first()?;
    let whole = usize::from(matches!(sign, b'+' | b'-'));
    let (mut at, mut digits) = read_digits(input, whole, 0);
    let (mut some_digits, mut count, mut scale) = (at > whole, at - whole, 0);
    if *input.get(at)? == b'.' {
        let fraction = at + 1;
        (at, digits) = read_digits(input, fraction, digits);
        some_digits &= at > fraction;
        scale = at - fraction;
        count += scale;
    }
    some_digits &= at <= MANTISSA_BYTES_MAX;
    let mut power = -i32::try_from(scale).ok()?;
    if *input.get(at)? == b'e' {
        let negative = input.get(at + 1)? == &b'-';
        let exponent = at + 1 + usize::from(matches!(input[at + 1], b'+' | b'-'));
        let value;
        (at, value) = read_digits(input, exponent, 0);
        some_digits &= matches!(at - exponent, 1..=2);
        let value = i32::try_from(value % 100).ok()?;
        power += if negative { -value } else { value };
    }
    if !(some_digits && matches!(*input.get(at)?, b' ' | b'\n')) {
        return None;
    }
    let exact = digits < 1 << 53 && count <= 19;
    let value = match POWERS.get(power.unsigned_abs() as usize) {
        Some(by) if exact && power < 0 => digits as f64 / by,
        Some(by) if exact => digits as f64 * by,
        _ => return Some((at, parse(&input[..at]).ok()?)),
    };
    Some((at, if sign == b'-' { -value } else { value }))
}

/// The offset of the first byte at or after `at` that is no digit, and the number that `before` and the digits make;
/// it wraps around beyond 19 digits.
#[inline]
fn read_digits(input: &[u8], mut at: usize, before: u64) -> (usize, u64) {
    let mut value = before;
    while let Some(eight) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let values = u64::from_le_bytes(*eight) ^ ZEROS;
        let odd = not_digits(values);
        if odd == 0 {
            value = value
                .wrapping_mul(100_000_000)
                .wrapping_add(join_digits(values));
            at += 8;
            continue;
        }
        let len = (odd.trailing_zeros() / 8) as usize;
        if len > 0 {
            // The digits go to the top, where the last of eight stands; what is below counts as zeros before them.
            let joined = join_digits(values << (64 - 8 * len));
            value = value.wrapping_mul(TENS[len]).wrapping_add(joined);
        }
        return (at + len, value);
    }
    while let Some(digit) = input.get(at).filter(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (at, value)
}

/// The offset of the first byte at or after `at` that is no digit.
#[inline]
fn digits_end(input: &[u8], mut at: usize) -> usize {
    while let Some(eight) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let odd = not_digits(u64::from_le_bytes(*eight) ^ ZEROS);
        if odd != 0 {
            return at + (odd.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while input.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Powers of ten by the digits that they make room for.
const TENS: [u64; 8] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Eight characters `0`: xor with it turns digits into their values.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The top bit of every byte that is above 9, right up to and including the lowest such byte; 0 if there is none.
/// (A carry out of a byte can only disturb the bytes above it.)
#[inline]
const fn not_digits(values: u64) -> u64 {
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The number that eight digit values make, the first in the lowest byte. Neighbours are joined three times: to
/// pairs, to fours, to eight.
#[inline]
const fn join_digits(values: u64) -> u64 {
    let pairs = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// Reads a timestamp in milliseconds at the start of `input`: digits with an optional `-`, and says how many bytes
/// these are. What follows is the caller's to look at; where nothing follows, more digits may come with the next
/// bytes. `None`: no digits, more than 19 of them, or beyond `i64`.
///
/// The minus is for our own data. Upstream's text parser refuses it, and so does [`super::next`].
#[inline]
pub fn timestamp(input: &[u8]) -> Option<(i64, usize)> {
    match stamp_of_our_times(input) {
        Some(read) => Some(read),
        None => any_timestamp(input),
    }
}

/// Reads a timestamp that ends a line: the same number as [`timestamp`], and the length with the newline.
#[inline]
pub fn timestamp_line(input: &[u8]) -> Option<(i64, usize)> {
    if let Some(read) = short::timestamp_line(input) {
        return Some(read);
    }
    let (read, len) = timestamp(input)?;
    (input.get(len) == Some(&b'\n')).then_some((read, len + 1))
}

/// A timestamp of 9 to 15 digits without sign, up to the year 33658, if there are sixteen bytes to look at.
#[inline]
fn stamp_of_our_times(input: &[u8]) -> Option<(i64, usize)> {
    let (first, rest) = input.split_first_chunk::<8>()?;
    let high = u64::from_le_bytes(*first) ^ ZEROS;
    let low = u64::from_le_bytes(*rest.first_chunk::<8>()?) ^ ZEROS;
    let odd = not_digits(low);
    let len = (odd.trailing_zeros() / 8) as usize;
    if not_digits(high) != 0 || !(1..8).contains(&len) {
        return None;
    }
    let value = join_digits(high) * TENS[len] + join_digits(low << (64 - 8 * len));
    Some((value.cast_signed(), 8 + len))
}

fn any_timestamp(input: &[u8]) -> Option<(i64, usize)> {
    let sign = usize::from(*input.first()? == b'-');
    let (end, value) = read_digits(input, sign, 0);
    if !(1..=19).contains(&(end - sign)) {
        return None;
    }
    let value = i64::try_from(value).ok()?;
    Some((if sign == 1 { -value } else { value }, end))
}

/// Reads a whole text as Go's `ParseFloat` does after Prometheus has refused `p`, `P` and `_`: decimal numbers, `Inf`
/// and `Infinity` in any case and with any sign, `NaN` in any case without one. What rounds to an infinity is refused,
/// what rounds to zero is fine. There is one `NaN` only, so that no stale marker can be smuggled in as a value.
pub fn parse(text: &[u8]) -> Result<f64, NumberError> {
    if text.iter().any(|byte| matches!(byte, b'p' | b'P' | b'_')) {
        return Err(NumberError::Unsupported);
    }
    if let Some(word) = parse_word(text) {
        return Ok(word);
    }
    if !text
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return Err(NumberError::Syntax);
    }
    let number: f64 = fast_float2::parse(text).map_err(|_| NumberError::Syntax)?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(NumberError::Range)
    }
}

/// The numbers that are words.
fn parse_word(text: &[u8]) -> Option<f64> {
    if text.eq_ignore_ascii_case(b"nan") {
        return Some(f64::NAN);
    }
    let (infinity, word) = match text {
        [b'-', word @ ..] => (f64::NEG_INFINITY, word),
        [b'+', word @ ..] | word => (f64::INFINITY, word),
    };
    (word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity"))
        .then_some(infinity)
}

/// Appends `v` as Go's `strconv.FormatFloat(v, 'g', -1, 64)` writes it: the fewest digits that read back the same, an
/// exponent of at least two digits below 1e-4 and from 1e+06 on, `NaN`, `+Inf`, `-Inf`. It is what the Go client
/// library writes into the text format (there, a negative zero loses its sign; here it stays).
pub fn write_float(out: &mut Vec<u8>, v: f64) {
    if v.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if v.is_infinite() {
        return out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    }
    if v.is_sign_negative() {
        out.push(b'-');
    }
    let mut buffer = [0; 32];
    let scientific = shortest(&mut buffer, v.abs());
    let split = scientific
        .iter()
        .position(|&byte| byte == b'e')
        .expect("the form always has an exponent");
    let exponent: i32 = str::from_utf8(&scientific[split + 1..])
        .ok()
        .and_then(|e| e.parse().ok())
        .expect("Rust wrote this number");
    let (first, fraction) = (scientific[0], scientific.get(2..split).unwrap_or_default());
    match exponent {
        -4..0 => write_below_one(out, first, fraction, exponent),
        0..6 => write_above_one(out, first, fraction, exponent.unsigned_abs() as usize),
        _ => write_scientific(out, first, fraction, exponent),
    }
}

/// The shortest digits of a finite number, as `d[.ddd]e[-]x`; at most 24 bytes.
fn shortest(buffer: &mut [u8; 32], v: f64) -> &[u8] {
    let mut rest = &mut buffer[..];
    write!(rest, "{v:e}").expect("17 digits, a point and an exponent fit into 32 bytes");
    let left = rest.len();
    &buffer[..32 - left]
}

/// `0.00ddd`: exponents -4 to -1.
fn write_below_one(out: &mut Vec<u8>, first: u8, fraction: &[u8], exponent: i32) {
    out.extend_from_slice(b"0.");
    out.extend(std::iter::repeat_n(
        b'0',
        exponent.unsigned_abs() as usize - 1,
    ));
    out.push(first);
    out.extend_from_slice(fraction);
}

/// `ddd` or `ddd.ddd`: `places` digits stand between the first one and the point.
fn write_above_one(out: &mut Vec<u8>, first: u8, fraction: &[u8], places: usize) {
    let (before, after) = fraction.split_at(places.min(fraction.len()));
    out.push(first);
    out.extend_from_slice(before);
    out.extend(std::iter::repeat_n(b'0', places - before.len()));
    if !after.is_empty() {
        out.push(b'.');
        out.extend_from_slice(after);
    }
}

/// `d.ddde+xx`.
fn write_scientific(out: &mut Vec<u8>, first: u8, fraction: &[u8], exponent: i32) {
    out.push(first);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_parse(text: &str, want: Result<f64, NumberError>) {
        let got = parse(text.as_bytes());
        assert_eq!(got.map(f64::to_bits), want.map(f64::to_bits), "{text:?}");
    }

    #[test]
    fn reads_what_go_reads() {
        check_parse("0", Ok(0.0));
        check_parse("-0", Ok(-0.0));
        check_parse("+1.5e3", Ok(1500.0));
        check_parse("1E3", Ok(1000.0));
        check_parse("5.", Ok(5.0));
        check_parse(".5", Ok(0.5));
        check_parse("-.5e-1", Ok(-0.05));
        check_parse("0004", Ok(4.0));
        check_parse("1.7976931348623157e308", Ok(f64::MAX));
        check_parse("4.9e-324", Ok(5e-324));
        check_parse("1e-400", Ok(0.0));
        check_parse("0e400", Ok(0.0));
        check_parse("1e-99999999999999999999", Ok(0.0));
        check_parse("inf", Ok(f64::INFINITY));
        check_parse("+Inf", Ok(f64::INFINITY));
        check_parse("-iNfInItY", Ok(f64::NEG_INFINITY));
        check_parse("NaN", Ok(f64::NAN));
        check_parse("nAn", Ok(f64::NAN));
    }

    #[test]
    fn refuses_what_go_or_prometheus_refuses() {
        for text in [
            "", "+", "-", ".", "e5", "1e", "1e+", "1.e-", "1..2", "1-2", "--1", "+-1", "1 ", " 1",
            "0x1", "0x1.8",
        ] {
            check_parse(text, Err(NumberError::Syntax));
        }
        for text in [
            "+NaN",
            "-nan",
            "infin",
            "Infinityx",
            "true",
            "1\r",
            "1\0",
            "١",
            "1f64",
            "0b1",
            "0o7",
        ] {
            check_parse(text, Err(NumberError::Syntax));
        }
        for text in ["1_2", "0x1P-3", "0x1p0", "_", "true_"] {
            check_parse(text, Err(NumberError::Unsupported));
        }
        for text in [
            "1e309",
            "-1e309",
            "1.7976931348623159e308",
            "1e99999999999999999999",
        ] {
            check_parse(text, Err(NumberError::Range));
        }
    }

    fn check_scan(input: &str, want: Option<usize>) {
        assert_eq!(scan(input.as_bytes()), want, "{input:?}");
    }

    #[test]
    fn scans_plain_numbers() {
        check_scan("1\n", Some(1));
        check_scan("12345678 ", Some(8));
        check_scan("-1.5 1700000000000\n", Some(4));
        check_scan("123456789.123456789e+07\n", Some(23));
        check_scan("4.9351e-05\nnext", Some(10));
        check_scan("1e5 ", Some(3));
    }

    #[test]
    fn leaves_the_rest_to_a_closer_look() {
        for input in ["", "1", "+", "1.", "1e", "1e+", "1e5", "-1.5"] {
            check_scan(input, None);
        }
        for input in [
            "NaN\n", "+Inf\n", ".5\n", "5.\n", "1\t2\n", "1e300\n", "1e-300\n", "1e\n", "1.e5\n",
            "1E5\n", "1\r\n",
        ] {
            check_scan(input, None);
        }
        for input in [
            "-\n", " 1\n", "1{\n", "1_2\n", "0x1\n", "1..2\n", "1.2.3\n", "1e5.1\n", "--1\n",
            "1e+-5\n",
        ] {
            check_scan(input, None);
        }
        check_scan(&format!("{}e99\n", "9".repeat(129)), None);
        check_scan(&format!("{}e99\n", "9".repeat(128)), Some(131));
    }

    fn check_timestamp(input: &str, want: Option<(i64, usize)>) {
        assert_eq!(timestamp(input.as_bytes()), want, "{input:?}");
    }

    #[test]
    fn reads_timestamps() {
        check_timestamp("1700000000123\n", Some((1_700_000_000_123, 13)));
        check_timestamp("1700000000123", Some((1_700_000_000_123, 13)));
        check_timestamp("12345678", Some((12_345_678, 8)));
        check_timestamp("1234567\n", Some((1_234_567, 7)));
        check_timestamp("0 ", Some((0, 1)));
        check_timestamp("-59200\n", Some((-59_200, 6)));
        check_timestamp("9223372036854775807\n", Some((i64::MAX, 19)));
        check_timestamp("9223372036854775808\n", None);
        check_timestamp("12345678901234567890\n", None);
        check_timestamp("1.5", Some((1, 1)));
        for input in ["", "-", "\n", " 1", "+1", "x", "--1"] {
            check_timestamp(input, None);
        }
    }

    fn check_write(v: f64, want: &str) {
        let mut out = Vec::new();
        write_float(&mut out, v);
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn writes_as_go_writes() {
        check_write(0.0, "0");
        check_write(-0.0, "-0");
        check_write(1.0, "1");
        check_write(-12.5, "-12.5");
        check_write(100.0, "100");
        check_write(120.0, "120");
        check_write(123_456.0, "123456");
        check_write(999_999.5, "999999.5");
        check_write(1e6, "1e+06");
        check_write(3_886_707.0, "3.886707e+06");
        check_write(903_676_723.0, "9.03676723e+08");
        check_write(1e21, "1e+21");
        check_write(1.5e100, "1.5e+100");
        check_write(0.5, "0.5");
        check_write(0.0001, "0.0001");
        check_write(0.000_123, "0.000123");
        check_write(0.000_012_3, "1.23e-05");
        check_write(5e-324, "5e-324");
        check_write(f64::MAX, "1.7976931348623157e+308");
        check_write(f64::NAN, "NaN");
        check_write(f64::INFINITY, "+Inf");
        check_write(f64::NEG_INFINITY, "-Inf");
    }

    proptest! {
        #[test]
        fn written_floats_read_back(bits: u64) {
            let v = f64::from_bits(bits);
            let mut out = Vec::new();
            write_float(&mut out, v);
            let back = parse(&out).unwrap();
            prop_assert!(back.to_bits() == bits || v.is_nan() && back.is_nan());
        }

        #[test]
        fn what_scan_takes_parse_takes(input in "[-+]?[0-9]{0,10}[.]?[0-9]{0,10}(e[-+]?[0-9]{0,3})?[ \n\t]?[0-9]?") {
            if let Some(len) = scan(input.as_bytes()) {
                prop_assert!(parse(&input.as_bytes()[..len]).is_ok());
                prop_assert!(matches!(input.as_bytes()[len], b' ' | b'\n'));
            }
        }

        #[test]
        fn a_scanned_value_is_the_parsed_one(
            input in "[-+]?([0-9]{0,20}|[0-9]{0,3})[.]?[0-9]{0,18}(e[-+]?[0-9]{0,3})?[ \n\t]?[0-9 ]{0,25}"
        ) {
            let input = input.as_bytes();
            let want = scan(input).map(|len| (len, parse(&input[..len]).unwrap().to_bits()));
            prop_assert_eq!(scan_value(input).map(|(len, value)| (len, value.to_bits())), want);
        }

        #[test]
        fn a_written_value_is_scanned(bits: u64, digits in 0_u64..1 << 60, scale in 0_i32..30) {
            for v in [f64::from_bits(bits), digits as f64 / 10_f64.powi(scale), digits as f64] {
                let mut text = Vec::new();
                write_float(&mut text, v);
                text.push(b' ');
                if let Some((len, value)) = scan_value(&text) {
                    prop_assert_eq!((len + 1, value.to_bits()), (text.len(), v.to_bits()));
                }
            }
        }

        #[test]
        fn timestamps_are_those_of_std(input in "-?[0-9]{1,21}([ \nx][0-9a-z ]{0,9})?") {
            let text = input.split([' ', '\n', 'x']).next().expect("one at least");
            let want = text.parse::<i64>().ok().filter(|v| *v != i64::MIN);
            let ends = input.as_bytes().get(text.len()) == Some(&b'\n');
            let line = timestamp(input.as_bytes()).filter(|_| ends).map(|(got, len)| (got, len + 1));
            prop_assert_eq!(timestamp_line(input.as_bytes()), line);
            match timestamp(input.as_bytes()) {
                Some((got, len)) => prop_assert_eq!((Some(got), len), (want, text.len())),
                None => prop_assert!(want.is_none() || text.trim_start_matches('-').len() > 19),
            }
        }

        #[test]
        fn random_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (scan(&input), scan_value(&input), timestamp(&input), parse(&input));
        }
    }
}
