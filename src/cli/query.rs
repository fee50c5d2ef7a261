//! Flags of the engine, and `tributary query`.

use std::time::Duration;

use clap::Args;

use crate::app::ask::{Ask, AskWhen};
use crate::config::units;
use crate::promql::{Feature, Features};
use crate::query;
use crate::serve::api::time::parse_time;

/// Limits and rules of queries, with Prometheus' defaults.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Queries")]
pub struct QueryFlags {
    /// Longest time that a query may take.
    #[arg(id = "query_timeout", long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = units::parse_positive_duration)]
    pub timeout: Duration,
    /// How old the newest sample of a series may be.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = units::parse_positive_duration)]
    pub lookback: Duration,
    /// Most samples that one query may hold in memory; all together may hold four times as many.
    #[arg(long = "query.max-samples", value_name = "NUMBER", default_value_t = 50_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub samples_max: u64,
    /// Most queries that are evaluated at the same time.
    #[arg(long = "query.max-concurrency", value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency_max: u16,
    /// Experimental parts of the query language, by Prometheus' names (repeatable, or separated by commas). They concern
    /// queries only: `__type__` and `__unit__` are there where a cluster's own Prometheus sets them, and federation
    /// carries no start timestamps.
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',', value_parser = feature)]
    pub features: Vec<Feature>,
}

impl QueryFlags {
    /// What they mean for the engine; `memory_limit` is what the whole process may use, a quarter of it for queries.
    pub fn settings(&self, memory_limit: Option<u64>) -> query::Settings {
        let defaults = query::Settings::default();
        let on = self.features.iter().copied();
        let features = on.fold(Features::default(), Features::with);
        query::Settings {
            timeout: self.timeout,
            lookback: self.lookback,
            samples_max: self.samples_max,
            memory_max_bytes: memory_limit.map_or(defaults.memory_max_bytes, |limit| limit / 4),
            concurrency_max: self.concurrency_max.into(),
            features,
            ..defaults
        }
    }
}

fn feature(name: &str) -> Result<Feature, String> {
    Feature::named(name).ok_or_else(|| {
        let all: Vec<&str> = Feature::ALL.into_iter().map(Feature::name).collect();
        format!("there is no such feature; choose from: {}", all.join(", "))
    })
}

/// What `tributary query` asks. Times are seconds since 1970 or RFC 3339.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct QueryArguments {
    /// Address of the server, such as `http://localhost:9095`.
    pub url: String,
    /// The query.
    #[arg(allow_hyphen_values = true)]
    pub expression: String,
    /// Time of evaluation [default: now].
    #[arg(long, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true, conflicts_with = "start")]
    pub time: Option<i64>,
    /// First time of a range.
    #[arg(long, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    pub start: Option<i64>,
    /// Last time of a range [default: now].
    #[arg(long, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true, requires = "start")]
    pub end: Option<i64>,
    /// Distance of the times of a range [default: a sixtieth of it].
    #[arg(long, value_name = "DURATION", value_parser = units::parse_positive_duration, requires = "start")]
    pub step: Option<Duration>,
    /// Time for the whole answer.
    #[arg(id = "answer_timeout", long = "timeout", value_name = "DURATION", default_value = "2m", value_parser = units::parse_positive_duration)]
    pub timeout: Duration,
}

impl QueryArguments {
    /// What to ask, where a time that was left out is `now_ms`.
    pub fn ask(&self, now_ms: i64) -> Ask {
        let millis = |step: Duration| i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        let when = match (self.start, self.time) {
            (Some(start_ms), _) => {
                let end_ms = self.end.unwrap_or(now_ms);
                let step_ms = self
                    .step
                    .map_or((end_ms.saturating_sub(start_ms)) / 60, millis);
                AskWhen::Range {
                    start_ms,
                    end_ms,
                    step_ms: step_ms.max(1),
                }
            }
            (None, Some(time_ms)) => AskWhen::At(time_ms),
            (None, None) => AskWhen::Now,
        };
        Ask {
            url: self.url.clone(),
            query: self.expression.clone(),
            when,
            timeout: self.timeout,
        }
    }
}

fn time_ms(text: &str) -> Result<i64, String> {
    parse_time(text)
        .map_err(|why| format!("{why}; write seconds since 1970 or 2026-01-31T12:00:00Z"))
}
