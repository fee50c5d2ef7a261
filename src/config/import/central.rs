//! What remains for the central Prometheus: the input without its federate jobs, with one job that scrapes Tributary.
//!
//! The text of the input is kept line by line, comments too. Lines are cut by where YAML says that keys begin, and the
//! result is read back: if it does not mean exactly what it should (an anchor stood in a job that was cut, the list is
//! written in brackets) the whole file is written anew from its tree instead.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::source::{Job, Source};
use super::{CentralJob, Wish, duration, secret, yaml};
use crate::config::tree::{self, Node, Value};

const LIST: &str = "scrape_configs";
const STATIC: &str = "static_configs";
const STALENESS: &str = "track_timestamps_staleness";

/// Jobs that are named in the comment above ours.
const NAMED_MAX: usize = 8;

/// The central configuration.
pub(super) struct Remains {
    pub(super) text: String,
    /// Without secrets.
    pub(super) shown: String,
    pub(super) has_secrets: bool,
}

/// What remains of `text`, whose tree is `root`.
pub(super) fn remains(text: &str, root: &Node, source: &Source<'_>, wish: &Wish) -> Remains {
    let federate: Vec<_> = source.jobs.iter().filter(|job| job.is_federate).collect();
    let (tree, text) = if federate.is_empty() {
        (root.value.clone(), text.to_owned())
    } else {
        let edit = Edit {
            jobs: federate.iter().map(|job| (job.index, *job)).collect(),
            place: federate[0].index,
            ours: our_job(source, &federate, wish),
        };
        let tree = edit.tree(root);
        let kept = edit.text(text, root).filter(|text| means(text, &tree));
        let text = kept.unwrap_or_else(|| {
            format!("# Written anew by tributary import: its comments and anchors are in the file it came from.\n{}", yaml::document(&tree))
        });
        (tree, text)
    };
    let hidden = secret::hidden(&tree);
    Remains {
        has_secrets: hidden.is_some(),
        shown: hidden.map_or_else(|| text.clone(), |tree| yaml::document(&tree)),
        text,
    }
}

/// Whether the text means this tree.
fn means(text: &str, tree: &Value) -> bool {
    tree::parse(text).is_ok_and(|root| same(&root.value, tree))
}

/// Whether two trees are equal but for their lines.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Map(a), Value::Map(b)) => {
            let pairs = || a.iter().zip(b);
            a.len() == b.len()
                && pairs().all(|(a, b)| a.key == b.key && same(&a.node.value, &b.node.value))
        }
        (a, b) => a == b,
    }
}

/// The job that scrapes Tributary.
struct OurJob {
    value: Value,
    /// Whether the central Prometheus is known to track the staleness of timestamps.
    tracks: bool,
    /// The jobs in whose place it stands.
    comment: String,
}

fn our_job(source: &Source<'_>, federate: &[&Job<'_>], wish: &Wish) -> OurJob {
    let mut name = "tributary".to_owned();
    let mut number = 2;
    while source.jobs.iter().any(|job| job.name == name) {
        name = format!("tributary-{number}");
        number += 1;
    }
    let tracks = source
        .jobs
        .iter()
        .any(|job| job.track_timestamps_staleness.is_some());
    let mut entries = vec![
        ("job_name", yaml::text(name)),
        ("honor_labels", yaml::text("true")),
    ];
    if tracks {
        entries.push((STALENESS, yaml::text("true")));
    }
    entries.extend(times(source, federate));
    if wish.url.starts_with("https:") {
        entries.push(("scheme", yaml::text("https")));
    }
    entries.extend(targets(wish));
    OurJob {
        value: yaml::map(entries),
        tracks,
        comment: in_place_of(federate),
    }
}

/// Names a few of the jobs.
fn in_place_of(federate: &[&Job<'_>]) -> String {
    let named = federate.iter().take(NAMED_MAX);
    let named: Vec<_> = named.map(|job| yaml::comment(&job.name)).collect();
    let more = federate.len() - named.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("In place of {}{more}.", named.join(", "))
}

/// The shortest interval of the jobs, and the longest timeout, where they differ from the global ones.
fn times(source: &Source<'_>, federate: &[&Job<'_>]) -> Vec<(&'static str, Value)> {
    let defaults = &source.defaults;
    let interval = |job: &&Job<'_>| job.interval.unwrap_or(defaults.interval);
    let shortest = federate
        .iter()
        .map(interval)
        .min()
        .unwrap_or(defaults.interval);
    let longest = federate.iter().filter_map(|job| job.timeout).max();
    let timeout = longest.map(|timeout: Duration| timeout.min(shortest));
    let interval =
        (shortest != defaults.interval).then_some(("scrape_interval", duration(shortest)));
    let timeout = timeout.filter(|timeout| *timeout != defaults.timeout_for(shortest));
    let timeout = timeout.map(|timeout| ("scrape_timeout", duration(timeout)));
    interval.into_iter().chain(timeout).collect()
}

