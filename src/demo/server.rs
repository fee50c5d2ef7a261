//! A small HTTP server for one simulated cluster: a listener in, and out of it the answers that a real Prometheus
//! would give on `/federate`, `/api/v1/metadata`, `/api/v1/status/{config,buildinfo}` and `/-/healthy`.
//!
//! Bodies are made once per period and kept, in gzip too once somebody asked for it, so that the cost of a fleet does
//! not grow with the number of those who scrape it.

mod fault;
mod page;
mod select;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::demo::fleet::{ClusterSpec, Generator, Shape, build_info};
use crate::demo::server::fault::Fault;
use crate::demo::server::page::Page;
use crate::demo::server::select::Selection;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long a client may take to send a request's head, and an idle connection may stay open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// One simulated cluster with the bodies that it has made.
#[derive(Debug)]
pub struct SimulatedCluster {
    spec: ClusterSpec,
    /// Level of gzip, 1 to 9; 0 = answer plainly, whatever the client accepts.
    gzip_level: u32,
    /// How long a body is kept, in milliseconds: bodies are those of the multiples of it.
    period_ms: i64,
    metadata: Bytes,
    config: Bytes,
    /// Written by whoever needs a body of a new period, under the lock of `maker`.
    current: ArcSwapOption<Body>,
    maker: Mutex<Maker>,
}

/// What making a body needs: the generator, and the body before the current one, whose memory the next one takes.
#[derive(Debug)]
struct Maker {
    generator: Generator,
    spare: Option<Arc<Body>>,
}

/// The answer to `/federate` of one period.
#[derive(Debug)]
struct Body {
    period: i64,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

/// What a request for `/federate` wants.
#[derive(Debug)]
struct Wish {
    selection: Selection,
    gzip: bool,
}

impl SimulatedCluster {
    /// Prepares the cluster's series; its processes have run for a while at `epoch_ms` (milliseconds since the Unix
    /// epoch, see [`Generator::new`]).
    pub fn new(spec: ClusterSpec, epoch_ms: i64) -> SimulatedCluster {
        let generator = Generator::new(&spec, epoch_ms);
        // A reader of the demo sees each target move by itself; a bench wants one body per source interval.
        let period_ms = if spec.shape == Shape::Demo {
            1000
        } else {
            spec.interval_ms()
        };
        SimulatedCluster {
            gzip_level: 1,
            period_ms,
            metadata: generator.metadata_json().into(),
            config: generator.config_json().into(),
            current: ArcSwapOption::empty(),
            maker: Mutex::new(Maker {
                generator,
                spare: None,
            }),
            spec,
        }
    }

    /// The same, packing at another level (1 to 9; unless told otherwise 1, which is cheap; Prometheus takes 6), or
    /// never (0).
    #[must_use]
    pub fn with_gzip_level(mut self, level: u32) -> SimulatedCluster {
        self.gzip_level = level.min(9);
        self
    }

    /// What it was made from.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// The body of the period that `now_ms` lies in. Takes some milliseconds where it must be made first.
    fn body(&self, now_ms: i64) -> Arc<Body> {
        let period = now_ms.div_euclid(self.period_ms);
        if let Some(body) = self.ready(period) {
            return body;
        }
        let mut maker = self.maker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = self.ready(period) {
            return body;
        }
        let mut text = maker.spare.take().map_or_else(Vec::new, into_memory);
        if let Some(last) = &*self.current.load() {
            text.reserve(last.plain.len() + last.plain.len() / 64);
        }
        maker.generator.federate(period * self.period_ms, &mut text);
        let body = Arc::new(Body {
            period,
            plain: text.into(),
            gzip: OnceLock::new(),
        });
        maker.spare = self.current.swap(Some(Arc::clone(&body)));
        body
    }

    /// The kept body, where it is of this period, or of the next one because the request waited across the change.
    fn ready(&self, period: i64) -> Option<Arc<Body>> {
        let kept = self.current.load_full();
        kept.filter(|body| (period..=period + 1).contains(&body.period))
    }

    /// The bytes that a wish gets: the kept ones where everything is wanted.
    fn answer(&self, wish: &Wish, now_ms: i64) -> Bytes {
        let body = self.body(now_ms);
        match (wish.selection.is_everything(), wish.gzip) {
            (true, false) => body.plain.clone(),
            (true, true) => body.gzip.get_or_init(|| self.pack(&body.plain)).clone(),
            (false, false) => wish.selection.filter(&body.plain).into(),
            (false, true) => self.pack(&wish.selection.filter(&body.plain)),
        }
    }

