//! The bounded pool for CPU work that takes longer than about 200 µs: cold rounds, deflate, joining pages.
//!
//! Scrape loops and connections stay on their own threads and hand such work over in slices, so that timers, health
//! probes and other connections never wait for it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A handle to the pool; clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    runtime: Handle,
    slices: Arc<Semaphore>,
}

/// The slice of work did not end: it panicked, or the process is going down.
#[derive(Debug, thiserror::Error)]
#[error("a slice of work did not end: {0}")]
pub struct Lost(String);

impl Pool {
    /// A pool that runs at most `width` slices at the same time on the blocking threads of `runtime`.
    pub fn new(runtime: Handle, width: usize) -> Self {
        Self {
            runtime,
            slices: Arc::new(Semaphore::new(width)),
        }
    }

    /// Runs work here if it takes no time, else as a slice.
    pub async fn run_if<T: Send + 'static>(
        &self,
        is_slow: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        if is_slow {
            self.run(work).await
        } else {
            Ok(work())
        }
    }

    /// Runs one slice and waits for its result. Slices start in the order in which they were handed in.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let permit = self
            .slices
            .clone()
            .acquire_owned()
            .await
            .map_err(|closed| Lost(closed.to_string()))?;
        let slice = self.runtime.spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        slice.await.map_err(|error| Lost(error.to_string()))
    }
}
