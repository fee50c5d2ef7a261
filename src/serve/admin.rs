//! `/-/reload`, as Prometheus has it.

use http::header::{ALLOW, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::sync::oneshot;

use super::body::Body;
use super::{Served, text};

/// A wish to have the configuration read anew; the answer says why it could not be.
#[derive(Debug)]
pub struct Reload(pub oneshot::Sender<Result<(), String>>);

/// Reloads and says how it went.
pub(super) async fn reload(method: &Method, served: &Served) -> Response<Body> {
    let Some(reload) = &served.reload else {
        return text(
            StatusCode::FORBIDDEN,
            "Lifecycle API is not enabled: start with --web.enable-lifecycle, or send SIGHUP.\n",
        );
    };
    if !matches!(*method, Method::POST | Method::PUT) {
        let mut refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST or PUT requests allowed\n",
        );
        let allow = HeaderValue::from_static("POST, PUT");
        refused.headers_mut().insert(ALLOW, allow);
        return refused;
    }
    let (sender, answer) = oneshot::channel();
    let result = if reload.send(Reload(sender)).await.is_ok() {
        answer.await.ok()
    } else {
        None
    };
    let failed = |why: &str| {
        let why = format!("failed to reload config: {why}\n");
        text(StatusCode::INTERNAL_SERVER_ERROR, why)
    };
    match result {
        Some(Ok(())) => text(StatusCode::OK, ""),
        Some(Err(why)) => failed(&why),
        None => failed("Tributary is stopping"),
    }
}
