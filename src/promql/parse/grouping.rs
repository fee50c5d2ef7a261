//! `(a, b, "c.d")`: the labels behind `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.

use super::{Parser, Read};
use crate::promql::lex::{Keyword, Kind, Operator};
use crate::promql::print::quote;

const WANT_OPEN: &str = r#" in grouping opts, expected "(""#;
const WANT_LABEL: &str = " in grouping opts, expected label";
const WANT_COMMA: &str = r#" in grouping opts, expected "," or ")""#;

impl Parser<'_> {
    /// The labels with their parentheses, and the offset behind. Commas separate, and one may come last.
    pub(super) fn grouping_labels(&mut self) -> Read<(Vec<String>, usize)> {
        self.within(WANT_OPEN, |p| p.expect(Kind::LeftParen))?;
        let mut labels = Vec::new();
        loop {
            if let Some(close) = self.accept(Kind::RightParen)? {
                return Ok((labels, close.end()));
            }
            labels.push(self.within(WANT_LABEL, Self::grouping_label)?);
            if let Some(close) = self.accept(Kind::RightParen)? {
                return Ok((labels, close.end()));
            }
            self.within(WANT_COMMA, |p| p.expect(Kind::Comma))?;
        }
    }

    fn grouping_label(&mut self) -> Read<String> {
        let token = self.next()?;
        if can_be_label(token.kind) {
            return Ok(token.text.to_owned());
        }
        if token.kind != Kind::String {
            return Err(self.unexpected(&token));
        }
        let label = self.unquote(&token);
        if label.is_empty() {
            let message = format!("invalid label name for grouping: {}", quote(&label));
            self.mistake(token.start, message);
        }
        Ok(label)
    }
}

/// Whether the grammar takes this token as a label (`maybe_label`). A word with a colon is one too, and of the modifiers
/// only `without` is none.
fn can_be_label(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) | Kind::Preprocessor(_) => {
            true
        }
        Kind::Keyword(keyword) => keyword != Keyword::Without,
        Kind::Operator(operator) => matches!(
            operator,
            Operator::And | Operator::Or | Operator::Unless | Operator::Atan2
        ),
        _ => false,
    }
}
