//! Functions of labels and of order: rewriting labels, sorting, telling that something is absent.

use std::cmp::Ordering;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::regex::Regex;
use crate::query::budget::Stop;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Merger, Sink, emit};
use crate::query::labels::{LabelEdit, LabelSet};
use crate::query::plan::{Call, Kind, Node};
use crate::query::select::{RangeRow, check_extent, series};
use crate::query::value::{ABSENT, Block, Grid, Held, Key, Row, is_absent, is_present};

type Done = Result<(), QueryError>;

/// `label_replace(v, dst, replacement, src, regex)`
pub(super) fn replace(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let [vector, dst, replacement, src, pattern] = call.args.as_slice() else {
        return Err(QueryError::internal("label_replace takes five arguments"));
    };
    let (src, pattern) = (src.text(), pattern.text());
    let regex = Regex::new(pattern).map_err(|_| {
        QueryError::execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })?;
    let mut held = Held::new(eval.budget);
    held.add(0, regex.size_bytes() as u64)?;
    let dst = checked_name("destination label name in label_replace()", dst)?;
    let template = regex.template(replacement.text());
    relabelled(eval, vector, grid, sink, &mut |labels, room| {
        let value = labels.get(src).unwrap_or("");
        room.take(value.len())?;
        let Some(captures) = regex.captures(value) else {
            return Ok(None);
        };
        room.take(template.expanded_bytes(&captures))?;
        let mut text = String::new();
        template.expand(&captures, &mut text);
        Ok(Some((dst, text)))
    })
}

/// `label_join(v, dst, separator, src…)`
pub(super) fn join(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let [vector, dst, separator, sources @ ..] = call.args.as_slice() else {
        return Err(QueryError::internal(
            "label_join takes three arguments or more",
        ));
    };
    for source in sources {
        checked_name("source label name in label_join()", source)?;
    }
    let dst = checked_name("destination label name in label_join()", dst)?;
    relabelled(eval, vector, grid, sink, &mut |labels, room| {
        let values = sources.iter();
        let values = values.map(|source| labels.get(source.text()).unwrap_or(""));
        let values: Vec<&str> = values.collect();
        let bytes: usize = values.iter().map(|value| value.len()).sum();
        room.take(bytes + separator.text().len() * values.len())?;
        Ok(Some((dst, values.join(separator.text()))))
    })
}

fn checked_name<'n>(what: &str, name: &'n Node) -> Result<&'n str, QueryError> {
    let invalid = |_| QueryError::execution(format!("invalid {what}: {}", name.text()));
    name.label_name().map_err(invalid)
}

/// Room for the text that is made for one series: a function may make a long one of a short one, and functions nest.
struct Room<'r> {
    eval: &'r Evaluator<'r>,
    held: Held,
}

/// A text is held so many times while it becomes the value of a label: itself, in the set being made, and in the set.
const COPIES: usize = 3;

impl Room<'_> {
    /// Counts a text before it is made.
    fn take(&mut self, bytes: usize) -> Done {
        self.eval.worked(bytes / size_of::<f64>())?;
        Ok(self.held.add(0, (COPIES * bytes) as u64)?)
    }
}

/// Gives a label and its value for a series of these labels, or leaves them as they are.
type Change<'c, 'n> =
    &'c mut dyn FnMut(&LabelSet, &mut Room<'_>) -> Result<Option<(&'n str, String)>, QueryError>;

/// Sets one label of each series.
fn relabelled(
    eval: &Evaluator<'_>,
    vector: &Node,
    grid: Grid,
    sink: Sink<'_>,
    change: Change<'_, '_>,
) -> Done {
    let mut merged = Merger::new(grid.steps, eval.budget);
    eval.rows(vector, grid, &mut |key, cells| {
        let labels = key.to_set();
        let mut drop_name = key.drop_name;
        let mut room = Room {
            eval,
            held: Held::new(eval.budget),
        };
        let labels = match change(&labels, &mut room)? {
            None => labels,
            Some((name, value)) => {
                drop_name &= name != METRIC_NAME;
                let mut edit = LabelEdit::new(&labels);
                edit.set(name, &value);
                edit.finish()
            }
        };
        let mut key = Key::set(labels);
        key.drop_name = drop_name;
        merged.push(&key, cells)
    })?;
    emit(merged.block, sink)
}

/// 1 at each step at which the vector is empty.
pub(super) fn absent(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let mut row = eval.row(1.0, grid)?;
    eval.rows(&call.args[0], grid, &mut |_, cells| {
        for (one, cell) in row.iter_mut().zip(cells.iter()) {
            if is_present(*cell) {
                *one = ABSENT;
            }
        }
        Ok(())
    })?;
    tell_absent(eval, &call.args[0], row, sink)
}

/// 1 at each step at which no series has a sample in the range.
pub(super) fn absent_over_time(
    eval: &Evaluator<'_>,
    call: &Call,
    grid: Grid,
    sink: Sink<'_>,
) -> Done {
    let arg = &call.args[0];
    let mut row = eval.row(1.0, grid)?;
    let mut there = eval.row(ABSENT, grid)?;
    if let Kind::Range(at) = arg.kind {
        check_extent(eval.plan.selectors[at].extent, call.name)?;
    }
    series(eval, arg, grid, &mut |key, samples, stretch| {
        eval.worked(samples.times.len() + grid.steps)?;
        let range = RangeRow {
            samples,
            stretch,
            numbers: &[],
            key,
            eval,
            span: arg.span,
            first_span: arg.span,
            failure: std::cell::Cell::default(),
        };
        range.each(&mut there, |_| 1.0);
        for (one, there) in row.iter_mut().zip(there.iter()) {
            if is_present(*there) {
                *one = ABSENT;
            }
        }
        Ok(())
    })?;
    tell_absent(eval, arg, row, sink)
}

fn tell_absent(eval: &Evaluator<'_>, arg: &Node, mut row: Row, sink: Sink<'_>) -> Done {
    if row.iter().all(|one| is_absent(*one)) {
        return Ok(());
    }
    let labels = match arg.kind {
        Kind::Instant(at) | Kind::Range(at) => absent_labels(eval, at),
        _ => LabelSet::empty(),
    };
    sink(&mut Key::set(labels), &mut row)
}

/// The labels that a series of the selector would have: those that an `=` gives, unless a later condition is about the
/// same label. (An earlier one does not count; that is upstream's rule.)
fn absent_labels(eval: &Evaluator<'_>, selector: usize) -> LabelSet {
    let matchers = &eval.plan.selectors[selector].matchers;
    let of_labels = || matchers.iter().filter(|m| m.name() != METRIC_NAME);
    let given = of_labels().enumerate().filter(|(at, m)| {
        let is_given = |m: &Matcher| m.op() == MatchOp::Equal;
        let before = of_labels()
            .take(*at)
            .filter(|other| other.name() == m.name());
        let mut after = of_labels()
            .skip(at + 1)
            .filter(|other| other.name() == m.name());
        is_given(m) && !before.into_iter().any(is_given) && after.next().is_none()
    });
    LabelSet::from_pairs(given.map(|(_, m)| (m.name(), m.value())))
}

/// `sort`, `sort_desc`: by value, NaN last.
pub(super) fn sort(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let descending = call.name == "sort_desc";
    sorted(eval, call, grid, sink, &mut |block, order| {
        order.sort_by(|a, b| by_value(block.cell(*a, 0), block.cell(*b, 0), descending));
        Ok(())
    })
}

/// By value; NaN behind all numbers.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a_nan, b_nan) => a_nan.cmp(&b_nan),
    }
}

