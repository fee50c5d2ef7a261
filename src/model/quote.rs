//! Text in double quotes as Go's `%q` writes it, which is how Prometheus prints values in selectors and error messages.
//!
//! Comes in: any text. Goes out: a `Display` that escapes on the way, without a copy. Here because matchers, queries
//! and the errors of relabelling all have to agree with what Prometheus prints.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

/// `text` in double quotes, written like Go's `strconv.Quote`: backslash, quote and control characters escaped, and
/// characters that do not print as `\u00a0` or `\U000e0001`.
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// What [`quoted`] returns: displays as the quoted text.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut plain = 0;
        for (at, char) in self.0.char_indices() {
            if is_plain(char) {
                continue;
            }
            f.write_str(&self.0[plain..at])?;
            write_escaped(f, char)?;
            plain = at + char.len_utf8();
        }
        f.write_str(&self.0[plain..])?;
        f.write_char('"')
    }
}

fn is_plain(char: char) -> bool {
    match char {
        '"' | '\\' => false,
        ' '..='~' => true,
        '\0'..='\u{7f}' => false,
        _ => is_printable(char),
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, char: char) -> fmt::Result {
    match char {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        '\0'..='\x7f' => write!(f, "\\x{:02x}", u32::from(char)),
        '\u{80}'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(char)),
        _ => write!(f, "\\U{:08x}", u32::from(char)),
    }
}

/// Go's `strconv.IsPrint` beyond ASCII: letters, marks, numbers, punctuation and symbols.
fn is_printable(char: char) -> bool {
    static PRINTABLE: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]").expect("a constant pattern compiles")
    });
    PRINTABLE.is_match(char.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let check = |text: &str, want: &str| assert_eq!(quoted(text).to_string(), want);
        check("", r#""""#);
        check("plain text ~", r#""plain text ~""#);
        check("a\"b\\c", r#""a\"b\\c""#);
        check("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#);
        check("\0\x1b\x7f", r#""\x00\x1b\x7f""#);
        check("é世😀", r#""é世😀""#);
        check("\u{a0}\u{2028}\u{feff}", r#""\u00a0\u2028\ufeff""#);
        check("\u{e0001}x", r#""\U000e0001x""#);
    }
}
