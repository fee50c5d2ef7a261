//! Lines that Tributary wrote itself (`expose::text`): what is known of them need not be checked again.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::model::labels::METRIC_NAME;

/// Name and value of a label.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Name and value of each label of a finished line that has a value, in the order in which they stand, the metric's name
/// as `__name__` before all others. `None`: the line cannot be read.
pub fn labels(line: &[u8]) -> Option<Vec<Pair<'_>>> {
    let line = std::str::from_utf8(line).ok()?;
    let mut pairs = Vec::with_capacity(16);
    let name_end = memchr2(b'{', b' ', line.as_bytes())?;
    let (name, mut rest) = line.split_at(name_end);
    if !name.is_empty() {
        pairs.push((METRIC_NAME.into(), name.into()));
    }
    if rest.starts_with(' ') {
        return (!name.is_empty()).then_some(pairs);
    }
    rest = &rest[1..];
    if name.is_empty() {
        let (name, behind) = quoted(rest)?;
        pairs.push((METRIC_NAME.into(), name));
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    while !rest.starts_with('}') {
        rest = match plain_label(rest) {
            Some((name, value, behind)) => {
                if !value.is_empty() {
                    pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
                }
                behind
            }
            None => push_any(rest, &mut pairs)?,
        };
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(pairs)
}

/// Appends any label at the front, returns what stands behind it. A function of its own, so that the loop over plain
/// labels stays small and builds them where they are to stand.
#[cold]
#[inline(never)]
fn push_any<'a>(text: &'a str, pairs: &mut Vec<Pair<'a>>) -> Option<&'a str> {
    let (name, behind) = if text.starts_with('"') {
        quoted(text)?
    } else {
        let (name, behind) = text.split_at(memchr(b'=', text.as_bytes())?);
        (name.into(), behind)
    };
    let (value, behind) = quoted(behind.strip_prefix('=')?)?;
    if !value.is_empty() {
        pairs.push((name, value));
    }
    Some(behind)
}

/// Name and value of a label at the front, and what stands behind it, if neither the name has quotes nor the value
/// escapes.
#[inline]
fn plain_label(text: &str) -> Option<(&str, &str, &str)> {
    let name_end = memchr2(b'=', b'"', text.as_bytes())?;
    let (name, behind) = text.split_at(name_end);
    let value = behind.strip_prefix("=\"")?;
    let value_end = memchr2(b'"', b'\\', value.as_bytes())?;
    let (value, behind) = value.split_at(value_end);
    Some((name, value, behind.strip_prefix('"')?))
}

/// The text between quotes at the front, and what stands behind them.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes()[end] == b'"' {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let mut unescaped = text[..end].to_owned();
    let mut characters = text[end..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((unescaped.into(), &text[end + at + 1..])),
            '\\' => unescaped.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => unescaped.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_finished_lines() {
        let check = |line: &str, want: &[(&str, &str)]| {
            let want: Vec<_> = want
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect();
            assert_eq!(labels(line.as_bytes()), Some(want), "{line}");
        };
        check("up 1 2\n", &[("__name__", "up")]);
        check(r#"up{a="b"} 1 2"#, &[("__name__", "up"), ("a", "b")]);
        check(r#"up{a="",b="}"} 1"#, &[("__name__", "up"), ("b", "}")]);
        check(
            r#"{"a.b","c d"="e\"f\\\n",g="="} 1"#,
            &[("__name__", "a.b"), ("c d", "e\"f\\\n"), ("g", "=")],
        );
        check(r#"{"a.b"} 1"#, &[("__name__", "a.b")]);
        for other in ["", "up", "\n", "{}", "up{a=\"b", "up{a=b} 1", "up{a} 1"] {
            assert_eq!(labels(other.as_bytes()), None, "{other}");
        }
        assert_eq!(labels(b"up{a=\"\xff\"} 1"), None);
    }
}
