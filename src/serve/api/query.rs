//! `query`, `query_range`, and what only the parser answers: `format_query`, `parse_query`.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tracing::info;

use super::error::ApiError;
use super::metrics::Of;
use super::params::Form;
use super::write::{Data, Each, Reply, write_labels, write_plain_value, write_point, write_text};
use super::{Served, TRUNCATED, missing, now_ms};
use crate::promql::{self, ParseErrors, ast::Expr};
use crate::query::budget::Budget;
use crate::query::recent::{OnMissing, Recent};
use crate::query::source::Source;
use crate::query::{Answer, Engine, Query, QueryError, Sample, Series, Stats, Value, When};

/// Most steps of a range query.
const STEPS_MAX: i128 = 11_000;

/// Queries that take longer are logged.
const SLOW: Duration = Duration::from_secs(10);

/// Characters of a query that are logged.
const LOGGED_CHARS_MAX: usize = 1000;

/// Of Grafana's headers, those that say where a slow query is from; those of its rules begin with [`RULE_PREFIX`].
const ORIGIN: [&str; 5] = [
    "x-dashboard-uid",
    "x-panel-id",
    "x-grafana-org-id",
    "x-grafana-user",
    ALERT,
];

/// Grafana's alerts send this header.
const ALERT: &str = "fromalert";

/// What the headers about Grafana's rules begin with.
const RULE_PREFIX: &str = "x-rule-";

/// Headers about where a query is from that are logged, and characters of each.
const LOGGED_HEADERS_MAX: usize = 16;
const LOGGED_HEADER_CHARS_MAX: usize = 200;

/// One time.
pub(super) async fn instant(
    form: &Form,
    head: &Parts,
    served: &Served,
    begin: Instant,
) -> Result<Reply, ApiError> {
    let limit = form.limit()?;
    let time_ms = form.time_or("time", now_ms())?;
    let asked = Asked {
        of: Of::Instant,
        when: When::Instant(time_ms),
        limit,
    };
    asked.answer(form, head, served, begin).await
}

/// Many times.
pub(super) async fn range(
    form: &Form,
    head: &Parts,
    served: &Served,
    begin: Instant,
) -> Result<Reply, ApiError> {
    let limit = form.limit()?;
    let (start_ms, end_ms) = (form.time("start")?, form.time("end")?);
    if end_ms < start_ms {
        let why = "end timestamp must not be before start time";
        return Err(ApiError::parameter("end", why));
    }
    let step_ns = form.duration("step")?;
    if step_ns <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", why));
    }
    if (i128::from(end_ms) - i128::from(start_ms)) * 1_000_000 / i128::from(step_ns) > STEPS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        ));
    }
    let asked = Asked {
        of: Of::Range,
        when: When::Range {
            start_ms,
            end_ms,
            step_ms: (step_ns / 1_000_000).max(1),
        },
        limit,
    };
    asked.answer(form, head, served, begin).await
}

/// A query as a person would lay it out.
pub(super) async fn format(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    Reply::json(&promql::prettify(&parsed(form, served).await??))
}

/// A query as a tree.
pub(super) async fn tree(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    Reply::json(&promql::tree_json(&parsed(form, served).await??))
}

/// The parameter `query`, read where that may take its time.
pub(super) async fn parsed(
    form: &Form,
    served: &Served,
) -> Result<Result<Expr, ParseErrors>, ApiError> {
    let engine = &served.api.engine;
    let (text, features) = (form.get("query").to_owned(), engine.settings().features);
    let is_slow = promql::is_slow_to_parse(&text);
    let work = move || promql::parse_expr(&text, features);
    Ok(engine.pool().run_if(is_slow, work).await?)
}

/// What both endpoints have read.
struct Asked {
    of: Of,
    when: When,
    limit: Option<usize>,
}

