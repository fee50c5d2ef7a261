//! `name{label="value",…}`, in an expression or alone. Nothing here recurses.

use super::{MATCHERS_MAX, Parser, Read};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{Extent, Length, Span, VectorSelector};
use crate::promql::lex::{Kind, Operator, Token, unquote, unquote_bytes};
use crate::promql::print::quote;

/// What was being read when a token did not fit, and what would have fitted: the tail of the message.
const WANT_LABEL: &str = r#" in label matching, expected identifier or "}""#;
const WANT_OPERATOR: &str = " in label matching, expected label matching operator";
const WANT_VALUE: &str = " in label matching, expected string";
const WANT_COMMA: &str = r#" in label matching, expected "," or "}""#;

/// Whether some matcher refuses the empty string, so that the selector cannot mean every series by mistake.
pub fn has_non_empty_matcher(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|m| !m.matches(""))
}

impl<'a> Parser<'a> {
    /// A selector and the end of the input.
    pub(super) fn whole_selector(&mut self) -> Read<VectorSelector> {
        self.begin()?;
        let first = self.next()?;
        if !first.kind.can_be_metric_name() && first.kind != Kind::LeftBrace {
            return Err(self.unexpected(&first));
        }
        let selector = self.selector(&first)?;
        self.expect(Kind::Eof)?;
        Ok(selector)
    }

    /// The grammar's `vector_selector`; `first` is its name or opening brace.
    pub(super) fn selector(&mut self, first: &Token<'a>) -> Read<VectorSelector> {
        if first.kind == Kind::LeftBrace {
            let (matchers, end) = self.label_matchers()?;
            return Ok(selector(None, matchers, Span::new(first.start, end)));
        }
        let (mut matchers, end) = match self.accept(Kind::LeftBrace)? {
            Some(_) => self.label_matchers()?,
            None => (Vec::new(), first.end()),
        };
        matchers.extend(self.matcher(first, MatchOp::Equal, METRIC_NAME, first.text));
        let name = Some(first.text.to_owned());
        Ok(selector(name, matchers, Span::new(first.start, end)))
    }

    /// Everything behind `{`, and the offset behind the closing brace. Commas separate, and one may come last.
    fn label_matchers(&mut self) -> Read<(Vec<Matcher>, usize)> {
        let mut matchers = Vec::new();
        let mut token = self.next()?;
        while token.kind != Kind::RightBrace {
            if matchers.len() == MATCHERS_MAX {
                let message = format!("more than {MATCHERS_MAX} label matchers");
                return Err(self.stop(token.start, message));
            }
            matchers.extend(self.label_matcher(&token)?);
            let behind = self.next()?;
            token = match behind.kind {
                Kind::Comma => self.next()?,
                Kind::RightBrace => behind,
                _ => return self.within(WANT_COMMA, |p| Err(p.unexpected(&behind))),
            };
        }
        Ok((matchers, token.end()))
    }

    /// One matcher, or a quoted metric name, that begins with `first`; `None` if it means nothing, which is noted.
    ///
    /// Each token is asked for only when the one before has been dealt with: of two mistakes Prometheus reports the
    /// one it meets first, and a bad regex counts as met before the next token is read.
    fn label_matcher(&mut self, first: &Token<'a>) -> Read<Option<Matcher>> {
        let label = match first.kind {
            Kind::Identifier => first.text.to_owned(),
            Kind::String => self.unquote(first),
            _ => return self.within(WANT_LABEL, |p| Err(p.unexpected(first))),
        };
        let operator = self.peek()?;
        let Some(op) = match_op(operator.kind) else {
            if first.kind == Kind::String {
                return Ok(self.matcher(first, MatchOp::Equal, METRIC_NAME, &label));
            }
            return self.within(WANT_OPERATOR, |p| Err(p.unexpected(&operator)));
        };
        self.next()?;
        let value = self.within(WANT_VALUE, |p| p.expect(Kind::String))?;
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            self.regexes += 1;
            if self.regexes > MATCHERS_MAX {
                let message = format!("more than {MATCHERS_MAX} regular expressions");
                return Err(self.stop(first.start, message));
            }
        }
        let value = self.unquote(&value);
        Ok(self.matcher(first, op, &label, &value))
    }

    /// Builds a matcher; a regex that does not compile is a mistake at the matcher's first token.
    fn matcher(
        &mut self,
        at: &Token<'a>,
        op: MatchOp,
        label: &str,
        value: &str,
    ) -> Option<Matcher> {
        match Matcher::within(op, label, value, self.regex_bytes_left) {
            Ok(matcher) => {
                let left = self.regex_bytes_left;
                self.regex_bytes_left = left.saturating_sub(matcher.regex_bytes());
                Some(matcher)
            }
            Err(err) => {
                self.mistake(at.start, err.to_string());
                None
            }
        }
    }

    /// What a string that names something says: names are UTF-8.
    pub(super) fn unquote(&mut self, token: &Token<'a>) -> String {
        unquote(token.text).unwrap_or_else(|err| {
            let message = format!("error unquoting string {}: {err}", quote(token.text));
            self.mistake(token.start, message);
            String::new()
        })
    }

    /// What any other string says, and its bytes where they are not UTF-8.
    pub(super) fn unquote_any(&mut self, token: &Token<'a>) -> (String, Option<Vec<u8>>) {
        let bytes = unquote_bytes(token.text).unwrap_or_else(|err| {
            let message = format!("error unquoting string {}: {err}", quote(token.text));
            self.mistake(token.start, message);
            Vec::new()
        });
        match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(err) => {
                let text = String::from_utf8_lossy(err.as_bytes()).into_owned();
                (text, Some(err.into_bytes()))
            }
        }
    }
}

fn selector(name: Option<String>, matchers: Vec<Matcher>, span: Span) -> VectorSelector {
    VectorSelector {
        name,
        matchers,
        offset: Length::ZERO,
        at: None,
        extent: Extent::Plain,
        may_match_everything: false,
        span,
    }
}

/// The comparison that an operator inside braces stands for.
fn match_op(kind: Kind) -> Option<MatchOp> {
    match kind {
        Kind::Assign => Some(MatchOp::Equal),
        Kind::Operator(Operator::NotEqual) => Some(MatchOp::NotEqual),
        Kind::Operator(Operator::EqualRegex) => Some(MatchOp::Regex),
        Kind::Operator(Operator::NotEqualRegex) => Some(MatchOp::NotRegex),
        _ => None,
    }
}
