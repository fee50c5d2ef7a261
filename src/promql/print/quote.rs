//! Go's `%q` and `%U`: how Prometheus shows text and characters in its messages and its printed queries.

use std::fmt::Write as _;

/// What Go's formatter shows in place of a character that is none, such as the end of input.
pub(crate) const NO_CHAR: char = '\u{fffd}';

/// `text` between double quotes as Go's `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| escape(&mut out, c, '"'));
    out.push('"');
    out
}

/// Appends `text` as a string of the query language. Differs from [`quote`] in one character: U+FFFD is escaped, because the lexer
/// refuses it in the raw (it cannot tell it from broken UTF-8).
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            NO_CHAR => out.push_str("\\ufffd"),
            c => escape(out, c, '"'),
        }
    }
    out.push('"');
}

/// Appends bytes that are not UTF-8 as a string of the query language, those that make no character as `\\xff`.
pub(crate) fn push_bytes(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                NO_CHAR => out.push_str("\\ufffd"),
                c => escape(out, c, '"'),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    out.push('"');
}

/// A character between single quotes, as Go's `%q` writes a rune; the end of input (`None`) shows as U+FFFD.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    escape(&mut out, c.unwrap_or(NO_CHAR), '\'');
    out.push('\'');
    out
}

/// Go's `%#U`: `U+002E '.'`, without the character where it cannot be printed.
pub(crate) fn unicode(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    if is_print(c) {
        format!("{code} '{c}'")
    } else {
        code
    }
}

/// Appends one character, escaped where Go would.
fn escape(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if is_print(c) => out.push(c),
        c => push_code(out, u32::from(c)),
    }
}

/// Appends a code point as `\x7f`, `\u200b` or `\U000e0001`, the shortest form that Go uses for it.
fn push_code(out: &mut String, code: u32) {
    let written = match code {
        0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
        0x20..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("writing to a String cannot fail");
}

/// Go's `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
///
/// The standard library keeps the same table behind `str::escape_debug`. It leaves combining marks alone everywhere
/// but at the start of a string, hence the letter in front.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let mut buffer = [b'a'; 5];
    let len = c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..=len]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_text_as_go_does() {
        let check = |text: &str, want: &str| assert_eq!(quote(text), want, "{text:?}");
        check("", r#""""#);
        check("foo", r#""foo""#);
        check("a\"b'c\\d", r#""a\"b'c\\d""#);
        check("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#);
        check("\0\x1f\x7f", r#""\x00\x1f\x7f""#);
        check("é☺\u{1f600}", "\"é☺\u{1f600}\"");
        check("e\u{301}", "\"e\u{301}\"");
        check(
            "\u{a0}\u{ad}\u{200b}\u{2028}\u{feff}",
            r#""\u00a0\u00ad\u200b\u2028\ufeff""#,
        );
        check("\u{e000}\u{ffff}\u{e0001}", r#""\ue000\uffff\U000e0001""#);
        check("\u{80}\u{fffd}", "\"\\u0080\u{fffd}\"");
    }

    #[test]
    fn writes_strings_that_the_lexer_takes_back() {
        let check = |text: &str, want: &str| {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(out, want, "{text:?}");
        };
        check("\\d+\n", r#""\\d+\n""#);
        check("\u{fffd}", r#""\ufffd""#);
    }

    #[test]
    fn quotes_characters_as_go_does() {
        let check = |c: Option<char>, want: &str| assert_eq!(quote_char(c), want, "{c:?}");
        check(Some('}'), "'}'");
        check(Some('\''), r"'\''");
        check(Some('"'), "'\"'");
        check(Some('\n'), r"'\n'");
        check(Some('\u{200b}'), r"'\u200b'");
        check(None, "'\u{fffd}'");
    }

    #[test]
    fn names_code_points_as_go_does() {
        let check = |c: char, want: &str| assert_eq!(unicode(c), want, "{c:?}");
        check('.', "U+002E '.'");
        check('\n', "U+000A");
        check('é', "U+00E9 'é'");
        check('\u{1f600}', "U+1F600 '\u{1f600}'");
    }
}