impl Asked {
    async fn answer(
        self,
        form: &Form,
        head: &Parts,
        served: &Served,
        begin: Instant,
    ) -> Result<Reply, ApiError> {
        let query = Query {
            text: form.get("query").to_owned(),
            when: self.when,
            timeout: form.duration_if_any("timeout")?,
            lookback: lookback(form)?,
            strict: is_strict(form, &head.headers),
        };
        let api = &served.api;
        let view = api.view();
        let on_missing = if query.strict {
            OnMissing::Fail
        } else {
            OnMissing::Warn
        };
        let missing = missing(&view, served);
        let label = api.shown.load().cluster_label.clone();
        let lookback = query.lookback.unwrap_or(api.engine.settings().lookback);
        let lookback_ms = i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX);
        let pool = served.pool.clone();
        let recent = Recent::new(view, label, pool, lookback_ms, missing, on_missing);
        let counted = api.metrics.begin(self.of);
        let result = run(&api.engine, &recent, &query).await;
        counted.end(
            result
                .as_ref()
                .map(drop)
                .map_err(|error| error.kind.as_str()),
        );
        log_if_slow(&query, &head.headers, begin.elapsed());
        let wants_stats = !form.get("stats").is_empty();
        let answer = result?;
        let stats = wants_stats.then(|| stats(answer.stats, begin.elapsed()));
        Ok(reply(answer, self.limit, stats))
    }
}

/// Evaluates a query over any source. What panics fails alone.
async fn run<S: Source>(engine: &Engine, source: &S, query: &Query) -> Result<Answer, ApiError> {
    let mut running = pin!(engine.run(source, query));
    let guarded = poll_fn(|context| {
        let poll = AssertUnwindSafe(|| running.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied().unwrap_or("panic");
            Poll::Ready(Err(QueryError::internal(format!(
                "unexpected error: {text}"
            ))))
        })
    });
    Ok(guarded.await?)
}

fn lookback(form: &Form) -> Result<Option<Duration>, ApiError> {
    let lookback = form.duration_if_any("lookback_delta").map_err(|error| {
        let why = error.text.split_once(": ").map_or("", |(_, why)| why);
        ApiError::bad_data(format!("error parsing lookback delta duration: {why}"))
    })?;
    Ok(lookback.filter(|lookback| !lookback.is_zero()))
}

/// An alert must not rest on half of the data: Grafana's rules are strict unless they say otherwise.
fn is_strict(form: &Form, headers: &HeaderMap) -> bool {
    match form.get("strict") {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => headers
            .keys()
            .any(|name| name.as_str() == ALERT || name.as_str().starts_with(RULE_PREFIX)),
    }
}

fn log_if_slow(query: &Query, headers: &HeaderMap, took: Duration) {
    if took < SLOW {
        return;
    }
    let text: String = query.text.chars().take(LOGGED_CHARS_MAX).collect();
    info!(
        seconds = took.as_secs_f64(),
        query = text,
        when = ?query.when,
        origin = origin(headers),
        "A slow query."
    );
}

/// Where a query is from: `x-dashboard-uid="…" x-panel-id="…"`, sorted by name.
fn origin(headers: &HeaderMap) -> String {
    let is_origin = |name: &str| ORIGIN.contains(&name) || name.starts_with(RULE_PREFIX);
    let mut told: Vec<String> = headers
        .iter()
        .filter(|(name, _)| is_origin(name.as_str()))
        .filter_map(|(name, value)| {
            let value: String = value
                .to_str()
                .ok()?
                .chars()
                .take(LOGGED_HEADER_CHARS_MAX)
                .collect();
            Some(format!("{name}={value:?}"))
        })
        .collect();
    told.sort_unstable();
    told.truncate(LOGGED_HEADERS_MAX);
    told.join(" ")
}

