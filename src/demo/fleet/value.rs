//! How the values of a simulated series move, and how they are written: a series' law, a target's last scrape in, the
//! text of the number out. Every value is a pure function of its arguments, so that any round can be rendered without
//! the rounds before it.
//!
//! Numbers are kept as a whole number and a count of decimals, because that writes ten times faster than the shortest
//! text of an arbitrary float, and 48,000 of them are written per body.

use std::f64::consts::TAU;

/// Powers of ten, by which levels become whole numbers: up to nine decimals.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What a target's last scrape says to the laws of its series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrape {
    /// When the target was scraped, in milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    /// Number of that scrape, counted from the generator's first.
    pub(super) round: i64,
    /// Time between two scrapes, in milliseconds.
    pub(super) interval_ms: i64,
}

/// The law of one series' value. `seed` is shared by the series of one histogram, so that its buckets stay cumulative;
/// a value is held for `hold` scrapes (1 = it may change at each).
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// Never changes: its text stands in the series' prepared text.
    Fixed,
    /// A counter of whole things.
    Count {
        per_second: f64,
        start_ms: i64,
        seed: u64,
        hold: u8,
    },
    /// A counter of seconds, exact to the nanosecond.
    Seconds {
        per_second: f64,
        start_ms: i64,
        seed: u64,
        hold: u8,
    },
    /// A gauge that wanders between two bounds, in steps of `grain` units of the last decimal.
    Level {
        low: f64,
        high: f64,
        decimals: u8,
        grain: u32,
        seed: u64,
        hold: u8,
    },
}

impl Value {
    /// Writes the value that `scrape` found.
    pub(super) fn write(&self, scrape: &Scrape, out: &mut Vec<u8>) {
        match *self {
            Value::Fixed => {}
            Value::Count {
                per_second,
                start_ms,
                seed,
                hold,
            } => {
                let seen = held(scrape, seed, hold);
                // One more per scrape: a busy counter moves at every scrape, however slow its pace.
                let ticks = seen.round.max(0) / i64::from(hold);
                let count = per_second * worked_seconds(&seen, start_ms, seed);
                write_decimal(out, whole(count) + ticks.unsigned_abs(), 0);
            }
            Value::Seconds {
                per_second,
                start_ms,
                seed,
                hold,
            } => {
                let seen = held(scrape, seed, hold);
                let seconds = per_second * worked_seconds(&seen, start_ms, seed);
                write_decimal(out, whole(seconds * 1e9), 9);
            }
            Value::Level {
                low,
                high,
                decimals,
                grain,
                seed,
                hold,
            } => {
                let seen = held(scrape, seed, hold);
                let level = low + (high - low) * noise(seed, seen.round);
                let units = whole(level * POWERS[usize::from(decimals)]);
                write_decimal(
                    out,
                    units - units % u64::from(grain.max(1)),
                    u32::from(decimals),
                );
            }
        }
    }
}

/// The scrape at which a value that is held for `hold` scrapes changed last.
fn held(scrape: &Scrape, seed: u64, hold: u8) -> Scrape {
    let hold = i64::from(hold.max(1));
    let phase = i64::from(seed.to_le_bytes()[7]);
    let back = (scrape.round + phase).rem_euclid(hold);
    Scrape {
        at_ms: scrape.at_ms - back * scrape.interval_ms,
        round: scrape.round - back,
        interval_ms: scrape.interval_ms,
    }
}

/// Seconds of work done since `start_ms`: time that runs now faster, now slower, never backwards.
fn worked_seconds(scrape: &Scrape, start_ms: i64, seed: u64) -> f64 {
    let elapsed = (scrape.at_ms - start_ms).max(0) as f64 / 1000.0;
    let period = 600.0 + (seed % 3000) as f64;
    // The derivative is 1 + 0.8 cos(…), hence always above zero.
    elapsed + 0.8 * period / TAU * (TAU / period * elapsed).sin()
}

/// A wandering number in 0..1: straight lines between random points 16 rounds apart, and a little jitter.
fn noise(seed: u64, round: i64) -> f64 {
    let (from, within) = (round.div_euclid(16), round.rem_euclid(16) as f64 / 16.0);
    let at = |index: i64| share(mix(seed, index.unsigned_abs()));
    let line = at(from) * (1.0 - within) + at(from + 1) * within;
    0.95 * line + 0.05 * share(mix(!seed, round.unsigned_abs()))
}

/// A well-stirred 64-bit number of two (the finaliser of splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
pub(super) fn mix(seed: u64, salt: u64) -> u64 {
    let mut word = seed ^ salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number that stands for a text (FNV-1a), to derive seeds from names.
pub(super) fn mix_text(seed: u64, text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    let hash = text.bytes().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(seed, hash)
}

/// The number as a share in 0..1.
pub(super) fn share(word: u64) -> f64 {
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// Rounds down to a whole number; all laws give numbers from 0 to 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked by clamp"
)]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 9e15) as u64
}

