//! `/api/v1/…`: the HTTP API of Prometheus, answered from our own samples.
//!
//! | Endpoint | Answered from |
//! |---|---|
//! | `query`, `query_range` | the engine over the window (`query`) |
//! | `labels`, `label/NAME/values`, `series` | the window's index (`labels`) |
//! | `metadata` | what the clusters' servers say of their metrics (`metadata`) |
//! | `format_query`, `parse_query` | the parser |
//! | `targets`, `scrape_pools` | our clusters, each as one target (`targets`) |
//! | `status/…` | ourselves (`status`) |
//! | `rules`, `alerts`, `alertmanagers`, `query_exemplars` | nobody: they are empty and well-formed (`empty`) |
//!
//! `/recent/api/v1/…` is the same, always from the window. What Grafana sends, and in which way, decides the details:
//! forms in bodies and URLs at once, GET and POST, gzip and no other coding.

mod empty;
mod error;
mod labels;
mod metadata;
pub mod metrics;
mod params;
mod query;
mod status;
mod targets;
pub mod time;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::header::{ALLOW, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::error::ApiError;
use self::metrics::QueryMetrics;
use self::params::Form;
use self::write::Reply;
use super::body::Body;
use super::{Served, text};
use crate::pool::Pool;
use crate::query::Engine;
use crate::query::recent::Missing;
use crate::scrape::learn::Learned;
use crate::store::window::Window;
use crate::store::window::view::WindowView;

/// The warning where `limit` left something out.
const TRUNCATED: &str = "results truncated due to limit";

/// Long answers that are written at the same time.
const LONG_ANSWERS_MAX: usize = 32;

/// Says where an answer's samples are from.
const SOURCE: HeaderName = HeaderName::from_static("tributary-source");

/// What the API shows beside samples.
#[derive(Debug)]
pub struct Api {
    engine: Engine,
    window: Arc<Window>,
    metrics: QueryMetrics,
    about: About,
    /// What a reload changes.
    shown: ArcSwap<Shown>,
    reloaded: AtomicBool,
    places: Arc<Semaphore>,
    metadata: metadata::Cache,
    /// Statistics of the window are made one at a time.
    counting: Arc<Semaphore>,
}

/// What does not change while we run.
#[derive(Clone, Debug)]
pub struct About {
    /// When the process started.
    pub started: SystemTime,
    /// Every flag with its value.
    pub flags: BTreeMap<String, String>,
    /// Bytes of memory that we may use.
    pub memory_limit: Option<u64>,
}

/// The configuration, as far as the API shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The label with the cluster's name.
    pub cluster_label: Arc<str>,
    /// The configuration as YAML, without secrets.
    pub yaml: String,
    /// When it was read.
    pub read_at: SystemTime,
    /// The clusters by name.
    pub clusters: BTreeMap<String, ShownCluster>,
}

/// Before a configuration is applied.
impl Default for Shown {
    fn default() -> Self {
        Self {
            cluster_label: Arc::default(),
            yaml: String::new(),
            read_at: UNIX_EPOCH,
            clusters: BTreeMap::new(),
        }
    }
}

/// One cluster.
#[derive(Clone, Debug)]
pub struct ShownCluster {
    /// Where it is scraped, without credentials.
    pub scrape_url: String,
    /// Time that a round may take.
    pub timeout: Duration,
    /// Labels of its series beside its name.
    pub labels: Vec<(String, String)>,
    /// What its server says of its metrics.
    pub learned: Arc<Learned>,
}

impl Api {
    /// An API that answers from `window`.
    pub fn new(engine: Engine, window: Arc<Window>, metrics: QueryMetrics, about: About) -> Self {
        Self {
            engine,
            window,
            metrics,
            about,
            shown: ArcSwap::default(),
            reloaded: AtomicBool::new(true),
            places: Arc::new(Semaphore::new(LONG_ANSWERS_MAX)),
            metadata: metadata::Cache::default(),
            counting: Arc::new(Semaphore::new(1)),
        }
    }

    /// Shows another configuration from now on.
    pub fn show(&self, shown: Shown) {
        self.reloaded.store(true, Ordering::Relaxed);
        self.shown.store(Arc::new(shown));
    }

