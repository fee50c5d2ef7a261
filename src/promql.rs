//! The query language: text in, tree out, and the tree back to text. No evaluation, no IO, no clock.
//!
//! We rewrite expressions and send them to clusters, and we show a user's mistakes as his own Prometheus would. So two
//! things must be exact here: what is printed parses back to the same tree, and an error carries Prometheus' words and
//! position (`1:4: parse error: unexpected <op:->`). Rules: `promql/parser` of prometheus/prometheus 3.14.
//!
//! [`parse_expr`] reads a whole expression, [`parse_metric_selector`] a `match[]`. What is experimental upstream is so
//! here too: it is read only with the [`Feature`] of the same name.

pub mod ast;
mod duration;
mod features;
pub mod functions;
mod json;
pub mod lex;
mod parse;
mod print;

pub use duration::{DurationError, Written, resolve_durations};
pub use features::{Feature, Features};
pub use json::tree_json;
pub use parse::{
    INPUT_BYTES_MAX, MATCHERS_MAX, NESTING_MAX, ParseError, ParseErrors, Position,
    has_non_empty_matcher, is_slow_to_parse, parse_expr, parse_metric_selector,
    parse_metric_selectors, parse_vector_selector,
};
pub use print::{prettify, print_expr, print_selector};

#[cfg(test)]
mod tests;
