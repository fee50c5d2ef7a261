//! Reads a pattern in RE2 syntax into a tree.
//!
//! Comes in: the pattern as the user wrote it. Goes out: the tree and the names of its groups, or the error that Go's
//! `regexp/syntax` would give with flags `Perl | DotNL`, the ones of Prometheus' matchers. Written as one pass with a
//! stack on the heap, so that no pattern can exhaust the thread's stack.
//!
//! Left to right, like Go's parser, because its errors depend on that order.

mod class;
mod repeat;

use super::error::{RegexError, RegexErrorKind};
use super::escape::between;
use super::syntax::{Look, Node};

/// Deepest nesting of operators that Go accepts.
const HEIGHT_MAX: u32 = 1000;
/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// How deep the tree is, at most 1,000.
    pub(super) height: u32,
    /// Names of the groups 1, 2, …; empty for a group without a name.
    pub(super) names: Vec<String>,
}

/// Reads a whole pattern.
pub(super) fn parse(pattern: &str) -> Result<Parsed, RegexError> {
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        flags: Flags {
            fold: false,
            multi_line: false,
            dot_newline: true,
            lazy: false,
        },
        groups: vec![],
        group: Group::default(),
        names: vec![],
        last_repeat: None,
        unicode_sets: 0,
    };
    while let Some(next) = parser.rest.chars().next() {
        parser.last_repeat = parser.step(next)?;
    }
    parser.finish()
}

/// `i`, `m`, `s` and `U` of a pattern such as `(?i)`.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent switches, each with its own letter"
)]
struct Flags {
    fold: bool,
    multi_line: bool,
    dot_newline: bool,
    lazy: bool,
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    groups: Vec<Group>, // those that enclose `group`
    group: Group,
    names: Vec<String>,
    /// The pattern from the last repetition operator on, where that operator is what was read last.
    last_repeat: Option<&'p str>,
    unicode_sets: usize,
}

/// A group that is still open.
#[derive(Debug, Default)]
struct Group {
    capture: bool,
    outer_flags: Flags,
    branches: Vec<Piece>,
    sequence: Vec<Piece>,
}

/// A node with what the limits need to know about it.
#[derive(Debug)]
struct Piece {
    node: Node,
    height: u32,
    /// Product of the repeat counts on the heaviest way down.
    repeats: u32,
    /// A run of literal characters that may grow, and of which an operator takes the last character only.
    run: bool,
}

impl Piece {
    fn leaf(node: Node) -> Self {
        Self {
            node,
            height: 1,
            repeats: 1,
            run: false,
        }
    }

    /// Puts several pieces under one node; one piece stays as it is.
    fn join(mut pieces: Vec<Self>, wrap: fn(Vec<Node>) -> Node) -> Self {
        if pieces.len() < 2 {
            return pieces.pop().unwrap_or_else(|| Self::leaf(Node::Empty));
        }
        let height = 1 + pieces.iter().map(|piece| piece.height).max().unwrap_or(0);
        let repeats = pieces.iter().map(|piece| piece.repeats).max().unwrap_or(1);
        let node = wrap(pieces.into_iter().map(|piece| piece.node).collect());
        Self {
            node,
            height,
            repeats,
            run: false,
        }
    }
}

impl Group {
    fn end_branch(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        self.branches.push(Piece::join(sequence, Node::Concat));
    }

    fn close(mut self) -> Piece {
        self.end_branch();
        Piece::join(self.branches, Node::Alternate)
    }
}

