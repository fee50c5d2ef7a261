//! What a cluster's server says of its metrics and of itself, asked beside the rounds and never in their way.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::rules::Rules;
use crate::cluster::http::Client;
use crate::cluster::{self, FetchError};
use crate::model::metadata::Metadata;

/// A server that refuses is asked less and less often, down to once in this time.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// After a failure that may pass (no connection, a server error) the next try comes after this time.
const RETRY: Duration = Duration::from_secs(15);

/// How a server is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// False for a plain exporter, which has no API.
    pub enabled: bool,
    /// Time between two askings.
    pub interval: Duration,
    /// Time for one.
    pub timeout: Duration,
    /// External labels from the configuration: then the server is not asked for its own.
    pub external_labels: Option<Vec<(String, String)>>,
}

/// What is known of a server. Written by [`teach`], read by every round.
#[derive(Debug)]
pub struct Learned {
    metadata: ArcSwap<Metadata>,
    external_labels: ArcSwapOption<Vec<(String, String)>>,
    asked: watch::Sender<bool>,
    /// The replica in use, which is the one to ask. Written by the scrape loop.
    used: watch::Sender<usize>,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            metadata: ArcSwap::default(),
            external_labels: ArcSwapOption::empty(),
            asked: watch::Sender::new(false),
            used: watch::Sender::new(0),
        }
    }
}

impl Learned {
    /// Types and HELP of the server's metrics.
    pub fn metadata(&self) -> Arc<Metadata> {
        self.metadata.load_full()
    }

    /// Takes external labels as if the server had been asked for them.
    pub fn know(&self, external_labels: Vec<(String, String)>) {
        self.external_labels.store(Some(Arc::new(external_labels)));
    }

    /// Another replica is in use: it is asked soon.
    pub(super) fn follow(&self, used: usize) {
        self.used.send_if_modified(|known| {
            let is_new = *known != used;
            *known = used;
            is_new
        });
    }

    /// Waits until the server was asked for the first time, well or not.
    pub(super) async fn asked(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// The configured rules with the learnt external labels behind the configured labels, if `current` are others.
    pub(super) fn rules(&self, configured: &Rules, current: &Rules) -> Option<Rules> {
        let external = self.external_labels.load();
        let constants = || {
            let learnt = external.iter().flat_map(|labels| labels.iter());
            let learnt = learnt.filter(|(name, _)| !configured.replica_labels.contains(name));
            configured.constants.iter().chain(learnt)
        };
        (!constants().eq(&current.constants))
            .then(|| configured.with_constants(constants().cloned().collect()))
    }
}

/// Asks the server again and again until `stop`: the replica in use, and another one when that fails.
pub async fn teach(
    server: cluster::Settings,
    settings: Settings,
    learned: Arc<Learned>,
    stop: CancellationToken,
) {
    let mut refused = 0;
    let mut was_refused = false;
    if let Some(labels) = &settings.external_labels {
        learned
            .external_labels
            .store(Some(Arc::new(labels.clone())));
    }
    let mut used = learned.used.subscribe();
    let mut clients: Vec<Option<Client>> = (0..server.servers()).map(|_| None).collect();
    loop {
        let first = *used.borrow_and_update();
        let mut answer = Ok(());
        for number in (0..clients.len()).map(|number| (first + number) % server.servers()) {
            answer = ask_replica(
                &mut clients[number],
                &server.replica(number),
                &settings,
                &learned,
            )
            .await;
            // What one refuses for good, the other does too.
            if answer.as_ref().map_or_else(is_for_good, |()| true) {
                break;
            }
        }
        let pause = match answer {
            Ok(()) => {
                (refused, was_refused) = (0, false);
                settings.interval
            }
            Err(error) => {
                let for_good = is_for_good(&error);
                refused = if for_good { refused + 1 } else { 0 };
                note(
                    &server.name,
                    &error,
                    for_good && !std::mem::replace(&mut was_refused, for_good),
                );
                if for_good {
                    backoff(settings.interval, refused)
                } else {
                    RETRY.min(settings.interval)
                }
            }
        };
        learned.asked.send_replace(true);
        tokio::select! {
            () = stop.cancelled() => return,
            _ = used.changed() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Asks one server by its client, which is made when its certificates are there.
async fn ask_replica(
    client: &mut Option<Client>,
    server: &cluster::Settings,
    settings: &Settings,
    learned: &Learned,
) -> Result<(), FetchError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::new(server.clone())?),
    };
    let answer = ask(client, settings, learned).await;
    if answer.is_err() {
        client.reconnect()?;
    }
    answer
}

/// Whether the server will refuse the next time too.
fn is_for_good(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Status {
            status: 400..500,
            ..
        }
    )
}

fn backoff(interval: Duration, refused: u32) -> Duration {
    interval
        .saturating_mul(2u32.saturating_pow(refused.min(16)))
        .min(BACKOFF_MAX.max(interval))
}

fn note(cluster: &str, error: &FetchError, news: bool) {
    if news {
        info!(cluster, %error, "No types, HELP or external labels from the server; asking less often.");
    } else {
        debug!(cluster, %error, "Cannot ask the server about itself.");
    }
}

/// External labels first: the first round waits for them, since without them it would name series otherwise.
async fn ask(client: &Client, settings: &Settings, learned: &Learned) -> Result<(), FetchError> {
    let deadline = Instant::now() + settings.timeout;
    let labels = match settings.external_labels {
        Some(_) => Ok(()),
        None => client.external_labels(deadline).await.map(|labels| {
            if learned.external_labels.load().as_deref() != Some(&labels) {
                learned.external_labels.store(Some(Arc::new(labels)));
            }
        }),
    };
    if labels.is_ok() {
        learned.asked.send_replace(true);
    }
    let metadata = client.metadata(deadline).await?;
    if **learned.metadata.load() != metadata {
        learned.metadata.store(Arc::new(metadata));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn learnt_labels_stand_behind_the_configured_ones() {
        let configured = Rules {
            constants: vec![pair("region", "eu")],
            replica_labels: vec!["replica".into()],
            ..Rules::default()
        };
        let learned = Learned::default();
        assert!(learned.rules(&configured, &configured).is_none());
        let labels = vec![
            pair("prometheus", "x"),
            pair("region", "us"),
            pair("replica", "0"),
        ];
        learned.external_labels.store(Some(Arc::new(labels)));
        let rules = learned.rules(&configured, &configured).unwrap();
        assert_eq!(
            rules.constants,
            [
                pair("region", "eu"),
                pair("prometheus", "x"),
                pair("region", "us")
            ]
        );
        assert!(
            learned.rules(&configured, &rules).is_none(),
            "the same labels are the same rules"
        );
    }

    #[test]
    fn a_server_that_refuses_is_asked_less_often() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(backoff(minutes(5), 1), minutes(10));
        assert_eq!(backoff(minutes(5), 3), minutes(40));
        assert_eq!(backoff(minutes(5), 30), minutes(60));
        assert_eq!(backoff(minutes(90), 5), minutes(90));
    }
}
