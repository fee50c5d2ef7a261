//! `status/…`: what this process is, under the names that Prometheus has for it.

use std::collections::HashMap;
use std::fs;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use super::error::{ApiError, Kind};
use super::params::{Form, integer};
use super::targets::duration;
use super::time::format_time;
use super::write::Reply;
use super::{Served, now_ms};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::store::window::view::WindowView;

/// The version of Prometheus whose API and query language we have: clients decide by it what they may ask.
const API_LEVEL: &str = "3.14.0";

/// Entries in each list of `status/tsdb`.
const TOP: usize = 10;
const TOP_MAX: i64 = 10_000;

/// Without `features`, which would make Grafana take us for Mimir.
pub(super) fn build_info() -> Result<Reply, ApiError> {
    Reply::json(&json!({
        "version": API_LEVEL,
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

/// Our own version is in `tributaryVersion`.
pub(super) fn runtime_info(served: &Served) -> Result<Reply, ApiError> {
    let api = &served.api;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let threads = read("/proc/self/status")
        .lines()
        .find_map(|line| line.strip_prefix("Threads:")?.trim().parse::<i64>().ok());
    let folder = std::env::current_dir().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = api
        .about
        .memory_limit
        .and_then(|limit| i64::try_from(limit).ok());
    Reply::json(&json!({
        "startTime": format_time(api.about.started),
        "CWD": folder.display().to_string(),
        "hostname": read("/proc/sys/kernel/hostname").trim(),
        "serverTime": format_time(SystemTime::now()),
        "reloadConfigSuccess": api.reloaded.load(std::sync::atomic::Ordering::Relaxed),
        "lastConfigTime": format_time(api.shown.load().read_at),
        "corruptionCount": 0,
        "goroutineCount": threads.unwrap_or_default(),
        "GOMAXPROCS": cores,
        "GOMEMLIMIT": limit.unwrap_or(i64::MAX),
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": duration(api.window.length()),
        "tributaryVersion": env!("CARGO_PKG_VERSION"),
    }))
}

/// The configuration as YAML.
pub(super) fn config(served: &Served) -> Result<Reply, ApiError> {
    Reply::json(&json!({"yaml": served.api.shown.load().yaml}))
}

/// Every flag with its value.
pub(super) fn flags(served: &Served) -> Result<Reply, ApiError> {
    Reply::json(&served.api.about.flags)
}

/// One line of a list.
#[derive(Serialize)]
struct Stat {
    name: String,
    value: u64,
}

/// What the window holds most of.
pub(super) async fn tsdb(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    let top = limit(form)?;
    let turn = served.api.counting.clone().acquire_owned().await;
    let turn = turn.map_err(|error| ApiError::new(Kind::Internal, error.to_string()))?;
    let (view, label) = (
        served.api.view(),
        served.api.shown.load().cluster_label.clone(),
    );
    let mut counts = Counts::default();
    for at in 0..view.clusters().len() {
        let (looked, label) = (view.clone(), label.clone());
        let count = move || {
            counts.add(&looked, &label, at);
            counts
        };
        counts = served.pool.run(count).await?;
    }
    let work = move || counts.lists(top);
    let (pairs, lists) = served.pool.run(work).await?;
    drop(turn);
    let held = served.api.window.held();
    let series: u64 = held.iter().map(|(_, held)| held.series).sum();
    let oldest = held.iter().filter_map(|(_, held)| held.oldest_ms).min();
    let [names, label_values, bytes, series_pairs] = lists;
    Reply::json(&json!({
        "headStats": {
            "numSeries": series,
            "numLabelPairs": pairs,
            "chunkCount": series,
            "minTime": oldest.unwrap_or(i64::MAX),
            "maxTime": oldest.map_or(i64::MIN, |_| now_ms()),
        },
        "seriesCountByMetricName": names,
        "labelValueCountByLabelName": label_values,
        "memoryInBytesByLabelName": bytes,
        "seriesCountByLabelValuePair": series_pairs,
    }))
}

fn limit(form: &Form) -> Result<usize, ApiError> {
    let text = form.get("limit");
    if text.is_empty() {
        return Ok(TOP);
    }
    let limit = integer(text).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?;
    if limit > TOP_MAX {
        return Err(ApiError::bad_data(format!(
            "limit must not exceed {TOP_MAX}"
        )));
    }
    Ok(usize::try_from(limit).unwrap_or(TOP))
}

/// Series by metric name and by label with its value; values and their bytes by label.
#[derive(Debug, Default)]
struct Counts {
    pairs: HashMap<String, HashMap<String, u64>>,
}

impl Counts {
    /// Counts the series of the cluster at this place.
    fn add(&mut self, view: &WindowView, label: &str, at: usize) {
        let name = view.clusters()[at].name();
        let Ok(matcher) = Matcher::new(MatchOp::Equal, label, &**name) else {
            return;
        };
        for found in view.select(&[matcher]) {
            for (name, value) in view.series(&found).labels() {
                let values = match self.pairs.get_mut(name) {
                    Some(values) => values,
                    None => self.pairs.entry(name.to_owned()).or_default(),
                };
                match values.get_mut(value) {
                    Some(count) => *count += 1,
                    None => drop(values.insert(value.to_owned(), 1)),
                }
            }
        }
    }

    /// How many pairs there are, and the four lists.
    fn lists(&self, top: usize) -> (usize, [Vec<Stat>; 4]) {
        let stats = |list: Vec<(String, u64)>| highest(list, top);
        let names = self.pairs.get(METRIC_NAME).into_iter().flatten();
        let names = names.map(|(name, count)| (name.clone(), *count)).collect();
        let values = self.pairs.iter();
        let values = values
            .map(|(name, values)| (name.clone(), values.len() as u64))
            .collect();
        let bytes = self.pairs.iter().map(|(name, values)| {
            let bytes: usize = values.keys().map(String::len).sum();
            (name.clone(), bytes as u64)
        });
        let bytes = bytes.collect();
        let mut pairs = Vec::new();
        for (name, values) in &self.pairs {
            let of_name = values
                .iter()
                .map(|(value, count)| (format!("{name}={value}"), *count));
            pairs.extend(of_name);
        }
        (
            pairs.len(),
            [stats(names), stats(values), stats(bytes), stats(pairs)],
        )
    }
}

/// The highest counts first, of the same the first by name.
fn highest(mut list: Vec<(String, u64)>, top: usize) -> Vec<Stat> {
    list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(top);
    list.into_iter()
        .map(|(name, value)| Stat { name, value })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_come_first() {
        let list = [("b", 1), ("c", 5), ("a", 1)];
        let list = list.map(|(name, count)| (name.to_owned(), count)).to_vec();
        let names: Vec<_> = highest(list, 2).into_iter().map(|stat| stat.name).collect();
        assert_eq!(names, ["c", "a"]);
    }

    #[test]
    fn limits() {
        let check = |text: &str, want: Result<usize, &str>| {
            let mut form = Form::default();
            form.add(text.as_bytes()).unwrap();
            let got = limit(&form).map_err(|error| error.text);
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        };
        check("", Ok(10));
        check("limit=3", Ok(3));
        check("limit=0", Err("limit must be a positive number"));
        check("limit=x", Err("limit must be a positive number"));
        check("limit=10001", Err("limit must not exceed 10000"));
    }
}