impl<'p> Parser<'p> {
    /// Reads one item. Returns where it began if it is a repetition operator.
    fn step(&mut self, next: char) -> Result<Option<&'p str>, RegexError> {
        match next {
            '(' => self.open()?,
            '|' => {
                self.group.end_branch();
                self.skip(1);
            }
            ')' => self.close()?,
            '^' => self.look(
                if self.flags.multi_line {
                    Look::LineStart
                } else {
                    Look::TextStart
                },
                1,
            )?,
            '$' => self.look(
                if self.flags.multi_line {
                    Look::LineEnd
                } else {
                    Look::TextEnd
                },
                1,
            )?,
            '.' => {
                self.skip(1);
                self.push(Piece::leaf(Node::Dot {
                    newline: self.flags.dot_newline,
                }))?;
            }
            '[' => self.class()?,
            '*' => return self.repeat(0, None, &self.rest[1..]).map(Some),
            '+' => return self.repeat(1, None, &self.rest[1..]).map(Some),
            '?' => return self.repeat(0, Some(1), &self.rest[1..]).map(Some),
            '{' => return self.counted_repeat(),
            '\\' => self.backslash()?,
            _ => {
                self.skip(next.len_utf8());
                self.literal(next);
            }
        }
        Ok(None)
    }

    fn finish(mut self) -> Result<Parsed, RegexError> {
        if !self.groups.is_empty() {
            return Err(RegexError::new(RegexErrorKind::MissingParen, self.whole));
        }
        let piece = std::mem::take(&mut self.group).close();
        self.check_height(&piece)?;
        Ok(Parsed {
            node: piece.node,
            height: piece.height,
            names: self.names,
        })
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn check_height(&self, piece: &Piece) -> Result<(), RegexError> {
        if piece.height > HEIGHT_MAX {
            return Err(RegexError::new(RegexErrorKind::NestingDepth, self.whole));
        }
        Ok(())
    }

    fn push(&mut self, piece: Piece) -> Result<(), RegexError> {
        self.check_height(&piece)?;
        self.group.sequence.push(piece);
        Ok(())
    }

    fn look(&mut self, look: Look, bytes: usize) -> Result<(), RegexError> {
        self.skip(bytes);
        self.push(Piece::leaf(Node::Look(look)))
    }

    fn literal(&mut self, char: char) {
        let fold = self.flags.fold;
        if let Some(Piece {
            node: Node::Literal { text, fold: same },
            run: true,
            ..
        }) = self.group.sequence.last_mut()
            && *same == fold
        {
            text.push(char);
            return;
        }
        let node = Node::Literal {
            text: char.to_string(),
            fold,
        };
        self.group.sequence.push(Piece {
            run: true,
            ..Piece::leaf(node)
        });
    }
}

/// Groups.
impl Parser<'_> {
    fn open(&mut self) -> Result<(), RegexError> {
        if self.rest.starts_with("(?") {
            return self.perl_group();
        }
        self.skip(1);
        self.names.push(String::new());
        self.enter(true, self.flags);
        Ok(())
    }

    fn enter(&mut self, capture: bool, flags: Flags) {
        let group = Group {
            capture,
            outer_flags: self.flags,
            ..Group::default()
        };
        self.groups.push(std::mem::replace(&mut self.group, group));
        self.flags = flags;
    }

    fn close(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.groups.pop() else {
            return Err(RegexError::new(RegexErrorKind::UnexpectedParen, self.whole));
        };
        self.skip(1);
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.outer_flags;
        let capture = group.capture;
        let mut piece = Piece {
            run: false,
            ..group.close()
        };
        if capture {
            piece.node = Node::Capture(Box::new(piece.node));
            piece.height += 1;
        }
        self.push(piece)
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)` or `(?flags:`.
    fn perl_group(&mut self) -> Result<(), RegexError> {
        let text = self.rest;
        let name_start = match text.as_bytes() {
            [_, _, b'P', b'<', _, ..] => 4,
            [_, _, b'<', _, ..] => 3,
            _ => return self.flag_group(),
        };
        let refuse = |part: &str| Err(RegexError::new(RegexErrorKind::InvalidNamedCapture, part));
        let Some(end) = text.find('>') else {
            return refuse(text);
        };
        let name = &text[name_start..end];
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        {
            return refuse(&text[..=end]);
        }
        self.skip(end + 1);
        self.names.push(name.to_owned());
        self.enter(true, self.flags);
        Ok(())
    }

    fn flag_group(&mut self) -> Result<(), RegexError> {
        let text = self.rest;
        let mut flags = self.flags;
        let (mut on, mut seen) = (true, false);
        let mut chars = text[2..].chars();
        while let Some(char) = chars.next() {
            match char {
                'i' => flags.fold = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' | ')' if on || seen => {
                    self.rest = chars.as_str();
                    if char == ':' {
                        self.enter(false, flags);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        Err(RegexError::new(
            RegexErrorKind::InvalidPerlSyntax,
            between(text, chars.as_str()),
        ))
    }
}
