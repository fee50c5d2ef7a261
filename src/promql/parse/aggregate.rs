//! `sum by (a) (foo)`, `sum(foo) by (a)`, `topk(5, foo)`.

use super::{Built, Parser, Read};
use crate::promql::ast::{Aggregate, Aggregator, Expr, NumberLiteral, Span};
use crate::promql::features::Feature;
use crate::promql::lex::{Keyword, Kind, Token};

/// The labels of `by` or `without`, and which of the two it was.
#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

impl<'a> Parser<'a> {
    /// An aggregation whose word has been read, with its arguments or labels still to come.
    pub(super) fn aggregate(&mut self, word: &Token<'a>, op: Aggregator) -> Read<Built> {
        self.within(" in aggregation", |p| {
            let before = p.aggregate_grouping()?;
            let (args, end) = p.arguments()?;
            let (grouping, end) = match before {
                Some((grouping, _)) => (grouping, end),
                None => p
                    .aggregate_grouping()?
                    .unwrap_or((Grouping::default(), end)),
            };
            p.finish_aggregate(Span::new(word.start, end), op, grouping, args)
        })
    }

    /// `by (…)` or `without (…)`, if it stands here, and the offset behind.
    fn aggregate_grouping(&mut self) -> Read<Option<(Grouping, usize)>> {
        let without = match self.peek()?.kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        let (labels, end) = self.grouping_labels()?;
        Ok(Some((Grouping { labels, without }, end)))
    }

    fn finish_aggregate(
        &mut self,
        span: Span,
        op: Aggregator,
        grouping: Grouping,
        args: Vec<Built>,
    ) -> Read<Built> {
        self.check_arguments(span, op, args.len());
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let height = self.above(span.start, height)?;
        let mut args = args.into_iter().map(|arg| arg.expr);
        let param = if op.has_param() { args.next() } else { None };
        // Without an argument there is a mistake, and nobody sees the tree.
        let expr = args.next().unwrap_or_else(|| Box::new(nothing(span)));
        let aggregate = Aggregate {
            op,
            expr,
            param,
            grouping: grouping.labels,
            without: grouping.without,
            span,
        };
        Ok(Built {
            expr: Box::new(Expr::Aggregate(aggregate)),
            height,
        })
    }

    fn check_arguments(&mut self, span: Span, op: Aggregator, count: usize) {
        let wanted = 1 + usize::from(op.has_param());
        let message = if count == 0 {
            "no arguments for aggregate expression provided".to_owned()
        } else if op.is_experimental() && !self.has(Feature::ExperimentalFunctions) {
            format!(
                "{}() is experimental and must be enabled with --enable-feature={}",
                op.as_str(),
                Feature::ExperimentalFunctions.name()
            )
        } else if count != wanted {
            format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}"
            )
        } else {
            return;
        };
        self.mistake(span.start, message);
    }
}

fn nothing(span: Span) -> Expr {
    Expr::Number(NumberLiteral {
        value: 0.0,
        is_duration: false,
        span,
    })
}
