//! Evaluation of a plan over series that were fetched: no waiting, no clock but the deadline.
//!
//! Everything is evaluated series by series over all steps. [`Evaluator::rows`] hands row after row to whoever asked;
//! only what needs all rows at once (joins, sorting, `topk`) makes a [`Block`] of them. This file dispatches; each kind
//! of part has a file of its own.

use std::cell::Cell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::annotate::Annotations;
use super::binary::arithmetic;
use super::budget::Budget;
use super::error::QueryError;
use super::functions::Implementation;
use super::labels::LabelKey;
use super::plan::{Call, Kind, Node, Plan};
use super::source::SeriesSet;
use super::value::{Block, Grid, Key, Row, entry_bytes, is_absent, is_present};
use super::{aggregate, binary, select};
use crate::promql::ast::{Aggregator, BinaryOp};

/// Takes one row: its labels and a number for each step. Both may be changed.
pub(super) type Sink<'s> = &'s mut dyn FnMut(&mut Key, &mut [f64]) -> Result<(), QueryError>;

/// How the language is to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How old the newest sample of a series may be.
    pub(super) lookback_ms: i64,
    /// Names go when the query ends, not where an operation drops them.
    pub(super) delayed_names: bool,
    /// The label `__type__` says what a counter is.
    pub(super) type_labels: bool,
    /// Start timestamps count as resets.
    pub(super) start_timestamps: bool,
}

/// One plan being evaluated.
pub(super) struct Evaluator<'a> {
    pub(super) plan: &'a Plan,
    /// The series of each selector.
    pub(super) fetched: &'a [Arc<dyn SeriesSet>],
    pub(super) rules: Rules,
    pub(super) budget: &'a Arc<Budget>,
    pub(super) notes: &'a Annotations,
    /// Work since the deadline was looked at.
    work: Cell<usize>,
    /// Samples that were read so far.
    read: Cell<u64>,
    /// Some series may have type or unit labels.
    typed: bool,
}

