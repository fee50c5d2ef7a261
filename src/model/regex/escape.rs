//! What may follow a backslash: single characters, Perl's `\d`, POSIX' `[:alpha:]` and Unicode's `\pL`.
//!
//! Comes in: the pattern from the backslash (or bracket) on. Goes out: the character or set, and what stands behind it.
//! The rules are those of Go's `regexp/syntax`: ASCII only for `\d \w \s`, no `\v` in `\s`, octal and hex numbers, and
//! an error that quotes as much of the pattern as Go's does.

use std::borrow::Cow;

use super::error::{RegexError, RegexErrorKind};

/// The text from the start of `from` up to where `to` begins. `to` must be a tail of `from`.
pub(super) fn between<'p>(from: &'p str, to: &str) -> &'p str {
    &from[..from.len() - to.len()]
}

fn split_first(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    chars.next().map(|first| (first, chars.as_str()))
}

/// Reads an escape for one character. `text` begins with the backslash. The number may be a surrogate, which no text
/// can hold.
pub(super) fn character(text: &str) -> Result<(u32, &str), RegexError> {
    let Some((letter, rest)) = split_first(&text[1..]) else {
        return Err(RegexError::new(RegexErrorKind::TrailingBackslash, ""));
    };
    let plain = |char: char| Ok((u32::from(char), rest));
    let (read, rest) = match letter {
        'a' => return plain('\x07'),
        'f' => return plain('\x0c'),
        'n' => return plain('\n'),
        'r' => return plain('\r'),
        't' => return plain('\t'),
        'v' => return plain('\x0b'),
        'x' => hexadecimal(rest),
        '0' => octal(&text[1..]),
        // A single digit would be a backreference, which RE2 does not have.
        '1'..='7' if rest.starts_with(|next: char| next.is_digit(8)) => octal(&text[1..]),
        _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => return plain(letter),
        _ => (None, rest),
    };
    match read {
        Some(number) => Ok((number, rest)),
        None => Err(RegexError::new(
            RegexErrorKind::InvalidEscape,
            between(text, rest),
        )),
    }
}

/// Up to three octal digits, of which the caller has seen the first.
fn octal(digits: &str) -> (Option<u32>, &str) {
    let length = digits
        .bytes()
        .take(3)
        .take_while(|byte| (b'0'..b'8').contains(byte))
        .count();
    let number = digits[..length]
        .bytes()
        .fold(0, |number, byte| number * 8 + u32::from(byte - b'0'));
    (Some(number), &digits[length..])
}

/// What follows `\x`: two hex digits, or any number of them in braces. `None` with the place where reading stopped.
fn hexadecimal(text: &str) -> (Option<u32>, &str) {
    let Some((first, mut rest)) = split_first(text) else {
        return (None, text);
    };
    if first != '{' {
        let second = split_first(rest);
        let rest = second.map_or(rest, |(_, rest)| rest);
        let digit = |char: char| char.to_digit(16);
        let number = digit(first).zip(second.and_then(|(char, _)| digit(char)));
        return (number.map(|(high, low)| high * 16 + low), rest);
    }
    let mut number = None;
    while let Some((char, next)) = split_first(rest) {
        rest = next;
        if char == '}' {
            return (number, rest);
        }
        let Some(digit) = char.to_digit(16) else {
            break;
        };
        number = Some(number.unwrap_or(0) * 16 + digit);
        if number > Some(u32::from(char::MAX)) {
            break;
        }
    }
    (None, rest)
}

/// Reads `\d \D \s \S \w \W`. `None` for any other text.
pub(super) fn perl_class(text: &str) -> Option<(Cow<'static, str>, &str)> {
    let set = match text.get(..2)? {
        r"\d" => "0-9",
        r"\D" => "[^0-9]",
        r"\s" => r"\t\n\x0c\r\x20",
        r"\S" => r"[^\t\n\x0c\r\x20]",
        r"\w" => "0-9A-Za-z_",
        r"\W" => "[^0-9A-Za-z_]",
        _ => return None,
    };
    Some((set.into(), &text[2..]))
}

/// Reads `[:alpha:]` and `[:^alpha:]`. `None` where `text` does not begin like one, an error for an unknown name.
pub(super) fn posix_class(text: &str) -> Result<Option<(Cow<'static, str>, &str)>, RegexError> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let Some(end) = text.strip_prefix("[:").and_then(|inner| inner.find(":]")) else {
        return Ok(None);
    };
    let (class, rest) = text.split_at(end + 4);
    let inner = &class[2..class.len() - 2];
    if !NAMES.contains(&inner.strip_prefix('^').unwrap_or(inner)) {
        return Err(RegexError::new(RegexErrorKind::InvalidCharRange, class));
    }
    Ok(Some((class.to_owned().into(), rest)))
}

/// Reads `\pL`, `\p{Greek}`, `\P{^Lu}`. `None` where `text` does not begin like one, an error for an unknown name.
pub(super) fn unicode_class(text: &str) -> Result<Option<(Cow<'static, str>, &str)>, RegexError> {
    let negated = match text.get(..2) {
        Some(r"\p") => false,
        Some(r"\P") => true,
        _ => return Ok(None),
    };
    let refuse = |part: &str| Err(RegexError::new(RegexErrorKind::InvalidCharRange, part));
    let Some((first, after_first)) = split_first(&text[2..]) else {
        return refuse(text);
    };
    let (name, rest) = if first == '{' {
        let Some((name, rest)) = after_first.split_once('}') else {
            return refuse(text);
        };
        (name, rest)
    } else {
        (between(&text[2..], after_first), after_first)
    };
    let (negated, name) = match name.strip_prefix('^') {
        Some(name) => (!negated, name),
        None => (negated, name),
    };
    match unicode_set(name, negated) {
        Some(set) => Ok(Some((set.into(), rest))),
        None => refuse(between(text, rest)),
    }
}

/// Looks a general category or a script up, regardless of case, blanks, hyphens and underscores (Go 1.25 and later).
fn unicode_set(name: &str, negated: bool) -> Option<String> {
    /// Scripts whose full name has four letters; all other four-letter names are ISO 15924 codes, which RE2 refuses.
    const SHORT_SCRIPTS: [&str; 8] = [
        "ahom", "cham", "kawi", "lisu", "modi", "newa", "thai", "toto",
    ];
    let key: String = name
        .chars()
        .filter(|char| !matches!(char, '_' | '-' | ' '))
        .map(|char| char.to_ascii_lowercase())
        .collect();
    if key.starts_with("is") || !key.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    if key == "cs" {
        // Surrogates: no text holds one, and the `regex` crate does not know the name.
        return Some(if negated {
            r"\p{any}".to_owned()
        } else {
            r"\P{any}".to_owned()
        });
    }
    let letter = if negated { 'P' } else { 'p' };
    let category = Some(format!(r"\{letter}{{gc={key}}}")).filter(|set| is_known(set));
    let is_code = key.len() == 4 && !SHORT_SCRIPTS.contains(&key.as_str());
    category
        .or_else(|| Some(format!(r"\{letter}{{sc={key}}}")).filter(|set| !is_code && is_known(set)))
}

/// Whether the `regex` crate knows a set. The size limit stops it before it compiles what it has read.
fn is_known(set: &str) -> bool {
    let read = regex::RegexBuilder::new(set).size_limit(0).build();
    matches!(read, Ok(_) | Err(regex::Error::CompiledTooBig(_)))
}
