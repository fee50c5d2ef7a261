//! String literals: where they end, and what they say. Three kinds of quotes; Go's escapes in two of them.

use crate::promql::print::unicode;

/// Finds the end of a string whose opening `quote` has just been read: the bytes up to and including the closing quote.
///
/// A raw U+FFFD is refused like broken UTF-8, as Prometheus does; written `\ufffd` it is fine.
pub(super) fn scan(rest: &str, quote: char) -> Result<usize, String> {
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok(at + c.len_utf8()),
            char::REPLACEMENT_CHARACTER => return Err("invalid UTF-8 rune".to_owned()),
            '\n' if quote != '`' => break,
            '\\' if quote != '`' => {
                escape(&mut chars.by_ref().map(|(_, c)| c), quote)?;
            }
            _ => {}
        }
    }
    let what = if quote == '`' {
        "unterminated raw string"
    } else {
        "unterminated quoted string"
    };
    Err(what.to_owned())
}

/// What a string literal says, where that is a name or a label's value. `literal` is the token's text, quotes included,
/// as the lexer has accepted it.
///
/// Escapes such as `\xff` write single bytes. Prometheus keeps whatever comes of them; label names and values are UTF-8
/// by definition, so we refuse what is not.
pub fn unquote(literal: &str) -> Result<String, String> {
    String::from_utf8(unquote_bytes(literal)?).map_err(|_| "invalid UTF-8".to_owned())
}

/// What a string literal says, UTF-8 or not.
pub fn unquote_bytes(literal: &str) -> Result<Vec<u8>, String> {
    let mut chars = literal.chars();
    let (Some(quote), Some(_)) = (chars.next(), chars.next_back()) else {
        return Err("invalid syntax".to_owned());
    };
    if quote == '`' || !literal.contains('\\') {
        return Ok(chars.as_str().as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(literal.len());
    while let Some(c) = chars.next() {
        let unit = if c == '\\' {
            escape(&mut chars, quote)?
        } else {
            Unit::Char(c)
        };
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(out)
}

/// What one escape stands for.
enum Unit {
    Byte(u8),
    Char(char),
}

/// Reads one escape behind its backslash.
fn escape(chars: &mut impl Iterator<Item = char>, quote: char) -> Result<Unit, String> {
    let unfinished = || "escape sequence not terminated".to_owned();
    let c = chars.next().ok_or_else(unfinished)?;
    let (digits, radix, first) = match c {
        'a' => return Ok(Unit::Byte(7)),
        'b' => return Ok(Unit::Byte(8)),
        'f' => return Ok(Unit::Byte(12)),
        'n' => return Ok(Unit::Byte(b'\n')),
        'r' => return Ok(Unit::Byte(b'\r')),
        't' => return Ok(Unit::Byte(b'\t')),
        'v' => return Ok(Unit::Byte(11)),
        '\\' => return Ok(Unit::Byte(b'\\')),
        c if c == quote => return Ok(Unit::Char(c)),
        '0'..='7' => (3, 8, Some(c)),
        'x' => (2, 16, None),
        'u' => (4, 16, None),
        'U' => (8, 16, None),
        c => return Err(format!("unknown escape sequence {}", unicode(c))),
    };
    let mut code: u32 = 0;
    for digit in first
        .into_iter()
        .map(Some)
        .chain(std::iter::repeat_with(|| chars.next()))
        .take(digits)
    {
        let digit = digit.ok_or_else(unfinished)?;
        let value = digit.to_digit(radix);
        let value = value
            .ok_or_else(|| format!("illegal character {} in escape sequence", unicode(digit)))?;
        // Eight hexadecimal digits at most: never more than 32 bits.
        code = code * radix + value;
    }
    let unit = if matches!(c, 'u' | 'U') {
        char::from_u32(code).map(Unit::Char)
    } else {
        u8::try_from(code).ok().map(Unit::Byte)
    };
    unit.ok_or_else(|| "escape sequence is an invalid Unicode code point".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans and unquotes a whole literal.
    fn read(literal: &str) -> Result<String, String> {
        let quote = literal.chars().next().unwrap();
        assert_eq!(scan(&literal[1..], quote)? + 1, literal.len(), "{literal}");
        unquote(literal)
    }

    #[test]
    fn reads_strings() {
        let check =
            |literal: &str, want: &str| assert_eq!(read(literal).as_deref(), Ok(want), "{literal}");
        check(r#""""#, "");
        check("''", "");
        check("``", "");
        check(r#""it's""#, "it's");
        check(r#"'say "x"'"#, "say \"x\"");
        check(r"'it\'s'", "it's");
        check(r#""a\"b""#, "a\"b");
        check(r"`\d+\.\`", r"\d+\.\");
        check("`a\nb\r`", "a\nb\r");
        check(r#""\a\b\f\n\r\t\v\\""#, "\x07\x08\x0c\n\r\t\x0b\\");
        check(r#""\x41\101\u0041\U00000041""#, "AAAA");
        check(r#""\xc3\xa9\303\251""#, "éé");
        check(r#""\ufffd\U0010FFFF☺""#, "\u{fffd}\u{10ffff}☺");
        check("\"tab\tcr\r\"", "tab\tcr\r");
    }

    #[test]
    fn refuses_bad_strings() {
        let check =
            |literal: &str, want: &str| assert_eq!(read(literal).unwrap_err(), want, "{literal}");
        check(r#"""#, "unterminated quoted string");
        check(r#""abc"#, "unterminated quoted string");
        check(r#""abc'"#, "unterminated quoted string");
        check("'a\nb'", "unterminated quoted string");
        check("`abc", "unterminated raw string");
        check("\"a\u{fffd}\"", "invalid UTF-8 rune");
        check("`a\u{fffd}`", "invalid UTF-8 rune");
        check(r#""\"#, "escape sequence not terminated");
        check(r#""\x4"#, "escape sequence not terminated");
        check(r#""\""#, "unterminated quoted string");
        check(r#""\q""#, "unknown escape sequence U+0071 'q'");
        check(r#""\'""#, "unknown escape sequence U+0027 '''");
        check(r#""\d+""#, "unknown escape sequence U+0064 'd'");
        check("\"\\\n\"", "unknown escape sequence U+000A");
        check(r#""\8""#, "unknown escape sequence U+0038 '8'");
        check(
            r#""\x.""#,
            "illegal character U+002E '.' in escape sequence",
        );
        check(
            r#""\x4""#,
            "illegal character U+0022 '\"' in escape sequence",
        );
        check(
            r#""\018""#,
            "illegal character U+0038 '8' in escape sequence",
        );
        check(
            r#""\400""#,
            "escape sequence is an invalid Unicode code point",
        );
        check(
            r#""\ud800""#,
            "escape sequence is an invalid Unicode code point",
        );
        check(
            r#""\U00110000""#,
            "escape sequence is an invalid Unicode code point",
        );
        check(
            r#""\UFFFFFFFF""#,
            "escape sequence is an invalid Unicode code point",
        );
        check(r#""\xff""#, "invalid UTF-8");
    }
}
