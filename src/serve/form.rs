//! Bodies that are forms: read whole, since what they hold must be known before anything is done, and so bounded.

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
    if body.size_hint().lower() > BYTES_MAX as u64 {
        return Err(FormError::TooLarge);
    }
    let reading = async {
        let mut form = BytesMut::new();
        while let Some(frame) =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
        {
            let Ok(piece) = frame.map_err(FormError::Broken)?.into_data() else {
                continue;
            };
            if form.len() + piece.len() > BYTES_MAX {
                return Err(FormError::TooLarge);
            }
            form.extend_from_slice(&piece);
        }
        Ok(form.freeze())
    };
    timeout(patience, reading)
        .await
        .map_err(|_| FormError::Late)?
}
