//! `labels`, `label/NAME/values` and `series`: what the window's index knows. Looking runs in the pool.

use std::sync::Arc;

use super::error::ApiError;
use super::params::{Form, Selectors, label_name, path_segment};
use super::write::{Each, Items, Reply, write_labels, write_text};
use super::{Served, TRUNCATED, missing};
use crate::model::matcher::Matcher;
use crate::query::recent::{Missing, said};
use crate::store::window::view::{ClusterView, Found, Scratch, WindowView};

/// What all three endpoints read.
struct Asked {
    limit: Option<usize>,
    start_ms: i64,
    end_ms: i64,
    selectors: Selectors,
}

impl Asked {
    /// Of several mistakes that of the selectors is told last.
    fn read(form: &Form, selectors: Result<Selectors, ApiError>) -> Result<Self, ApiError> {
        let limit = form.limit()?;
        let (start_ms, end_ms) = form.times()?;
        Ok(Self {
            limit,
            start_ms,
            end_ms,
            selectors: selectors?,
        })
    }

    /// Whether the window may have samples of that time. As in Prometheus, labels are not looked at any closer.
    fn reaches(&self, view: &WindowView) -> bool {
        let mut oldest = view.clusters().iter().filter_map(ClusterView::oldest_ms);
        self.start_ms <= self.end_ms && oldest.any(|oldest| oldest <= self.end_ms)
    }
}

/// Names of labels.
pub(super) async fn names(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    let selectors = form.selectors(&served.api.engine).await;
    let asked = Asked::read(form, selectors)?;
    texts(asked, served, WindowView::label_names).await
}

/// Values of a label.
pub(super) async fn values(segment: &str, form: &Form, served: &Served) -> Result<Reply, ApiError> {
    let name = label_name(&path_segment(segment)?);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let selectors = form.selectors(&served.api.engine).await;
    let asked = Asked::read(form, selectors)?;
    texts(asked, served, move |view, sets| {
        view.label_values(&name, sets)
    })
    .await
}

async fn texts(
    asked: Asked,
    served: &Served,
    look: impl FnOnce(&WindowView, &[Vec<Matcher>]) -> Vec<Arc<str>> + Send + 'static,
) -> Result<Reply, ApiError> {
    let view = served.api.view();
    let warnings = unknown(&view, served);
    let limit = asked.limit.unwrap_or(usize::MAX);
    let work = move || {
        if asked.reaches(&view) {
            look(&view, &asked.selectors.sets)
        } else {
            Vec::new()
        }
    };
    let mut found = served.pool.run(work).await?;
    let cut = found.len() > limit;
    found.truncate(limit);
    let write = |text: Arc<str>, out: &mut Vec<u8>| write_text(out, &text);
    Ok(with(
        Reply::list(Each(found.into_iter(), write)),
        warnings,
        cut,
    ))
}

/// Label sets of series that have a sample in the time asked for.
pub(super) async fn series(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    // As upstream: this endpoint alone names the parameter.
    let selectors = form.selectors(&served.api.engine).await;
    let selectors = selectors.map_err(|error| ApiError::parameter("match[]", error.text));
    let asked = Asked::read(form, selectors)?;
    let view = served.api.view();
    let warnings = unknown(&view, served);
    let limit = asked.limit.unwrap_or(usize::MAX);
    let looked = view.clone();
    let work = move || {
        let mut found = looked.select_any(&asked.selectors.sets);
        let mut scratch = Scratch::default();
        found.retain(|found| {
            let series = looked.series(found);
            let newest = series.newest(asked.start_ms, asked.end_ms, &mut scratch);
            newest.is_some()
        });
        looked.sort(&mut found);
        found
    };
    let mut found = served.pool.run(work).await?;
    let cut = found.len() > limit;
    found.truncate(limit);
    let items = SeriesItems {
        view,
        found: found.into_iter(),
    };
    Ok(with(Reply::list(items), warnings, cut))
}

/// Label sets, read from the view when they are written.
struct SeriesItems {
    view: Arc<WindowView>,
    found: std::vec::IntoIter<Found>,
}

impl Items for SeriesItems {
    fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(found) = self.found.next() else {
            return false;
        };
        write_labels(out, self.view.series(&found).labels());
        true
    }
}

/// The warning about clusters of which nothing is known.
fn unknown(view: &WindowView, served: &Served) -> Vec<String> {
    let missing = missing(view, served);
    let unknown: Vec<&Missing> = missing
        .iter()
        .filter(|missing| missing.until_ms.is_none())
        .collect();
    said(&unknown).into_iter().collect()
}

fn with(reply: Reply, mut warnings: Vec<String>, cut: bool) -> Reply {
    if cut {
        warnings.push(TRUNCATED.to_owned());
    }
    Reply { warnings, ..reply }
}