/// As Prometheus' `stats.QueryStats`, in seconds.
fn stats(stats: Stats, total: Duration) -> Json {
    let seconds = |time: Duration| time.as_secs_f64();
    json!({
        "timings": {
            "evalTotalTime": seconds(stats.selected + stats.evaluated),
            "resultSortTime": 0.0,
            "queryPreparationTime": seconds(stats.selected),
            "innerEvalTime": seconds(stats.evaluated),
            "execQueueTime": seconds(stats.queued),
            "execTotalTime": seconds(total),
        },
        "samples": {
            "totalQueryableSamples": stats.samples_read,
            "peakSamples": stats.samples_peak,
        },
    })
}

/// Leaves the first `limit` of a list, and says so where there were more.
fn truncate<T>(list: &mut Vec<T>, limit: usize, warnings: &mut Vec<String>) {
    if list.len() > limit {
        list.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
}

/// Writes the items of an answer. What the answer holds counts until the last one is written, or the client has gone.
fn holding<T>(held: Arc<Budget>, write: fn(T, &mut Vec<u8>)) -> impl FnMut(T, &mut Vec<u8>) + Send {
    move |item, out| {
        let _held = &held;
        write(item, out);
    }
}

/// `resultType` stands before `result`: Grafana reads an answer as it comes.
fn reply(answer: Answer, limit: Option<usize>, stats: Option<Json>) -> Reply {
    let mut warnings = answer.warnings;
    let limit = limit.unwrap_or(usize::MAX);
    let tail = stats.map_or_else(|| "}".to_owned(), |stats| format!(",\"stats\":{stats}}}"));
    let data = match answer.value {
        Value::Scalar(time_ms, value) => {
            let mut out = br#"{"resultType":"scalar","result":["#.to_vec();
            out.extend_from_slice(go_seconds(time_ms).as_bytes());
            out.push(b',');
            write_plain_value(&mut out, value);
            whole(out, &tail)
        }
        Value::String(time_ms, value) => {
            let mut out = br#"{"resultType":"string","result":["#.to_vec();
            out.extend_from_slice(go_seconds(time_ms).as_bytes());
            out.push(b',');
            write_text(&mut out, &value);
            whole(out, &tail)
        }
        Value::Vector(mut samples) => {
            truncate(&mut samples, limit, &mut warnings);
            Data::List {
                head: br#"{"resultType":"vector","result":["#.to_vec(),
                items: Box::new(Each(
                    samples.into_iter(),
                    holding(answer.held, write_sample),
                )),
                tail: format!("]{tail}").into_bytes(),
            }
        }
        Value::Matrix(mut series) => {
            truncate(&mut series, limit, &mut warnings);
            Data::List {
                head: br#"{"resultType":"matrix","result":["#.to_vec(),
                items: Box::new(Each(series.into_iter(), holding(answer.held, write_series))),
                tail: format!("]{tail}").into_bytes(),
            }
        }
    };
    Reply {
        data,
        warnings,
        infos: answer.infos,
    }
}

fn whole(mut out: Vec<u8>, tail: &str) -> Data {
    out.push(b']');
    out.extend_from_slice(tail.as_bytes());
    Data::Text(out)
}

/// Scalars and strings have their time as Go writes a float: without zeros at its end.
fn go_seconds(time_ms: i64) -> String {
    format!("{}", time_ms as f64 / 1000.0)
}

#[expect(clippy::needless_pass_by_value, reason = "what is written is given up")]
fn write_sample(sample: Sample, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &sample.labels);
    out.extend_from_slice(br#","value":"#);
    write_point(out, sample.time_ms, sample.value);
    out.push(b'}');
}

#[expect(clippy::needless_pass_by_value, reason = "what is written is given up")]
fn write_series(series: Series, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &series.labels);
    out.extend_from_slice(br#","values":["#);
    for (at, (time_ms, value)) in series.points.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_point(out, *time_ms, *value);
    }
    out.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::super::error::Kind;
    use super::*;
    use crate::pool::Pool;
    use crate::query::Settings;
    use crate::query::memory::Memory;
    use crate::query::source::{Samples, Selected, SeriesSet, SourceError, Want};

    #[test]
    fn alerts_are_strict() {
        let check = |query: &str, header: Option<&'static str>, want: bool| {
            let mut form = Form::default();
            form.add(query.as_bytes()).unwrap();
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            assert_eq!(is_strict(&form, &headers), want, "{query} {header:?}");
        };
        check("", None, false);
        check("strict=true", None, true);
        check("", Some("fromalert"), true);
        check("", Some("x-rule-uid"), true);
        check("", Some("x-dashboard-uid"), false);
        check("strict=false", Some("fromalert"), false);
    }

    #[test]
    fn a_slow_query_is_logged_with_where_it_is_from() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-panel-id", "7"),
            ("x-dashboard-uid", "a \"b\""),
            ("x-grafana-org-id", "1"),
            ("x-grafana-user", "admin"),
            ("fromalert", "true"),
            ("x-rule-uid", "r1"),
            ("x-rule-folder", "f"),
            ("authorization", "Basic c2VjcmV0"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let want = r#"fromalert="true" x-dashboard-uid="a \"b\"" x-grafana-org-id="1" x-grafana-user="admin" x-panel-id="7" x-rule-folder="f" x-rule-uid="r1""#;
        assert_eq!(origin(&headers), want);
        headers.clear();
        for number in 0..100 {
            let name = http::HeaderName::try_from(format!("x-rule-{number}")).unwrap();
            headers.insert(name, HeaderValue::try_from("x".repeat(1000)).unwrap());
        }
        assert!(origin(&headers).len() < LOGGED_HEADERS_MAX * (LOGGED_HEADER_CHARS_MAX + 20));
    }

    #[tokio::test]
    async fn what_an_answer_holds_counts_until_it_is_written() {
        let pool = Pool::new(tokio::runtime::Handle::current(), 1);
        let engine = Engine::new(Settings::default(), pool);
        let times = When::Range {
            start_ms: 0,
            end_ms: 100_000,
            step_ms: 1000,
        };
        for when in [times, When::Instant(0)] {
            let query = Query::new("vector(1)", when);
            let answer = run(&engine, &Memory::default(), &query).await.unwrap();
            let mut reply = reply(answer, None, None);
            assert!(engine.held_bytes() > 0, "a client may read slowly");
            let Data::List { items, .. } = &mut reply.data else {
                panic!("a list");
            };
            assert!(items.write_next(&mut Vec::new()));
            assert!(engine.held_bytes() > 0);
            drop(reply);
            assert_eq!(engine.held_bytes(), 0);
        }
    }

    #[derive(Debug)]
    struct Broken {
        while_selecting: bool,
    }

    impl Source for Broken {
        async fn select(&self, _: &Want<'_>, _: &Budget) -> Result<Selected, SourceError> {
            assert!(!self.while_selecting, "broken index");
            Ok(Selected::of(Arc::new(BrokenSet)))
        }
    }

    #[derive(Debug)]
    struct BrokenSet;

    impl SeriesSet for BrokenSet {
        fn len(&self) -> usize {
            1
        }
        fn labels(&self, _: usize, _: &mut dyn FnMut(&str, &str)) {}
        fn samples(&self, _: usize, _: &mut Samples) {
            panic!("broken chunk");
        }
        fn may_have_type_or_unit(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_panic_fails_its_query_alone() {
        let pool = Pool::new(tokio::runtime::Handle::current(), 1);
        let engine = Engine::new(Settings::default(), pool);
        for while_selecting in [false, true] {
            let query = Query::new("up", When::Instant(1000));
            let error = run(&engine, &Broken { while_selecting }, &query).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind, Kind::Internal, "{error}");
            assert_eq!(error.response().status(), 500);
            assert!(error.text.contains("broken"), "{error}");
            let (well, one) = (Memory::default(), Query::new("1", When::Instant(0)));
            let fine = run(&engine, &well, &one);
            assert!(fine.await.is_ok());
            assert_eq!((engine.running(), engine.held_bytes()), (0, 0));
        }
    }
}