    /// Notes that a configuration could not be read.
    pub fn reload_failed(&self) {
        self.reloaded.store(false, Ordering::Relaxed);
    }

    /// Where selectors and queries are read that may take their time.
    pub(super) fn pool(&self) -> &Pool {
        self.engine.pool()
    }

    fn view(&self) -> Arc<WindowView> {
        Arc::new(self.window.view(now_ms()))
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// An endpoint, and which methods it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Query,
    QueryRange,
    QueryExemplars,
    FormatQuery,
    ParseQuery,
    Series,
    Labels,
    /// The label's name, as the path has it.
    LabelValues(String),
    Metadata,
    Targets,
    ScrapePools,
    Rules,
    Alerts,
    Alertmanagers,
    BuildInfo,
    RuntimeInfo,
    Config,
    Flags,
    Tsdb,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "query" => Self::Query,
            "query_range" => Self::QueryRange,
            "query_exemplars" => Self::QueryExemplars,
            "format_query" => Self::FormatQuery,
            "parse_query" => Self::ParseQuery,
            "series" => Self::Series,
            "labels" => Self::Labels,
            "metadata" => Self::Metadata,
            "targets" => Self::Targets,
            "scrape_pools" => Self::ScrapePools,
            "rules" => Self::Rules,
            "alerts" => Self::Alerts,
            "alertmanagers" => Self::Alertmanagers,
            "status/buildinfo" => Self::BuildInfo,
            "status/runtimeinfo" => Self::RuntimeInfo,
            "status/config" => Self::Config,
            "status/flags" => Self::Flags,
            "status/tsdb" => Self::Tsdb,
            _ => {
                let name = path.strip_prefix("label/")?.strip_suffix("/values")?;
                let is_one = !name.is_empty() && !name.contains('/');
                return is_one.then(|| Self::LabelValues(name.to_owned()));
            }
        })
    }

    /// The handler's name in our metrics.
    fn handler(&self) -> &'static str {
        match self {
            Self::Query => "/api/v1/query",
            Self::QueryRange => "/api/v1/query_range",
            Self::QueryExemplars => "/api/v1/query_exemplars",
            Self::FormatQuery => "/api/v1/format_query",
            Self::ParseQuery => "/api/v1/parse_query",
            Self::Series => "/api/v1/series",
            Self::Labels => "/api/v1/labels",
            Self::LabelValues(_) => "/api/v1/label/:name/values",
            Self::Metadata => "/api/v1/metadata",
            Self::Targets => "/api/v1/targets",
            Self::ScrapePools => "/api/v1/scrape_pools",
            Self::Rules => "/api/v1/rules",
            Self::Alerts => "/api/v1/alerts",
            Self::Alertmanagers => "/api/v1/alertmanagers",
            Self::BuildInfo => "/api/v1/status/buildinfo",
            Self::RuntimeInfo => "/api/v1/status/runtimeinfo",
            Self::Config => "/api/v1/status/config",
            Self::Flags => "/api/v1/status/flags",
            Self::Tsdb => "/api/v1/status/tsdb",
        }
    }

    /// Whether parameters may come as a form with POST.
    fn takes_form(&self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::QueryRange
                | Self::QueryExemplars
                | Self::FormatQuery
                | Self::ParseQuery
                | Self::Series
                | Self::Labels
        )
    }

    fn allowed(&self) -> &'static str {
        if self.takes_form() {
            "GET, HEAD, OPTIONS, POST"
        } else {
            "GET, HEAD, OPTIONS"
        }
    }
}

/// The path behind `/api/v1/` or `/recent/api/v1/`; none for a path of others.
pub(super) fn inside(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("/recent").unwrap_or(path);
    inside
        .strip_prefix("/api/v1/")
        .filter(|inside| *inside != "clusters")
}

