//! The window as a source of samples: recent rounds of all clusters, as they were when the view was taken.
//!
//! All selectors of a query see the same view. Selecting looks at an index and runs in the pool; samples are decoded
//! while the query is evaluated, series by series. What the window cannot know is told: clusters of which it has
//! nothing (new), and clusters whose oldest round is younger than what was asked for.

use std::cell::RefCell;
use std::sync::Arc;

use super::budget::Budget;
use super::labels::{TYPE_LABEL, UNIT_LABEL};
use super::source::{Samples, Selected, SeriesSet, Short, Source, SourceError, Want};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::pool::Pool;
use crate::store::window::OURS;
use crate::store::window::view::{Found, Scratch, WindowView};

/// Clusters named in one warning; the others are counted.
const NAMED_MAX: usize = 10;

/// Our own metrics about clusters: they are there for a cluster that is not, so nothing is missing of them.
const OWN_PREFIX: &str = "tributary_";

/// A cluster that gives no samples at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The cluster's name.
    pub cluster: String,
    /// Why it is missing, for people.
    pub why: String,
    /// Up to when there are samples, in milliseconds since 1970; none if there never were.
    pub until_ms: Option<i64>,
}

/// What happens to a query that touches a missing cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It is answered with a warning.
    Warn,
    /// It fails.
    Fail,
}

/// A view of the window that queries can read.
#[derive(Debug)]
pub struct Recent {
    view: Arc<WindowView>,
    cluster_label: Arc<str>,
    pool: Pool,
    lookback_ms: i64,
    missing: Vec<Missing>,
    on_missing: OnMissing,
}

impl Recent {
    /// `cluster_label` is the label that the view's series carry their cluster's name in; `lookback_ms` is how far
    /// instant selectors look back.
    pub fn new(
        view: Arc<WindowView>,
        cluster_label: Arc<str>,
        pool: Pool,
        lookback_ms: i64,
        missing: Vec<Missing>,
        on_missing: OnMissing,
    ) -> Self {
        Self {
            view,
            cluster_label,
            pool,
            lookback_ms,
            missing,
            on_missing,
        }
    }

    /// Clusters that do not reach back far enough. A range needs all of its samples. An instant selector needs the
    /// newest one: of a cluster whose rounds began within the lookback nothing is missing, since a series that is
    /// there is in its latest round.
    fn short(&self, want: &Want<'_>) -> Vec<Short> {
        let from_ms = if want.hints.range_ms == 0 {
            want.from_ms.saturating_add(self.lookback_ms)
        } else {
            want.from_ms
        };
        let about_us = is_about_us(want.matchers);
        let clusters = self.view.clusters().iter();
        let clusters = clusters.filter(|cluster| about_us || **cluster.name() != *OURS);
        let short = clusters.filter_map(|cluster| {
            let oldest_ms = cluster.oldest_ms().filter(|oldest| *oldest > from_ms)?;
            self.touches(want.matchers, cluster.name()).then(|| Short {
                cluster: shown(cluster.name()).to_owned(),
                oldest_ms,
            })
        });
        short.collect()
    }

    /// The warning about clusters that are missing in what is asked for.
    fn absent(&self, want: &Want<'_>) -> Option<String> {
        if is_about_us(want.matchers) {
            return None;
        }
        let missing: Vec<&Missing> = self
            .missing
            .iter()
            .filter(|missing| missing.until_ms.is_none_or(|until| want.to_ms > until))
            .filter(|missing| self.touches(want.matchers, &missing.cluster))
            .collect();
        said(&missing)
    }

    /// Whether the matchers on the cluster label let this cluster through.
    fn touches(&self, matchers: &[Matcher], cluster: &str) -> bool {
        matchers
            .iter()
            .filter(|matcher| matcher.name() == &*self.cluster_label)
            .all(|matcher| matcher.matches(cluster))
    }
}

/// The name of a cluster for people; that of our own metrics has none.
fn shown(name: &str) -> &str {
    if name == OURS {
        "Tributary itself"
    } else {
        name
    }
}

/// One sentence about clusters that are missing; none where none is.
pub fn said(missing: &[&Missing]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let named = missing.iter().take(NAMED_MAX);
    let mut names: Vec<String> = named
        .map(|missing| format!("{:?} ({})", missing.cluster, missing.why))
        .collect();
    if missing.len() > NAMED_MAX {
        names.push(format!("{} more", missing.len() - NAMED_MAX));
    }
    let names = names.join(", ");
    Some(format!("the result is partial: it lacks cluster {names}"))
}

fn is_about_us(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|matcher| {
        matcher.name() == METRIC_NAME
            && matcher.op() == MatchOp::Equal
            && matcher.value().starts_with(OWN_PREFIX)
    })
}