/// Where the job finds Tributary.
fn targets(wish: &Wish) -> Vec<(&'static str, Value)> {
    let base = &wish.url;
    match wish.central_job {
        CentralJob::Sd => {
            let discovery = yaml::map([("url", yaml::text(format!("{base}/sd/prometheus")))]);
            vec![("http_sd_configs", Value::List(vec![yaml::node(discovery)]))]
        }
        CentralJob::Federate => {
            let rest = base.split_once("://").map_or(&**base, |(_, rest)| rest);
            let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = format!("{path}/federate");
            let group = yaml::map([("targets", yaml::texts([address]))]);
            vec![
                ("metrics_path", yaml::text(path)),
                (
                    "params",
                    yaml::map([("match[]", yaml::texts([r#"{__name__=~".+"}"#]))]),
                ),
                (STATIC, Value::List(vec![yaml::node(group)])),
            ]
        }
    }
}

/// What changes in the file.
struct Edit<'e, 't> {
    /// The federate jobs by where they stand in the list.
    jobs: HashMap<usize, &'e Job<'t>>,
    /// Where our job stands in the list.
    place: usize,
    ours: OurJob,
}

impl Edit<'_, '_> {
    /// A job leaves, unless it has targets that only Prometheus knows: then only its static ones leave.
    fn leaves(&self, index: usize) -> bool {
        self.job(index).is_some_and(|job| job.discovery.is_empty())
    }

    fn job(&self, index: usize) -> Option<&Job<'_>> {
        self.jobs.get(&index).copied()
    }

    fn tree(&self, root: &Node) -> Value {
        let Value::Map(entries) = &root.value else {
            return root.value.clone();
        };
        let mut entries = entries.clone();
        for entry in entries.iter_mut().filter(|entry| entry.key == LIST) {
            if let Value::List(items) = &entry.node.value {
                entry.node.value = Value::List(self.list(items));
            }
        }
        Value::Map(entries)
    }

    fn list(&self, items: &[Node]) -> Vec<Node> {
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if index == self.place {
                list.push(yaml::node(self.ours.value.clone()));
            }
            if self.leaves(index) {
                continue;
            }
            let mut item = item.clone();
            if self.job(index).is_some()
                && let Value::Map(entries) = &mut item.value
            {
                entries.retain(|entry| entry.key != STATIC);
            }
            list.push(item);
        }
        list
    }

    /// The input's lines with these changes; `None` where they cannot be told apart.
    fn text(&self, text: &str, root: &Node) -> Option<String> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let Value::Map(top) = &root.value else {
            return None;
        };
        let list = top.iter().find(|entry| entry.key == LIST)?;
        let Value::List(items) = &list.node.value else {
            return None;
        };
        let end = top
            .iter()
            .map(|entry| row(entry.line))
            .filter(|start| *start > row(list.line))
            .min();
        let spans = spans(&lines, items, end.unwrap_or(lines.len()))?;
        let indent = indent(lines[spans.first()?.start]);
        let mut cut = vec![false; lines.len()];
        for (index, span) in spans.iter().enumerate() {
            let gone = if self.leaves(index) {
                comments_above(&lines, span.start)..span.end
            } else if self.job(index).is_some() {
                match static_span(&items[index], span) {
                    Some(span) => without_tail(&lines, span, indent),
                    None => continue,
                }
            } else {
                continue;
            };
            cut.get_mut(gone)?.fill(true);
        }
        let place = comments_above(&lines, spans.get(self.place)?.start);
        Some(self.joined(&lines, &cut, place, indent))
    }

    fn joined(&self, lines: &[&str], cut: &[bool], place: usize, indent: usize) -> String {
        let mut out = String::new();
        for (number, line) in lines.iter().enumerate() {
            if number == place {
                self.ours.write(&mut out, indent);
            }
            if !cut[number] {
                out.push_str(line);
                if !line.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
        out
    }
}

impl OurJob {
    /// As an item whose dash is indented by so many blanks.
    fn write(&self, out: &mut String, indent: usize) {
        let pad = " ".repeat(indent);
        out.extend([&*pad, "# ", &*self.comment, "\n"]);
        let mut item = String::new();
        yaml::item(&mut item, &self.value, indent);
        if !self.tracks {
            let honor = "honor_labels: true\n";
            let hint = format!(
                "{honor}{pad}  # From Prometheus 2.48 on, to end series as soon as they are gone:\n{pad}  # {STALENESS}: true\n"
            );
            item = item.replacen(honor, &hint, 1);
        }
        out.push_str(&item);
    }
}

/// Lines of a file are counted from 1.
fn row(line: u64) -> usize {
    usize::try_from(line)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}

/// The lines of each item, up to `end`; `None` when one does not begin with a dash on a line of its own.
fn spans(lines: &[&str], items: &[Node], end: usize) -> Option<Vec<Range<usize>>> {
    let starts: Vec<usize> = items.iter().map(|item| row(item.line)).collect();
    let mut spans = Vec::with_capacity(starts.len());
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(end);
        let line = lines.get(start)?;
        let begins = line.trim_start().starts_with("- ");
        if !begins || start >= end || indent(line) != indent(lines[starts[0]]) {
            return None;
        }
        spans.push(without_tail(lines, start..end, indent(line)));
    }
    Some(spans)
}

/// The span without blank lines and comments at its end that are not indented further: they belong to what follows.
fn without_tail(lines: &[&str], mut span: Range<usize>, dash: usize) -> Range<usize> {
    let loose = |line: &str| {
        line.trim().is_empty() || line.trim_start().starts_with('#') && indent(line) <= dash
    };
    while span.end > span.start + 1 && lines.get(span.end - 1).is_some_and(|line| loose(line)) {
        span.end -= 1;
    }
    span
}

/// The first of the comments that stand right above an item, at its own indentation.
fn comments_above(lines: &[&str], start: usize) -> usize {
    let dash = indent(lines[start]);
    let mut first = start;
    while first > 0
        && lines[first - 1].trim_start().starts_with('#')
        && indent(lines[first - 1]) == dash
    {
        first -= 1;
    }
    first
}

/// The lines of the static targets in an item.
fn static_span(item: &Node, span: &Range<usize>) -> Option<Range<usize>> {
    let Value::Map(entries) = &item.value else {
        return None;
    };
    let start = row(entries.iter().find(|entry| entry.key == STATIC)?.line);
    let next = entries
        .iter()
        .map(|entry| row(entry.line))
        .filter(|next| *next > start)
        .min();
    Some(start..next.unwrap_or(span.end))
}

/// Blanks in front.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
