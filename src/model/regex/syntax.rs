//! The tree of a pattern, with flags already resolved, and how it is written for the `regex` crate.
//!
//! Comes in from `parse`; goes out as text. No inline flag survives: each node says what it needs, so that nothing of
//! the other crate's defaults (Unicode classes, set operators, verbose mode) can leak in.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One part of a pattern. At most 1,000 deep.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    Literal {
        text: String,
        fold: bool,
    },
    Class(Class),
    /// `.`: any character, with or without the newline.
    Dot {
        newline: bool,
    },
    Look(Look),
    /// A capture group. Their numbers are the order of their opening parentheses.
    Capture(Box<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greedy: bool,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

/// A character class. Without any item it matches nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) fold: bool,
    pub(super) items: Vec<ClassItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClassItem {
    Range(char, char),
    /// A set by name, as the `regex` crate writes it inside brackets.
    Named(Cow<'static, str>),
}

/// A place in the text rather than a character.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Look {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordBoundary,
    NotWordBoundary,
}

impl Node {
    /// The whole pattern for the `regex` crate, anchored at both ends.
    pub(super) fn to_anchored_pattern(&self) -> String {
        let mut out = String::from(r"\A(?:");
        self.write(&mut out);
        out.push_str(r")\z");
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("(?:)"),
            Self::Literal { text, fold } => write_literal(text, *fold, out),
            Self::Class(class) => class.write(out),
            Self::Dot { newline: true } => out.push_str("(?s:.)"),
            Self::Dot { newline: false } => out.push_str(r"[^\n]"),
            Self::Look(look) => out.push_str(look.pattern()),
            Self::Capture(node) => node.write_in("(", out),
            Self::Repeat {
                node,
                min,
                max,
                greedy,
            } => {
                node.write_in("(?:", out);
                write_repeat(*min, *max, *greedy, out);
            }
            Self::Concat(nodes) => nodes.iter().for_each(|node| node.write(out)),
            Self::Alternate(nodes) => write_alternatives(nodes, out),
        }
    }

    fn write_in(&self, open: &str, out: &mut String) {
        let plain =
            open == "(?:" && matches!(self, Self::Class(_) | Self::Dot { .. } | Self::Capture(_));
        if plain {
            return self.write(out);
        }
        out.push_str(open);
        self.write(out);
        out.push(')');
    }
}

fn write_alternatives(nodes: &[Node], out: &mut String) {
    out.push_str("(?:");
    for (at, node) in nodes.iter().enumerate() {
        if at > 0 {
            out.push('|');
        }
        node.write(out);
    }
    out.push(')');
}

fn write_literal(text: &str, fold: bool, out: &mut String) {
    if fold {
        out.push_str("(?i:");
    }
    text.chars().for_each(|char| write_char(char, out));
    if fold {
        out.push(')');
    }
}

/// Letters and digits as they are, anything else by its number, which means the same in and out of brackets.
fn write_char(char: char, out: &mut String) {
    if char.is_ascii_alphanumeric() || char == '_' || !char.is_ascii() {
        out.push(char);
    } else {
        write!(out, "\\x{:02x}", u32::from(char)).expect("a String takes any text");
    }
}

fn write_repeat(min: u32, max: Option<u32>, greedy: bool, out: &mut String) {
    match (min, max) {
        (0, None) => out.push('*'),
        (1, None) => out.push('+'),
        (0, Some(1)) => out.push('?'),
        (_, None) => write!(out, "{{{min},}}").expect("a String takes any text"),
        (_, Some(max)) => write!(out, "{{{min},{max}}}").expect("a String takes any text"),
    }
    if !greedy {
        out.push('?');
    }
}

impl Class {
    fn write(&self, out: &mut String) {
        if self.items.is_empty() {
            out.push_str(if self.negated { "(?s:.)" } else { r"\P{any}" });
            return;
        }
        out.push_str(if self.fold { "(?i:[" } else { "[" });
        if self.negated {
            out.push('^');
        }
        self.items.iter().for_each(|item| item.write(out));
        out.push_str(if self.fold { "])" } else { "]" });
    }
}

impl ClassItem {
    fn write(&self, out: &mut String) {
        match self {
            Self::Range(low, high) => {
                write_char(*low, out);
                if high != low {
                    out.push('-');
                    write_char(*high, out);
                }
            }
            Self::Named(name) => out.push_str(name),
        }
    }
}

impl Look {
    /// RE2 knows word boundaries of ASCII words only.
    fn pattern(self) -> &'static str {
        match self {
            Self::TextStart => r"\A",
            Self::TextEnd => r"\z",
            Self::LineStart => "(?m:^)",
            Self::LineEnd => "(?m:$)",
            Self::WordBoundary => r"(?-u:\b)",
            Self::NotWordBoundary => r"(?-u:\B)",
        }
    }
}
