//! Numbers and durations: where they end in the text, and what they are worth.
//!
//! A number is whatever Go reads as one: decimal, `0x` hexadecimal, `0b` binary, octal behind a plain leading zero,
//! `_` between digits, `inf` and `nan` in any case. A duration is a run of whole numbers with units, largest first.

use std::time::Duration;

use super::Kind;
use crate::promql::print::quote;

/// Finds the end of the number or duration that `rest` begins with: bytes, and which of the two it is.
///
/// `None` as kind: it is neither; the bytes are then how far Prometheus reads before it sees that, which its message
/// shows. A [`Kind::Number`] is well formed only roughly (`1.5.2` passes): [`number`] has the last word.
pub(super) fn scan(rest: &str) -> (usize, Option<Kind>) {
    let mut cursor = Cursor {
        rest: rest.as_bytes(),
        pos: 0,
    };
    let kind = if cursor.number() {
        Some(Kind::Number)
    } else {
        cursor.duration_tail().then_some(Kind::Duration)
    };
    (cursor.pos, kind)
}

struct Cursor<'a> {
    rest: &'a [u8],
    pos: usize,
}

impl Cursor<'_> {
    /// The rules of upstream's `scanNumber`, with all their accidents: what may follow what decides where a message
    /// cuts the text.
    fn number(&mut self) -> bool {
        let hex = self.accept(b"0") && self.accept(b"xX");
        let is_digit = if hex {
            u8::is_ascii_hexdigit
        } else {
            u8::is_ascii_digit
        };
        if hex {
            self.accept(b"_");
        }
        self.accept(b".");
        self.accept_if(is_digit);
        let (mut dot_seen, mut exponent_seen) = (false, false);
        while let Some(c) = self.peek() {
            match c {
                b'.' => {
                    self.pos += 1;
                    if dot_seen || self.accept(b"_.") || hex {
                        return false;
                    }
                    dot_seen = true;
                }
                // Also a hexadecimal digit, but where a run of digits could begin, upstream looks for the exponent first.
                b'e' | b'E' => {
                    self.pos += 1;
                    if exponent_seen {
                        return false;
                    }
                    exponent_seen = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                c if is_digit(&c) => while self.accept_if(is_digit) {},
                _ => break,
            }
        }
        !self.peek().is_some_and(is_word)
    }

    /// Units and further numbers behind the first number of a duration. Years can only come first.
    fn duration_tail(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept_if(u8::is_ascii_digit) {
            while self.accept_if(u8::is_ascii_digit) {}
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        let glued = self.peek().is_some_and(is_word);
        self.pos += usize::from(glued);
        !glued
    }

    fn peek(&self) -> Option<u8> {
        self.rest.get(self.pos).copied()
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        self.accept_if(|c| set.contains(c))
    }

    fn accept_if(&mut self, wanted: impl Fn(&u8) -> bool) -> bool {
        let found = self.peek().is_some_and(|c| wanted(&c));
        self.pos += usize::from(found);
        found
    }
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

/// The value of a [`Kind::Number`] token: a whole number by the rules of Go's `ParseInt` (so `0755` is octal), else a
/// float by those of `ParseFloat`. Out of range is an error, in Go's words.
pub fn number(text: &str) -> Result<f64, String> {
    if let Some(whole) = whole_number(text) {
        return Ok(whole as f64);
    }
    let fail = |why| {
        Err(format!(
            "error parsing number: strconv.ParseFloat: parsing {}: {why}",
            quote(text)
        ))
    };
    if !underscores_fit(text) {
        return fail("invalid syntax");
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
            fail("value out of range")
        }
        Ok(value) => Ok(value),
        Err(_) => fail("invalid syntax"),
    }
}

/// Go's `ParseInt` with base 0, for text without a sign.
fn whole_number(text: &str) -> Option<i64> {
    if !underscores_fit(text) || text.is_empty() {
        return None;
    }
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    i64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// Whether every `_` stands between two digits, the prefix of a base counting as one.
fn underscores_fit(text: &str) -> bool {
    let bytes = text.as_bytes();
    let prefixed = matches!(bytes, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let hex = prefixed && bytes[1].eq_ignore_ascii_case(&b'x');
    let is_digit = |c: u8| c.is_ascii_digit() || hex && c.is_ascii_hexdigit();
    let first = if prefixed { 2 } else { 0 };
    (first..bytes.len()).filter(|i| bytes[*i] == b'_').all(|i| {
        let before = if i == first {
            prefixed
        } else {
            is_digit(bytes[i - 1])
        };
        before && bytes.get(i + 1).is_some_and(|c| is_digit(*c))
    })
}

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The most milliseconds that Go's nanoseconds in 63 bits can hold, about 292 years.
const DURATION_MAX_MS: u64 = (i64::MAX as u64) / 1_000_000;

/// The value of a [`Kind::Duration`] token, such as `1h30m`: each unit once, largest first; a bare `0` is allowed.
/// Rules and messages are those of `model.ParseDuration` in prometheus/common.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let out_of_range = || "duration out of range".to_owned();
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (count, behind) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, behind) = split_where(behind, |c| c.is_ascii_digit());
        rest = behind;
        let count: u64 = count.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!(
                "unknown unit {} in duration {}",
                quote(unit),
                quote(text)
            ));
        }
        let at = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(invalid)?;
        let more = count.checked_mul(units[at].1).ok_or_else(out_of_range)?;
        total_ms = total_ms
            .checked_add(more)
            .filter(|ms| *ms <= DURATION_MAX_MS)
            .ok_or_else(out_of_range)?;
        units = &units[at + 1..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// Splits before the first character that satisfies `ends`.
fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_where_numbers_end() {
        let check = |rest: &str, want: &str, kind: Option<Kind>| {
            let (len, found) = scan(rest);
            assert_eq!((&rest[..len], found), (want, kind), "{rest}");
        };
        let (number, duration) = (Some(Kind::Number), Some(Kind::Duration));
        check("1", "1", number);
        check("1 2", "1", number);
        check("5.", "5.", number);
        check(".5)", ".5", number);
        check("5.5e-3", "5.5e-3", number);
        check("1e+10+2", "1e+10", number);
        check("0xcAfe", "0xcAfe", number);
        check("0x_1f", "0x_1f", number);
        check("1_000_000", "1_000_000", number);
        check("0755", "0755", number);
        check(".5.3", ".5.3", number);
        check("1é", "1", number);
        check("5m]", "5m", duration);
        check("1y2w3d4h5m6s7ms", "1y2w3d4h5m6s7ms", duration);
        check("10ms:", "10ms", duration);
        check("5hs", "5hs", duration);
        check("5m1", "5m1", None);
        check("1mm", "1mm", None);
        check("2.5.", "2.5.", None);
        check("100..4", "100..", None);
        check("0deadbeef", "0de", None);
        check("1x", "1", None);
        check("1e", "1e", None);
        check("1__0", "1__", None);
        check("1e1e1", "1e1e", None);
        check("0x1.5", "0x1.", None);
        check("0x1e", "0x1e", None);
        check("5m1y", "5m1", None);
        check("1_", "1_", None);
    }

    #[test]
    fn values_numbers() {
        let check = |text: &str, want: f64| {
            let value = number(text).unwrap();
            assert!(
                value == want || value.is_nan() && want.is_nan(),
                "{text}: {value}"
            );
        };
        check("0", 0.0);
        check("1", 1.0);
        check("5.", 5.0);
        check(".5", 0.5);
        check("5.5e-3", 0.0055);
        check("0xc", 12.0);
        check("0x_F", 15.0);
        check("0755", 493.0);
        check("089", 89.0);
        check("1_000", 1000.0);
        check("1_2.5e1_0", 12.5e10);
        check("9223372036854775807", 9_223_372_036_854_775_807.0);
        check("9223372036854775808", 9_223_372_036_854_775_808.0);
        check("1e-999", 0.0);
        check("Inf", f64::INFINITY);
        check("nAn", f64::NAN);
    }

    #[test]
    fn refuses_numbers() {
        let check = |text: &str, why: &str| {
            let want = format!("error parsing number: strconv.ParseFloat: parsing {text:?}: {why}");
            assert_eq!(number(text).unwrap_err(), want);
        };
        check("1e999", "value out of range");
        check(&"9".repeat(310), "value out of range");
        check("0x", "invalid syntax");
        check("0xFFFFFFFFFFFFFFFFF", "invalid syntax");
        check("1.5.2", "invalid syntax");
        check("1__0", "invalid syntax");
        check("1_.5", "invalid syntax");
    }

    #[test]
    fn values_durations() {
        let check = |text: &str, ms: u64| {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        };
        check("0", 0);
        check("0s", 0);
        check("5m", 300_000);
        check("1500ms", 1500);
        check("1h30m", 5_400_000);
        check("4s180ms", 4180);
        check("1y", 31_536_000_000);
        check(
            "1y2w3d4h5m6s7ms",
            31_536_000_000 + 17 * 86_400_000 + 4 * 3_600_000 + 306_007,
        );
        check("292y", 292 * 31_536_000_000);
    }

    #[test]
    fn refuses_durations() {
        let check =
            |text: &str, want: &str| assert_eq!(duration(text).unwrap_err(), want, "{text}");
        check("", "empty duration string");
        check("5y1hs", r#"unknown unit "hs" in duration "5y1hs""#);
        check("5m1h", r#"not a valid duration string: "5m1h""#);
        check("5m1m", r#"not a valid duration string: "5m1m""#);
        check("5", r#"not a valid duration string: "5""#);
        check("m", r#"not a valid duration string: "m""#);
        check("-5m", r#"not a valid duration string: "-5m""#);
        check("1.5h", r#"unknown unit "." in duration "1.5h""#);
        check("293y", "duration out of range");
        check(
            "99999999999999999999s",
            r#"not a valid duration string: "99999999999999999999s""#,
        );
        check("18446744073709551615w", "duration out of range");
    }
}
