//! Escapes and character classes.
//!
//! Comes in: the parser, standing at a backslash or an opening bracket. Goes out: a character, a place or a class at
//! the end of the sequence. A bracket that stands first in a class is a character, `&&`, `--` and `~~` are characters,
//! and a hyphen is one wherever it is not between two ends of a range.

use super::super::error::{RegexError, RegexErrorKind};
use super::super::escape::{between, character, perl_class, posix_class, unicode_class};
use super::super::syntax::{Class, ClassItem, Look, Node};
use super::{Parser, Piece};

/// How many `\p` sets a pattern may hold: each takes about 8 KiB once compiled.
const UNICODE_SETS_MAX: usize = 1000;

impl Parser<'_> {
    pub(super) fn backslash(&mut self) -> Result<(), RegexError> {
        match self.rest.as_bytes().get(1) {
            Some(b'A') => return self.look(Look::TextStart, 2),
            Some(b'z') => return self.look(Look::TextEnd, 2),
            Some(b'b') => return self.look(Look::WordBoundary, 2),
            Some(b'B') => return self.look(Look::NotWordBoundary, 2),
            Some(b'Q') => {
                let (quoted, rest) = self.rest[2..]
                    .split_once(r"\E")
                    .unwrap_or((&self.rest[2..], ""));
                self.rest = rest;
                quoted.chars().for_each(|char| self.literal(char));
                return Ok(());
            }
            _ => {}
        }
        if let Some(item) = self.class_by_name()? {
            let class = Class {
                negated: false,
                fold: self.flags.fold,
                items: vec![item],
            };
            return self.push(Piece::leaf(Node::Class(class)));
        }
        let (number, rest) = character(self.rest)?;
        self.rest = rest;
        match char::from_u32(number) {
            Some(char) => self.literal(char),
            None => self.push(Piece::leaf(Node::Class(Class::default())))?, // a surrogate stands in no text
        }
        Ok(())
    }

    /// `\pL` or `\d` at the start of `rest`.
    fn class_by_name(&mut self) -> Result<Option<ClassItem>, RegexError> {
        let (name, rest) = if let Some(found) = unicode_class(self.rest)? {
            self.unicode_sets += 1;
            if self.unicode_sets > UNICODE_SETS_MAX {
                return Err(RegexError::new(RegexErrorKind::TooLarge, self.whole));
            }
            found
        } else if let Some(found) = perl_class(self.rest) {
            found
        } else {
            return Ok(None);
        };
        self.rest = rest;
        Ok(Some(ClassItem::Named(name)))
    }

    pub(super) fn class(&mut self) -> Result<(), RegexError> {
        let whole = self.rest;
        self.skip(1);
        let mut class = Class {
            fold: self.flags.fold,
            ..Class::default()
        };
        if let Some(rest) = self.rest.strip_prefix('^') {
            class.negated = true;
            self.rest = rest;
        }
        let mut first = true; // a bracket that stands first is a character
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some((name, rest)) = posix_class(self.rest)? {
                self.rest = rest;
                class.items.push(ClassItem::Named(name));
            } else if let Some(item) = self.class_by_name()? {
                class.items.push(item);
            } else {
                class.items.extend(self.class_range(whole)?);
            }
        }
        self.skip(1);
        self.push(Piece::leaf(Node::Class(class)))
    }

    /// `a` or `a-z`. `None` where the range holds surrogates only.
    fn class_range(&mut self, whole: &str) -> Result<Option<ClassItem>, RegexError> {
        let start = self.rest;
        let low = self.class_character(whole)?;
        let mut high = low;
        if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.class_character(whole)?;
            if high < low {
                return Err(RegexError::new(
                    RegexErrorKind::InvalidCharRange,
                    between(start, self.rest),
                ));
            }
        }
        let low = char::from_u32(low).unwrap_or('\u{e000}');
        let high = char::from_u32(high).unwrap_or('\u{d7ff}');
        Ok((low <= high).then_some(ClassItem::Range(low, high)))
    }

    fn class_character(&mut self, whole: &str) -> Result<u32, RegexError> {
        let (number, rest) = match self.rest.chars().next() {
            None => return Err(RegexError::new(RegexErrorKind::MissingBracket, whole)),
            Some('\\') => character(self.rest)?,
            Some(char) => (u32::from(char), &self.rest[char.len_utf8()..]),
        };
        self.rest = rest;
        Ok(number)
    }
}
