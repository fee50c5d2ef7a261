//! Times of samples and of the evaluation, and their parts by the calendar (UTC).

use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Sink};
use crate::query::labels::LabelSet;
use crate::query::plan::{Call, Kind, Node};
use crate::query::select::{Part, newest, seconds};
use crate::query::value::{Grid, Key, Row, is_present};

type Done = Result<(), QueryError>;

/// The time of each step, in seconds.
pub(super) fn now(eval: &Evaluator<'_>, _: &[Node], grid: Grid) -> Result<Row, QueryError> {
    of_times(eval, grid, seconds)
}

/// A number for the time of each step, in milliseconds.
fn of_times(
    eval: &Evaluator<'_>,
    grid: Grid,
    number: impl Fn(i64) -> f64,
) -> Result<Row, QueryError> {
    let mut row = eval.row(0.0, grid)?;
    for (cell, time) in row.iter_mut().zip(grid.times()) {
        *cell = number(time);
    }
    Ok(row)
}

/// The time of each sample where the argument is a selector, else that of the step.
pub(super) fn timestamp(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let arg = &call.args[0];
    let distinct = eval.distinct_without_names(arg);
    eval.nameless(distinct, grid, sink, |sink| match arg.kind {
        Kind::Instant(at) => newest(eval, at, Part::Time, grid, sink),
        _ => eval.rows(arg, grid, &mut |key, cells| {
            for (cell, time) in cells.iter_mut().zip(grid.times()) {
                if is_present(*cell) {
                    *cell = seconds(time);
                }
            }
            sink(key, cells)
        }),
    })
}

/// Since when each sample's counter counts; only selectors know.
pub(super) fn start_timestamp(
    eval: &Evaluator<'_>,
    call: &Call,
    grid: Grid,
    sink: Sink<'_>,
) -> Done {
    let arg = &call.args[0];
    let distinct = eval.distinct_without_names(arg);
    match arg.kind {
        Kind::Instant(at) => eval.nameless(distinct, grid, sink, |sink| {
            newest(eval, at, Part::Start, grid, sink)
        }),
        _ => Ok(()),
    }
}

/// A part of the date of each number, taken as seconds since 1970, or of the step's time where there is no argument.
fn of_date(
    eval: &Evaluator<'_>,
    call: &Call,
    grid: Grid,
    sink: Sink<'_>,
    part: fn(&Date) -> i64,
) -> Done {
    let number = |seconds: i64| part(&Date::of(seconds)) as f64;
    let Some(arg) = call.args.first() else {
        let mut row = of_times(eval, grid, |t| number(t.div_euclid(1000)))?;
        return sink(&mut Key::set(LabelSet::empty()), &mut row);
    };
    let mut change = |cells: &mut [f64]| {
        for cell in cells.iter_mut().filter(|cell| is_present(**cell)) {
            #[expect(clippy::cast_possible_truncation, reason = "as Go does; NaN is 1970")]
            let seconds = *cell as i64;
            *cell = number(seconds);
        }
    };
    eval.mapped(arg, grid, &mut change, sink)
}

pub(super) fn year(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| date.year)
}

pub(super) fn month(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| date.month)
}

pub(super) fn day_of_month(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| date.day)
}

pub(super) fn day_of_week(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| (date.days + 4).rem_euclid(7)) // 1970 began on a Thursday
}

pub(super) fn day_of_year(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| {
        date.days - days_of(date.year, 1, 1) + 1
    })
}

pub(super) fn days_in_month(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| {
        let (year, month) = match date.month {
            12 => (date.year + 1, 1),
            month => (date.year, month + 1),
        };
        days_of(year, month, 1) - days_of(date.year, date.month, 1)
    })
}

pub(super) fn hour(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| date.seconds / 3600)
}

pub(super) fn minute(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    of_date(eval, call, grid, sink, |date| date.seconds / 60 % 60)
}

/// A moment by the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Days since 1970-01-01.
    days: i64,
    /// Seconds since midnight.
    seconds: i64,
}

/// Days of 400 years, after which the calendar repeats itself.
const CYCLE_DAYS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01. Years are counted from March, so that the leap day is the last one.
const EPOCH_DAYS: i64 = 719_468;

impl Date {
    /// The moment so many seconds after 1970-01-01.
    fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let shifted = days + EPOCH_DAYS;
        let day = shifted.rem_euclid(CYCLE_DAYS); // of the cycle
        let leap_days = day / 1460 - day / 36_524 + day / (CYCLE_DAYS - 1);
        let year = (day - leap_days) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153; // from March
        let is_next_year = month >= 10;
        Self {
            year: shifted.div_euclid(CYCLE_DAYS) * 400 + year + i64::from(is_next_year),
            month: if is_next_year { month - 9 } else { month + 3 },
            day: day_of_year - (153 * month + 2) / 5 + 1,
            days,
            seconds: seconds.rem_euclid(86_400),
        }
    }
}

/// Days from 1970-01-01 to a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12; // from March
    let of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day = of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + day_of_year;
    year.div_euclid(400) * CYCLE_DAYS + day - EPOCH_DAYS
}

/// `2026-11-22T10:00:00Z`.
pub(in crate::query) fn rfc3339(seconds: i64) -> String {
    let date = Date::of(seconds);
    let (h, m, s) = (
        date.seconds / 3600,
        date.seconds / 60 % 60,
        date.seconds % 60,
    );
    format!(
        "{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}Z",
        date.year, date.month, date.day
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |seconds: i64, want: &str| assert_eq!(rfc3339(seconds), want);
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(1_136_239_445, "2006-01-02T22:04:05Z");
        check(1_230_767_999, "2008-12-31T23:59:59Z");
        check(1_456_790_399, "2016-02-29T23:59:59Z");
        check(1_456_790_400, "2016-03-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn days_and_dates_agree() {
        for days in (-800_000..800_000).step_by(17) {
            let date = Date::of(days * 86_400);
            assert_eq!(days_of(date.year, date.month, date.day), days, "{date:?}");
            assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
        let _ = (Date::of(i64::MAX), Date::of(i64::MIN));
    }
}
