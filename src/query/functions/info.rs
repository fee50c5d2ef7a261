//! `info` (experimental): adds the labels of info metrics such as `target_info` to the series of the same target.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Merger, Sink, emit};
use crate::query::functions::label::label_sets;
use crate::query::labels::{LabelEdit, LabelSet};
use crate::query::plan::Call;
use crate::query::select::{Part, newest};
use crate::query::value::{ABSENT, Block, Grid, Key, is_absent, is_present};

/// The labels by which a series and an info series find each other.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// `info(v)`, `info(v, {data="…"})`
pub(super) fn info(
    eval: &Evaluator<'_>,
    call: &Call,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let selector = call
        .info
        .ok_or_else(|| QueryError::internal("info has no selector in the plan"))?;
    let base = eval.block(&call.args[0], grid)?;
    // What is compared of two info series of the same target is when they were seen last.
    let mut seen = Block::new(grid.steps, eval.budget);
    newest(eval, selector, Part::Time, grid, &mut |key, cells| {
        Ok(seen.push(key.clone(), cells)?)
    })?;
    let matchers = &eval.plan.selectors[selector].matchers;
    let sets = label_sets(&mut seen)?;
    // The table of targets is made of texts of these.
    let texts: usize = sets.iter().map(LabelSet::size_bytes).sum();
    seen.hold(texts as u64)?;
    let joined = Join::new(&base, &seen, sets, matchers)?;
    let mut merged = Merger::new(grid.steps, eval.budget);
    for row in 0..base.len() {
        eval.worked(grid.steps)?;
        joined.row(&base, row, &mut merged)?;
    }
    emit(merged.block, sink)
}

/// Info series by target, and the conditions on their labels.
struct Join<'a> {
    seen: &'a Block,
    sets: Vec<LabelSet>,
    /// For each target: the names of its info metrics, each with its rows.
    targets: HashMap<Vec<String>, Vec<(String, Vec<usize>)>>,
    names: Vec<&'a Matcher>,
    data: Vec<&'a Matcher>,
}

impl<'a> Join<'a> {
    fn new(
        base: &Block,
        seen: &'a Block,
        sets: Vec<LabelSet>,
        matchers: &'a [Matcher],
    ) -> Result<Self, QueryError> {
        let (names, data) = matchers.iter().partition(|m| m.name() == METRIC_NAME);
        let mut joined = Self {
            seen,
            sets,
            targets: HashMap::new(),
            names,
            data,
        };
        let known = joined.known(base);
        if known.iter().all(BTreeSet::is_empty) {
            return Ok(joined);
        }
        for (row, set) in joined.sets.iter().enumerate() {
            let target = target_of(set);
            let is_wanted = |(known, value): (&BTreeSet<String>, &String)| {
                known.is_empty() || known.contains(value)
            };
            if !known.iter().zip(&target).all(is_wanted) {
                continue;
            }
            let metrics = joined.targets.entry(target).or_default();
            let name = set.name().unwrap_or("").to_owned();
            match metrics.iter_mut().find(|(have, _)| *have == name) {
                Some((_, rows)) => rows.push(row),
                None => metrics.push((name, vec![row])),
            }
        }
        joined.check_conflicts()?;
        Ok(joined)
    }

    /// The values of each identifying label among the series that are to be enriched.
    fn known(&self, base: &Block) -> [BTreeSet<String>; IDENTIFYING.len()] {
        let mut known = [const { BTreeSet::new() }; IDENTIFYING.len()];
        for key in &base.keys {
            let set = key.to_set();
            if self.is_info(&set) {
                continue;
            }
            for (values, value) in known.iter_mut().zip(target_of(&set)) {
                if !value.is_empty() {
                    values.insert(value);
                }
            }
        }
        known
    }

    /// Whether a series is itself one of those whose labels are added.
    fn is_info(&self, set: &LabelSet) -> bool {
        let name = set.name().unwrap_or("");
        self.names.iter().all(|m| m.matches(name))
    }

