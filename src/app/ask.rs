//! `tributary query`: asks a Prometheus, ours or any other, and lays the answer out as a table.
//!
//! A few labels are columns; of many the series is written as `name{…}`. Values stand at the right, in the order of
//! the answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::runtime;
use tokio::time::Instant;

use super::settings;
use crate::cluster::FetchError;
use crate::cluster::http::Client;
use crate::config::{self, ConfigErrors, Flags};
use crate::model::labels::METRIC_NAME;
use crate::serve::api::time::format_time;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// More labels than this are not columns.
const COLUMNS_MAX: usize = 8;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The server's address, up to where `/api/v1` begins.
    pub url: String,
    /// The query.
    pub query: String,
    /// When it is evaluated.
    pub when: AskWhen,
    /// Time for the whole answer.
    pub timeout: Duration,
}

/// When a query is evaluated, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskWhen {
    /// At the server's own time.
    Now,
    /// At one time.
    At(i64),
    /// At many times.
    Range {
        /// The first one.
        start_ms: i64,
        /// The last one.
        end_ms: i64,
        /// Their distance; above 0.
        step_ms: i64,
    },
}

/// An answer for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The lines, each with its end.
    pub text: String,
    /// What the server says beside it.
    pub notes: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address is no good.
    #[error("the server's address {0}")]
    Address(String),
    /// The server cannot be asked.
    #[error("cannot ask {url}: {source}")]
    Fetch {
        /// The server.
        url: String,
        /// Why not.
        source: FetchError,
    },
    /// It refuses the query.
    #[error("{kind}: {text}")]
    Refused {
        /// The type of the error.
        kind: String,
        /// Its words.
        text: String,
    },
    /// It took too long.
    #[error("no whole answer from {url} within {timeout:?}: raise --timeout, or ask for less")]
    Timeout {
        /// The server.
        url: String,
        /// The time that it had.
        timeout: Duration,
    },
    /// The answer is none of Prometheus' API.
    #[error("{url} does not answer as Prometheus' API: {why}")]
    Unreadable {
        /// The server.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No thread to ask from.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// Asks and waits for the answer.
pub fn ask(ask: &Ask) -> Result<Table, AskError> {
    let flags = Flags {
        clusters: vec![format!("queried={}", ask.url)],
        ..Flags::default()
    };
    let config = config::from_flags(&flags).map_err(|errors| wrong_address(&errors))?;
    let mut server = settings::client(&config.clusters[0]);
    server.timeout = ask.timeout;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let body = runtime.block_on(async {
        let client = Client::new(server)?;
        let deadline = Instant::now() + ask.timeout;
        client.get(&ask.target(), ANSWER_BYTES_MAX, deadline).await
    });
    let body = body.map_err(|error| ask.failed(error))?;
    let unreadable = |why: String| AskError::Unreadable {
        url: ask.url.clone(),
        why,
    };
    let answer = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    table(&answer).ok_or_else(|| unreadable("the JSON has another form".to_owned()))
}

/// In the words of the flag that takes such addresses, which is not the one that was written.
fn wrong_address(errors: &ConfigErrors) -> AskError {
    let text = errors.problems.first().map_or("", |problem| &problem.text);
    let text = if text.contains("user or password") {
        "holds a user or password, and this command sends none: write it without them"
    } else {
        text
    };
    AskError::Address(text.to_owned())
}

impl Ask {
    /// Path and parameters.
    fn target(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", &self.query);
        form.append_pair("timeout", &format!("{}", self.timeout.as_secs_f64()));
        let mut time = |name: &str, ms: i64| {
            form.append_pair(name, &format!("{}", ms as f64 / 1000.0));
        };
        let endpoint = match self.when {
            AskWhen::Now => "query",
            AskWhen::At(time_ms) => {
                time("time", time_ms);
                "query"
            }
            AskWhen::Range {
                start_ms,
                end_ms,
                step_ms,
            } => {
                time("start", start_ms);
                time("end", end_ms);
                time("step", step_ms);
                "query_range"
            }
        };
        format!("/api/v1/{endpoint}?{}", form.finish())
    }

    fn failed(&self, error: FetchError) -> AskError {
        if let FetchError::Status { body, .. } = &error
            && let Some(answer) = beginning(body)
            && let (Some(kind), Some(text)) =
                (answer["errorType"].as_str(), answer["error"].as_str())
        {
            return AskError::Refused {
                kind: visible(kind),
                text: visible(text),
            };
        }
        match error {
            FetchError::Timeout(timeout) => AskError::Timeout {
                url: self.url.clone(),
                timeout,
            },
            source => AskError::Fetch {
                url: self.url.clone(),
                source,
            },
        }
    }
}

/// An error's JSON, of which only the beginning may be there.
fn beginning(body: &str) -> Option<Value> {
    let closed = || format!("{}…\"}}", body.trim_end_matches(['\\', '\u{fffd}']));
    let whole = serde_json::from_str(body).ok();
    whole.or_else(|| serde_json::from_str(&closed()).ok())
}

/// The answer as lines; none where it is not what Prometheus answers.
fn table(answer: &Value) -> Option<Table> {
    let data = &answer["data"];
    let result = &data["result"];
    let mut rows = Vec::new();
    match data["resultType"].as_str()? {
        "scalar" | "string" => {
            let text = format!("{}\n", visible(result.get(1)?.as_str()?));
            return Some(with_notes(text, answer));
        }
        "vector" => {
            for sample in result.as_array()? {
                rows.push(Row::of(
                    sample,
                    None,
                    sample.get("value").or(sample.get("histogram"))?,
                )?);
            }
        }
        "matrix" => {
            for series in result.as_array()? {
                let points = series.get("values").or(series.get("histograms"))?;
                for point in points.as_array()? {
                    rows.push(Row::of(series, Some(point.get(0)?.as_f64()?), point)?);
                }
            }
        }
        _ => return None,
    }
    Some(with_notes(lay_out(&rows), answer))
}

fn with_notes(text: String, answer: &Value) -> Table {
    let list = |name: &str| answer[name].as_array().into_iter().flatten();
    let notes = list("warnings")
        .chain(list("infos"))
        .filter_map(Value::as_str);
    Table {
        text,
        notes: notes.map(visible).collect(),
    }
}

/// One sample.
struct Row<'a> {
    labels: &'a Map<String, Value>,
    time: Option<String>,
    value: String,
}

