//! How far each selector reaches: range, offset, lookback, through subqueries and `@`.

use super::{Kind, Node, Plan, Selector};
use crate::promql::ast::Extent;
use crate::query::value::Grid;

/// Finds the reach of all selectors of a plan.
pub(super) fn find(plan: &mut Plan, lookback_ms: i64) {
    let mut walk = Walk {
        selectors: &mut plan.selectors,
        lookback_ms,
    };
    walk.node(&plan.root, plan.grid);
}

struct Walk<'a> {
    selectors: &'a mut [Selector],
    lookback_ms: i64,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, grid: Grid) {
        if grid.steps == 0 {
            return;
        }
        match &node.kind {
            Kind::Number(_) | Kind::Text(..) => {}
            Kind::Instant(at) | Kind::Range(at) => self.selector(*at, grid),
            Kind::Subquery(subquery) => self.node(&subquery.inner, subquery_grid(subquery, grid)),
            Kind::Call(call) => {
                for arg in &call.args {
                    self.node(arg, grid);
                }
                if let Some(info) = call.info {
                    self.selector(info, grid);
                }
            }
            Kind::Aggregate(aggregate) => {
                self.node(&aggregate.inner, grid);
                if let Some(param) = &aggregate.param {
                    self.node(param, grid);
                }
            }
            Kind::Binary(binary) => {
                self.node(&binary.left, grid);
                self.node(&binary.right, grid);
            }
            Kind::Negate(inner) => self.node(inner, grid),
        }
    }

    fn selector(&mut self, at: usize, grid: Grid) {
        let lookback = self.lookback_ms;
        let selector = &mut self.selectors[at];
        let (first, last) = (selector.shifted(grid.start), selector.shifted(grid.end()));
        let back = match (selector.range_ms, selector.extent) {
            (0, _) => lookback,
            (range, Extent::Plain) => range,
            (range, Extent::Anchored | Extent::Smoothed) => range + lookback,
        };
        let ahead = match selector.extent {
            Extent::Smoothed => lookback,
            Extent::Plain | Extent::Anchored => 0,
        };
        // A sample right at the start of a range or lookback is not part of it.
        selector.reach = Some((first - back + 1, last + ahead));
        selector.step_ms = if grid.steps > 1 { grid.step } else { 0 };
    }
}

/// The times at which a subquery is evaluated for a query at `grid`: multiples of its step.
pub(in crate::query) fn subquery_grid(subquery: &super::Subquery, grid: Grid) -> Grid {
    if grid.steps == 0 {
        return grid;
    }
    let shifted = |time: i64| subquery.at.unwrap_or(time) - subquery.offset_ms;
    let step = subquery.step_ms;
    let open = shifted(grid.start) - subquery.range_ms; // the range does not include its start
    let first = (open.div_euclid(step) + 1) * step;
    Grid::new(first, shifted(grid.end()), step)
}
