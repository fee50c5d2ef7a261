//! What stands between an operator and its right operand: `bool`, `on (a) group_left (b)`.

use super::expr::begins_expression;
use super::{Parser, Read};
use crate::promql::ast::{Cardinality, VectorMatching};
use crate::promql::lex::{Keyword, Kind};

/// Everything between an operator and its right operand.
pub(super) struct Modifiers {
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

impl Parser<'_> {
    /// The modifiers in their only order: `bool`, which labels, which side is many, what fills gaps.
    pub(super) fn modifiers(&mut self) -> Read<Modifiers> {
        let return_bool = self.accept(Kind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = VectorMatching::default();
        self.matching_labels(&mut matching)?;
        self.fill_values(&mut matching)?;
        Ok(Modifiers {
            return_bool,
            matching,
        })
    }

    fn matching_labels(&mut self, matching: &mut VectorMatching) -> Read<()> {
        matching.on = match self.peek()?.kind {
            Kind::Keyword(Keyword::On) => true,
            Kind::Keyword(Keyword::Ignoring) => false,
            _ => return Ok(()),
        };
        self.next()?;
        (matching.labels, _) = self.grouping_labels()?;
        matching.card = match self.peek()?.kind {
            Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.next()?;
        // Labels may be missing, but only in front of what can follow.
        let behind = self.peek()?.kind;
        let fill = matches!(
            behind,
            Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
        );
        if behind == Kind::LeftParen || !fill && !begins_expression(behind) {
            (matching.include, _) = self.grouping_labels()?;
        }
        Ok(())
    }
}