/// The handler's name in our metrics, and its answer.
pub(super) async fn answer(
    request: Request<Incoming>,
    served: &Arc<Served>,
) -> (&'static str, Response<Body>) {
    let begin = Instant::now();
    let path = inside(request.uri().path()).unwrap_or_default();
    let Some(endpoint) = Endpoint::of(path) else {
        return ("other", text(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    let handler = endpoint.handler();
    let method = request.method().clone();
    if method == Method::OPTIONS {
        let mut response = Response::new(Body::full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        allow(&mut response, &endpoint);
        return (handler, response);
    }
    let posted = endpoint.takes_form() && method == Method::POST;
    if !posted && !matches!(method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        allow(&mut response, &endpoint);
        return (handler, response);
    }
    let (head, form) = match params::read(request).await {
        Ok(read) => read,
        Err(error) => return (handler, error.response()),
    };
    let mut response = match reply(&endpoint, &head, &form, served, begin).await {
        Ok(reply) => {
            let (pool, places) = (&served.pool, &served.api.places);
            write::respond(reply, &method, &head.headers, pool, places).await
        }
        Err(error) => error.response(),
    };
    let source = HeaderValue::from_static("local");
    response.headers_mut().insert(SOURCE, source);
    (handler, response)
}

fn allow(response: &mut Response<Body>, endpoint: &Endpoint) {
    let allowed = HeaderValue::from_static(endpoint.allowed());
    response.headers_mut().insert(ALLOW, allowed);
}

async fn reply(
    endpoint: &Endpoint,
    head: &Parts,
    form: &Form,
    served: &Arc<Served>,
    begin: Instant,
) -> Result<Reply, ApiError> {
    match endpoint {
        Endpoint::Query => query::instant(form, head, served, begin).await,
        Endpoint::QueryRange => query::range(form, head, served, begin).await,
        Endpoint::FormatQuery => query::format(form, served).await,
        Endpoint::ParseQuery => query::tree(form, served).await,
        Endpoint::Series => labels::series(form, served).await,
        Endpoint::Labels => labels::names(form, served).await,
        Endpoint::LabelValues(name) => labels::values(name, form, served).await,
        Endpoint::Metadata => metadata::reply(form, served).await,
        Endpoint::Targets => targets::targets(form, served),
        Endpoint::ScrapePools => targets::pools(),
        Endpoint::QueryExemplars => empty::exemplars(form, served).await,
        Endpoint::Rules => empty::rules(form, &served.api.engine).await,
        Endpoint::Alerts => empty::alerts(),
        Endpoint::Alertmanagers => empty::alertmanagers(),
        Endpoint::BuildInfo => status::build_info(),
        Endpoint::RuntimeInfo => status::runtime_info(served),
        Endpoint::Config => status::config(served),
        Endpoint::Flags => status::flags(served),
        Endpoint::Tsdb => status::tsdb(form, served).await,
    }
}

/// The clusters that give no samples at this moment, and why.
fn missing(view: &WindowView, served: &Served) -> Vec<Missing> {
    let statuses = served.statuses.load();
    let clusters = view.clusters().iter();
    let gone = clusters.filter(|cluster| cluster.is_stale() || cluster.oldest_ms().is_none());
    let missing = gone.filter_map(|cluster| {
        let name = cluster.name();
        let state = statuses.get(&**name)?.load();
        let why = match &state.failure {
            _ if !served.api.window.is_on() => "--storage.window is 0".to_owned(),
            Some(failure) if state.failing => failure.message.clone(),
            _ if state.rounds == 0 => "it has not answered yet".to_owned(),
            _ => "it has not answered for too long".to_owned(),
        };
        let stale_after = served.store.slot(name).map(|slot| slot.stale_after());
        let until_ms = cluster.oldest_ms().and_then(|_| {
            let last = state.success.as_ref()?.at;
            let end = last.checked_add(stale_after.unwrap_or_default())?;
            i64::try_from(end.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
        });
        Some(Missing {
            cluster: name.to_string(),
            why,
            until_ms,
        })
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, want: Option<Endpoint>| {
            assert_eq!(inside(path).and_then(Endpoint::of), want, "{path}");
        };
        check("/api/v1/query", Some(Endpoint::Query));
        check("/recent/api/v1/query", Some(Endpoint::Query));
        check("/api/v1/query/", None);
        check("/api/v1/", None);
        check("/api/v2/query", None);
        check("/recent/query", None);
        check("/api/v1/clusters", None);
        check(
            "/api/v1/label/job/values",
            Some(Endpoint::LabelValues("job".into())),
        );
        check("/api/v1/label//values", None);
        check("/api/v1/label/a/b/values", None);
        check("/api/v1/label/a", None);
        check("/api/v1/status/flags", Some(Endpoint::Flags));
    }
}
