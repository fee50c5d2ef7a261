//! One query from its text to its answer.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::annotate::Annotations;
use super::budget::{Budget, Stop};
use super::error::QueryError;
use super::eval::{Evaluator, Merger, Rules};
use super::labels::LabelSet;
use super::memory::Memory;
use super::plan::{Context, Node, Plan, lower};
use super::source::{Hints, Selected, SeriesSet, Source, SourceError, Want};
use super::value::{Grid, Key, Sample, Series, Value, is_present};
use super::{Answer, Engine, Query, Settings, Stats, When, reach, select};
use crate::model::matcher::Matcher;
use crate::pool::Pool;
use crate::promql::Feature;
use crate::promql::ast::{Expr, ValueType};

/// Reads a query and makes its plan.
pub(super) fn plan(settings: &Settings, query: &Query) -> Result<Plan, QueryError> {
    let mut expr = crate::promql::parse_expr(&query.text, settings.features)?;
    check_type(&expr, query.when)?;
    let (start, end, step) = match query.when {
        When::Instant(time) => (time, time, 0),
        When::Range {
            start_ms,
            end_ms,
            step_ms,
        } => (start_ms, end_ms, step_ms),
    };
    crate::promql::resolve_durations(&mut expr, step, end.saturating_sub(start))
        .map_err(|error| QueryError::bad_data(error.to_string()))?;
    let context = Context {
        start,
        end,
        step,
        lookback_ms: lookback_ms(settings, query),
        subquery_step_ms: millis(settings.subquery_step),
    };
    lower(&expr, context)
}

/// A range query gives a matrix, which cannot be made of everything.
fn check_type(expr: &Expr, when: When) -> Result<(), QueryError> {
    let value_type = expr.value_type();
    let fits = matches!(value_type, ValueType::Scalar | ValueType::Vector);
    if matches!(when, When::Range { .. }) && !fits {
        return Err(QueryError::bad_data(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.documented()
        )));
    }
    Ok(())
}

fn lookback_ms(settings: &Settings, query: &Query) -> i64 {
    millis(query.lookback.unwrap_or(settings.lookback))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// One query being answered.
pub(super) struct Run<'q> {
    query: &'q Query,
    plan: Plan,
    rules: Rules,
    budget: Arc<Budget>,
    canceled: CancelOnDrop,
}

