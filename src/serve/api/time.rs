//! Times and durations as Prometheus' API reads and writes them (`web/api/v1/api.go`, `parseTime`, `parseDuration`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The earliest time that Prometheus knows, in milliseconds since 1970, and how it writes it.
pub const MIN_MS: i64 = -9_223_309_901_257_974;
const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
/// The latest one.
pub const MAX_MS: i64 = 9_223_309_901_257_974;
const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

const DAY_S: i64 = 86_400;
const NANOS: f64 = 1e9;

/// Milliseconds since 1970: from seconds with a fraction, rounded, or from RFC 3339. The error is Prometheus'.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = number(text).filter(|seconds| !seconds.is_nan()) {
        let (whole, fraction) = (seconds.trunc(), seconds.fract());
        if whole.abs() > (MAX_MS / 1000) as f64 {
            return Ok(if whole < 0.0 { MIN_MS } else { MAX_MS });
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked right above")]
        return Ok(whole as i64 * 1000 + (fraction * 1000.0).round() as i64);
    }
    match text {
        MIN_TEXT => Some(MIN_MS),
        MAX_TEXT => Some(MAX_MS),
        _ => rfc3339_ms(text),
    }
    .ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

/// Nanoseconds: from seconds with a fraction, or from `1h30m`. The errors are Prometheus'.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("cannot parse {text:?} to a valid duration");
    if let Some(seconds) = number(text) {
        let nanos = seconds * NANOS;
        if nanos.is_nan() {
            return Err(wrong());
        }
        if nanos.abs() > i64::MAX as f64 {
            return Err(format!("{}. It overflows int64", wrong()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked right above")]
        return Ok(nanos as i64);
    }
    units_ms(text)
        .and_then(|ms| ms.checked_mul(1_000_000))
        .ok_or_else(wrong)
}

/// A number as Go reads it; words and digits, no spaces.
fn number(text: &str) -> Option<f64> {
    crate::parse::number::parse(text.as_bytes()).ok()
}

/// Prometheus' own form: each unit at most once, the longest first.
fn units_ms(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * DAY_S * 1000),
        ("w", 7 * DAY_S * 1000),
        ("d", DAY_S * 1000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let (mut rest, mut sum, mut next) = (text, 0_i64, 0);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS[next..]
            .iter()
            .position(|(unit, _)| *unit == &rest[..letters])?;
        sum = sum.checked_add(count.checked_mul(UNITS[next + unit].1)?)?;
        next += unit + 1;
        rest = &rest[letters..];
    }
    Some(sum)
}

/// `2015-06-03T13:21:58.555+01:00`; digits behind milliseconds are cut off.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return None;
        }
        let thousandths: String = fraction[..count]
            .chars()
            .chain("000".chars())
            .take(3)
            .collect();
        ms = thousandths.parse().ok()?;
        rest = &fraction[count..];
    }
    let offset_s = offset_s(rest)?;
    let seconds = days_from(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_s) * 1000 + ms)
}

/// `Z` or `+01:00`.
fn offset_s(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if text == "Z" {
        return Some(0);
    }
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return None;
    }
    let two = |at: usize| -> Option<i64> {
        let part = text.get(at..at + 2)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let (hours, minutes) = (two(1)?, two(4)?);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that the leap day is the last.
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// As Go writes a time in JSON: RFC 3339 in UTC with milliseconds.
pub fn format_time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let (days, second) = (seconds / DAY_S, seconds % DAY_S);
    // From the first of March of the year 0, in which cycles of 400 years begin.
    let shifted = days + 719_468;
    let (cycle, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_cycle = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check =
            |text: &str, want: Option<i64>| assert_eq!(parse_time(text).ok(), want, "{text}");
        check("0", Some(0));
        check("123.1234", Some(123_123));
        check("123.9996", Some(124_000));
        check("-1.5", Some(-1500));
        check(".5", Some(500));
        check("1e30", Some(MAX_MS));
        check("-Inf", Some(MIN_MS));
        check("NaN", None);
        check("", None);
        check(" 1", None);
        check("30s", None);
        check("1970-01-01T00:00:00Z", Some(0));
        check("1969-12-31T23:59:59.5Z", Some(-500));
        check("2000-02-29T12:00:00-00:30", Some(951_827_400_000));
        check("2015-06-03T13:21:58.5559Z", Some(1_433_337_718_555));
        check("1900-02-29T00:00:00Z", None);
        check("2015-06-03T24:21:58Z", None);
        check("2015-06-03T13:21:58", None);
        check("2015-06-03T13:21:58.Z", None);
        check("2015-06-03 13:21:58Z", None);
        check("2015-06-03T13:21:58+1:00", None);
        check("é015-06-03T13:21:58Z", None);
        check(MIN_TEXT, Some(MIN_MS));
        check(MAX_TEXT, Some(MAX_MS));
        let error = parse_time("x\"y").unwrap_err();
        assert_eq!(error, "cannot parse \"x\\\"y\" to a valid timestamp");
    }

    #[test]
    fn durations() {
        let check = |text: &str, want: Option<i64>| {
            assert_eq!(parse_duration(text).ok(), want, "{text}");
        };
        check("1", Some(1_000_000_000));
        check("0.0001", Some(100_000));
        check("-3", Some(-3_000_000_000));
        check("15s", Some(15_000_000_000));
        check("1h30m", Some(5_400_000_000_000));
        check("1m1ms", Some(60_001_000_000));
        check("30m1h", None);
        check("1m1m", None);
        check("5", Some(5_000_000_000));
        check("5x", None);
        check("s", None);
        check("NaN", None);
        check("300y", None);
        let error = parse_duration("1e300").unwrap_err();
        assert_eq!(
            error,
            "cannot parse \"1e300\" to a valid duration. It overflows int64"
        );
    }

    #[test]
    fn written_times_read_back() {
        for ms in [0_i64, 951_782_400_000, 1_433_337_718_555, 4_107_542_399_999] {
            let text = format_time(UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs()));
            assert_eq!(parse_time(&text), Ok(ms), "{text}");
        }
        let text = format_time(UNIX_EPOCH + Duration::from_secs(951_782_400));
        assert_eq!(text, "2000-02-29T00:00:00.000Z");
    }
}
