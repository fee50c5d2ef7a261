//! The HTTP face: one thread accepts connections, reads requests and sends answers that are ready.
//!
//! | Path | What |
//! |---|---|
//! | `/federate` | the merged endpoint ([`federate`]) |
//! | `/metrics` | our own state |
//! | `/-/healthy`, `/-/ready`, `/-/reload` | as Prometheus |
//! | `/api/v1/clusters` | every cluster's last rounds as JSON |
//! | `/clusters/NAME/…` | one cluster: its query API and its part of `/federate` (`pass`) |
//! | `/sd/prometheus` | the clusters as targets of a central Prometheus (`sd`) |
//! | `/api/v1/…`, `/recent/api/v1/…` | Prometheus' query API ([`api`]) |
//!
//! Before them stands the [`door`]: TLS, passwords and headers by the web configuration.
//!
//! Nothing here computes for more than about 200 µs: joining and deflating pages runs in the pool, so `/-/healthy`
//! answers while others read a gigabyte.

pub mod admin;
pub mod api;
pub mod auth;
mod body;
mod clusters;
pub mod cors;
pub mod door;
pub mod external;
pub mod federate;
mod form;
pub mod gate;
mod json;
pub mod metrics;
mod pass;
mod sd;
mod status;
mod stream;
pub mod tls;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use self::admin::Reload;
use self::api::Api;
use self::body::Body;
use self::cors::Cors;
use self::door::{Door, Stream};
use self::external::ExternalUrl;
use self::gate::Gates;
use self::metrics::ServeMetrics;
use crate::pool::Pool;
use crate::scrape::status::Status;
use crate::store::Store;

/// Connections beyond this many wait in the listener's queue until others, which only wait for a next request, have
/// made room.
const CONNECTIONS_MAX: usize = 800;

/// Time for the headers of a request, and for the next request on a kept connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);

/// When all places are taken, a connection without a whole request is closed after this time.
const SILENCE: Duration = Duration::from_secs(2);

/// Most bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 128 << 10;

/// A connection whose client takes no byte for this long is closed.
const WRITE_STALL: Duration = Duration::from_secs(15);

/// What all requests share.
#[derive(Debug)]
pub struct Served {
    /// The clusters' snapshots.
    pub store: Arc<Store>,
    /// State of each cluster, by name.
    pub statuses: ArcSwap<BTreeMap<String, Arc<Status>>>,
    /// For slices of work over 200 µs.
    pub pool: Pool,
    /// Who may connect and ask.
    pub door: Door,
    /// Which web pages may read the API; none: none may.
    pub cors: Option<Cors>,
    /// Our own metrics.
    pub registry: Registry,
    /// Counters of this module.
    pub metrics: ServeMetrics,
    /// How `/federate` answers.
    pub federate: federate::Settings,
    /// This process, for the detection of loops.
    pub instance_id: Arc<str>,
    /// The query API.
    pub api: Api,
    /// Where wishes to reload go; none: they are refused.
    pub reload: Option<mpsc::Sender<Reload>>,
    /// The way through to each cluster.
    pub gates: Gates,
    /// Where others reach us, as far as we were told.
    pub external: Option<ExternalUrl>,
}

impl Served {
    /// The state of a cluster.
    fn status(&self, name: &str) -> Option<Arc<Status>> {
        self.statuses.load().get(name).cloned()
    }
}

/// The connections' common room.
#[derive(Debug)]
struct Room {
    places: Arc<Semaphore>,
    /// Told to all connections when no place is left: those that only wait for a next request make room.
    full: Notify,
}

/// Where a connection stands. Written by its service.
#[derive(Debug, Default)]
struct Turn {
    /// Whether a request is being answered, up to the head of its answer.
    asked: AtomicBool,
    /// Whether there was an answer.
    answered: AtomicBool,
    /// Set from outside: the next answer is the last.
    last: AtomicBool,
}

/// Accepts connections on all listeners until `stop`, then lets those under way end within `grace`.
pub async fn run(
    listeners: Vec<TcpListener>,
    served: Arc<Served>,
    stop: CancellationToken,
    grace: Duration,
) {
    let connections = TaskTracker::new();
    let room = Arc::new(Room {
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        full: Notify::new(),
    });
    for listener in listeners {
        connections.spawn(accept(
            listener,
            served.clone(),
            room.clone(),
            connections.clone(),
            stop.clone(),
        ));
    }
    stop.cancelled().await;
    connections.close();
    let begin = Instant::now();
    if let Ok(()) = timeout(grace, connections.wait()).await {
        info!(
            seconds = begin.elapsed().as_secs_f64(),
            "All connections have ended."
        );
    } else {
        warn!(
            left = connections.len(),
            "Closing connections that did not end in time."
        );
    }
}

