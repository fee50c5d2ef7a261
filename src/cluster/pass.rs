//! Somebody else's request, passed on to the cluster's own API with the cluster's credentials.
//!
//! In: what to ask, already judged by the caller. Out: the status, what the headers say of the body, and the body piece
//! by piece as it comes, still compressed where it is. Nothing of the answer is interpreted here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderValue, RETRY_AFTER,
};
use http::{Method, StatusCode};
use http_body::Body as _;
use reqwest::Body;
use tokio::time::Instant;

use super::FetchError;
use super::http::{Client, VIA};

/// What to ask. Headers of the original request have no place in it: none is passed on.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Path and query behind the cluster's URL, escaped: `/api/v1/query?query=up`.
    pub target: String,
    /// A form to be sent by POST; GET without.
    pub form: Option<Bytes>,
    /// Whether the answer may be gzip.
    pub gzip: bool,
    /// Ids of the Tributaries that the request came through, ours last, separated by commas.
    pub via: HeaderValue,
}

/// The head of an answer, and its body.
#[derive(Debug)]
pub struct Passed {
    /// As the server gave it.
    pub status: StatusCode,
    /// The media type without parameters, in small letters; empty where the server names none.
    pub media_type: String,
    /// `Content-Encoding`; none for `identity`.
    pub encoding: Option<String>,
    /// Bytes of the body, where the server says so.
    pub length: Option<u64>,
    /// `Retry-After`.
    pub retry_after: Option<HeaderValue>,
    /// What follows.
    pub body: PassedBody,
}

/// A body on its way from a cluster. Dropping it closes the connection, unless it has come to its end.
#[derive(Debug)]
pub struct PassedBody(Pin<Box<Body>>);

impl Client {
    /// Passes one request on. The deadline holds up to the head of the answer.
    pub async fn pass(&self, ask: Ask, deadline: Instant) -> Result<Passed, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let coding = if ask.gzip { "gzip" } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
        headers.insert(VIA, ask.via);
        let method = if ask.form.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            Method::POST
        } else {
            Method::GET
        };
        let response = self
            .send_to(method, &ask.target, headers, ask.form, deadline)
            .await?;
        Ok(Passed::new(response.into()))
    }
}

impl Passed {
    fn new(response: http::Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let text = |name| {
            head.headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let media_type = text(CONTENT_TYPE).and_then(|value| value.split(';').next());
        let encoding = text(CONTENT_ENCODING).filter(|value| !matches!(*value, "" | "identity"));
        Self {
            status: head.status,
            media_type: media_type.unwrap_or_default().trim().to_ascii_lowercase(),
            encoding: encoding.map(str::to_ascii_lowercase),
            length: text(CONTENT_LENGTH).and_then(|value| value.parse().ok()),
            retry_after: head.headers.get(RETRY_AFTER).cloned(),
            body: PassedBody(Box::pin(body)),
        }
    }
}

impl PassedBody {
    /// The next piece; none at the end.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FetchError>>> {
        loop {
            let Some(frame) = ready!(self.0.as_mut().poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                // Trailers: nobody asked for any.
                Ok(Err(_)) => {}
                Err(error) => return Poll::Ready(Some(Err(FetchError::Cut(error.to_string())))),
            }
        }
    }
}