    /// Two info series of one metric and target must not have been seen at the same time.
    fn check_conflicts(&self) -> Result<(), QueryError> {
        for (_, rows) in self.targets.values().flatten() {
            for (at, a) in rows.iter().enumerate() {
                for b in &rows[at + 1..] {
                    let both = self.seen.row(*a).iter().zip(self.seen.row(*b));
                    let same = both.filter(|(a, b)| is_present(**a) && a == b);
                    if let Some((time, _)) = same.into_iter().next() {
                        return Err(self.conflict(*a, *b, *time));
                    }
                }
            }
        }
        Ok(())
    }

    fn conflict(&self, a: usize, b: usize, seconds: f64) -> QueryError {
        let time = (seconds * 1000.0).round();
        QueryError::execution(format!(
            "found duplicate series for info metric: existing {} @ {time}, new {} @ {time}",
            self.sets[a], self.sets[b]
        ))
    }

    /// Adds a series, in as many pieces as its info series change.
    fn row(&self, base: &Block, row: usize, merged: &mut Merger) -> Result<(), QueryError> {
        let (key, cells) = (&base.keys[row], base.row(row));
        let set = key.to_set();
        if self.is_info(&set) {
            return merged.push(key, cells);
        }
        let nothing = Vec::new();
        let metrics = self.targets.get(&target_of(&set)).unwrap_or(&nothing);
        let mut pieces: Vec<(Vec<usize>, Vec<f64>)> = Vec::new();
        for (step, cell) in cells.iter().enumerate() {
            if is_absent(*cell) {
                continue;
            }
            let found = self.latest(metrics, step);
            let at = pieces.iter().position(|(rows, _)| *rows == found);
            let at = at.unwrap_or_else(|| {
                pieces.push((found, vec![ABSENT; cells.len()]));
                pieces.len() - 1
            });
            pieces[at].1[step] = *cell;
        }
        for (rows, cells) in pieces {
            if rows.is_empty() && !self.data.iter().all(|m| m.matches("")) {
                continue;
            }
            let mut enriched = Key::set(self.enriched(&set, &rows)?);
            enriched.drop_name = key.drop_name;
            merged.push(&enriched, &cells)?;
        }
        Ok(())
    }

    /// For each info metric the series that was seen last, where one is there at the step.
    fn latest(&self, metrics: &[(String, Vec<usize>)], step: usize) -> Vec<usize> {
        let newest = |rows: &Vec<usize>| {
            let there = rows
                .iter()
                .filter(|row| is_present(self.seen.cell(**row, step)));
            there
                .max_by(|a, b| {
                    self.seen
                        .cell(**a, step)
                        .total_cmp(&self.seen.cell(**b, step))
                })
                .copied()
        };
        metrics
            .iter()
            .filter_map(|(_, rows)| newest(rows))
            .collect()
    }

    /// The labels of a series with those of its info series that it does not have itself.
    fn enriched(&self, set: &LabelSet, rows: &[usize]) -> Result<LabelSet, QueryError> {
        let mut added: Vec<(&str, &str)> = Vec::new();
        for row in rows {
            for (name, value) in &self.sets[*row] {
                let asked = self.data.is_empty() || self.data.iter().any(|m| m.name() == name);
                if name == METRIC_NAME || !asked {
                    continue;
                }
                if added
                    .iter()
                    .any(|(have, other)| *have == name && *other != value)
                {
                    return Err(QueryError::execution(format!("conflicting label: {name}")));
                }
                if set.get(name).is_none() {
                    added.push((name, value));
                }
            }
        }
        if added.is_empty() {
            return Ok(set.clone());
        }
        let mut edit = LabelEdit::new(set);
        for (name, value) in added {
            edit.set(name, value);
        }
        Ok(edit.finish())
    }
}

/// The values of the identifying labels; empty where one is missing.
fn target_of(set: &LabelSet) -> Vec<String> {
    IDENTIFYING
        .iter()
        .map(|name| set.get(name).unwrap_or("").to_owned())
        .collect()
}