    fn pack(&self, plain: &[u8]) -> Bytes {
        let room = Vec::with_capacity(plain.len() / 12);
        let mut encoder = GzEncoder::new(room, Compression::new(self.gzip_level));
        let written = io::Write::write_all(&mut encoder, plain).and_then(|()| encoder.finish());
        written.expect("writing to memory cannot fail").into()
    }
}

/// The memory of a body that nobody reads any more; new memory where somebody still does.
fn into_memory(body: Arc<Body>) -> Vec<u8> {
    let plain = Arc::into_inner(body).map(|body| body.plain);
    let mut memory = plain
        .filter(Bytes::is_unique)
        .map_or_else(Vec::new, Vec::from);
    memory.clear();
    memory
}

/// Answers on `listener` for `cluster` until `stop` is cancelled, and returns when the last connection has ended.
pub async fn serve(listener: TcpListener, cluster: Arc<SimulatedCluster>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&cluster), stop.clone()));
            }
            Err(err) => {
                debug!(cluster = cluster.spec.name, %err, "Accepting a connection failed.");
                // Mostly out of file descriptors: let others close some.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// Serves one connection.
async fn connection(stream: TcpStream, cluster: Arc<SimulatedCluster>, stop: CancellationToken) {
    // Without this, the end of an answer waits for the acknowledgement of its beginning.
    let _ = stream.set_nodelay(true);
    let name = cluster.spec.name.clone();
    let service = service_fn(move |request| respond(request, Arc::clone(&cluster)));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(err) = ended {
        debug!(cluster = name, %err, "Connection ended early.");
    }
}

async fn respond(
    request: Request<Incoming>,
    cluster: Arc<SimulatedCluster>,
) -> Result<Response<Page>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = page(
            StatusCode::METHOD_NOT_ALLOWED,
            PLAIN,
            Bytes::from_static(b"Method Not Allowed\n"),
        );
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refused);
    }
    Ok(match request.uri().path() {
        "/federate" => federate(&request, cluster).await,
        "/api/v1/metadata" => page(StatusCode::OK, JSON, cluster.metadata.clone()),
        "/api/v1/status/config" => page(StatusCode::OK, JSON, cluster.config.clone()),
        "/api/v1/status/buildinfo" => page(StatusCode::OK, JSON, build_info().into()),
        "/-/healthy" | "/-/ready" => page(
            StatusCode::OK,
            PLAIN,
            Bytes::from_static(b"Prometheus Server is Healthy.\n"),
        ),
        _ => page(
            StatusCode::NOT_FOUND,
            PLAIN,
            Bytes::from_static(b"404 page not found\n"),
        ),
    })
}

async fn federate(request: &Request<Incoming>, cluster: Arc<SimulatedCluster>) -> Response<Page> {
    let now_ms = now_ms();
    let fault = Fault::at(&cluster.spec, now_ms);
    if fault == Fault::Unavailable {
        return page(
            StatusCode::SERVICE_UNAVAILABLE,
            PLAIN,
            Bytes::from_static(b"Service Unavailable\n"),
        );
    }
    let wish = Wish {
        selection: Selection::from_query(request.uri().query().unwrap_or_default()),
        gzip: cluster.gzip_level > 0 && accepts_gzip(request.headers()),
    };
    let gzip = wish.gzip;
    // Off the threads of the sockets: making or packing a body takes more than a moment.
    let made = tokio::task::spawn_blocking(move || cluster.answer(&wish, now_ms)).await;
    let Ok(bytes) = made else {
        return page(
            StatusCode::INTERNAL_SERVER_ERROR,
            PLAIN,
            Bytes::from_static(b"The generator failed.\n"),
        );
    };
    let mut answer = page(StatusCode::OK, TEXT, bytes);
    if gzip {
        answer
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if fault == Fault::Cut {
        answer.map(Page::cut)
    } else {
        answer
    }
}

/// Whether a request names gzip, without forbidding it by `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|clause| {
        let (name, weight) = clause.split_once(';').unwrap_or((clause, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.parse().ok())
            == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// An answer of one piece; hyper adds its length.
fn page(status: StatusCode, kind: HeaderValue, bytes: Bytes) -> Response<Page> {
    let mut response = Response::new(Page::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
