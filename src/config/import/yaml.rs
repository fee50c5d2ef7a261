//! Trees in, YAML in block style out, for what `import` writes.
//!
//! A scalar is written without quotes where YAML reads back the same text, so that numbers and booleans stay what they
//! are for Prometheus too; else in single quotes, and with control characters in double quotes.

use std::fmt::Write as _;

use super::super::tree::{Entry, Node, Value};

/// Characters that break lines or vanish, beside control characters.
const BREAKS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// A scalar.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// A list of scalars.
pub(super) fn texts<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(|item| node(text(item))).collect())
}

/// A mapping.
pub(super) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    let entry = |(key, value): (K, Value)| Entry {
        key: key.into(),
        line: 0,
        node: node(value),
    };
    Value::Map(entries.into_iter().map(entry).collect())
}

/// A value without a place.
pub(super) fn node(value: Value) -> Node {
    Node { line: 0, value }
}

/// A whole document.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            for each in entries {
                entry(&mut out, &each.key, &each.node.value, 0);
            }
        }
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

/// `key: value` lines, indented by so many blanks.
pub(super) fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    push(out, format_args!("{:indent$}{}:", "", scalar(key)));
    below(out, value, indent);
}

/// `- value` lines, the dash indented by so many blanks.
pub(super) fn item(out: &mut String, value: &Value, indent: usize) {
    push(out, format_args!("{:indent$}-", ""));
    let Value::Map(entries) = value else {
        return below(out, value, indent);
    };
    let Some((first, rest)) = entries.split_first() else {
        return out.push_str(" {}\n");
    };
    push(out, format_args!(" {}:", scalar(&first.key)));
    below(out, &first.node.value, indent + 2);
    for each in rest {
        entry(out, &each.key, &each.node.value, indent + 2);
    }
}

/// What stands behind `key:` or `-`, which is indented by so many blanks.
fn below(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            for each in entries {
                entry(out, &each.key, &each.node.value, indent + 2);
            }
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            for each in items {
                item(out, &each.value, indent + 2);
            }
        }
        other => push(out, format_args!(" {}\n", inline(other))),
    }
}

/// What needs no lines of its own.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => scalar(text),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
    }
}

/// A scalar with the quotes that it needs.
pub(super) fn scalar(text: &str) -> String {
    if text.contains(|c: char| c.is_control() || BREAKS.contains(&c)) {
        return escaped(text);
    }
    if is_plain(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether the text may stand without quotes, both in a block and behind a dash.
fn is_plain(text: &str) -> bool {
    let is_null = text.is_empty() || text == "~" || text.eq_ignore_ascii_case("null");
    let starts_well = text.chars().next().is_some_and(|c| {
        c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '(' | '$' | '+' | '^' | '<')
    }) || is_number(text);
    let inner = !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.ends_with(' ')
        && !text.contains(['{', '}', '[', ']', ',', '"', '\'', '`']);
    !is_null && starts_well && inner && text != "..." && text != "<<"
}

/// A negative number; others begin with a digit.
fn is_number(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
}

fn escaped(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || BREAKS.contains(&c) => {
                push(&mut out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text that may stand in a comment: on one line.
pub(super) fn comment(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                ' '
            } else {
                c
            }
        })
        .collect()
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::super::tree;
    use super::*;

    /// The text of one scalar behind a key and behind a dash, read back.
    fn read_back(text: &str) -> (Value, Value) {
        let value = map([
            ("k", super::text(text)),
            ("l", texts([text])),
            (text, super::text("v")),
        ]);
        let written = document(&value);
        let root =
            tree::parse(&written).unwrap_or_else(|error| panic!("{text:?}: {error:?}\n{written}"));
        let Value::Map(mut entries) = root.value else {
            panic!("{written}");
        };
        assert_eq!(entries[2].key, text, "{written}");
        let Value::List(mut items) = entries.remove(1).node.value else {
            panic!("{written}");
        };
        (entries.remove(0).node.value, items.remove(0).value)
    }

    #[test]
    fn scalars_come_back_as_they_were() {
        let cases = [
            "a",
            "1",
            "-1",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "yes",
            "true",
            "~ ",
            "null",
            "Null",
            "~",
            "",
            " ",
            " a",
            "a ",
            "{__name__=~\".+\"}",
            "it's",
            "a\nb",
            "a\tb",
            "\u{85}",
            "\u{2028}x",
            "[",
            "]",
            "&a",
            "*a",
            "!x",
            "%",
            "@x",
            "`",
            "|",
            ">",
            "?",
            "? a",
            ":",
            "a:",
            ":a",
            "::",
            "(.*)",
            "$1",
            "${1}",
            "^a$",
            "+Inf",
            ".inf",
            ".",
            "...",
            "---",
            "--- a",
            "<<",
            "=",
            "0x10",
            "1e3",
            "\\",
            "\"",
            "\\d+",
            "é",
            "a,b",
            "http://a:1/b?c=d",
            "[::1]:9090",
            "\u{7f}",
            "012",
            "1_000",
            "2001-01-01",
            "a\r\nb",
            "\u{feff}a",
            "'",
            "''",
            "-.5",
            "-a",
        ];
        for case in cases {
            let (entry, item) = read_back(case);
            assert_eq!(entry, text(case), "{case:?}");
            assert_eq!(item, text(case), "{case:?}");
        }
    }

    #[test]
    fn numbers_and_booleans_keep_their_kind() {
        for plain in [
            "true",
            "15s",
            "1000",
            "-1",
            "0.5",
            "yes",
            "/federate",
            "http://a:9090",
        ] {
            assert_eq!(scalar(plain), plain);
        }
        assert_eq!(scalar("match[]"), "'match[]'");
    }

    #[test]
    fn blocks_nest() {
        let value = map([
            ("a", map([("b", texts(["1", "2"])), ("c", Value::Null)])),
            (
                "d",
                Value::List(vec![
                    node(map([("e", text("f")), ("g", texts(["h"]))])),
                    node(texts(["i", "j"])),
                ]),
            ),
            ("k", Value::List(Vec::new())),
        ]);
        let want = "a:\n  b:\n    - 1\n    - 2\n  c: null\nd:\n  - e: f\n    g:\n      - h\n  -\n    - i\n    - j\nk: []\n";
        assert_eq!(document(&value), want);
    }
}
