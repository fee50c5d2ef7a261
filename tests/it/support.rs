//! What the other modules share.

pub(crate) mod app;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod prometheus;

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until it succeeds; fails with the last error after `patience`.
#[track_caller]
pub(crate) fn eventually<T, E: Display>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(error) if Instant::now() > deadline => {
                panic!("not within {patience:?}: {what}: {error}")
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Waits for a moment of the wall clock, in milliseconds since 1970.
pub(crate) fn until(moment_ms: i64) {
    while now_ms() < moment_ms {
        thread::sleep(PAUSE);
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}
