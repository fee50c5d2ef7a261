//! Our own metrics as samples: what `/metrics` says under `tributary_` goes into the window as the rounds of a cluster
//! without a name, so that queries find it as they find everything else.
//!
//! What `/federate` carries of us, the two series of each cluster, the window keeps by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::report::RoundError;
use super::round::{End, Round};
use super::rules::Rules;
use super::{Cache, Shared, now_ms, remember};
use crate::model::metadata::Metadata;
use crate::parse::Format;
use crate::pool::Lost;
use crate::store::buffers::Buffers;
use crate::store::column::Recorded;
use crate::store::page::BUILT_IN;
use crate::store::window::OURS;

/// From one look at our metrics to the next.
const INTERVAL: Duration = Duration::from_secs(15);

/// What all our metrics begin with.
const PREFIX: &str = "tributary_";

/// Notes what `page` says (our metrics as OpenMetrics text), again and again until `stop`.
pub async fn run(
    shared: Shared,
    page: impl Fn() -> String + Send + Sync + 'static,
    stop: CancellationToken,
) {
    if !shared.window.is_on() {
        return;
    }
    let page = Arc::new(page);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cache = Box::new(Cache::recording());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (page, buffers) = (page.clone(), shared.buffers.clone());
        let reading = move || read(cache, &page(), now_ms(), &buffers);
        let noted = async {
            let (cache, recorded) = shared.pool.run(reading).await?;
            match recorded {
                Ok(Some(recorded)) => {
                    let window = shared.window.cluster(OURS, 4 * INTERVAL);
                    remember(window.append(&shared.window, *recorded), &shared.pool).await?;
                }
                Ok(None) => {}
                Err(error) => warn!(%error, "Cannot read our own metrics; queries lack them."),
            }
            Ok::<_, Lost>(cache)
        };
        cache = noted.await.unwrap_or_else(|lost| {
            warn!(%lost, "The window lacks a round of our own metrics; their series begin anew.");
            Box::new(Cache::recording())
        });
    }
}

type Read = (Box<Cache>, Result<Option<Box<Recorded>>, RoundError>);

/// A round of the lines that are about us.
fn read(cache: Box<Cache>, page: &str, at_ms: i64, buffers: &Buffers) -> Read {
    let is_kept = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        name.starts_with(PREFIX) && !BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
    };
    let lines: String = page.split_inclusive('\n').filter(is_kept).collect();
    let rules = Arc::new(Rules::default());
    let mut round = Round::start(cache, rules, Format::Text, at_ms, buffers);
    let read = round.push(lines.as_bytes());
    let read = read.and_then(|()| round.end_body(End::Framed));
    let (cache, result) = round.finish(&Arc::new(Metadata::default()));
    let recorded = read
        .and(result)
        .map(|(mut snapshot, _)| snapshot.recorded.take());
    (cache, recorded)
}
