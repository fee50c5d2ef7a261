//! Query text to tokens, for the whole language.
//!
//! What a character means depends on where it stands: inside braces every word is a label name, inside brackets only
//! numbers, durations and their arithmetic are read. The lexer therefore carries that much state, as Prometheus' own
//! does, and so it also finds the same mistakes at the same place with the same words (`promql/parser/lex.go`).
//! Positions are bytes. Nothing here recurses, and every token borrows from the input.

mod number;
mod text;
mod token;

pub use number::{duration, number};
pub use text::{unquote, unquote_bytes};
pub use token::{Aggregator, Keyword, Kind, Operator, Preprocessor, Token};

use crate::promql::print::{quote, quote_char};
pub(crate) use token::names_a_metric;

/// A place where the text cannot be cut into tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Offset in bytes where the unreadable token begins.
    pub at: usize,
    /// What is wrong, in Prometheus' words.
    pub message: String,
}

/// Cuts a query into tokens, one per call of [`Lexer::next_token`].
#[derive(Debug)]
pub struct Lexer<'a> {
    input: &'a str,
    /// Where the token being read begins.
    start: usize,
    /// The next byte to read; always between two characters.
    pos: usize,
    mode: Mode,
    open_parens: usize,
    in_brackets: bool,
    /// A `:` was read since the last `[`.
    colon_seen: bool,
    /// A number or duration was read inside some brackets. Prometheus never clears it, so neither do we.
    duration_seen: bool,
}

