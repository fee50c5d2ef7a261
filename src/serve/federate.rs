//! `/federate`: the merged endpoint.
//!
//! Follows Prometheus' handler (`web/federate.go`): `match[]` is read before anything else can fail, the format is
//! text 0.0.4 whatever is asked for, a union of selectors. Different on purpose: no `match[]` means everything unless
//! configured otherwise, and an answer without any cluster is 503, since an empty 200 would end every series at the
//! scraper.
//!
//! `answer_of` is the same for one cluster, as a target of its own: 503 from the cluster's first failed round until
//! it is up again, so that a lost cluster is `up == 0` at the scraper.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, VARY,
};
use http::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::body::{Body, Held};
use super::gate::Gate;
use super::{Served, text};
use crate::cluster::http::VIA;
use crate::expose::escape::Escaping;
use crate::expose::gzip::{HEADER, TRAILER_LEN, Trailer};
use crate::expose::{Page, text as format};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::pool::Pool;
use crate::promql;
use crate::store::page::Ask;
use crate::store::select::Selection;
use crate::store::{Slot, View};

/// Selectors allowed in one request.
const SELECTORS_MAX: usize = 64;

/// Replaced snapshots of one cluster that slow readers may hold before nobody else is let in.
const GENERATIONS_MAX: usize = 2;

/// Time for a whole answer when the client names none.
const DEADLINE: Duration = Duration::from_secs(120);

/// Segments that are made ahead of a client that reads more slowly.
const SEGMENTS_AHEAD: usize = 2;

/// How the endpoint answers.
#[derive(Debug)]
pub struct Settings {
    /// Whether a request without `match[]` gets everything; else it gets our own series only.
    empty_match_is_all: AtomicBool,
    /// Places for bodies in flight.
    places: Arc<Semaphore>,
}

/// Bodies in flight at the same time; more are told to come again.
const BODIES_MAX: usize = 8;

impl Default for Settings {
    fn default() -> Self {
        Self {
            empty_match_is_all: AtomicBool::new(true),
            places: Arc::new(Semaphore::new(BODIES_MAX)),
        }
    }
}

impl Settings {
    /// What requests without `match[]` get from now on: everything, or our own series only.
    pub fn set_empty_match(&self, is_all: bool) {
        self.empty_match_is_all.store(is_all, Ordering::Relaxed);
    }
}

/// Whose series are asked for.
#[derive(Clone, Copy, Debug)]
enum Whose<'a> {
    All,
    One(&'a Arc<Slot>),
}

/// Answers one request for the series of all clusters.
pub(super) async fn answer<B>(request: &Request<B>, served: &Arc<Served>) -> Response<Body> {
    whole(request, served, Whose::All, &served.federate.places).await
}

/// Answers one request for the series of one cluster.
pub(super) async fn answer_of<B>(
    request: &Request<B>,
    served: &Arc<Served>,
    slot: &Arc<Slot>,
    gate: &Gate,
) -> Response<Body> {
    whole(request, served, Whose::One(slot), gate.pages()).await
}

async fn whole<B>(
    request: &Request<B>,
    served: &Arc<Served>,
    whose: Whose<'_>,
    places: &Arc<Semaphore>,
) -> Response<Body> {
    let mut response = match prepare(request, served, whose, places).await {
        Ok(response) => response,
        Err(refusal) => refusal,
    };
    if let Some(via) = via(served, whose) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(VIA), via);
    }
    response
}

/// The ids of all Tributaries whose data an answer may hold: ours, and those that our clusters' answers named.
fn via(served: &Served, whose: Whose<'_>) -> Option<HeaderValue> {
    let mut ids = vec![served.instance_id.to_string()];
    match whose {
        Whose::All => {
            for status in served.statuses.load().values() {
                ids.extend(status.load().via.iter().cloned());
            }
        }
        Whose::One(slot) => {
            let status = served.status(slot.name());
            ids.extend(
                status
                    .into_iter()
                    .flat_map(|status| status.load().via.clone()),
            );
        }
    }
    ids[1..].sort_unstable();
    ids.dedup();
    HeaderValue::try_from(ids.join(",")).ok()
}

