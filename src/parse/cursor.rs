//! The place in the window, and the few pieces that both formats are made of: blanks, bare names, quoted strings.
//! Comes in as bytes of which the end may be missing, goes out as slices of them or as [`Stop`]. All looking ahead
//! goes through here, so that no grammar rule can mistake the end of the window for the end of the body.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use super::error::{EXCERPT_BYTES_MAX, Excerpt, Fault};
use super::number::NumberError;

/// Why an entry could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// The window is too short to tell.
    More,
    /// The entry is wrong.
    Bad(Box<Fault>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Bad(Box::new(fault))
    }
}

pub(super) type Parsed<T> = Result<T, Stop>;

/// Which raw bytes a quoted string may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw {
    /// All: values of the text format.
    Any,
    /// No newline: values of `OpenMetrics`.
    NoNewline,
    /// No NUL: names, in which upstream's lexer takes it for the end of its input.
    NoNul,
    /// No newline and no NUL: exemplars.
    Neither,
}

/// A quoted string, read.
pub(super) struct Quoted<'a> {
    /// The text, unescaped.
    pub(super) text: Cow<'a, str>,
    /// Whether it was written as we would write it as a label value.
    pub(super) canonical: bool,
}

/// A place in the input, which starts with the entry being read.
pub(super) struct Cursor<'a> {
    pub(super) input: &'a [u8],
    pub(super) at: usize,
    at_end: bool,
    /// The metric name, as soon as it is known, for the error.
    pub(super) name: Option<Cow<'a, str>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8], at_end: bool) -> Self {
        Self {
            input,
            at: 0,
            at_end,
            name: None,
        }
    }

    /// Everything from here to the end of the window.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// The next byte; `None` at the end of the body.
    pub(super) fn peek(&self) -> Parsed<Option<u8>> {
        match self.input.get(self.at) {
            Some(byte) => Ok(Some(*byte)),
            None if self.at_end => Ok(None),
            None => Err(Stop::More),
        }
    }

    /// Where the line ends that the cursor stands in: the offset of its newline, or of the end of the body.
    pub(super) fn line_end(&self) -> Parsed<usize> {
        match memchr(b'\n', self.rest()) {
            Some(newline) => Ok(self.at + newline),
            None if self.at_end => Ok(self.input.len()),
            None => Err(Stop::More),
        }
    }

    /// Whether `word` stands here.
    pub(super) fn looking_at(&self, word: &[u8]) -> Parsed<bool> {
        let rest = self.rest();
        if rest.len() < word.len() && !self.at_end && word.starts_with(rest) {
            return Err(Stop::More);
        }
        Ok(rest.starts_with(word))
    }

    /// Passes over spaces and tabs.
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.input.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Passes over a newline or the end of the body; says whether one was there.
    pub(super) fn end_of_line(&mut self) -> Parsed<bool> {
        let byte = self.peek()?;
        self.at += usize::from(byte == Some(b'\n'));
        Ok(matches!(byte, None | Some(b'\n')))
    }

    /// Reads to the first byte that `ends` a word, which must be there or be the end of the body.
    pub(super) fn word(&mut self, ends: impl Fn(u8) -> bool) -> Parsed<&'a [u8]> {
        let start = self.at;
        let len = self
            .rest()
            .iter()
            .position(|byte| ends(*byte))
            .unwrap_or(self.rest().len());
        self.at += len;
        let end = self.peek();
        if end.is_err() {
            self.at = start;
        }
        end.map(|_| &self.input[start..start + len])
    }

    /// Reads `[a-zA-Z_:][a-zA-Z0-9_:]*`; empty if there is none.
    pub(super) fn metric_name(&mut self) -> Parsed<&'a str> {
        self.bare_name(|byte| is_label_byte(byte) || byte == b':')
    }

    /// Reads `[a-zA-Z_][a-zA-Z0-9_]*`; empty if there is none.
    pub(super) fn label_name(&mut self) -> Parsed<&'a str> {
        self.bare_name(is_label_byte)
    }

    fn bare_name(&mut self, is_part: impl Fn(u8) -> bool) -> Parsed<&'a str> {
        let start = self.at;
        if self.peek()?.is_some_and(|byte| !byte.is_ascii_digit()) {
            let rest = self.rest();
            self.at += rest
                .iter()
                .position(|byte| !is_part(*byte))
                .unwrap_or(rest.len());
        }
        self.peek()?;
        Ok(str::from_utf8(&self.input[start..self.at]).expect("only ASCII was taken"))
    }

    /// Reads a quoted string; the cursor stands on its opening quote. `what` it is, for the error; it stays on the
    /// quote when there is one.
    pub(super) fn quoted(&mut self, raw: Raw, what: &'static str) -> Parsed<Quoted<'a>> {
        let start = self.at + 1;
        let Some(Inside { end, escapes }) = self.inside_quotes(start, raw)? else {
            return Err(self.expected(what));
        };
        let bytes = &self.input[start..end];
        if matches!(raw, Raw::NoNul | Raw::Neither) && memchr(0, bytes).is_some() {
            return Err(self.expected(what));
        }
        let Ok(text) = str::from_utf8(bytes) else {
            return Err(Fault::Utf8 {
                what,
                text: Excerpt::of(bytes),
            }
            .into());
        };
        self.at = end + 1;
        let (text, canonical) = if escapes {
            unescape(text, Escapes::Label)
        } else {
            (text.into(), true)
        };
        Ok(Quoted {
            text,
            canonical: canonical && memchr(b'\n', bytes).is_none(),
        })
    }

    /// Finds the closing quote. `None`: there is none, or something before it is not allowed.
    fn inside_quotes(&self, start: usize, raw: Raw) -> Parsed<Option<Inside>> {
        let mut at = start;
        let mut escapes = false;
        loop {
            let rest = self.input.get(at..).unwrap_or_default();
            let special = match raw {
                Raw::NoNewline | Raw::Neither => memchr3(b'"', b'\\', b'\n', rest),
                Raw::Any | Raw::NoNul => memchr2(b'"', b'\\', rest),
            };
            match special.map(|offset| (at + offset, rest[offset])) {
                Some((end, b'"')) => return Ok(Some(Inside { end, escapes })),
                Some((backslash, b'\\')) => {
                    escapes = true;
                    match self.after_escaped(backslash + 1)? {
                        Some(after) => at = after,
                        None => return Ok(None),
                    }
                }
                Some(_) => return Ok(None),
                None if self.at_end => return Ok(None),
                None => return Err(Stop::More),
            }
        }
    }

    /// The offset just after the byte that a backslash before `at` escapes, if there is one to escape. It may be any
    /// byte but a newline, and NULs in between do not count: upstream's lexer does not see them there.
    fn after_escaped(&self, mut at: usize) -> Parsed<Option<usize>> {
        while self.input.get(at) == Some(&0) {
            at += 1;
        }
        match self.input.get(at) {
            Some(b'\n') => Ok(None),
            Some(_) => Ok(Some(at + 1)),
            None if self.at_end => Ok(None),
            None => Err(Stop::More),
        }
    }

    /// "expected `what`, got" the text from here to the next blank or newline.
    pub(super) fn expected(&self, what: &'static str) -> Stop {
        let rest = self.rest();
        let shown = &rest[..rest.len().min(EXCERPT_BYTES_MAX + 1)];
        let word = shown
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
        // The same window-independent answer as everywhere: the error shows the whole word or waits for it.
        if word.is_none() && shown.len() <= EXCERPT_BYTES_MAX && !self.at_end {
            return Stop::More;
        }
        let len = word.map_or(shown.len(), |len| len.max(1));
        let got = Excerpt::of(&shown[..len]);
        Fault::Expected {
            what,
            got,
            line: Excerpt::of(&self.input[..self.at + len]),
        }
        .into()
    }

    /// "cannot read `what`", which ends here.
    pub(super) fn bad_number(&self, what: &'static str, text: &[u8], source: NumberError) -> Stop {
        Fault::Number {
            what,
            text: Excerpt::of(text),
            line: self.line(),
            source,
        }
        .into()
    }

    /// The entry up to here, for an error.
    pub(super) fn line(&self) -> Excerpt {
        Excerpt::of(&self.input[..self.at])
    }
}