/// Which rules apply to the next character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The general rules.
    Statement,
    /// Between `{` and `}`.
    Braces,
    /// Just behind `[`, until the first number or duration.
    Duration,
    /// The end or an error was met: only [`Kind::Eof`] follows.
    Ended,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `input`.
    pub fn new(input: &'a str) -> Self {
        Lexer {
            input,
            start: 0,
            pos: 0,
            mode: Mode::Statement,
            open_parens: 0,
            in_brackets: false,
            colon_seen: false,
            duration_seen: false,
        }
    }

    /// The next token; blanks and comments are skipped. At the end, and after an error, [`Kind::Eof`] again and again.
    pub fn next_token(&mut self) -> Result<Token<'a>, LexError> {
        self.skip_blanks();
        self.start = self.pos;
        match self.mode {
            Mode::Ended => Ok(self.token(Kind::Eof)),
            Mode::Duration => self.duration_token(),
            Mode::Braces => self.brace_token(),
            Mode::Statement => self.statement_token(),
        }
    }

    /// Outside braces, and inside brackets behind the first number.
    fn statement_token(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return self.end();
        };
        let kind = match c {
            ',' => Kind::Comma,
            '*' => Kind::Operator(Operator::Mul),
            '/' => Kind::Operator(Operator::Div),
            '%' => Kind::Operator(Operator::Mod),
            '+' => Kind::Operator(Operator::Add),
            '-' => Kind::Operator(Operator::Sub),
            '^' => Kind::Operator(Operator::Pow),
            '@' => Kind::Operator(Operator::At),
            '=' | '!' | '<' | '>' => return self.comparison(c),
            '0'..='9' => return self.number_token(),
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                return self.number_token();
            }
            '"' | '\'' | '`' => return self.string_token(c),
            ':' if self.in_brackets => return self.colon(),
            c if is_word_start(c) && self.in_brackets => return self.bracket_word(c),
            c if is_word_start(c) || c == ':' => return Ok(self.word()),
            '(' | ')' => return self.paren(c),
            '{' => {
                self.mode = Mode::Braces;
                Kind::LeftBrace
            }
            '[' | ']' => return self.bracket(c),
            c => return self.fail(format!("unexpected character: {}", quote_char(Some(c)))),
        };
        Ok(self.token(kind))
    }

    /// Inside braces: words are names, never keywords.
    fn brace_token(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input inside braces");
        };
        let kind = match c {
            ',' => Kind::Comma,
            '"' | '\'' | '`' => return self.string_token(c),
            '=' if self.accept(|c| c == '~') => Kind::Operator(Operator::EqualRegex),
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('~') => Kind::Operator(Operator::NotEqualRegex),
                Some('=') => Kind::Operator(Operator::NotEqual),
                other => {
                    let shown = quote_char(other);
                    return self.fail(format!(
                        "unexpected character after '!' inside braces: {shown}"
                    ));
                }
            },
            '{' => return self.fail("unexpected left brace '{'"),
            '}' => {
                self.mode = Mode::Statement;
                Kind::RightBrace
            }
            c if is_word_start(c) => {
                self.accept_while(is_word);
                Kind::Identifier
            }
            c => {
                return self.fail(format!(
                    "unexpected character inside braces: {}",
                    quote_char(Some(c))
                ));
            }
        };
        Ok(self.token(kind))
    }

    /// Just behind `[`: arithmetic on durations, up to and including the first number.
    fn duration_token(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input in duration expression");
        };
        let kind = match c {
            '+' => Kind::Operator(Operator::Add),
            '-' => Kind::Operator(Operator::Sub),
            '*' => Kind::Operator(Operator::Mul),
            '/' => Kind::Operator(Operator::Div),
            '%' => Kind::Operator(Operator::Mod),
            '^' => Kind::Operator(Operator::Pow),
            ',' => Kind::Comma,
            '(' | ')' => return self.paren(c),
            ']' => {
                self.in_brackets = false;
                self.colon_seen = false;
                self.mode = Mode::Statement;
                Kind::RightBracket
            }
            ':' => return self.early_colon(),
            '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                return self.bad_duration(c);
            }
            '0'..='9' | '.' => {
                self.duration_seen = true;
                self.mode = Mode::Statement;
                return self.number_token();
            }
            c => match self.duration_word(c) {
                Some(kind) => kind,
                None => return self.bad_duration(c),
            },
        };
        Ok(self.token(kind))
    }

    fn bad_duration(&mut self, c: char) -> Result<Token<'a>, LexError> {
        self.fail(format!(
            "unexpected character in duration expression: {}",
            quote_char(Some(c))
        ))
    }

    /// The end of input, which no open parenthesis or bracket may see.
    fn end(&mut self) -> Result<Token<'a>, LexError> {
        if self.open_parens > 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.in_brackets {
            return self.fail("unclosed left bracket");
        }
        self.mode = Mode::Ended;
        Ok(self.token(Kind::Eof))
    }

    /// `= == != < <= </ > >= >/`; the regex operators exist inside braces only.
    fn comparison(&mut self, first: char) -> Result<Token<'a>, LexError> {
        let operator = match (first, self.peek()) {
            ('=', Some('=')) => Operator::Equal,
            ('=', Some('~')) => return self.fail("unexpected character after '=': '~'"),
            ('=', _) => return Ok(self.token(Kind::Assign)),
            ('!', Some('=')) => Operator::NotEqual,
            ('!', other) => {
                let shown = quote_char(other);
                return self.fail(format!("unexpected character after '!': {shown}"));
            }
            ('<', Some('=')) => Operator::LessEqual,
            ('<', Some('/')) => Operator::TrimUpper,
            ('<', _) => return Ok(self.token(Kind::Operator(Operator::Less))),
            (_, Some('=')) => Operator::GreaterEqual,
            (_, Some('/')) => Operator::TrimLower,
            (_, _) => return Ok(self.token(Kind::Operator(Operator::Greater))),
        };
        self.bump();
        Ok(self.token(Kind::Operator(operator)))
    }

    fn paren(&mut self, c: char) -> Result<Token<'a>, LexError> {
        if c == '(' {
            self.open_parens += 1;
            return Ok(self.token(Kind::LeftParen));
        }
        match self.open_parens.checked_sub(1) {
            Some(left) => {
                self.open_parens = left;
                Ok(self.token(Kind::RightParen))
            }
            None => self.fail_behind("unexpected right parenthesis ')'"),
        }
    }

    fn bracket(&mut self, c: char) -> Result<Token<'a>, LexError> {
        match (c, self.in_brackets) {
            ('[', true) => self.fail("unexpected left bracket '['"),
            ('[', false) => {
                self.in_brackets = true;
                self.colon_seen = false;
                self.mode = Mode::Duration;
                Ok(self.token(Kind::LeftBracket))
            }
            (_, false) => self.fail("unexpected right bracket ']'"),
            (_, true) => {
                self.in_brackets = false;
                Ok(self.token(Kind::RightBracket))
            }
        }
    }

    /// The `:` of a subquery, behind its range.
    fn colon(&mut self) -> Result<Token<'a>, LexError> {
        if self.colon_seen {
            return self.fail("unexpected colon ':'");
        }
        self.colon_seen = true;
        Ok(self.token(Kind::Colon))
    }

    /// A `:` before any number of these brackets.
    fn early_colon(&mut self) -> Result<Token<'a>, LexError> {
        if !self.duration_seen {
            return self.fail_behind("unexpected colon before duration in duration expression");
        }
        if self.colon_seen {
            return self.fail_behind("unexpected repeated colon in duration expression");
        }
        self.colon_seen = true;
        Ok(self.token(Kind::Colon))
    }

    /// A word inside brackets behind the first number; `c` is its first character.
    fn bracket_word(&mut self, c: char) -> Result<Token<'a>, LexError> {
        match self.duration_word(c) {
            Some(kind) => Ok(self.token(kind)),
            None => self.fail(format!(
                "unexpected character: {}, expected ':'",
                quote_char(Some(c))
            )),
        }
    }

    /// `step`, `range`, `min_of` or `max_of` in any case; `c` is the first character, which has been read.
    fn duration_word(&mut self, c: char) -> Option<Kind> {
        if !is_word_start(c) {
            return None;
        }
        self.accept_while(is_word_start);
        match token::keyword(self.text()) {
            Some(
                kind @ Kind::Preprocessor(
                    Preprocessor::Step
                    | Preprocessor::Range
                    | Preprocessor::MinOf
                    | Preprocessor::MaxOf,
                ),
            ) => Some(kind),
            _ => None,
        }
    }

    /// A name or keyword; its first character has been read.
    fn word(&mut self) -> Token<'a> {
        self.accept_while(|c| is_word(c) || c == ':');
        let kind = match token::keyword(self.text()) {
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.before_paren() =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None => token::name_kind(self.text()),
        };
        self.token(kind)
    }

    /// Whether the next character that is no blank is `(`: the fill words are keywords only then.
    fn before_paren(&self) -> bool {
        self.input[self.pos..]
            .trim_start_matches(is_blank)
            .starts_with('(')
    }

    fn string_token(&mut self, quote: char) -> Result<Token<'a>, LexError> {
        match text::scan(&self.input[self.pos..], quote) {
            Ok(len) => {
                self.pos += len;
                Ok(self.token(Kind::String))
            }
            Err(message) => self.fail(message),
        }
    }

    fn number_token(&mut self) -> Result<Token<'a>, LexError> {
        let (len, kind) = number::scan(&self.input[self.start..]);
        self.pos = self.start + len;
        if let Some(kind) = kind {
            return Ok(self.token(kind));
        }
        let shown = quote(self.text());
        self.fail(format!("bad number or duration syntax: {shown}"))
    }

    /// Comments are unknown between `[` and the first number behind it.
    fn skip_blanks(&mut self) {
        loop {
            self.accept_while(is_blank);
            let comments = matches!(self.mode, Mode::Statement | Mode::Braces);
            if !comments || !self.accept(|c| c == '#') {
                return;
            }
            self.accept_while(|c| c != '\n' && c != '\r');
        }
    }

    fn peek(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().filter(|c| wanted(*c));
        self.pos += found.map_or(0, char::len_utf8);
        found.is_some()
    }

    fn accept_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn text(&self) -> &'a str {
        &self.input[self.start..self.pos]
    }

    fn token(&self, kind: Kind) -> Token<'a> {
        Token {
            kind,
            start: self.start,
            text: self.text(),
        }
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T, LexError> {
        self.mode = Mode::Ended;
        Err(LexError {
            at: self.start,
            message: message.into(),
        })
    }

    /// Like [`Lexer::fail`], for the characters that Prometheus has already handed out when it notices.
    fn fail_behind<T>(&mut self, message: &str) -> Result<T, LexError> {
        self.start = self.pos;
        self.fail(message)
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests;