async fn prepare<B>(
    request: &Request<B>,
    served: &Arc<Served>,
    whose: Whose<'_>,
    places: &Arc<Semaphore>,
) -> Result<Response<Body>, Response<Body>> {
    let selectors = selectors(request.uri().query().unwrap_or_default());
    let is_slow = selectors.iter().any(|text| promql::is_slow_to_parse(text));
    let all = served.federate.empty_match_is_all.load(Ordering::Relaxed);
    let read = move || selection(&selectors, all);
    let selection = served
        .api
        .pool()
        .run_if(is_slow, read)
        .await
        .map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?
        .map_err(|error| text(StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let view = look(served, whose).map_err(|(why, again)| unavailable(&why, again))?;
    let Ok(place) = places.clone().try_acquire_owned() else {
        return Err(unavailable("too many answers on their way", 1));
    };
    let pinned = match whose {
        Whose::All => served.store.generations_pinned(),
        Whose::One(slot) => slot.pinned(),
    };
    if pinned >= GENERATIONS_MAX {
        return Err(unavailable("slow readers hold too many old snapshots", 2));
    }
    let escaping = Escaping::from_accept(header(request.headers(), ACCEPT));
    let gzip = accepts_gzip(header(request.headers(), ACCEPT_ENCODING));
    let (store, looked) = (served.store.clone(), view.clone());
    let alone = match whose {
        Whose::All => None,
        Whose::One(slot) => Some(slot.clone()),
    };
    let join = move || {
        let ask = Ask {
            selection: selection.as_ref(),
            escaping,
        };
        let pages = match alone {
            None => store.pages(&looked, ask),
            Some(slot) => store.pages_of(&slot, &looked, ask),
        };
        if gzip {
            make_small(&pages[1]);
        }
        pages
    };
    let pages = served.pool.run(join).await;
    let pages =
        pages.map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    let held = Held::Snapshots {
        _place: place,
        _view: view,
    };
    let deadline = Instant::now() + client_timeout(request.headers());
    let mut response = if request.method() == Method::HEAD {
        head(&pages, gzip)
    } else if gzip {
        Response::new(gzip_body(pages, &served.pool, held, deadline))
    } else {
        Response::new(Body::pages(pages.into(), held, deadline))
    };
    let content_type = format!("{}; escaping={}", format::CONTENT_TYPE, escaping.name());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::try_from(content_type).expect("made of known words"),
    );
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// What there is to show now, or why there is nothing and in how many seconds there may be.
fn look(served: &Served, whose: Whose<'_>) -> Result<View, (String, u64)> {
    let now = Instant::now();
    let Whose::One(slot) = whose else {
        let view = served.store.view(now);
        if !served.store.all_attempted() {
            return Err(("not every cluster has answered or failed yet".into(), 1));
        }
        if view.present() == 0 {
            let why = "no cluster has a snapshot: see /api/v1/clusters";
            return Err((why.into(), 5));
        }
        return Ok(view);
    };
    let name = slot.name();
    if !slot.attempted() {
        return Err((format!("{name} has not answered or failed yet"), 1));
    }
    let view = served.store.view_of(slot, now);
    if slot.is_up() && view.present() > 0 {
        return Ok(view);
    }
    let state = served.status(name).map(|status| status.load());
    let failing = state.as_ref().filter(|state| state.failing);
    let failure = failing.and_then(|state| state.failure.as_ref());
    let why = failure.map_or("it has no new snapshot", |failure| &failure.message);
    Err((format!("{name} is down: {why}"), 1))
}

fn unavailable(why: &str, retry_after: u64) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    response
        .headers_mut()
        .insert(RETRY_AFTER, retry_after.into());
    response
}

/// All `match[]` of a request.
fn selectors(query: &str) -> Vec<String> {
    let parameters = form_urlencoded::parse(query.as_bytes());
    let selectors = parameters.filter(|(name, _)| name == "match[]");
    selectors.map(|(_, value)| value.into_owned()).collect()
}

/// The union of `match[]`; none for everything, which `empty_is_all` says that no `match[]` means.
fn selection(selectors: &[String], empty_is_all: bool) -> Result<Option<Selection>, String> {
    if selectors.len() > SELECTORS_MAX {
        return Err(format!(
            "{} match[] parameters, more than {SELECTORS_MAX}",
            selectors.len()
        ));
    }
    if selectors.is_empty() && empty_is_all {
        return Ok(None);
    }
    let sets = promql::parse_metric_selectors(selectors.iter().map(String::as_str))
        .map_err(|error| error.to_string())?;
    if sets.iter().any(|set| set.iter().all(takes_every_name)) {
        return Ok(None);
    }
    let mut keys: Vec<String> = sets.iter().map(|set| promql::print_selector(set)).collect();
    keys.sort_unstable();
    Ok(Some(Selection::new(sets, keys.join("\n"))))
}

/// Whether a matcher holds for any series, since every series has a name.
fn takes_every_name(matcher: &Matcher) -> bool {
    let value = matcher.value();
    matcher.name() == METRIC_NAME
        && match matcher.op() {
            MatchOp::Regex => matches!(value, ".+" | ".*"),
            MatchOp::NotEqual => value.is_empty(),
            MatchOp::Equal | MatchOp::NotRegex => false,
        }
}

pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The scraper's own timeout: nobody waits for an answer behind it.
fn client_timeout(headers: &HeaderMap) -> Duration {
    let seconds = header(
        headers,
        HeaderName::from_static("x-prometheus-scrape-timeout-seconds"),
    )
    .parse::<f64>();
    let named = seconds
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    named
        .filter(|named| !named.is_zero())
        .map_or(DEADLINE, |named| named.min(DEADLINE))
}

/// Whether gzip is named and not refused by `q=0` (RFC 9110 12.5.3).
pub(super) fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|q| q.trim().parse::<f64>() == Ok(0.0));
        named && !refused
    })
}