/// What lies between two quotes.
struct Inside {
    /// The offset of the closing quote.
    end: usize,
    /// Whether there is a backslash.
    escapes: bool,
}

/// Letters, digits and `_`. A table, since every byte of every name is looked up here.
pub(super) fn is_label_byte(byte: u8) -> bool {
    IS_LABEL_BYTE[usize::from(byte)]
}

const IS_LABEL_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    table
};

/// Which escapes are known; others stay as they are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `\\`, `\n`: help of the text format.
    Help,
    /// `\\`, `\n`, `\"`: all quoted strings, and help of `OpenMetrics`.
    Label,
}

/// Takes the escapes out; borrows where there are none. Also says whether only known ones stood there.
pub(super) fn unescape(text: &str, escapes: Escapes) -> (Cow<'_, str>, bool) {
    let mut out = String::new();
    let mut all_known = true;
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = memchr(b'\\', &text.as_bytes()[at..]) {
        let backslash = at + offset;
        let plain = match text.as_bytes().get(backslash + 1) {
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'"') if escapes == Escapes::Label => '"',
            _ => {
                all_known = false;
                at = backslash + 1;
                continue;
            }
        };
        out.push_str(&text[copied..backslash]);
        out.push(plain);
        at = backslash + 2;
        copied = at;
    }
    if copied == 0 {
        return (text.into(), all_known);
    }
    out.push_str(&text[copied..]);
    (out.into(), all_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, escapes: Escapes, want: &str, known: bool) {
        let (got, all_known) = unescape(text, escapes);
        assert_eq!((&*got, all_known), (want, known), "{text:?}");
        assert_eq!(
            matches!(got, Cow::Borrowed(_)),
            text == want,
            "borrows only what did not change: {text:?}"
        );
    }

    #[test]
    fn known_escapes_are_taken_out() {
        check("", Escapes::Label, "", true);
        check("é", Escapes::Label, "é", true);
        check(r#"\"a\\b\n"#, Escapes::Label, "\"a\\b\n", true);
        check(r"\\n", Escapes::Label, r"\n", true);
        check(r"\x \\ \", Escapes::Label, r"\x \ \", false);
        check(r"\é", Escapes::Label, r"\é", false);
        check(r#"\"\n\\"#, Escapes::Help, "\\\"\n\\", false);
    }
}
