//! Tree to plan.

use super::{Aggregate, Binary, Call, Kind, Node, Plan, Selector, Subquery, reach};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{self, Aggregator, At, Expr, Length, Span};
use crate::query::binary::arithmetic;
use crate::query::error::QueryError;
use crate::query::functions;
use crate::query::value::Grid;

/// What a plan depends on beside the query's text.
#[derive(Clone, Copy, Debug)]
pub(in crate::query) struct Context {
    /// First and last time of the query, in milliseconds.
    pub(in crate::query) start: i64,
    pub(in crate::query) end: i64,
    /// The distance of its times; 0 in an instant query.
    pub(in crate::query) step: i64,
    /// How old the newest sample of a series may be.
    pub(in crate::query) lookback_ms: i64,
    /// The step of subqueries that have none.
    pub(in crate::query) subquery_step_ms: i64,
}

/// Makes the plan of a tree whose durations are resolved.
pub(in crate::query) fn lower(expr: &Expr, context: Context) -> Result<Plan, QueryError> {
    let mut lowering = Lowering {
        context,
        selectors: vec![],
    };
    let root = lowering.node(expr)?;
    let mut plan = Plan {
        root,
        selectors: lowering.selectors,
        grid: Grid::new(context.start, context.end, context.step),
    };
    reach::find(&mut plan, context.lookback_ms);
    Ok(plan)
}

struct Lowering {
    context: Context,
    selectors: Vec<Selector>,
}

/// Functions that give other values at other times though their arguments are the same.
const TIMED: [&str; 13] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "info",
    "minute",
    "month",
    "predict_linear",
    "start_timestamp",
    "time",
    "timestamp",
    "year",
];

impl Lowering {
    fn node(&mut self, expr: &Expr) -> Result<Node, QueryError> {
        let node = match expr {
            Expr::Number(number) => constant(number.value, number.span),
            Expr::String(text) => Node {
                kind: Kind::Text(text.value.clone(), text.bytes.clone()),
                span: text.span,
                invariant: true,
            },
            Expr::Vector(selector) => {
                let at = self.selector(selector, 0, selector.span)?;
                self.selected(Kind::Instant(at), at, selector.span)
            }
            Expr::Matrix(matrix) => {
                let range = millis(&matrix.range)?;
                let at = self.selector(&matrix.selector, range, matrix.span)?;
                self.selected(Kind::Range(at), at, matrix.span)
            }
            Expr::Subquery(subquery) => self.subquery(subquery)?,
            Expr::Call(call) => self.call(call)?,
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Expr::Binary(binary) => self.binary(binary)?,
            Expr::Unary(unary) => self.unary(unary)?,
            // Annotations point at what stands inside.
            Expr::Paren(paren) => self.node(&paren.expr)?,
        };
        Ok(node)
    }

    fn selected(&self, kind: Kind, at: usize, span: Span) -> Node {
        Node {
            kind,
            span,
            invariant: self.selectors[at].at.is_some(),
        }
    }

    fn selector(
        &mut self,
        selector: &ast::VectorSelector,
        range_ms: i64,
        span: Span,
    ) -> Result<usize, QueryError> {
        self.selectors.push(Selector {
            matchers: selector.matchers.clone(),
            range_ms,
            offset_ms: millis(&selector.offset)?,
            at: self.at(selector.at),
            extent: selector.extent,
            reach: None,
            step_ms: 0,
            function: None,
            grouping: vec![],
            without: false,
            span,
        });
        Ok(self.selectors.len() - 1)
    }

    fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Timestamp(time) => time,
            At::Start => self.context.start,
            At::End => self.context.end,
        })
    }

    fn subquery(&mut self, subquery: &ast::Subquery) -> Result<Node, QueryError> {
        let at = self.at(subquery.at);
        let step = subquery.step.as_ref().map(millis).transpose()?;
        let step_ms = step
            .filter(|step| *step > 0)
            .unwrap_or(self.context.subquery_step_ms);
        Ok(Node {
            kind: Kind::Subquery(Box::new(Subquery {
                inner: self.node(&subquery.expr)?,
                range_ms: millis(&subquery.range)?,
                step_ms: step_ms.max(1),
                offset_ms: millis(&subquery.offset)?,
                at,
            })),
            span: subquery.span,
            invariant: at.is_some(),
        })
    }

    fn call(&mut self, call: &ast::Call) -> Result<Node, QueryError> {
        let name = call.function.name;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let known = match name {
            "start" => Some(seconds(self.context.start)),
            "end" => Some(seconds(self.context.end)),
            "range" => Some(seconds(self.context.end - self.context.start)),
            "step" => Some(seconds(self.context.step)),
            "pi" => Some(std::f64::consts::PI),
            _ => None,
        };
        if let Some(value) = known {
            return Ok(constant(value, call.span));
        }
        let run = functions::implementation(name).ok_or_else(|| {
            QueryError::internal(format!("function {name} has no implementation"))
        })?;
        let is_info = name == "info";
        let taken = if is_info { 1 } else { call.args.len() };
        let mut args = Vec::with_capacity(taken);
        for arg in &call.args[..taken] {
            let arg = self.node(arg)?;
            self.hint(&arg, name, &[], false);
            args.push(arg);
        }
        let info = if is_info {
            Some(self.info_selector(call, &args[0]))
        } else {
            None
        };
        let invariant = !TIMED.contains(&name) && args.iter().all(|arg| arg.invariant);
        Ok(Node {
            kind: Kind::Call(Call {
                name,
                run,
                returns: call.function.returns,
                args,
                info,
                span: call.span,
            }),
            span: call.span,
            invariant,
        })
    }

    /// The series whose labels `info` adds: those the second argument names, by default `target_info`, at the time of
    /// the first selector of the first argument.
    fn info_selector(&mut self, call: &ast::Call, base: &Node) -> usize {
        let name = |op, value: &str| {
            Matcher::new(op, METRIC_NAME, value).expect("a constant pattern compiles")
        };
        let mut matchers = match call.args.get(1).map(Expr::unparenthesised) {
            Some(Expr::Vector(selector)) => selector.matchers.clone(),
            _ => vec![],
        };
        if !matchers.iter().any(|m| m.name() == METRIC_NAME) {
            matchers.push(name(MatchOp::Equal, "target_info"));
        } else if !matchers
            .iter()
            .any(|m| m.name() == METRIC_NAME && matches!(m.op(), MatchOp::Equal | MatchOp::Regex))
        {
            matchers.push(name(MatchOp::Regex, ".+_info"));
        }
        let (at, offset_ms) = reference(base, &self.selectors, (None, 0)).unwrap_or((None, 0));
        self.selectors.push(Selector {
            matchers,
            range_ms: 0,
            offset_ms,
            at,
            extent: ast::Extent::Plain,
            reach: None,
            step_ms: 0,
            function: Some("info"),
            grouping: vec![],
            without: false,
            span: call.span,
        });
        self.selectors.len() - 1
    }

    /// Tells a selector right below what is done with it.
    fn hint(&mut self, node: &Node, function: &'static str, grouping: &[String], without: bool) {
        if let Kind::Instant(at) | Kind::Range(at) = node.kind {
            let selector = &mut self.selectors[at];
            selector.function = Some(function);
            selector.grouping = grouping.to_vec();
            selector.without = without;
        }
    }

    fn aggregate(&mut self, aggregate: &ast::Aggregate) -> Result<Node, QueryError> {
        let inner = self.node(&aggregate.expr)?;
        let param = aggregate
            .param
            .as_ref()
            .map(|param| self.node(param))
            .transpose()?;
        let mut grouping = aggregate.grouping.clone();
        if aggregate.op == Aggregator::CountValues && !aggregate.without {
            // The label that holds the value is one of those that are kept.
            grouping.extend(param.as_ref().map(|param| param.text().to_owned()));
        }
        grouping.sort_unstable();
        grouping.dedup();
        self.hint(&inner, aggregate.op.as_str(), &grouping, aggregate.without);
        let invariant = inner.invariant && param.as_ref().is_none_or(|param| param.invariant);
        Ok(Node {
            kind: Kind::Aggregate(Box::new(Aggregate {
                op: aggregate.op,
                inner,
                param,
                grouping,
                without: aggregate.without,
            })),
            span: aggregate.span,
            invariant,
        })
    }

    fn binary(&mut self, binary: &ast::Binary) -> Result<Node, QueryError> {
        let left = self.node(&binary.lhs)?;
        let right = self.node(&binary.rhs)?;
        if let (Kind::Number(a), Kind::Number(b)) = (&left.kind, &right.kind) {
            return Ok(constant(arithmetic(binary.op, *a, *b), binary.span));
        }
        let invariant = left.invariant && right.invariant;
        Ok(Node {
            kind: Kind::Binary(Box::new(Binary {
                op: binary.op,
                left,
                right,
                matching: binary.matching.clone(),
                return_bool: binary.return_bool,
                span: binary.span,
            })),
            span: binary.span,
            invariant,
        })
    }

    fn unary(&mut self, unary: &ast::Unary) -> Result<Node, QueryError> {
        let inner = self.node(&unary.expr)?;
        let span = unary.span;
        let invariant = inner.invariant;
        Ok(match (&inner.kind, unary.negative) {
            (Kind::Number(value), true) => constant(-value, span),
            (_, false) => Node { span, ..inner },
            (_, true) => Node {
                kind: Kind::Negate(Box::new(inner)),
                span,
                invariant,
            },
        })
    }
}

fn constant(value: f64, span: Span) -> Node {
    Node {
        kind: Kind::Number(value),
        span,
        invariant: true,
    }
}

/// A length of time, in milliseconds.
fn millis(length: &Length) -> Result<i64, QueryError> {
    match length {
        Length::Millis(ms) => Ok(*ms),
        Length::Computed(_) => Err(QueryError::internal(
            "a duration expression was not resolved before planning".to_owned(),
        )),
    }
}

/// `@` and offset of the first selector in `node`, seen from outside of all subqueries.
fn reference(
    node: &Node,
    selectors: &[Selector],
    outer: (Option<i64>, i64),
) -> Option<(Option<i64>, i64)> {
    let within = |at: Option<i64>, offset: i64| match at {
        Some(at) => (Some(at), offset),
        None => (outer.0, outer.1 + offset),
    };
    match &node.kind {
        Kind::Number(_) | Kind::Text(..) => None,
        Kind::Instant(at) | Kind::Range(at) => {
            let selector = &selectors[*at];
            Some(within(selector.at, selector.offset_ms))
        }
        Kind::Subquery(subquery) => reference(
            &subquery.inner,
            selectors,
            within(subquery.at, subquery.offset_ms),
        ),
        Kind::Call(call) => call
            .args
            .iter()
            .find_map(|arg| reference(arg, selectors, outer)),
        Kind::Aggregate(aggregate) => reference(&aggregate.inner, selectors, outer),
        Kind::Binary(binary) => reference(&binary.left, selectors, outer)
            .or_else(|| reference(&binary.right, selectors, outer)),
        Kind::Negate(inner) => reference(inner, selectors, outer),
    }
}