/// Headers only. The length of a gzip answer is known only once its segments are made.
fn head(pages: &[Arc<Page>], gzip: bool) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::new()));
    let len = if gzip {
        gzip_len(pages)
    } else {
        Some(pages.iter().map(|page| page.len()).sum())
    };
    if let Some(len) = len {
        response.headers_mut().insert(CONTENT_LENGTH, len.into());
    }
    response
}

/// Compresses our own families, which are new in every answer: nobody else could have done it before.
fn make_small(page: &Page) {
    for index in 0..page.segments() {
        page.segment(index);
    }
}

/// Length of the gzip answer, if all segments are made.
fn gzip_len(pages: &[Arc<Page>]) -> Option<u64> {
    let mut len = HEADER.len() as u64 + TRAILER_LEN;
    for page in pages {
        for index in 0..page.segments() {
            len += page.ready_segment(index)?.data().len() as u64;
        }
    }
    Some(len)
}

/// One gzip member: from segments that are ready, or made while the client reads.
fn gzip_body(pages: [Arc<Page>; 3], pool: &Pool, held: Held, deadline: Instant) -> Body {
    if gzip_len(&pages).is_some() {
        let mut pieces = vec![Bytes::from_static(&HEADER)];
        let mut trailer = Trailer::default();
        for page in &pages {
            for segment in (0..page.segments()).filter_map(|index| page.ready_segment(index)) {
                trailer.add(segment);
                pieces.push(segment.data().clone());
            }
        }
        pieces.push(trailer.finish().into());
        return Body::list(pieces, held, deadline);
    }
    let (sender, pieces) = mpsc::channel(SEGMENTS_AHEAD);
    tokio::spawn(make_segments(pages, pool.clone(), sender));
    Body::made(pieces, held, deadline)
}

/// Sends the member piece by piece; ends early when the client has gone.
async fn make_segments(pages: [Arc<Page>; 3], pool: Pool, sender: mpsc::Sender<Bytes>) {
    let mut trailer = Trailer::default();
    if sender.send(Bytes::from_static(&HEADER)).await.is_err() {
        return;
    }
    for page in pages {
        for index in 0..page.segments() {
            if page.ready_segment(index).is_none() {
                let making = page.clone();
                if pool
                    .run(move || drop(making.segment(index).data().clone()))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            let segment = page.segment(index);
            trailer.add(segment);
            if sender.send(segment.data().clone()).await.is_err() {
                return;
            }
        }
    }
    // The empty piece says that nothing is missing; a client that has gone does not care.
    let _ = sender.send(trailer.finish().into()).await;
    let _ = sender.send(Bytes::new()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_where_it_is_accepted() {
        let check = |header: &str, want: bool| assert_eq!(accepts_gzip(header), want, "{header:?}");
        check("", false);
        check("gzip", true);
        check("deflate, GZIP;q=0.5", true);
        check("gzip;q=0", false);
        check("gzip; q=0.000", false);
        check("identity", false);
        check("*", false);
    }

    #[test]
    fn what_selects_everything_is_no_selection() {
        let check = |query: &str, want: Result<bool, &str>| {
            let got = selection(&selectors(query), true).map(|selection| selection.is_some());
            assert_eq!(
                got.as_ref().map_err(String::as_str),
                want.as_ref().map_err(|error| *error),
                "{query}"
            );
        };
        check("", Ok(false));
        check("match[]=%7B__name__%3D~%22.%2B%22%7D", Ok(false));
        check("match[]=up&match[]=%7B%7D", Ok(false));
        check("match[]=%7B__name__!%3D%22%22%7D", Ok(false));
        check("match[]=up", Ok(true));
        check("match%5B%5D=%7Bjob%3D%22x%22%7D&other=1", Ok(true));
        check(
            "match[]=%7B",
            Err("1:2: parse error: unexpected end of input inside braces"),
        );
    }
}
