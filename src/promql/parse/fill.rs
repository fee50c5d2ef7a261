//! `fill (0)`, `fill_left (0) fill_right (1)`: values for series that one side lacks (experimental).

use super::matching::Modifiers;
use super::{Parser, Read};
use crate::promql::ast::{Span, VectorMatching};
use crate::promql::features::Feature;
use crate::promql::lex::{Keyword, Kind};

impl Parser<'_> {
    /// `fill` alone, or `fill_left` and `fill_right`, each at most once and in any order.
    pub(super) fn fill_values(&mut self, matching: &mut VectorMatching) -> Read<()> {
        if self.accept(Kind::Keyword(Keyword::Fill))?.is_some() {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            return Ok(());
        }
        for _ in 0..2 {
            match self.peek()?.kind {
                Kind::Keyword(Keyword::FillLeft) if matching.fill_left.is_none() => {
                    self.next()?;
                    matching.fill_left = Some(self.fill_value()?);
                }
                Kind::Keyword(Keyword::FillRight) if matching.fill_right.is_none() => {
                    self.next()?;
                    matching.fill_right = Some(self.fill_value()?);
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// A number in parentheses.
    fn fill_value(&mut self) -> Read<f64> {
        self.expect(Kind::LeftParen)?;
        let (value, _) = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// Refuses fill values while they are switched off.
    pub(super) fn check_fill(&mut self, modifiers: &Modifiers, span: Span) {
        let matching = &modifiers.matching;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.has(Feature::BinopFillModifiers) {
            let message = "binop fill modifiers are experimental and not enabled";
            self.mistake(span.start, message);
        }
    }
}
