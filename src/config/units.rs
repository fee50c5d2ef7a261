//! Durations and sizes as Prometheus writes them: text in, [`Duration`] or bytes out, and back again for messages.
//!
//! Durations follow `model.ParseDuration` of prometheus/common: `1h30m`, units from the longest to the shortest,
//! each at most once. Sizes follow the `units.Base2Bytes` that Prometheus uses for `body_size_limit`: every unit is
//! a power of 1,024, so that `1GB` and `1GiB` are the same number of bytes.

use std::fmt::Write as _;
use std::time::Duration;

/// Unit and its milliseconds, longest first: the order in which they must stand.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Prefixes of sizes: the first is 1,024 bytes, each further one 1,024 times the one before.
const SIZE_PREFIXES: &str = "KMGTPE";

/// Longest duration that Prometheus accepts: its own counter of nanoseconds is a signed 64-bit number.
const MILLIS_MAX: u64 = i64::MAX.unsigned_abs() / 1_000_000;

/// Reads a duration such as `15s`, `1h30m` or `0`.
///
/// The error is a sentence without the key, ready to stand behind it, and names the remedy.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let bad = || {
        format!(
            "{text:?} is not a duration; write numbers with units, longest first, such as 15s, 1m30s or 1h"
        )
    };
    if text.is_empty() {
        return Err(bad());
    }
    let (mut rest, mut units, mut millis) = (text, DURATION_UNITS.iter(), 0_u64);
    while !rest.is_empty() {
        let (number, unit, after) = next_part(rest).ok_or_else(bad)?;
        // Units already passed are no longer in the iterator: a repeated or misplaced one is not found.
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(bad)?;
        millis = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor)?.checked_add(millis))
            .filter(|millis| *millis <= MILLIS_MAX)
            .ok_or_else(|| {
                format!("{text:?} is longer than 292 years; write a shorter duration")
            })?;
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// Reads a duration that must be longer than nothing, such as an interval.
pub fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be longer than 0; write a duration such as 15s".to_owned()),
        duration => Ok(duration),
    }
}

/// Splits `30m15s` into `("30", "m", "15s")`; `None` when no digits or no unit stand in front.
fn next_part(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let end = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    (!number.is_empty()).then_some((number, unit, after))
}

/// Writes a duration as [`parse_duration`] reads it: `13s500ms`, and `0s` for none. What is below a millisecond is cut.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        // As Prometheus does: years and weeks only where they divide the whole, so that 8d does not become 1w1d.
        if left < factor || (matches!(unit, "y" | "w") && left % factor != 0) {
            continue;
        }
        write!(text, "{}{unit}", left / factor).expect("writing to a String cannot fail");
        left %= factor;
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Reads a size in bytes: `1GB`, `512MB`, `64KiB`, `1.5GB`, `100B` or `0`. Every unit is a power of 1,024.
///
/// The error is a sentence without the key, ready to stand behind it, and names the remedy.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let bad = || {
        format!(
            "{text:?} is not a size; write a number with its unit, such as 100B, 512MB or 1GB, or 0 for none"
        )
    };
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(bad)?;
    let (number, unit) = text.split_at(unit_at);
    let factor = size_factor(unit).ok_or_else(bad)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if ![whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(bad());
    }
    let whole = whole
        .parse::<u64>()
        .ok()
        .and_then(|whole| whole.checked_mul(factor));
    whole
        .and_then(|whole| whole.checked_add(fraction_of(fraction, factor)))
        .ok_or_else(|| format!("{text:?} is larger than 16EiB; write a smaller size"))
}

/// Reads a size that must be more than nothing.
pub fn parse_positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("must be more than 0; write a size such as 512MB".to_owned()),
        size => Ok(size),
    }
}

