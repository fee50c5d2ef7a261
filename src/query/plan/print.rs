//! A plan as one readable line, for people and for tests of what rewrites plans.

use std::fmt;

use super::{Kind, Node, Plan, Selector};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{Cardinality, Extent, VectorMatching};
use crate::query::annotate::general;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer(&self.selectors).node(f, &self.root)
    }
}

struct Printer<'a>(&'a [Selector]);

impl Printer<'_> {
    /// `once(…)` stands around what is evaluated for the first step only.
    fn node(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        let plain = matches!(node.kind, Kind::Number(_) | Kind::Text(..));
        if node.invariant && !plain {
            f.write_str("once(")?;
            self.inner(f, node)?;
            return f.write_str(")");
        }
        self.inner(f, node)
    }

    fn inner(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        match &node.kind {
            Kind::Number(value) => f.write_str(&general(*value)),
            Kind::Text(text, _) => write!(f, "{}", crate::model::quote::quoted(text)),
            Kind::Instant(at) | Kind::Range(at) => selector(f, &self.0[*at]),
            Kind::Subquery(subquery) => {
                self.node(f, &subquery.inner)?;
                write!(f, "[{}:{}]", Ms(subquery.range_ms), Ms(subquery.step_ms))?;
                times(f, subquery.offset_ms, subquery.at)
            }
            Kind::Call(call) => {
                write!(f, "{}(", call.name)?;
                self.list(f, &call.args)?;
                if let Some(info) = call.info {
                    f.write_str(", ")?;
                    selector(f, &self.0[info])?;
                }
                f.write_str(")")
            }
            Kind::Aggregate(aggregate) => {
                f.write_str(aggregate.op.as_str())?;
                if aggregate.without || !aggregate.grouping.is_empty() {
                    let word = if aggregate.without { "without" } else { "by" };
                    write!(f, " {word} ({}) ", aggregate.grouping.join(", "))?;
                }
                f.write_str("(")?;
                if let Some(param) = &aggregate.param {
                    self.node(f, param)?;
                    f.write_str(", ")?;
                }
                self.node(f, &aggregate.inner)?;
                f.write_str(")")
            }
            Kind::Binary(binary) => {
                f.write_str("(")?;
                self.node(f, &binary.left)?;
                write!(f, " {}", binary.op.as_str())?;
                if binary.return_bool {
                    f.write_str(" bool")?;
                }
                if let Some(how) = &binary.matching {
                    matching(f, how)?;
                }
                f.write_str(" ")?;
                self.node(f, &binary.right)?;
                f.write_str(")")
            }
            Kind::Negate(inner) => {
                f.write_str("-")?;
                self.node(f, inner)
            }
        }
    }

    fn list(&self, f: &mut fmt::Formatter<'_>, nodes: &[Node]) -> fmt::Result {
        for (at, node) in nodes.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            self.node(f, node)?;
        }
        Ok(())
    }
}

fn selector(f: &mut fmt::Formatter<'_>, selector: &Selector) -> fmt::Result {
    let name = selector.fixed_name();
    f.write_str(name.unwrap_or(""))?;
    let is_name =
        |m: &&Matcher| name.is_some() && m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
    let rest: Vec<String> = selector
        .matchers
        .iter()
        .filter(|m| !is_name(m))
        .map(ToString::to_string)
        .collect();
    if !rest.is_empty() || name.is_none() {
        write!(f, "{{{}}}", rest.join(","))?;
    }
    if selector.range_ms > 0 {
        write!(f, "[{}]", Ms(selector.range_ms))?;
    }
    times(f, selector.offset_ms, selector.at)?;
    match selector.extent {
        Extent::Plain => Ok(()),
        Extent::Anchored => f.write_str(" anchored"),
        Extent::Smoothed => f.write_str(" smoothed"),
    }
}

fn times(f: &mut fmt::Formatter<'_>, offset_ms: i64, at: Option<i64>) -> fmt::Result {
    if offset_ms != 0 {
        write!(f, " offset {}", Ms(offset_ms))?;
    }
    match at {
        Some(at) => write!(f, " @ {}", Ms(at)),
        None => Ok(()),
    }
}

fn matching(f: &mut fmt::Formatter<'_>, how: &VectorMatching) -> fmt::Result {
    if how.on || !how.labels.is_empty() {
        let word = if how.on { "on" } else { "ignoring" };
        write!(f, " {word} ({})", how.labels.join(", "))?;
    }
    match how.card {
        Cardinality::ManyToOne => write!(f, " group_left ({})", how.include.join(", "))?,
        Cardinality::OneToMany => write!(f, " group_right ({})", how.include.join(", "))?,
        Cardinality::OneToOne | Cardinality::ManyToMany => {}
    }
    for (side, fill) in [("left", how.fill_left), ("right", how.fill_right)] {
        if let Some(value) = fill {
            write!(f, " fill_{side} ({})", general(value))?;
        }
    }
    Ok(())
}

/// Milliseconds, written as seconds with as many decimals as needed.
struct Ms(i64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0 as f64 / 1000.0)
    }
}
