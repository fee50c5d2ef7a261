//! One round of one cluster without a loop: what `check-config --online` runs. Nothing is published.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::status::Success;
use super::{Done, Plan, ScrapeError, Scraper};

/// What a round brought.
#[derive(Debug)]
pub struct Probe {
    /// The round, or why it failed.
    pub result: Result<Success, ScrapeError>,
    /// How long it took.
    pub duration: Duration,
    /// Ids of the Tributaries whose data the answer holds.
    pub via: Vec<String>,
}

/// Runs the round that the cluster's loop would run first.
pub async fn probe(plan: Plan) -> Probe {
    let start = Instant::now();
    let mut scraper = match Scraper::new(plan) {
        Ok(scraper) => scraper,
        Err(error) => {
            return Probe {
                result: Err(error.into()),
                duration: start.elapsed(),
                via: Vec::new(),
            };
        }
    };
    let result = scraper.scrape(start).await;
    Probe {
        result: result.map(success),
        duration: start.elapsed(),
        via: scraper.clients[scraper.asked].via().to_vec(),
    }
}

fn success(done: Done) -> Success {
    Success {
        at: SystemTime::now(),
        newest_ms: done.snapshot.newest_ms,
        report: done.report,
        wire: done.wire,
        phases: done.phases,
    }
}
