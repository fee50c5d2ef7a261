//! `/metrics` and `/-/ready`.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use prometheus_client::encoding::text::encode;
use tokio::time::Instant;

use super::body::Body;
use super::{Served, text};

/// Our own state, as OpenMetrics 1.0.
pub(super) fn metrics(served: &Served) -> Response<Body> {
    let page = served.metrics_text();
    if page.is_empty() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "cannot write the metrics\n",
        );
    }
    let mut response = Response::new(Body::full(page.into()));
    let content_type =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl Served {
    /// Our own metrics as OpenMetrics 1.0; nothing if they cannot be written.
    pub fn metrics_text(&self) -> String {
        let mut page = String::new();
        let written = encode(&mut page, &self.registry);
        written.map_or_else(|_| String::new(), |()| page)
    }
}

/// Ready once every cluster has answered or failed.
pub(super) fn ready(served: &Served) -> Response<Body> {
    if served.store.all_attempted() {
        return text(StatusCode::OK, "Tributary is Ready.\n");
    }
    let view = served.store.view(Instant::now());
    let waiting: Vec<&str> = view
        .clusters
        .iter()
        .filter(|seen| !seen.slot.attempted())
        .map(|seen| seen.slot.name())
        .take(10)
        .collect();
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("Waiting for the first round of: {}\n", waiting.join(", ")),
    )
}