async fn accept(
    listener: TcpListener,
    served: Arc<Served>,
    room: Arc<Room>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        if room.places.available_permits() == 0 {
            room.full.notify_waiters();
        }
        let Ok(place) = room.places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    connection(stream, peer, served.clone(), room.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the next moment may be better.
                warn!(%error, "Cannot accept a connection.");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    served: Arc<Served>,
    room: Arc<Room>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "Cannot set TCP_NODELAY.");
    }
    let mut full = std::pin::pin!(room.full.notified());
    let (stream, is_full) = match enter(stream, &served.door, full.as_mut(), &stop).await {
        Ok(entered) => entered,
        Err(error) => {
            debug!(%peer, %error, "The connection did not pass the door.");
            served.metrics.handshake_failed();
            return;
        }
    };
    let turn = Arc::new(Turn::default());
    let answering = turn.clone();
    let service = service_fn(move |request| {
        let (served, turn) = (served.clone(), answering.clone());
        async move { Ok::<_, Infallible>(turn.of(answer(request, peer, &served)).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .half_close(false);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut result = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = stop.cancelled() => None,
        () = async { if !is_full { full.await } } => None,
    };
    if result.is_none() && !stop.is_cancelled() && !turn.rests() {
        turn.last.store(true, Ordering::Relaxed);
        result = tokio::select! {
            result = connection.as_mut() => Some(result),
            () = stop.cancelled() => None,
            () = turn.is_silent() => return,
        };
    }
    if result.is_none() {
        connection.as_mut().graceful_shutdown();
        result = Some(connection.await);
    }
    if let Some(Err(error)) = result {
        debug!(%peer, %error, "The connection broke.");
    }
}

/// Passes the door, and says whether all places were taken meanwhile: then there is little time.
async fn enter(
    stream: TcpStream,
    door: &Door,
    full: Pin<&mut Notified<'_>>,
    stop: &CancellationToken,
) -> io::Result<(Stream, bool)> {
    let gone = |why| Err(io::Error::new(io::ErrorKind::TimedOut, why));
    let mut entering = std::pin::pin!(door.enter(stream, WRITE_STALL));
    tokio::select! {
        entered = entering.as_mut() => return Ok((entered?, false)),
        () = stop.cancelled() => return gone("the program ends"),
        () = full => {}
    }
    tokio::select! {
        entered = entering => Ok((entered?, true)),
        () = stop.cancelled() => gone("the program ends"),
        () = sleep(SILENCE) => gone("no handshake while all places are taken"),
    }
}

impl Turn {
    /// Whether nothing is lost when the connection ends now, or behind the body that is on its way.
    fn rests(&self) -> bool {
        self.answered.load(Ordering::Relaxed) && !self.asked.load(Ordering::Relaxed)
    }

    /// Ends when no request has come within [`SILENCE`].
    async fn is_silent(&self) {
        sleep(SILENCE).await;
        if self.answered.load(Ordering::Relaxed) || self.asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn of(&self, answer: impl Future<Output = Response<Body>>) -> Response<Body> {
        self.asked.store(true, Ordering::Relaxed);
        let mut response = answer.await;
        self.answered.store(true, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
        if self.last.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }
}

/// Routes one request, if it may pass, and counts it.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    served: &Arc<Served>,
) -> Response<Body> {
    let begin = Instant::now();
    let origin = served.cors.as_ref().map(|_| cors::origin(&request));
    let path = request.uri().path().to_owned();
    let (handler, mut response) = match served.door.admit(request.headers(), peer).await {
        Ok(()) => match served.cors.as_ref().and_then(|_| Cors::preflight(&request)) {
            Some(preflight) => ("preflight", preflight),
            None => dispatch(request, served).await,
        },
        Err(refused) => ("door", refused),
    };
    if let (Some(cors), Some(origin)) = (&served.cors, origin) {
        cors.sign(&path, origin.as_ref(), response.headers_mut());
    }
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    served.door.sign(response.headers_mut());
    served
        .metrics
        .answered(handler, response.status(), begin.elapsed());
    response
}

/// The handler's name in our metrics, and its answer: behind the path of `--web.external-url`, by the path that remains.
async fn dispatch(
    request: Request<Incoming>,
    served: &Arc<Served>,
) -> (&'static str, Response<Body>) {
    match external::inside(served.external.as_ref(), request) {
        Err(outside) => ("other", *outside),
        Ok(request) if request.uri().path().starts_with(pass::PREFIX) => {
            pass::answer(request, served).await
        }
        Ok(request) if api::inside(request.uri().path()).is_some() => {
            api::answer(request, served).await
        }
        Ok(request) => route(&request, served).await,
    }
}

/// The same for a path that takes no body.
async fn route(
    request: &Request<Incoming>,
    served: &Arc<Served>,
) -> (&'static str, Response<Body>) {
    let handler = match request.uri().path() {
        "/federate" => "/federate",
        "/metrics" => "/metrics",
        "/-/healthy" => "/-/healthy",
        "/-/ready" => "/-/ready",
        "/-/reload" => return ("/-/reload", admin::reload(request.method(), served).await),
        "/api/v1/clusters" => "/api/v1/clusters",
        "/sd/prometheus" => "/sd/prometheus",
        _ => return ("other", text(StatusCode::NOT_FOUND, "404 page not found\n")),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered here\n",
        );
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return (handler, refused);
    }
    let response = match handler {
        "/federate" => federate::answer(request, served).await,
        "/metrics" => status::metrics(served),
        "/-/healthy" => text(StatusCode::OK, "Tributary is Healthy.\n"),
        "/-/ready" => status::ready(served),
        "/sd/prometheus" => sd::answer(request, served),
        _ => clusters::answer(served),
    };
    (handler, response)
}

/// A short answer in plain text.
fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Opens a listener; the error says which address and what to do.
pub async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has this port: stop it or choose another address"
            }
            io::ErrorKind::PermissionDenied => {
                "ports under 1024 need privileges: choose a higher one"
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "choose another address",
        };
        io::Error::new(
            error.kind(),
            format!("cannot listen on {host}:{port}: {error}; {remedy} (--web.listen-address)"),
        )
    })
}
