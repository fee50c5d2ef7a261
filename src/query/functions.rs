//! What the functions of the language do: the table that gives each name of `promql::functions` its implementation.

pub(super) mod extended;
pub(super) mod histogram;
pub(super) mod info;
pub(super) mod label;
pub(super) mod math;
pub(super) mod over_time;
pub(super) mod rate;
pub(super) mod time;

use super::error::QueryError;
use super::eval::{Evaluator, Sink};
use super::plan::{Call, Node};
use super::select::RangeRow;
use super::value::{Grid, Row};

/// Computes the result of a function over ranges at all steps of one series, absent where it has none.
pub(super) type RangeRun = fn(&RangeRow<'_>, &mut [f64]);

/// Hands the rows of a function to the sink.
pub(super) type RowsRun = fn(&Evaluator<'_>, &Call, Grid, Sink<'_>) -> Result<(), QueryError>;

/// Computes a number for each step from the arguments.
pub(super) type ScalarRun = fn(&Evaluator<'_>, &[Node], Grid) -> Result<Row, QueryError>;

/// How a function is computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Implementation {
    /// From the samples of a range, series by series.
    Range(RangeRun),
    /// Number by number.
    Each(fn(f64) -> f64),
    /// From whole vectors to rows.
    Rows(RowsRun),
    /// To a number for each step.
    Scalar(ScalarRun),
}

use Implementation::{Each, Range, Rows, Scalar};

/// The implementation of a function. `None`: the plan replaces it by a constant, or there is no such function.
pub(super) fn implementation(name: &str) -> Option<&'static Implementation> {
    TABLE
        .binary_search_by(|(have, _)| (*have).cmp(name))
        .ok()
        .map(|at| &TABLE[at].1)
}

/// All functions but those that are constants of the query: `end`, `pi`, `range`, `start`, `step`.
static TABLE: [(&str, Implementation); 83] = [
    ("abs", Each(f64::abs)),
    ("absent", Rows(label::absent)),
    ("absent_over_time", Rows(label::absent_over_time)),
    ("acos", Each(f64::acos)),
    ("acosh", Each(math::acosh)),
    ("asin", Each(f64::asin)),
    ("asinh", Each(math::asinh)),
    ("atan", Each(f64::atan)),
    ("atanh", Each(math::atanh)),
    ("avg_over_time", Range(over_time::avg)),
    ("ceil", Each(f64::ceil)),
    ("changes", Range(rate::changes)),
    ("clamp", Rows(math::clamp)),
    ("clamp_max", Rows(math::clamp_max)),
    ("clamp_min", Rows(math::clamp_min)),
    ("cos", Each(f64::cos)),
    ("cosh", Each(f64::cosh)),
    ("count_over_time", Range(over_time::count)),
    ("day_of_month", Rows(time::day_of_month)),
    ("day_of_week", Rows(time::day_of_week)),
    ("day_of_year", Rows(time::day_of_year)),
    ("days_in_month", Rows(time::days_in_month)),
    ("deg", Each(math::deg)),
    ("delta", Range(rate::delta)),
    ("deriv", Range(rate::deriv)),
    (
        "double_exponential_smoothing",
        Range(over_time::double_exponential_smoothing),
    ),
    ("exp", Each(f64::exp)),
    ("first_over_time", Range(over_time::first)),
    ("floor", Each(f64::floor)),
    ("histogram_avg", Rows(histogram::of_native)),
    ("histogram_count", Rows(histogram::of_native)),
    ("histogram_fraction", Rows(histogram::fraction)),
    ("histogram_quantile", Rows(histogram::quantile)),
    ("histogram_quantiles", Rows(histogram::quantiles)),
    ("histogram_stddev", Rows(histogram::of_native)),
    ("histogram_stdvar", Rows(histogram::of_native)),
    ("histogram_sum", Rows(histogram::of_native)),
    ("hour", Rows(time::hour)),
    ("idelta", Range(rate::idelta)),
    ("increase", Range(rate::increase)),
    ("info", Rows(info::info)),
    ("irate", Range(rate::irate)),
    ("label_join", Rows(label::join)),
    ("label_replace", Rows(label::replace)),
    ("last_over_time", Range(over_time::last)),
    ("ln", Each(f64::ln)),
    ("log10", Each(f64::log10)),
    ("log2", Each(f64::log2)),
    ("mad_over_time", Range(over_time::mad)),
    ("max_over_time", Range(over_time::max)),
    ("min_over_time", Range(over_time::min)),
    ("minute", Rows(time::minute)),
    ("month", Rows(time::month)),
    ("predict_linear", Range(rate::predict_linear)),
    ("present_over_time", Range(over_time::present)),
    ("quantile_over_time", Range(over_time::quantile)),
    ("rad", Each(math::rad)),
    ("rate", Range(rate::rate)),
    ("resets", Range(rate::resets)),
    ("round", Rows(math::round)),
    ("scalar", Scalar(math::scalar)),
    ("sgn", Each(math::sgn)),
    ("sin", Each(f64::sin)),
    ("sinh", Each(f64::sinh)),
    ("sort", Rows(label::sort)),
    ("sort_by_label", Rows(label::sort_by_label)),
    ("sort_by_label_desc", Rows(label::sort_by_label)),
    ("sort_desc", Rows(label::sort)),
    ("sqrt", Each(f64::sqrt)),
    ("start_timestamp", Rows(time::start_timestamp)),
    ("stddev_over_time", Range(over_time::stddev)),
    ("stdvar_over_time", Range(over_time::stdvar)),
    ("sum_over_time", Range(over_time::sum)),
    ("tan", Each(f64::tan)),
    ("tanh", Each(f64::tanh)),
    ("time", Scalar(time::now)),
    ("timestamp", Rows(time::timestamp)),
    ("ts_of_first_over_time", Range(over_time::time_of_first)),
    ("ts_of_last_over_time", Range(over_time::time_of_last)),
    ("ts_of_max_over_time", Range(over_time::time_of_max)),
    ("ts_of_min_over_time", Range(over_time::time_of_min)),
    ("vector", Rows(math::vector)),
    ("year", Rows(time::year)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::FUNCTIONS;

    #[test]
    fn every_function_is_bound() {
        let constants = ["end", "pi", "range", "start", "step"];
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for function in &FUNCTIONS {
            let bound = implementation(function.name).is_some();
            assert_eq!(
                bound,
                !constants.contains(&function.name),
                "{}",
                function.name
            );
        }
        for (name, _) in &TABLE {
            assert!(
                FUNCTIONS.iter().any(|f| f.name == *name),
                "{name} is no function"
            );
        }
    }
}
