//! `metadata`: type, help and unit of metrics, from all clusters' servers. What several of them say alike stands once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use super::Served;
use super::error::ApiError;
use super::params::{Form, integer};
use super::write::Reply;
use crate::model::metadata::{Metadata, MetadataEntry};

/// What the servers say, joined, until one of them says something else.
#[derive(Debug, Default)]
pub(super) struct Cache(ArcSwapOption<Joined>);

type ByName = BTreeMap<String, Vec<MetadataEntry>>;

#[derive(Debug)]
struct Joined {
    /// What it was made of.
    from: Vec<Arc<Metadata>>,
    by_name: ByName,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

impl<'a> Entry<'a> {
    fn of(known: &'a MetadataEntry) -> Self {
        Self {
            kind: known.kind.as_word(),
            help: &known.help,
            unit: &known.unit,
        }
    }
}

/// Limits of an answer; none where nothing is cut.
#[derive(Clone, Copy, Debug)]
struct Limits {
    names: usize,
    per_name: usize,
}

/// By name, as far as the limits allow.
pub(super) async fn reply(form: &Form, served: &Arc<Served>) -> Result<Reply, ApiError> {
    let limits = Limits {
        names: limit(form, "limit")?.unwrap_or(usize::MAX),
        per_name: limit(form, "limit_per_metric")?
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX),
    };
    let metric = form.get("metric").to_owned();
    let shown = served.api.shown.load_full();
    let learned = shown.clusters.values();
    let from: Vec<Arc<Metadata>> = learned.map(|cluster| cluster.learned.metadata()).collect();
    let serving = served.clone();
    let work = move || {
        if metric.is_empty() {
            return write(&serving.api.metadata.joined(from).by_name, limits);
        }
        let entries = join(from.iter().filter_map(|known| known.get(&metric)));
        let found = (!entries.is_empty()).then_some((metric, entries));
        write(&found.into_iter().collect(), limits)
    };
    served.pool.run(work).await?
}

/// A negative limit is none, and so is no limit.
fn limit(form: &Form, name: &str) -> Result<Option<usize>, ApiError> {
    let text = form.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let limit = integer(text);
    let limit = limit.map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
    Ok(usize::try_from(limit).ok())
}

impl Cache {
    fn joined(&self, from: Vec<Arc<Metadata>>) -> Arc<Joined> {
        if let Some(known) = self.0.load_full()
            && known.from.len() == from.len()
            && known.from.iter().zip(&from).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return known;
        }
        let mut by_name = ByName::new();
        for (name, entry) in from.iter().flat_map(|metadata| metadata.iter()) {
            match by_name.get_mut(name) {
                Some(entries) if entries.contains(entry) => {}
                Some(entries) => entries.push(entry.clone()),
                None => drop(by_name.insert(name.to_owned(), vec![entry.clone()])),
            }
        }
        let joined = Arc::new(Joined { from, by_name });
        self.0.store(Some(joined.clone()));
        joined
    }
}

/// Each entry once, in the order in which they come.
fn join<'a>(entries: impl Iterator<Item = &'a MetadataEntry>) -> Vec<MetadataEntry> {
    let mut joined: Vec<MetadataEntry> = Vec::new();
    for entry in entries {
        if !joined.contains(entry) {
            joined.push(entry.clone());
        }
    }
    joined
}

fn write(by_name: &ByName, limits: Limits) -> Result<Reply, ApiError> {
    let shown: BTreeMap<&str, Vec<Entry<'_>>> = by_name
        .iter()
        .take(limits.names)
        .map(|(name, entries)| {
            let entries = entries.iter().take(limits.per_name).map(Entry::of);
            (&**name, entries.collect())
        })
        .collect();
    Reply::json(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::MetricKind;

    fn said(list: &[(&str, MetricKind, &str)]) -> Arc<Metadata> {
        let mut metadata = Metadata::new();
        for (name, kind, help) in list {
            let entry = MetadataEntry {
                kind: *kind,
                help: (*help).into(),
                unit: "".into(),
            };
            metadata.insert(*name, entry);
        }
        Arc::new(metadata)
    }

    #[test]
    fn what_is_said_alike_stands_once() {
        let cache = Cache::default();
        let up = ("up", MetricKind::Gauge, "Is it up?");
        let a = said(&[up, ("x_total", MetricKind::Counter, "X.")]);
        let b = said(&[up, ("x_total", MetricKind::Counter, "Xs.")]);
        let joined = cache.joined(vec![a.clone(), b.clone()]);
        let helps = |name: &str| -> Vec<&str> {
            joined.by_name[name]
                .iter()
                .map(|entry| &*entry.help)
                .collect()
        };
        assert_eq!(
            (helps("up"), helps("x_total")),
            (vec!["Is it up?"], vec!["X.", "Xs."])
        );
        assert!(Arc::ptr_eq(&joined, &cache.joined(vec![a.clone(), b])));
        assert!(!Arc::ptr_eq(&joined, &cache.joined(vec![a])));
    }
}