/// Writes `mantissa` / 10^`decimals` as Go writes the nearest float64 in its shortest form (`strconv.FormatFloat` with
/// `'g'` and -1, which expfmt uses): an exponent below 1e-04 and from 1e+06 on. Exact for up to 15 digits.
pub(super) fn write_decimal(out: &mut Vec<u8>, mantissa: u64, decimals: u32) {
    if mantissa == 0 {
        out.push(b'0');
        return;
    }
    let (mut rest, mut scale) = (mantissa, decimals.cast_signed());
    while rest.is_multiple_of(10) {
        rest /= 10;
        scale -= 1;
    }
    let mut buffer = [0u8; 20];
    let digits = digits_of(rest, &mut buffer);
    // The point stands behind this many digits.
    let point = i32::try_from(digits.len()).expect("at most 20 digits") - scale;
    match usize::try_from(point) {
        _ if !(-3..=6).contains(&point) => write_scientific(out, digits, point - 1),
        Ok(point) if point >= digits.len() => {
            out.extend_from_slice(digits);
            out.resize(out.len() + point - digits.len(), b'0');
        }
        Ok(point @ 1..) => {
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
        _ => {
            out.extend_from_slice(&b"0.0000"[..2 + point.unsigned_abs() as usize]);
            out.extend_from_slice(digits);
        }
    }
}

/// Writes `d.ddde+XX`.
fn write_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let size = exponent.unsigned_abs();
    if size < 10 {
        out.push(b'0');
    }
    let mut buffer = [0u8; 20];
    out.extend_from_slice(digits_of(u64::from(size), &mut buffer));
}

/// The decimal digits of a number, at the end of `buffer`.
pub(super) fn digits_of(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    while number >= 100 {
        at -= 2;
        // Two at a time halves the divisions, which are what this costs.
        let pair = (number % 100).to_le_bytes()[0];
        number /= 100;
        buffer[at..at + 2].copy_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
    }
    let rest = number.to_le_bytes()[0];
    at -= 1;
    buffer[at] = b'0' + rest % 10;
    if rest >= 10 {
        at -= 1;
        buffer[at] = b'0' + rest / 10;
    }
    &buffer[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value, round: i64) -> f64 {
        let mut out = Vec::new();
        value.write(
            &Scrape {
                at_ms: round * 15_000 + 1234,
                round,
                interval_ms: 15_000,
            },
            &mut out,
        );
        String::from_utf8(out).unwrap().parse().unwrap()
    }

    #[test]
    fn decimals_are_written_as_go_writes_floats() {
        fn check(mantissa: u64, decimals: u32, want: &str) {
            let mut out = Vec::new();
            write_decimal(&mut out, mantissa, decimals);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                want,
                "{mantissa} {decimals}"
            );
            assert_eq!(
                want.parse::<f64>().unwrap(),
                format!("{mantissa}e-{decimals}").parse::<f64>().unwrap()
            );
        }
        check(0, 3, "0");
        check(1, 0, "1");
        check(120, 0, "120");
        check(999_999, 0, "999999");
        check(1_000_000, 0, "1e+06");
        check(1_234_567, 0, "1.234567e+06");
        check(33_285_996_544, 0, "3.3285996544e+10");
        check(100_000, 0, "100000");
        check(12_345_678_901_234, 9, "12345.678901234");
        check(12_345_678_900_000, 9, "12345.6789");
        check(1_234_567_890_000_000, 9, "1.23456789e+06");
        check(500_000_000, 9, "0.5");
        check(5_000_000, 9, "0.005");
        check(123, 6, "0.000123");
        check(100, 6, "0.0001");
        check(12, 6, "1.2e-05");
        check(1, 9, "1e-09");
    }

    #[test]
    fn counters_never_fall_and_move_at_each_scrape() {
        for seed in 0..200 {
            let seed = mix(seed, 0);
            let count = Value::Count {
                per_second: 0.01,
                start_ms: 0,
                seed,
                hold: 1,
            };
            let seconds = Value::Seconds {
                per_second: 0.3,
                start_ms: 0,
                seed,
                hold: 1,
            };
            for round in 0..400 {
                assert!(written(&count, round) < written(&count, round + 1));
                assert!(written(&seconds, round) < written(&seconds, round + 1));
            }
        }
    }

    #[test]
    fn held_values_change_at_every_second_scrape_only() {
        for seed in 0..50 {
            let seed = mix(seed, 7);
            let value = Value::Count {
                per_second: 3.0,
                start_ms: 0,
                seed,
                hold: 2,
            };
            let changes =
                (10..20).filter(|&round| written(&value, round) != written(&value, round + 1));
            assert_eq!(changes.count(), 5);
        }
    }

    #[test]
    fn levels_stay_in_their_bounds() {
        let value = Value::Level {
            low: 2.0,
            high: 5.0,
            decimals: 3,
            grain: 1,
            seed: 9,
            hold: 1,
        };
        for round in 0..1000 {
            assert!((2.0..5.0).contains(&written(&value, round)));
        }
    }
}
