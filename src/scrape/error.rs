//! What can go wrong with a round.

use super::report::RoundError;
use crate::cluster::FetchError;
use crate::pool::Lost;

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The cluster could not be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its answer could not be used.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// There is no room for it.
    #[error(
        "{used} bytes of memory in use, {limit} allowed: raise --memory.limit, or select less with match"
    )]
    Memory {
        /// Resident bytes.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// The work on it was lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// No replica could be used.
    #[error("{used}; and of another replica: {other}")]
    Replicas {
        /// What is wrong with the one in use.
        used: Box<ScrapeError>,
        /// What is wrong with the other.
        other: Box<ScrapeError>,
    },
    /// Another replica could be asked and has nothing.
    #[error("it has no series")]
    Nothing,
}

impl ScrapeError {
    /// The class of the error, as it stands in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::Round(error) => error.reason(),
            Self::Memory { .. } => "memory",
            Self::Lost(_) => "internal",
            Self::Replicas { used, .. } => used.reason(),
            Self::Nothing => "empty",
        }
    }
}
