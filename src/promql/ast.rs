//! The tree that the parser makes of a query. Every node keeps the bytes of the text it came from, so that errors and
//! annotations can point there.

use std::ops::Range;

use crate::model::matcher::Matcher;

/// `name{label="value",…}`: the series a query starts from.
#[derive(Debug)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; its matcher is then the last of `matchers`.
    pub name: Option<String>,
    /// All conditions in written order, the name's included. A quoted name inside the braces keeps its place.
    pub matchers: Vec<Matcher>,
    /// The bytes of the input that the selector takes up.
    pub span: Range<usize>,
}
