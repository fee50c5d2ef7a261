//! The kinds of token, the table of keywords, and how Prometheus names a token in its messages.

use crate::promql::print::quote;

/// One token: what it is and the text it was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Offset of its first byte in the input.
    pub start: usize,
    /// As written; a string with its quotes.
    pub text: &'a str,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of the input.
    Eof,
    /// A word without colons that is no keyword, and every word inside braces.
    Identifier,
    /// A word with a colon.
    MetricIdentifier,
    /// A number, not yet checked: see [`number`](super::number()).
    Number,
    /// A duration, not yet checked: see [`duration`](super::duration).
    Duration,
    /// A quoted string: see [`unquote`](super::unquote).
    String,
    /// `=`
    Assign,
    /// `:` inside brackets.
    Colon,
    /// `,`
    Comma,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// An operator between two expressions, two durations, or a label and its value.
    Operator(Operator),
    /// An aggregation.
    Aggregator(Aggregator),
    /// A modifier word.
    Keyword(Keyword),
    /// A word that stands for a time or a duration of the query.
    Preprocessor(Preprocessor),
}

/// Operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its sign")]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    /// `==`
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: cuts a native histogram's upper part off.
    TrimUpper,
    /// `>/`: cuts a native histogram's lower part off.
    TrimLower,
    And,
    Or,
    Unless,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotEqualRegex,
    /// `@`
    At,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its word")]
pub enum Aggregator {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Limitk,
    LimitRatio,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

/// Modifier words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its word")]
pub enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// Words that stand for a time or a duration of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its word")]
pub enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

/// Every word with a meaning of its own; case does not count.
const KEYWORDS: [(&str, Kind); 39] = [
    ("and", Kind::Operator(Operator::And)),
    ("or", Kind::Operator(Operator::Or)),
    ("unless", Kind::Operator(Operator::Unless)),
    ("atan2", Kind::Operator(Operator::Atan2)),
    ("sum", Kind::Aggregator(Aggregator::Sum)),
    ("avg", Kind::Aggregator(Aggregator::Avg)),
    ("count", Kind::Aggregator(Aggregator::Count)),
    ("min", Kind::Aggregator(Aggregator::Min)),
    ("max", Kind::Aggregator(Aggregator::Max)),
    ("group", Kind::Aggregator(Aggregator::Group)),
    ("stddev", Kind::Aggregator(Aggregator::Stddev)),
    ("stdvar", Kind::Aggregator(Aggregator::Stdvar)),
    ("topk", Kind::Aggregator(Aggregator::Topk)),
    ("bottomk", Kind::Aggregator(Aggregator::Bottomk)),
    ("count_values", Kind::Aggregator(Aggregator::CountValues)),
    ("quantile", Kind::Aggregator(Aggregator::Quantile)),
    ("limitk", Kind::Aggregator(Aggregator::Limitk)),
    ("limit_ratio", Kind::Aggregator(Aggregator::LimitRatio)),
    ("offset", Kind::Keyword(Keyword::Offset)),
    ("smoothed", Kind::Keyword(Keyword::Smoothed)),
    ("anchored", Kind::Keyword(Keyword::Anchored)),
    ("by", Kind::Keyword(Keyword::By)),
    ("without", Kind::Keyword(Keyword::Without)),
    ("on", Kind::Keyword(Keyword::On)),
    ("ignoring", Kind::Keyword(Keyword::Ignoring)),
    ("group_left", Kind::Keyword(Keyword::GroupLeft)),
    ("group_right", Kind::Keyword(Keyword::GroupRight)),
    ("fill", Kind::Keyword(Keyword::Fill)),
    ("fill_left", Kind::Keyword(Keyword::FillLeft)),
    ("fill_right", Kind::Keyword(Keyword::FillRight)),
    ("bool", Kind::Keyword(Keyword::Bool)),
    ("start", Kind::Preprocessor(Preprocessor::Start)),
    ("end", Kind::Preprocessor(Preprocessor::End)),
    ("step", Kind::Preprocessor(Preprocessor::Step)),
    ("range", Kind::Preprocessor(Preprocessor::Range)),
    ("max_of", Kind::Preprocessor(Preprocessor::MaxOf)),
    ("min_of", Kind::Preprocessor(Preprocessor::MinOf)),
    ("inf", Kind::Number),
    ("nan", Kind::Number),
];

/// The meaning of a word, `None` when it is a plain name.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    KEYWORDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, kind)| *kind)
}

/// The kind of a word that is no keyword.
pub(super) fn name_kind(word: &str) -> Kind {
    if word.contains(':') {
        Kind::MetricIdentifier
    } else {
        Kind::Identifier
    }
}

/// Whether a word of the old charset, standing bare where an expression begins, is read as a metric name. Most keywords
/// are: `sum`, `by`, `start`; `on`, `bool`, `inf` and a few others are not.
pub(crate) fn names_a_metric(word: &str) -> bool {
    match keyword(word) {
        // Without a parenthesis behind them these are plain words.
        Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) | None => true,
        Some(kind) => kind.can_be_metric_name(),
    }
}

impl Kind {
    /// Whether the grammar takes this token as a metric name (`metric_identifier` in `generated_parser.y`).
    pub fn can_be_metric_name(self) -> bool {
        match self {
            Kind::Identifier
            | Kind::MetricIdentifier
            | Kind::Aggregator(_)
            | Kind::Preprocessor(_) => true,
            Kind::Operator(operator) => {
                matches!(operator, Operator::And | Operator::Or | Operator::Unless)
            }
            Kind::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool
                    | Keyword::GroupLeft
                    | Keyword::GroupRight
                    | Keyword::Ignoring
                    | Keyword::On
            ),
            _ => false,
        }
    }
}

impl Aggregator {
    /// The word, in small letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Aggregator::Avg => "avg",
            Aggregator::Bottomk => "bottomk",
            Aggregator::Count => "count",
            Aggregator::CountValues => "count_values",
            Aggregator::Group => "group",
            Aggregator::Limitk => "limitk",
            Aggregator::LimitRatio => "limit_ratio",
            Aggregator::Max => "max",
            Aggregator::Min => "min",
            Aggregator::Quantile => "quantile",
            Aggregator::Stddev => "stddev",
            Aggregator::Stdvar => "stdvar",
            Aggregator::Sum => "sum",
            Aggregator::Topk => "topk",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Aggregator::Bottomk
                | Aggregator::CountValues
                | Aggregator::Limitk
                | Aggregator::LimitRatio
                | Aggregator::Quantile
                | Aggregator::Topk
        )
    }

    /// Whether it is allowed only with `promql-experimental-functions`.
    pub fn is_experimental(self) -> bool {
        matches!(self, Aggregator::Limitk | Aggregator::LimitRatio)
    }
}

impl Token<'_> {
    /// The offset just behind the token.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The token as Prometheus names it behind "unexpected": `end of input`, `<op:->`, `identifier "foo"`, `"("`.
    pub fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(self.text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(self.text)),
            Kind::String => format!("string {}", shorten(self.text)),
            Kind::Number => format!("number {}", shorten(self.text)),
            Kind::Duration => format!("duration {}", shorten(self.text)),
            Kind::Keyword(_) => format!("<{}>", self.text),
            Kind::Operator(_) => format!("<op:{}>", self.text),
            Kind::Aggregator(_) => format!("<aggr:{}>", self.text),
            _ => shorten(self.text),
        }
    }
}

/// Quoted; of more than ten bytes only the first ten characters.
fn shorten(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(i, _)| i);
    format!("{}...", quote(&text[..end]))
}
