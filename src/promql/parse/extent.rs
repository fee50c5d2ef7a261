//! `anchored` and `smoothed` behind a selector (experimental).

use super::{Built, Parser};
use crate::promql::ast::{Expr, Extent};
use crate::promql::features::Feature;
use crate::promql::lex::Token;

impl<'a> Parser<'a> {
    /// Puts `anchored` or `smoothed`, which has been read, on what stands before it.
    pub(super) fn set_extent(&mut self, built: &mut Built, word: &Token<'a>, extent: Extent) {
        let at = built.expr.span().start;
        let name = word.text.to_ascii_lowercase();
        if !self.has(Feature::ExtendedRangeSelectors) {
            return self.mistake(
                at,
                format!("{name} modifier is experimental and not enabled"),
            );
        }
        let set = match built.expr.as_mut() {
            Expr::Vector(vector) => &mut vector.extent,
            Expr::Matrix(matrix) => &mut matrix.selector.extent,
            Expr::Subquery(_) => {
                return self.mistake(
                    at,
                    format!("{name} modifier is not supported for subqueries"),
                );
            }
            _ => return self.mistake(at, format!("{name} modifier not implemented")),
        };
        if *set != Extent::Plain && *set != extent {
            return self.mistake(
                at,
                "anchored and smoothed modifiers cannot be used together",
            );
        }
        *set = extent;
    }
}