/// So much work (numbers read or computed) is done between two looks at the clock.
const WORK_MAX: usize = 1 << 14;

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        fetched: &'a [Arc<dyn SeriesSet>],
        rules: Rules,
        budget: &'a Arc<Budget>,
        notes: &'a Annotations,
    ) -> Self {
        Self {
            plan,
            fetched,
            rules,
            budget,
            notes,
            work: Cell::new(0),
            read: Cell::new(0),
            typed: fetched.iter().any(|set| set.may_have_type_or_unit()),
        }
    }

    /// Notes work; fails when the query has to end.
    #[inline]
    pub(super) fn worked(&self, numbers: usize) -> Result<(), QueryError> {
        let work = self.work.get() + numbers + 16; // a row costs something even if it is empty
        if work < WORK_MAX {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        Ok(self.budget.check()?)
    }

    /// Notes samples that a step has read; of those that several steps read, each notes its own, as upstream has it.
    #[inline]
    pub(super) fn note_read(&self, samples: usize) {
        self.read.set(self.read.get() + samples as u64);
    }

    /// Evaluates what goes on to `sink` and notes `times` as many samples as were read for it. What `sink` reads counts
    /// as it is.
    pub(super) fn read_times(
        &self,
        times: usize,
        sink: Sink<'_>,
        evaluate: impl FnOnce(Sink<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let begin = self.read.get();
        let mut in_sink = 0;
        evaluate(&mut |key, cells| {
            let before = self.read.get();
            let done = sink(key, cells);
            in_sink += self.read.get() - before;
            done
        })?;
        let evaluating = self.read.get() - begin - in_sink;
        self.read.set(begin + in_sink + evaluating * times as u64);
        Ok(())
    }

    /// A row with the same number at each step.
    pub(super) fn row(&self, value: f64, grid: Grid) -> Result<Row, QueryError> {
        Ok(Row::of(value, grid, self.budget)?)
    }

    /// One number for each step.
    pub(super) fn scalar(&self, node: &Node, grid: Grid) -> Result<Row, QueryError> {
        if node.invariant && grid.steps > 1 {
            let before = self.read.get();
            let first = self.scalar(node, grid.first())?;
            let once = self.read.get() - before;
            self.read.set(before + once * grid.steps as u64);
            return self.row(first.first().copied().unwrap_or(f64::NAN), grid);
        }
        match &node.kind {
            Kind::Number(value) => self.row(*value, grid),
            Kind::Negate(inner) => {
                let mut numbers = self.scalar(inner, grid)?;
                for number in numbers.iter_mut() {
                    *number = -*number;
                }
                Ok(numbers)
            }
            Kind::Binary(binary) => {
                let mut left = self.scalar(&binary.left, grid)?;
                let right = self.scalar(&binary.right, grid)?;
                for (a, b) in left.iter_mut().zip(right.iter()) {
                    *a = arithmetic(binary.op, *a, *b);
                }
                Ok(left)
            }
            Kind::Call(Call {
                run: Implementation::Scalar(run),
                args,
                ..
            }) => run(self, args, grid),
            _ => Err(QueryError::internal("a number was expected in the plan")),
        }
    }

    /// Hands all rows of a vector to `sink`. Each has a number at one step at least; no two have the same labels.
    pub(super) fn rows(&self, node: &Node, grid: Grid, sink: Sink<'_>) -> Result<(), QueryError> {
        self.budget.check()?;
        self.budget.peek(grid.steps as u64)?; // a row of that many numbers is about to be made
        if grid.steps == 0 {
            return Ok(());
        }
        if node.invariant && grid.steps > 1 {
            return self.repeated(node, grid, sink);
        }
        match &node.kind {
            Kind::Instant(at) => select::instant(self, *at, grid, sink),
            Kind::Call(call) => self.call(call, grid, sink),
            Kind::Aggregate(aggregate) => aggregate::rows(self, aggregate, grid, sink),
            Kind::Binary(binary) => binary::rows(self, binary, grid, sink),
            Kind::Negate(inner) => self.mapped(
                inner,
                grid,
                &mut |cells| {
                    for cell in cells.iter_mut().filter(|cell| is_present(**cell)) {
                        *cell = -*cell;
                    }
                },
                sink,
            ),
            Kind::Number(_) | Kind::Text(..) | Kind::Range(_) | Kind::Subquery(_) => {
                Err(QueryError::internal("a vector was expected in the plan"))
            }
        }
    }

    /// Evaluates the first step and says the same at all others.
    fn repeated(&self, node: &Node, grid: Grid, sink: Sink<'_>) -> Result<(), QueryError> {
        let mut row = self.row(0.0, grid)?;
        let mut repeat = |key: &mut Key, cells: &mut [f64]| {
            self.worked(grid.steps)?;
            row.fill(cells[0]);
            sink(key, &mut row)
        };
        self.read_times(grid.steps, &mut repeat, |sink| {
            self.rows(node, grid.first(), sink)
        })
    }

    /// All rows of a vector.
    pub(super) fn block(&self, node: &Node, grid: Grid) -> Result<Block, QueryError> {
        let mut block = Block::new(grid.steps, self.budget);
        self.rows(node, grid, &mut |key, cells| {
            Ok(block.push(key.clone(), cells)?)
        })?;
        Ok(block)
    }

    fn call(&self, call: &Call, grid: Grid, sink: Sink<'_>) -> Result<(), QueryError> {
        match call.run {
            Implementation::Range(run) => select::over_ranges(self, call, *run, grid, sink),
            Implementation::Each(run) => self.mapped(
                &call.args[0],
                grid,
                &mut |cells| {
                    for cell in cells.iter_mut().filter(|cell| is_present(**cell)) {
                        *cell = run(*cell);
                    }
                },
                sink,
            ),
            Implementation::Rows(run) => run(self, call, grid, sink),
            Implementation::Scalar(_) => {
                Err(QueryError::internal("a vector was expected in the plan"))
            }
        }
    }

    /// Rows with other numbers, which therefore are no longer what their name says.
    pub(super) fn mapped(
        &self,
        node: &Node,
        grid: Grid,
        change: &mut dyn FnMut(&mut [f64]),
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let distinct = self.distinct_without_names(node);
        self.nameless(distinct, grid, sink, |sink| {
            self.rows(node, grid, &mut |key, cells| {
                change(cells);
                sink(key, cells)
            })
        })
    }

    /// Takes name, type and unit from all rows that `produce` makes: now, or, where that is the rule, when the query
    /// ends. Rows that then have the same labels become one; `distinct`: there are none.
    pub(super) fn nameless(
        &self,
        distinct: bool,
        grid: Grid,
        sink: Sink<'_>,
        produce: impl FnOnce(Sink<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        if self.rules.delayed_names {
            return produce(&mut |key, cells| {
                key.drop_name = true;
                sink(key, cells)
            });
        }
        if distinct {
            return produce(&mut |key, cells| {
                key.stripped = true;
                sink(key, cells)
            });
        }
        let mut merged = Merger::new(grid.steps, self.budget);
        produce(&mut |key, cells| {
            key.stripped = true;
            merged.push(key, cells)
        })?;
        emit(merged.block, sink)
    }

    /// Whether the rows of a vector (or the series of a matrix) stay apart when names, types and units go.
    pub(super) fn distinct_without_names(&self, node: &Node) -> bool {
        match &node.kind {
            Kind::Number(_) | Kind::Text(..) | Kind::Negate(_) => true,
            Kind::Instant(at) | Kind::Range(at) => {
                !self.typed && self.plan.selectors[*at].fixed_name().is_some()
            }
            Kind::Subquery(subquery) => self.distinct_without_names(&subquery.inner),
            Kind::Call(call) => match (call.name, call.run) {
                (
                    "last_over_time" | "first_over_time" | "sort" | "sort_desc" | "sort_by_label"
                    | "sort_by_label_desc",
                    _,
                ) => self.distinct_without_names(&call.args[0]),
                ("vector" | "timestamp" | "absent" | "absent_over_time", _)
                | (_, Implementation::Range(_) | Implementation::Each(_)) => true,
                _ => false,
            },
            Kind::Aggregate(aggregate) => match aggregate.op {
                Aggregator::Topk
                | Aggregator::Bottomk
                | Aggregator::Limitk
                | Aggregator::LimitRatio => self.distinct_without_names(&aggregate.inner),
                _ if aggregate.without => !self.typed,
                _ => !aggregate
                    .grouping
                    .iter()
                    .any(|name| super::labels::is_metadata(name)),
            },
            Kind::Binary(binary) => match binary.op {
                BinaryOp::And | BinaryOp::Unless => self.distinct_without_names(&binary.left),
                BinaryOp::Or => false,
                op if !op.is_comparison() || binary.return_bool => true,
                _ if binary.right.is_scalar() => self.distinct_without_names(&binary.left),
                _ if binary.left.is_scalar() => self.distinct_without_names(&binary.right),
                _ => false,
            },
        }
    }
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        self.budget.read(self.read.get());
    }
}

/// Hands the rows of a block to `sink`.
pub(super) fn emit(mut block: Block, sink: Sink<'_>) -> Result<(), QueryError> {
    for at in 0..block.len() {
        let (key, cells) = block.entry(at);
        sink(key, cells)?;
    }
    Ok(())
}

/// Rows that may have got the same labels: they become one, which must not have two numbers at the same step.
pub(super) struct Merger {
    pub(super) block: Block,
    places: HashMap<Box<str>, usize>,
    scratch: LabelKey,
}

impl Merger {
    pub(super) fn new(steps: usize, budget: &Arc<Budget>) -> Self {
        Self {
            block: Block::new(steps, budget),
            places: HashMap::new(),
            scratch: LabelKey::default(),
        }
    }

    /// Adds a row, or joins it with the one of the same labels.
    pub(super) fn push(&mut self, key: &Key, cells: &[f64]) -> Result<(), QueryError> {
        self.scratch.clear();
        key.write(&mut self.scratch);
        let text = self.scratch.as_str();
        let Some(&at) = self.places.get(text) else {
            self.block.hold(entry_bytes(text))?;
            self.places.insert(text.into(), self.block.len());
            return Ok(self.block.push(key.clone(), cells)?);
        };
        let (have, row) = self.block.entry(at);
        have.drop_name |= key.drop_name;
        for (old, new) in row.iter_mut().zip(cells) {
            if is_absent(*new) {
                continue;
            }
            if is_present(*old) {
                return Err(QueryError::same_labels());
            }
            *old = *new;
        }
        Ok(())
    }

    /// Adds a row whose labels no other row may have.
    pub(super) fn push_new(&mut self, key: &Key, cells: &[f64]) -> Result<(), QueryError> {
        let rows = self.block.len();
        self.push(key, cells)?;
        if self.block.len() == rows {
            return Err(QueryError::same_labels());
        }
        Ok(())
    }
}
