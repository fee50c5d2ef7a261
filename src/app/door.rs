//! Follows the web configuration while the program runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::web::WebFile;
use crate::serve::Served;

/// Time between two looks at the files.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks every second whether the file, or one that it names, has changed, and hands what it says to the door. What
/// is wrong leaves the door as it is.
///
/// A certificate and its key are rarely replaced at the same moment. So what is wrong is said only when the files
/// stand still.
pub(super) async fn watch(mut file: WebFile, served: Arc<Served>, stop: CancellationToken) {
    let mut wrong: Option<String> = None;
    loop {
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
        let looked = spawn_blocking(move || {
            let changed = file.changed();
            (file, changed)
        });
        let changed = match looked.await {
            Ok((same, changed)) => {
                file = same;
                changed
            }
            Err(error) => {
                warn!(%error, "The web configuration is not followed any more.");
                return;
            }
        };
        match changed {
            None => {
                if let Some(error) = wrong.take() {
                    error!(
                        error,
                        "The web configuration is wrong; the one before holds."
                    );
                    served.metrics.door_followed(false);
                }
            }
            Some(Err(errors)) => wrong = Some(errors.to_string()),
            Some(Ok(settings)) => match served.door.replace(settings) {
                Ok(()) => {
                    wrong = None;
                    info!("The web configuration has changed.");
                    served.metrics.door_followed(true);
                }
                Err(refused) => wrong = Some(refused.to_string()),
            },
        }
    }
}
