//! Repetition: `*`, `+`, `?`, `{2}`, `{2,}`, `{2,3}`, each with an optional `?` for the shortest match.
//!
//! Comes in: the parser, standing at the operator. Goes out: the last item wrapped, or Go's error. An operator right
//! behind an operator is refused, and so are counts over 1,000, also when nested ones multiply to more.

use super::super::error::{RegexError, RegexErrorKind};
use super::super::escape::between;
use super::super::syntax::Node;
use super::{Parser, Piece};

/// Highest repeat count, also as the product of nested ones.
const REPEAT_MAX: u32 = 1000;

impl<'p> Parser<'p> {
    /// A repetition operator at the start of `rest`, with `after` standing behind it.
    pub(super) fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        after: &'p str,
    ) -> Result<&'p str, RegexError> {
        let before = self.rest;
        let (after, lazy) = match after.strip_prefix('?') {
            Some(after) => (after, !self.flags.lazy),
            None => (after, self.flags.lazy),
        };
        if let Some(last) = self.last_repeat {
            return Err(RegexError::new(
                RegexErrorKind::InvalidRepeatOperator,
                between(last, after),
            ));
        }
        let Some(piece) = self.pop_operand() else {
            return Err(RegexError::new(
                RegexErrorKind::MissingRepeatArgument,
                between(before, after),
            ));
        };
        let repeats = match max {
            Some(0) => 1,
            _ => piece.repeats * max.unwrap_or(min).max(1),
        };
        if repeats > REPEAT_MAX {
            return Err(RegexError::new(
                RegexErrorKind::InvalidRepeatCount,
                between(before, after),
            ));
        }
        let node = Node::Repeat {
            node: Box::new(piece.node),
            min,
            max,
            greedy: !lazy,
        };
        self.rest = after;
        self.push(Piece {
            node,
            height: piece.height + 1,
            repeats,
            run: false,
        })?;
        Ok(before)
    }

    /// Takes what the operator applies to: the last group or class, or the last character of a run.
    fn pop_operand(&mut self) -> Option<Piece> {
        let mut last = self.group.sequence.pop()?;
        if let Node::Literal { text, fold } = &mut last.node
            && last.run
        {
            let char = text.pop()?;
            let operand = Piece::leaf(Node::Literal {
                text: char.to_string(),
                fold: *fold,
            });
            if !text.is_empty() {
                self.group.sequence.push(last);
            }
            return Some(operand);
        }
        Some(last)
    }

    /// `{2}`, `{2,}`, `{2,3}`; anything else that begins with a brace is that brace.
    pub(super) fn counted_repeat(&mut self) -> Result<Option<&'p str>, RegexError> {
        let before = self.rest;
        let Some((min, max, after)) = repeat_counts(before) else {
            self.skip(1);
            self.literal('{');
            return Ok(None);
        };
        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
            return Err(RegexError::new(
                RegexErrorKind::InvalidRepeatCount,
                between(before, after),
            ));
        }
        self.repeat(min, max, after).map(Some)
    }
}

/// Reads `{2}`, `{2,}` or `{2,3}`. Numbers that are too large come out as `u32::MAX`.
fn repeat_counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => count(rest).map(|(max, rest)| (Some(max), rest))?,
    };
    Some((min, max, rest.strip_prefix('}')?))
}

/// Digits without a leading zero.
fn count(text: &str) -> Option<(u32, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() || (length > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
