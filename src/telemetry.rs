//! The log, and what the process says of itself on `/metrics`.

pub mod process;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `ts=… level=info msg="…" cluster=…`
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error, from `level` up.
pub fn log_to_stderr(level: LevelFilter, format: LogFormat) {
    let lines = match format {
        LogFormat::Logfmt => tracing_logfmt::builder()
            .with_target(false)
            .with_span_name(false)
            .with_span_path(false)
            .layer()
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // A second start, in a test, keeps the first log.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .try_init();
}