/// Bytes of one `B`, `KB`, `KiB`, …; `None` for any other word.
fn size_factor(unit: &str) -> Option<u64> {
    if unit == "B" {
        return Some(1);
    }
    let prefix = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B'))?;
    let mut letters = prefix.chars();
    let power = SIZE_PREFIXES.find(letters.next()?)? + 1;
    letters
        .next()
        .is_none()
        .then(|| 1024_u64.pow(u32::try_from(power).expect("there are six prefixes")))
}

/// `factor` times the decimal digits behind the point, rounded down. Digits past the 18th do not count.
fn fraction_of(digits: &str, factor: u64) -> u64 {
    let digits = &digits[..digits.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(digits.len()).expect("at most 18 digits"));
    let part = digits.parse::<u128>().unwrap_or(0) * u128::from(factor) / scale;
    u64::try_from(part).expect("a fraction of a u64 fits into one")
}

/// Writes a size in the largest unit that divides it: `1GiB`, `1000B`.
pub fn format_size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes, "B".to_owned());
    for prefix in SIZE_PREFIXES.chars() {
        if number == 0 || number % 1024 != 0 {
            break;
        }
        number /= 1024;
        unit = format!("{prefix}iB");
    }
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_prometheus_does() {
        fn check(input: &str, millis: u64, written: &str) {
            let duration = parse_duration(input).expect(input);
            assert_eq!(duration, Duration::from_millis(millis), "{input}");
            assert_eq!(format_duration(duration), written, "{input}");
        }
        check("0", 0, "0s");
        check("0s", 0, "0s");
        check("15s", 15_000, "15s");
        check("324ms", 324, "324ms");
        check("90s", 90_000, "1m30s");
        check("1h30m", 5_400_000, "1h30m");
        check("3h500ms", 10_800_500, "3h500ms");
        check("7d", 604_800_000, "1w");
        check("8d", 691_200_000, "8d");
        check("1y", 31_536_000_000, "1y");
        check("2w3d", 17 * 86_400_000, "17d");
        check("4d1h11m7s200ms", 349_867_200, "4d1h11m7s200ms");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        fn check(input: &str, want: &str) {
            let error = parse_duration(input).expect_err(input);
            assert!(error.contains(want), "{input}: {error}");
        }
        for input in [
            "", "1", "15", "15 s", "-15s", "1.5h", "s", "1s1s", "30m1h", "1x", "1ms1s", " 1s",
            "1S", "1µs", "１s", "s1",
        ] {
            check(input, "is not a duration; write");
        }
        check("293y", "longer than 292 years");
        check("99999999999999999999s", "longer than 292 years");
        assert!(
            parse_positive_duration("0s")
                .expect_err("0s")
                .contains("longer than 0")
        );
        assert_eq!(parse_positive_duration("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn sizes_are_powers_of_1024_whatever_the_spelling() {
        fn check(input: &str, bytes: u64, written: &str) {
            assert_eq!(parse_size(input), Ok(bytes), "{input}");
            assert_eq!(format_size(bytes), written, "{input}");
        }
        check("0", 0, "0B");
        check("100B", 100, "100B");
        check("1KB", 1024, "1KiB");
        check("64KiB", 65_536, "64KiB");
        check("512MB", 512 << 20, "512MiB");
        check("1GB", 1 << 30, "1GiB");
        check("1GiB", 1 << 30, "1GiB");
        check("1.5GB", 3 << 29, "1536MiB");
        check("0.5B", 0, "0B");
        check("15EiB", 15 << 60, "15EiB");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        fn check(input: &str, want: &str) {
            let error = parse_size(input).expect_err(input);
            assert!(error.contains(want), "{input}: {error}");
        }
        for input in [
            "", "100", "B", "1G", "1Gi", "-1GB", "1 GB", "1gb", "1.GB", ".5GB", "1e3B", "1KKB",
            "1GBB", "GB1", "é1GB",
        ] {
            check(input, "is not a size; write");
        }
        check("16EiB", "larger than 16EiB");
        check("99999999999999999999B", "larger than 16EiB");
        assert!(
            parse_positive_size("0")
                .expect_err("0")
                .contains("more than 0")
        );
    }
}