impl Source for Recent {
    async fn select(&self, want: &Want<'_>, budget: &Budget) -> Result<Selected, SourceError> {
        let absent = self.absent(want);
        if let (Some(text), OnMissing::Fail) = (&absent, self.on_missing) {
            return Err(SourceError::Unavailable(text.clone()));
        }
        let (view, matchers) = (self.view.clone(), want.matchers.to_vec());
        let select = move || {
            let found = view.select(&matchers);
            let types = view.any_has_label(&found, &[TYPE_LABEL, UNIT_LABEL]);
            (found, types)
        };
        let selected = self.pool.run(select).await;
        let (found, types) = selected.map_err(|lost| SourceError::Internal(lost.to_string()))?;
        budget.check()?;
        budget.hold(0, size_of_val(found.as_slice()) as u64)?;
        Ok(Selected {
            series: Arc::new(RecentSet {
                view: self.view.clone(),
                found,
                types,
                from_ms: want.from_ms,
                to_ms: want.to_ms,
            }),
            warnings: absent.into_iter().collect(),
            short: self.short(want),
        })
    }
}

#[derive(Debug)]
struct RecentSet {
    view: Arc<WindowView>,
    found: Vec<Found>,
    /// Whether any series has a label of type or unit.
    types: bool,
    from_ms: i64,
    to_ms: i64,
}

thread_local! {
    /// Room to decode in, for each thread that evaluates.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl SeriesSet for RecentSet {
    fn len(&self) -> usize {
        self.found.len()
    }

    fn labels(&self, series: usize, visit: &mut dyn FnMut(&str, &str)) {
        // Not a loop: the iterator is a chain, which a fold walks without asking at each step where it is.
        let labels = self.view.series(&self.found[series]).labels();
        labels.for_each(|(name, value)| visit(name, value));
    }

    fn samples(&self, series: usize, out: &mut Samples) {
        SCRATCH.with_borrow_mut(|scratch| {
            let push = |at_ms, value| out.push(at_ms, value);
            let series = self.view.series(&self.found[series]);
            series.samples(self.from_ms, self.to_ms, scratch, push);
        });
    }

    fn newest(&self, series: usize, at_ms: i64, _buffer: &mut Samples) -> Option<(i64, f64)> {
        SCRATCH.with_borrow_mut(|scratch| {
            let series = self.view.series(&self.found[series]);
            series.newest(self.from_ms, at_ms, scratch)
        })
    }

    fn alike(&self, counts: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        Some(self.view.alike(&self.found, counts))
    }

    fn may_have_type_or_unit(&self) -> bool {
        self.types
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::window::Window;

    fn missing(cluster: &str, until_ms: Option<i64>) -> Missing {
        Missing {
            cluster: cluster.into(),
            why: "cannot connect".into(),
            until_ms,
        }
    }

    fn matchers(list: &[(&str, MatchOp, &str)]) -> Vec<Matcher> {
        list.iter()
            .map(|(name, op, value)| Matcher::new(*op, *name, *value).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn missing_clusters_are_named_where_the_query_needs_them() {
        let window = Window::new(Duration::from_secs(60), "cluster".into());
        let pool = Pool::new(tokio::runtime::Handle::current(), 1);
        let recent = Recent::new(
            Arc::new(window.view(1000)),
            "cluster".into(),
            pool,
            300_000,
            vec![missing("a", None), missing("b", Some(500))],
            OnMissing::Warn,
        );
        let check = |list: &[(&str, MatchOp, &str)], to_ms, want: Option<&str>| {
            let matchers = matchers(list);
            let asked = Want {
                matchers: &matchers,
                from_ms: 0,
                to_ms,
                hints: crate::query::source::Hints::default(),
            };
            assert_eq!(recent.absent(&asked).as_deref(), want, "{matchers:?}");
        };
        let name = (METRIC_NAME, MatchOp::Equal, "up");
        let both = "the result is partial: it lacks cluster \"a\" (cannot connect), \"b\" (cannot connect)";
        check(&[name], 1000, Some(both));
        let first = "the result is partial: it lacks cluster \"a\" (cannot connect)";
        check(&[name], 500, Some(first));
        check(&[name, ("cluster", MatchOp::Regex, "b|c")], 400, None);
        check(
            &[(METRIC_NAME, MatchOp::Equal, "tributary_cluster_up")],
            1000,
            None,
        );
    }

    #[test]
    fn many_clusters_are_counted() {
        let all: Vec<Missing> = (0..12).map(|n| missing(&format!("c{n}"), None)).collect();
        let text = said(&all.iter().collect::<Vec<_>>()).unwrap();
        assert!(text.ends_with("\"c9\" (cannot connect), 2 more"), "{text}");
        assert_eq!(said(&[]), None);
    }
}