impl<'a> Row<'a> {
    fn of(series: &'a Value, seconds: Option<f64>, point: &Value) -> Option<Self> {
        let value = point.get(1)?;
        Some(Self {
            labels: series["metric"].as_object()?,
            time: seconds.map(|seconds| {
                let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                // Half a millisecond more, since times as 0.3 are a little less than they say.
                format_time(UNIX_EPOCH + since + Duration::from_micros(500))
            }),
            value: value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        })
    }

    /// `name{label="value", …}`.
    fn series(&self) -> String {
        let name = self.labels.get(METRIC_NAME).and_then(Value::as_str);
        let others = self
            .labels
            .iter()
            .filter(|(label, _)| *label != METRIC_NAME);
        let others: Vec<String> = others
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        match (name, others.is_empty()) {
            (Some(name), true) => name.to_owned(),
            (name, _) => format!("{}{{{}}}", name.unwrap_or_default(), others.join(", ")),
        }
    }
}

fn lay_out(rows: &[Row<'_>]) -> String {
    let names: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row.labels.keys())
        .map(|name| &**name)
        .collect();
    let has_columns = names.len() <= COLUMNS_MAX;
    let has_time = rows.iter().any(|row| row.time.is_some());
    let mut header: Vec<String> = if has_columns {
        let upper = names.iter().map(|name| name.to_uppercase());
        upper.map(|name| visible(&name)).collect()
    } else {
        vec!["SERIES".to_owned()]
    };
    if has_columns && names.contains(METRIC_NAME) {
        "NAME".clone_into(&mut header[0]);
    }
    header.extend(has_time.then(|| "TIME".to_owned()));
    header.push("VALUE".to_owned());
    let cells = rows.iter().map(|row| {
        let mut cells: Vec<String> = if has_columns {
            let text = |name: &&str| {
                row.labels
                    .get(*name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            names.iter().map(|name| visible(text(name))).collect()
        } else {
            vec![visible(&row.series())]
        };
        cells.extend(row.time.clone());
        cells.push(visible(&row.value));
        cells
    });
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
    aligned(&lines)
}

/// Characters that others could steer the terminal with, or turn the order of what it shows.
fn visible(text: &str) -> String {
    let is_steering = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let escaped = |c: char| {
        if is_steering(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escaped).collect()
}

/// Columns of the same width; the last one at the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ = if column + 1 == columns {
                writeln!(out, "{cell:>width$}")
            } else {
                write!(out, "{cell:<width$}  ")
            };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables() {
        let check = |data: Value, want: &str| {
            assert_eq!(table(&json!({"data": data})).unwrap().text, want);
        };
        check(json!({"resultType": "scalar", "result": [4, "2"]}), "2\n");
        check(
            json!({"resultType": "string", "result": [4, "a\u{1b}[31m\u{202e}b"]}),
            "a\\u{1b}[31m\\u{202e}b\n",
        );
        check(json!({"resultType": "vector", "result": []}), "VALUE\n");
        check(
            json!({"resultType": "vector", "result": [
                {"metric": {"__name__": "up", "job": "a"}, "value": [1, "1"]},
                {"metric": {"__name__": "up", "job": "longer", "x": "\u{1b}[0m"}, "value": [1, "1000"]},
            ]}),
            "NAME  JOB     X          VALUE\n\
             up    a                      1\n\
             up    longer  \\u{1b}[0m   1000\n",
        );
        check(
            json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1.5, "3"], [2, "NaN"]]}]}),
            "TIME                      VALUE\n\
             1970-01-01T00:00:01.500Z      3\n\
             1970-01-01T00:00:02.000Z    NaN\n",
        );
        let many: Map<String, Value> = (0..9).map(|n| (format!("l{n}"), json!("v"))).collect();
        let text = table(
            &json!({"data": {"resultType": "vector", "result": [{"metric": many, "value": [1, "1"]}]}}),
        );
        assert!(text.unwrap().text.contains("\n{l0=\"v\", l1=\"v\""));
    }

    #[test]
    fn other_answers_are_none() {
        assert_eq!(table(&json!({"data": []})), None);
        assert_eq!(
            table(&json!({"data": {"resultType": "vector", "result": [{}]}})),
            None
        );
    }

    #[test]
    fn errors_that_are_cut_off_are_read_as_far_as_they_go() {
        let check = |body: &str, want: Option<&str>| {
            let error = beginning(body);
            let error = error.as_ref().and_then(|answer| answer["error"].as_str());
            assert_eq!(error, want, "{body}");
        };
        check("{\"error\":\"ab\"}", Some("ab"));
        check("{\"errorType\":\"x\",\"error\":\"a \\\"b\\", Some("a \"b…"));
        check("<html>", None);
    }

    #[test]
    fn targets() {
        let check = |when: AskWhen, want: &str| {
            let ask = Ask {
                url: "http://h".into(),
                query: "a + b".into(),
                when,
                timeout: Duration::from_secs(5),
            };
            assert_eq!(ask.target(), want);
        };
        check(AskWhen::Now, "/api/v1/query?query=a+%2B+b&timeout=5");
        check(
            AskWhen::At(1500),
            "/api/v1/query?query=a+%2B+b&timeout=5&time=1.5",
        );
        let range = AskWhen::Range {
            start_ms: 0,
            end_ms: 60_000,
            step_ms: 500,
        };
        check(
            range,
            "/api/v1/query_range?query=a+%2B+b&timeout=5&start=0&end=60&step=0.5",
        );
    }
}
