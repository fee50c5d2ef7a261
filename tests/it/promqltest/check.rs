//! Whether an answer is the expected one.

use tributary::query::labels::LabelSet;
use tributary::query::{Sample, Series, Value};

use super::script::{Eval, Expected, Told, Wanted};

/// What is wrong.
pub(super) type Failure = String;

impl Eval {
    pub(super) fn expects_failure(&self) -> bool {
        !self.fail.is_empty()
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    pub(super) fn check_error(&self, text: &str) -> Result<(), Failure> {
        if self.fail.iter().all(|wanted| wanted.fits(text)) {
            return Ok(());
        }
        Err(format!("another error than expected: {text}"))
    }

    pub(super) fn check_annotations(
        &self,
        warnings: &[String],
        infos: &[String],
    ) -> Result<(), Failure> {
        told("warning", &self.warn, warnings)?;
        told("info", &self.info, infos)
    }

    pub(super) fn check_value(&self, value: &Value) -> Result<(), Failure> {
        match (&self.result, value) {
            (Expected::Scalar(want), Value::Scalar(_, got)) if almost(*want, *got) => Ok(()),
            (Expected::Text(want), Value::String(_, got)) if want == got => Ok(()),
            (Expected::Series(want), Value::Vector(got)) => self.check_vector(want, got),
            (Expected::Series(want), Value::Matrix(got)) => self.check_matrix(want, got),
            _ => Err(format!("another value than expected: {value:?}")),
        }
    }

    fn check_vector(
        &self,
        want: &[(LabelSet, Vec<Option<f64>>)],
        got: &[Sample],
    ) -> Result<(), Failure> {
        for (at, sample) in got.iter().enumerate() {
            let place = want.iter().position(|(labels, _)| *labels == sample.labels);
            let place =
                place.ok_or_else(|| format!("unexpected {} {}", sample.labels, sample.value))?;
            if self.ordered && place != at {
                return Err(format!(
                    "{} at place {at} instead of {place}",
                    sample.labels
                ));
            }
            let value = want[place].1.first().copied().flatten().unwrap_or(f64::NAN);
            if !almost(value, sample.value) {
                return Err(format!(
                    "{} is {} instead of {value}",
                    sample.labels, sample.value
                ));
            }
        }
        for (labels, _) in want {
            if !got.iter().any(|sample| sample.labels == *labels) {
                return Err(format!("{labels} is missing among {got:?}"));
            }
        }
        if got.len() != want.len() {
            return Err(format!("{} samples instead of {}", got.len(), want.len()));
        }
        Ok(())
    }

    fn check_matrix(
        &self,
        want: &[(LabelSet, Vec<Option<f64>>)],
        got: &[Series],
    ) -> Result<(), Failure> {
        let (start, end, step) = self.grid.ok_or("no times for an expected matrix")?;
        if !got.is_sorted_by(|a, b| a.labels < b.labels) {
            return Err("the series are not sorted by labels".to_owned());
        }
        for series in got {
            let found = want.iter().find(|(labels, _)| *labels == series.labels);
            let (labels, values) =
                found.ok_or_else(|| format!("unexpected {} {:?}", series.labels, series.points))?;
            let times = (0..).map(|at| start + at * step);
            let want: Vec<(i64, f64)> = times
                .zip(values)
                .filter_map(|(time, value)| value.map(|value| (time, value)))
                .collect();
            let same = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && almost(a.1, b.1);
            let fits =
                want.len() == series.points.len() && want.iter().zip(&series.points).all(same);
            if !fits || want.iter().any(|(time, _)| *time > end) {
                return Err(format!(
                    "{labels} is {:?} instead of {want:?}",
                    series.points
                ));
            }
        }
        for (labels, _) in want {
            if !got.iter().any(|series| series.labels == *labels) {
                return Err(format!("{labels} is missing"));
            }
        }
        Ok(())
    }
}

/// Each wanted message was said, and no other if any is wanted.
fn told(kind: &str, told: &Told, said: &[String]) -> Result<(), Failure> {
    let (wanted, none) = (&told.wanted, told.none);
    let is_wanted = |text: &String| wanted.iter().any(|wanted| wanted.fits(text));
    let is_said = |wanted: &Wanted| said.iter().any(|text| wanted.fits(text));
    if none && !said.is_empty() {
        return Err(format!("expected no {kind}, got {said:?}"));
    }
    if !wanted.iter().all(is_said) {
        return Err(format!("an expected {kind} is missing among {said:?}"));
    }
    if !wanted.is_empty() && !said.iter().all(is_wanted) {
        return Err(format!("an unexpected {kind} among {said:?}"));
    }
    Ok(())
}

/// Upstream's tolerance: 1e-6 of the sum of both.
fn almost(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}

/// The samples of all series at one time.
pub(super) fn at_time(matrix: &[Series], time: i64) -> Vec<Sample> {
    let sample = |series: &Series| {
        let point = series.points.iter().find(|(t, _)| *t == time)?;
        Some(Sample {
            labels: series.labels.clone(),
            time_ms: time,
            value: point.1,
        })
    };
    matrix.iter().filter_map(sample).collect()
}

#[test]
fn tolerance() {
    assert!(almost(1.0, 1.000_001) && !almost(1.0, 1.000_01));
    assert!(almost(f64::NAN, f64::NAN) && !almost(0.0, 1e-300));
}