/// Ends the evaluation, wherever it runs, when nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl<'q> Run<'q> {
    pub(super) fn new(
        engine: &Engine,
        query: &'q Query,
        plan: Plan,
        deadline: Instant,
    ) -> Result<Self, Stop> {
        let settings = &engine.settings;
        let canceled = CancelOnDrop(Arc::default());
        let run = Self {
            query,
            plan,
            rules: Rules {
                lookback_ms: lookback_ms(settings, query),
                delayed_names: settings.features.has(Feature::DelayedNameRemoval),
                type_labels: settings.features.has(Feature::TypeAndUnitLabels),
                start_timestamps: settings.features.has(Feature::UseStartTimestamps),
            },
            budget: Arc::new(Budget::new(
                deadline,
                canceled.0.clone(),
                settings.limits(),
                engine.shared.clone(),
            )),
            canceled,
        };
        let matchers = run.plan.selectors.iter().flat_map(|one| &one.matchers);
        let regexes: usize = matchers.map(Matcher::regex_bytes).sum();
        run.budget.hold(0, regexes as u64)?;
        Ok(run)
    }

    /// Selects, evaluates, and says what it cost.
    pub(super) async fn answer<S: Source>(
        self,
        source: &S,
        pool: &Pool,
        queued: Duration,
    ) -> Result<Answer, QueryError> {
        let before = Instant::now();
        let selected = tokio::time::timeout_at(self.budget.deadline(), self.select(source))
            .await
            .map_err(|_| Stop::Timeout("expression evaluation"))??;
        let mut warnings = self.source_warnings(&selected)?;
        let selected_in = before.elapsed();
        let fetched: Vec<Arc<dyn SeriesSet>> =
            selected.into_iter().map(|found| found.series).collect();
        let (plan, rules, budget) = (self.plan, self.rules, self.budget.clone());
        let text = self.query.text.clone();
        let is_range = matches!(self.query.when, When::Range { .. });
        let before = Instant::now();
        let work = move || {
            let waited = before.elapsed();
            let evaluated = guarded(|| evaluate(&plan, &fetched, rules, &budget, &text, is_range));
            evaluated.map(|evaluated| (evaluated, waited))
        };
        // It looks at the clock itself, but it may not have begun: the pool is as wide as there are cores.
        let ((value, told, infos), waited) =
            tokio::time::timeout_at(self.budget.deadline(), pool.run(work))
                .await
                .map_err(|_| Stop::Timeout("expression evaluation"))?
                .map_err(|lost| QueryError::internal(lost.to_string()))??;
        warnings.extend(told);
        let stats = Stats {
            samples_read: self.budget.read_samples(),
            samples_peak: self.budget.peak_samples(),
            queued: queued + waited,
            selected: selected_in,
            evaluated: before.elapsed().saturating_sub(waited),
        };
        drop(self.canceled);
        Ok(Answer {
            value,
            warnings,
            infos,
            stats,
            held: self.budget,
        })
    }

    /// The series of all selectors, asked for at the same time.
    async fn select<S: Source>(&self, source: &S) -> Result<Vec<Selected>, SourceError> {
        let asked = self.plan.selectors.iter().map(|selector| async move {
            let Some((from_ms, to_ms)) = selector.reach else {
                return Memory::default()
                    .select(&Want::nothing(), &self.budget)
                    .await;
            };
            let want = Want {
                matchers: &selector.matchers,
                from_ms,
                to_ms,
                hints: Hints {
                    step_ms: selector.step_ms,
                    range_ms: selector.range_ms,
                    function: selector.function,
                    grouping: &selector.grouping,
                    without: selector.without,
                },
            };
            source.select(&want, &self.budget).await
        });
        all(asked
            .map(|future| Box::pin(future) as Pin<Box<_>>)
            .collect())
        .await
    }

    /// What the source has to tell, and where it does not reach far enough.
    fn source_warnings(&self, selected: &[Selected]) -> Result<Vec<String>, QueryError> {
        let mut warnings: Vec<String> = Vec::new();
        for (found, selector) in selected.iter().zip(&self.plan.selectors) {
            let short = reach::warning(found, selector, &self.query.text, self.plan.grid);
            if let Some(text) = &short
                && self.query.strict
            {
                return Err(QueryError::execution(text.clone()));
            }
            for warning in found.warnings.iter().cloned().chain(short) {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok(warnings)
    }
}

/// Waits for all futures at the same time; the first error ends it.
async fn all<T: Unpin, E, F>(mut futures: Vec<Pin<Box<F>>>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut waiting = false;
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_some() {
                continue;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => *done = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => waiting = true,
            }
        }
        if waiting {
            return Poll::Pending;
        }
        Poll::Ready(Ok(done.drain(..).flatten().collect()))
    })
    .await
}

/// A panic is an error of this query and of no other.
fn guarded<T>(work: impl FnOnce() -> Result<T, QueryError>) -> Result<T, QueryError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> QueryError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "panic".to_owned());
    QueryError::internal(format!("unexpected error: {text}"))
}

type Evaluated = (Value, Vec<String>, Vec<String>);

fn evaluate(
    plan: &Plan,
    fetched: &[Arc<dyn SeriesSet>],
    rules: Rules,
    budget: &Arc<Budget>,
    text: &str,
    is_range: bool,
) -> Result<Evaluated, QueryError> {
    let notes = Annotations::default();
    let eval = Evaluator::new(plan, fetched, rules, budget, &notes);
    let value = root(&eval, &plan.root, plan.grid, is_range)?;
    drop(eval);
    let (warnings, infos) = notes.finish(text);
    Ok((value, warnings, infos))
}

