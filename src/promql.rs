//! The query language: text in, tree out, and the tree back to text. No evaluation, no IO, no clock.
//!
//! We rewrite expressions and send them to clusters, and we show a user's mistakes as his own Prometheus would. So two
//! things must be exact here: what is printed parses back to the same tree, and an error carries Prometheus' words and
//! position (`1:4: parse error: unexpected <op:->`). Rules: `promql/parser` of prometheus/prometheus 3.14.
//!
//! So far: the lexer of the whole language, and vector selectors (`match[]`).

pub mod ast;
pub mod functions;
pub mod lex;
mod parse;
mod print;

pub use parse::{
    INPUT_BYTES_MAX, MATCHERS_MAX, NESTING_MAX, ParseError, Position, has_non_empty_matcher,
    parse_metric_selector, parse_vector_selector,
};
pub use print::print_selector;