/// `sort_by_label`, `sort_by_label_desc`: by the values of labels, numbers in them by size, then by all labels.
pub(super) fn sort_by_label(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let descending = call.name == "sort_by_label_desc";
    let names: Vec<&str> = call.args[1..].iter().map(Node::text).collect();
    sorted(eval, call, grid, sink, &mut |block, order| {
        let sets = label_sets(block)?;
        let value = |row: usize, name: &str| sets[row].get(name).unwrap_or("").to_owned();
        order.sort_by(|a, b| {
            let by_names = names
                .iter()
                .map(|name| natural(&value(*a, name), &value(*b, name)))
                .find(|ordering| ordering.is_ne());
            let ordering = by_names.unwrap_or_else(|| sets[*a].cmp(&sets[*b]));
            if descending {
                ordering.reverse()
            } else {
                ordering
            }
        });
        Ok(())
    })
}

/// Puts the rows of an instant query in order. Those of a range query are sorted by labels in the end, whatever is
/// done here.
fn sorted(
    eval: &Evaluator<'_>,
    call: &Call,
    grid: Grid,
    sink: Sink<'_>,
    sort: &mut dyn FnMut(&mut Block, &mut Vec<usize>) -> Done,
) -> Done {
    if grid.steps > 1 {
        eval.notes.sort_in_range_query(call.span);
        return eval.rows(&call.args[0], grid, sink);
    }
    let mut block = eval.block(&call.args[0], grid)?;
    block.hold((block.len() * size_of::<usize>()) as u64)?;
    let mut order: Vec<usize> = (0..block.len()).collect();
    sort(&mut block, &mut order)?;
    for row in order {
        let (key, cells) = block.entry(row);
        sink(key, cells)?;
    }
    Ok(())
}

/// The labels of all rows, which count with the block.
pub(super) fn label_sets(block: &mut Block) -> Result<Vec<LabelSet>, Stop> {
    let mut sets = Vec::with_capacity(block.len());
    for row in 0..block.len() {
        let set = block.keys[row].to_set();
        block.hold((size_of::<LabelSet>() + set.size_bytes()) as u64)?;
        sets.push(set);
    }
    Ok(sets)
}

/// Compares texts run by run, runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (run_a, rest_a) = first_run(a);
        let (run_b, rest_b) = first_run(b);
        let ordering = match (run_a.parse::<i64>(), run_b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => run_a.cmp(run_b),
        };
        if ordering.is_ne() || (run_a.is_empty() && run_b.is_empty()) {
            return ordering;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The longest run of digits, or of anything else, that the text begins with.
fn first_run(text: &str) -> (&str, &str) {
    let is_digit = |c: u8| c.is_ascii_digit();
    let Some(kind) = text.bytes().next().map(is_digit) else {
        return ("", "");
    };
    let end = text
        .bytes()
        .position(|c| is_digit(c) != kind)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        let check = |words: &[&str]| {
            assert!(
                words.is_sorted_by(|a, b| natural(a, b).is_lt()),
                "{words:?}"
            );
        };
        check(&["", "0", "1", "2", "10", "100", "a"]);
        check(&["4m5", "4m600", "4m1000"]);
        check(&["1.2.3", "1.11.3", "1.111.3"]);
        check(&["a", "a1", "a2b", "a10", "b"]);
        assert_eq!(natural("a01", "a1"), Ordering::Equal);
    }

    #[test]
    fn nan_is_last() {
        let sorted = |descending| {
            let mut values = vec![1.0, f64::NAN, 3.0, -1.0];
            values.sort_by(|a, b| by_value(*a, *b, descending));
            format!("{values:?}")
        };
        assert_eq!(sorted(false), "[-1.0, 1.0, 3.0, NaN]");
        assert_eq!(sorted(true), "[3.0, 1.0, -1.0, NaN]");
    }
}