fn root(
    eval: &Evaluator<'_>,
    node: &Node,
    grid: Grid,
    is_range: bool,
) -> Result<Value, QueryError> {
    Ok(match node.value_type() {
        ValueType::String => Value::String(grid.start, node.text().to_owned()),
        ValueType::Scalar => {
            let numbers = eval.scalar(node, grid)?;
            if is_range {
                let bytes = grid.steps * size_of::<(i64, f64)>();
                eval.budget.hold(grid.steps as u64, bytes as u64)?;
                let points = grid.times().zip(numbers.iter().copied()).collect();
                let labels = LabelSet::empty();
                Value::Matrix(vec![Series { labels, points }])
            } else {
                Value::Scalar(grid.start, numbers.first().copied().unwrap_or(f64::NAN))
            }
        }
        ValueType::Vector if is_range => matrix(eval, node, grid)?,
        ValueType::Vector => vector(eval, node, grid)?,
        ValueType::Matrix => {
            let mut list = Vec::new();
            for (key, mut series) in select::matrix(eval, node, grid)? {
                if key.drop_name {
                    let mut nameless = key;
                    nameless.stripped = true;
                    series.labels = nameless.to_set();
                }
                list.push(series);
            }
            sorted(list)?
        }
    })
}

fn sorted(mut list: Vec<Series>) -> Result<Value, QueryError> {
    list.sort_by(|a, b| a.labels.cmp(&b.labels));
    if list.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return Err(QueryError::same_labels());
    }
    Ok(Value::Matrix(list))
}

/// Takes a row of the whole query.
type Taker<'t> = &'t mut dyn FnMut(&Key, &[f64]) -> Result<(), QueryError>;

/// The rows of the whole query. Where names go at the end, this is where, and rows that become the same are joined.
fn final_rows(
    eval: &Evaluator<'_>,
    node: &Node,
    grid: Grid,
    take: Taker<'_>,
) -> Result<(), QueryError> {
    if !eval.rules.delayed_names {
        return eval.rows(node, grid, &mut |key, cells| take(key, cells));
    }
    let mut merged = Merger::new(grid.steps, eval.budget);
    eval.rows(node, grid, &mut |key, cells| {
        key.stripped |= key.drop_name;
        merged.push(key, cells)
    })?;
    for (row, key) in merged.block.keys.iter().enumerate() {
        take(key, merged.block.row(row))?;
    }
    Ok(())
}

fn vector(eval: &Evaluator<'_>, node: &Node, grid: Grid) -> Result<Value, QueryError> {
    let mut samples = Vec::new();
    final_rows(eval, node, grid, &mut |key, cells| {
        let labels = key.to_set();
        let bytes = size_of::<Sample>() + labels.size_bytes();
        eval.budget.hold(1, bytes as u64)?;
        samples.push(Sample {
            labels,
            time_ms: grid.start,
            value: cells[0],
        });
        Ok(())
    })?;
    Ok(Value::Vector(samples))
}

fn matrix(eval: &Evaluator<'_>, node: &Node, grid: Grid) -> Result<Value, QueryError> {
    let mut list = Vec::new();
    final_rows(eval, node, grid, &mut |key, cells| {
        let labels = key.to_set();
        let there = grid
            .times()
            .zip(cells)
            .filter(|(_, cell)| is_present(**cell));
        let points: Vec<(i64, f64)> = there.map(|(time, cell)| (time, *cell)).collect();
        let bytes = size_of_val(points.as_slice()) + labels.size_bytes();
        eval.budget.hold(points.len() as u64, bytes as u64)?;
        list.push(Series { labels, points });
        Ok(())
    })?;
    sorted(list)
}
