//! The door: who may connect and ask, by the web configuration that holds now.
//!
//! Two gates stand before the routes. `Door::enter` makes TLS of a connection, `Door::admit` looks at the
//! password of a request. Both take the state as it is at that moment, so that a new certificate or password holds
//! from the next connection or request on, and nothing under way is cut.

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::auth::{Credentials, Guard, Hash, Users, Verdict};
use super::body::Body;
use super::stream::Unstuck;
use super::text;
use crate::pool::Pool;

/// Time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// When a client that was not looked at may come again, in seconds.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("2");

/// First byte of a handshake; what is plain HTTP begins with a letter.
const HANDSHAKE: u8 = 0x16;

/// The answer to plain HTTP, as Go gives it.
const PLAIN: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
                       Client sent an HTTP request to an HTTPS server.\n";

/// What a web configuration says. The default is an open door.
#[derive(Debug, Default)]
pub struct Settings {
    /// What connections are accepted with; none: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether the handshake lets in only clients whose certificate was verified.
    pub clients_verified: bool,
    /// Who may ask, with the hash of the password; none: everybody.
    pub users: Vec<(String, Hash)>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How often the door may be passed.
    pub rate_limit: Option<RateLimit>,
}

impl Settings {
    /// Whether only those who can show who they are get in.
    pub fn is_locked(&self) -> bool {
        self.clients_verified || !self.users.is_empty()
    }
}

/// Requests that are answered at all: `burst` at once, then one an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time in which one more may come.
    pub interval: Duration,
    /// Those that may come at once.
    pub burst: u32,
}

/// Why a new state is not taken while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// TLS would begin or end.
    #[error("TLS cannot be switched on or off while Tributary runs; restart it")]
    Tls,
    /// Nobody would have to show anything any more, as when the file is half written.
    #[error(
        "neither basic_auth_users nor verified client certificates are left; a locked door is opened by a restart only"
    )]
    Unlocked,
}

/// Stands between the listeners and the routes.
#[derive(Debug)]
pub struct Door {
    state: ArcSwap<State>,
    guard: Arc<Guard>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    users: Users,
    limiter: Option<Limiter>,
}

impl Door {
    /// An open door, until [`Door::close`]. Passwords are checked in `pool`.
    pub fn new(pool: Pool) -> Self {
        let guard = Arc::new(Guard::new(pool));
        let state = State::new(Settings::default(), &guard);
        Self {
            state: ArcSwap::from_pointee(state),
            guard,
        }
    }

    /// Takes these settings, before the first connection.
    pub fn close(&self, settings: Settings) {
        self.state
            .store(Arc::new(State::new(settings, &self.guard)));
    }

    /// Takes these settings while connections are open, unless they need a restart.
    pub fn replace(&self, settings: Settings) -> Result<(), Refused> {
        let now = self.state.load();
        if now.settings.tls.is_some() != settings.tls.is_some() {
            return Err(Refused::Tls);
        }
        if now.settings.is_locked() && !settings.is_locked() {
            return Err(Refused::Unlocked);
        }
        self.close(settings);
        Ok(())
    }

    /// Whether only those who can show who they are get in.
    pub fn is_locked(&self) -> bool {
        self.state.load().settings.is_locked()
    }

    /// `https` or `http`, whichever is spoken.
    pub fn scheme(&self) -> &'static str {
        if self.state.load().settings.tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Makes TLS of a connection where that is asked for. Plain HTTP is answered then, and an error.
    pub(super) async fn enter(&self, stream: TcpStream, patience: Duration) -> io::Result<Stream> {
        let tls = self.state.load().settings.tls.clone();
        let Some(tls) = tls else {
            return Ok(Stream::Plain(Unstuck::new(stream, patience)));
        };
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1
                && first[0] != HANDSHAKE
                && first[0].is_ascii_alphabetic()
            {
                return Err(refuse_plain(stream).await);
            }
            let stream = Unstuck::new(stream, patience);
            let stream = TlsAcceptor::from(tls).accept(stream).await?;
            Ok(Stream::Tls(Box::new(stream)))
        };
        timeout(HANDSHAKE_TIMEOUT, handshake).await?
    }

    /// Whether a request may go on to its route, else the answer to it.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<(), Response<Body>> {
        let state = self.state.load_full();
        if let Some(limiter) = &state.limiter
            && !limiter.admits(Instant::now())
        {
            return Err(come_again());
        }
        if state.settings.users.is_empty() {
            return Ok(());
        }
        let verdict = match Credentials::read(headers) {
            Some(credentials) => {
                self.guard
                    .check(&state.users, &credentials, peer.ip())
                    .await
            }
            None => Verdict::Wrong,
        };
        match verdict {
            Verdict::Good => Ok(()),
            Verdict::Later => Err(come_again()),
            Verdict::Wrong => {
                let mut refused = text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
                let basic = HeaderValue::from_static("Basic");
                refused.headers_mut().insert(WWW_AUTHENTICATE, basic);
                Err(refused)
            }
        }
    }

    /// Adds the configured headers to an answer.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.state.load().settings.headers {
            headers.insert(name, value.clone());
        }
    }
}

impl State {
    fn new(settings: Settings, guard: &Guard) -> Self {
        Self {
            users: guard.users(&settings.users),
            limiter: settings.rate_limit.map(Limiter::new),
            settings,
        }
    }
}

fn come_again() -> Response<Body> {
    let mut refused = text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n");
    refused.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
    refused
}

/// Says on a connection without TLS that there must be one.
async fn refuse_plain(mut stream: TcpStream) -> io::Error {
    // What was sent is read, since closing before that would take the answer from the client.
    let mut sent = [0; 4096];
    let answered = async {
        let _ = stream.read(&mut sent).await?;
        stream.write_all(PLAIN).await?;
        stream.shutdown().await
    };
    match answered.await {
        Ok(()) => io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"),
        Err(error) => error,
    }
}

/// Counts requests against a [`RateLimit`].
#[derive(Debug)]
struct Limiter {
    limit: RateLimit,
    /// When all of the burst will be there again; none: it is.
    full_at: Mutex<Option<Instant>>,
}

impl Limiter {
    fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            full_at: Mutex::new(None),
        }
    }

    fn admits(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = full_at.map_or(now, |full_at| full_at.max(now));
        let then = from + self.limit.interval;
        let admitted = then - now <= self.limit.interval * self.limit.burst;
        if admitted {
            *full_at = Some(then);
        }
        admitted
    }
}

/// A connection that has passed the door.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Unstuck),
    Tls(Box<TlsStream<Unstuck>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
