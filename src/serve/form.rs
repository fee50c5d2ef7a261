//! Bodies that are forms: read whole, since what they hold must be known before anything is done, and so bounded.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Duration, timeout};

/// What a form calls itself in `Content-Type`.
pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Longest form in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Most time for a form to come in.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Of a form that is too large so much is read and dropped, for so long, before it is refused: most clients read no
/// answer before they have written all, and would find the connection reset.
const DROPPED_MAX: usize = 16 << 20;
const DROPPING: Duration = Duration::from_millis(500);

/// Why a form cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    /// It has more than [`BYTES_MAX`] bytes.
    #[error("the form has more than {BYTES_MAX} bytes")]
    TooLarge,
    /// The connection, or what frames the body on it.
    #[error("the form broke off: {0}")]
    Broken(#[source] hyper::Error),
    /// It took longer than it may.
    #[error("the form did not come in time")]
    Late,
}

/// Whether a body says that it is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE);
    let said = said.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = said.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

/// Reads a form, which may take so long.
pub(super) async fn read(mut body: Incoming, patience: Duration) -> Result<Bytes, FormError> {
    let gathered = timeout(patience, gather(&mut body)).await;
    let form = gathered.map_err(|_| FormError::Late)?;
    if matches!(form, Err(FormError::TooLarge)) {
        // Whatever comes of it: the answer follows.
        let _ = timeout(DROPPING, drop_rest(&mut body)).await;
    }
    form
}

async fn gather(body: &mut Incoming) -> Result<Bytes, FormError> {
    if body.size_hint().lower() > BYTES_MAX as u64 {
        return Err(FormError::TooLarge);
    }
    let mut form = BytesMut::new();
    while let Some(piece) = next(body).await {
        let piece = piece.map_err(FormError::Broken)?;
        if form.len() + piece.len() > BYTES_MAX {
            return Err(FormError::TooLarge);
        }
        form.extend_from_slice(&piece);
    }
    Ok(form.freeze())
}

async fn drop_rest(body: &mut Incoming) {
    let mut dropped = 0;
    while let Some(Ok(piece)) = next(body).await {
        dropped += piece.len();
        if dropped > DROPPED_MAX {
            break;
        }
    }
}

/// The next piece of a body, empty where a frame holds none.
async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
