//! Queries: the text of a query and a source of samples in, a value with warnings out.
//!
//! ```text
//!  text ─▶ promql::parse ─▶ plan ─▶ select (all selectors, may wait) ─▶ evaluate (CPU only) ─▶ value, warnings
//! ```
//!
//! Semantics, texts and limits are those of Prometheus 3.14 (`promql/engine.go`). A query has a deadline and budgets of
//! samples and bytes; one that goes over a limit, or that panics, fails alone. Whoever stops waiting for an answer ends
//! its evaluation.

mod aggregate;
mod annotate;
mod binary;
pub mod budget;
mod error;
mod eval;
mod functions;
mod kahan;
pub mod labels;
pub mod memory;
pub mod recent;
mod plan;
mod reach;
mod run;
mod select;
pub mod source;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::pool::Pool;
use crate::promql::{self, Features, ast::Expr};
use budget::Limits;

pub use error::{ErrorKind, QueryError};
pub use plan::Plan;
pub use value::{Sample, Series, Value};

/// Limits and rules for all queries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest time that a query may take, waiting for its turn included.
    pub timeout: Duration,
    /// How old the newest sample of a series may be for an instant selector.
    pub lookback: Duration,
    /// The most samples that one query may hold at the same time.
    pub samples_max: u64,
    /// The most bytes that all queries together may hold; one may hold half of them.
    pub memory_max_bytes: u64,
    /// The most queries that are evaluated at the same time; the others wait.
    pub concurrency_max: usize,
    /// The step of subqueries that have none: Prometheus' `global.evaluation_interval`.
    pub subquery_step: Duration,
    /// The experimental parts of the language that may be used.
    pub features: Features,
}

/// The defaults of Prometheus; 1 GiB for all queries.
impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            lookback: Duration::from_secs(300),
            samples_max: 50_000_000,
            memory_max_bytes: 1 << 30,
            concurrency_max: 20,
            subquery_step: Duration::from_secs(60),
            features: Features::default(),
        }
    }
}

/// All queries together may hold as many samples as so many of them alone.
const SAMPLES_SHARED: u64 = 4;

impl Settings {
    /// What one query may hold.
    fn limits(&self) -> Limits {
        Limits {
            samples: self.samples_max,
            bytes: self.memory_max_bytes / 2,
        }
    }

    /// What all queries together may hold.
    fn limits_of_all(&self) -> Limits {
        Limits {
            samples: self.samples_max.saturating_mul(SAMPLES_SHARED),
            bytes: self.memory_max_bytes,
        }
    }
}

/// One query.
#[derive(Clone, Debug)]
pub struct Query {
    /// The query as written.
    pub text: String,
    /// The times of evaluation.
    pub when: When,
    /// Another lookback than that of the settings.
    pub lookback: Option<Duration>,
    /// A shorter time than that of the settings; a longer one changes nothing.
    pub timeout: Option<Duration>,
    /// A source that does not reach far enough back is an error, not a warning.
    pub strict: bool,
}

impl Query {
    /// A query with nothing but text and times.
    pub fn new(text: impl Into<String>, when: When) -> Self {
        Self {
            text: text.into(),
            when,
            lookback: None,
            timeout: None,
            strict: false,
        }
    }
}

/// The times at which a query is evaluated, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At one time.
    Instant(i64),
    /// At `start_ms`, `start_ms + step_ms` and so on, up to `end_ms`.
    Range {
        /// The first time.
        start_ms: i64,
        /// The last time, if it is one of them.
        end_ms: i64,
        /// Their distance, more than zero.
        step_ms: i64,
    },
}

/// What a query gives.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The value; for a range query always a matrix.
    pub value: Value,
    /// What may be wrong with it, for people.
    pub warnings: Vec<String>,
    /// What is odd about query or data, for people.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: Stats,
    /// What the value takes counts against the budget of all queries until this is dropped, so keep it as long.
    pub held: Arc<budget::Budget>,
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Samples that were read, counted anew at each step: upstream's `totalQueryableSamples`.
    pub samples_read: u64,
    /// The most samples that were held at the same time.
    pub samples_peak: u64,
    /// Time spent waiting for other queries, and for the pool.
    pub queued: Duration,
    /// Time spent getting series.
    pub selected: Duration,
    /// Time spent evaluating.
    pub evaluated: Duration,
}

/// Evaluates queries. Clones share limits.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Arc<Settings>,
    pool: Pool,
    turns: Arc<Semaphore>,
    shared: Arc<budget::Shared>,
}

impl Engine {
    /// An engine that evaluates on `pool`.
    pub fn new(settings: Settings, pool: Pool) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(settings.concurrency_max.max(1))),
            shared: Arc::new(budget::Shared::new(settings.limits_of_all())),
            settings: Arc::new(settings),
            pool,
        }
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Bytes that all queries hold now.
    pub fn held_bytes(&self) -> u64 {
        self.shared.held_bytes()
    }

    /// Counts what is made outside of a query among what all queries hold, until what this gives is dropped.
    pub fn hold(&self, bytes: usize) -> Result<budget::Budget, QueryError> {
        let held = budget::Budget::of(&self.shared);
        held.hold(0, bytes as u64)?;
        Ok(held)
    }

    /// Where queries are read and evaluated.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Queries that are evaluated now.
    pub fn running(&self) -> usize {
        self.settings.concurrency_max.max(1) - self.turns.available_permits()
    }

    /// Reads a query, without evaluating it.
    pub fn parse(&self, text: &str) -> Result<Expr, QueryError> {
        Ok(promql::parse_expr(text, self.settings.features)?)
    }

    /// The plan of a query, which prints as one line.
    pub fn plan(&self, query: &Query) -> Result<Plan, QueryError> {
        run::plan(&self.settings, query)
    }

    /// Evaluates a query over the samples of `source`. Dropping the future ends the evaluation.
    pub async fn run<S: source::Source>(
        &self,
        source: &S,
        query: &Query,
    ) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let limit = self.settings.timeout;
        let timeout = query.timeout.map_or(limit, |timeout| timeout.min(limit));
        let deadline = started + timeout;
        // Before it is read: what a query is read into may be large.
        let turn = tokio::time::timeout_at(deadline, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| budget::Stop::Timeout("query queue"))?
            .map_err(|_| budget::Stop::Canceled("query queue"))?;
        let (settings, asked) = (self.settings.clone(), query.clone());
        let is_slow = promql::is_slow_to_parse(&query.text);
        let planning = self
            .pool
            .run_if(is_slow, move || run::plan(&settings, &asked));
        let plan = tokio::time::timeout_at(deadline, planning)
            .await
            .map_err(|_| budget::Stop::Timeout("query queue"))?
            .map_err(|lost| QueryError::internal(lost.to_string()))??;
        if Instant::now() >= deadline {
            return Err(budget::Stop::Timeout("query execution").into());
        }
        let run = run::Run::new(self, query, plan, deadline)?;
        let answer = run.answer(source, &self.pool, started.elapsed()).await;
        drop(turn);
        answer
    }
}
