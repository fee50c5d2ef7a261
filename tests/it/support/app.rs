//! Tributary inside this process: a configuration in, an address that answers out.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tributary::app::{App, Load, Settings};
use tributary::config::{self, Flags, listen_address};
use tributary::query;

use super::{eventually, http};

/// A running [`App`], which stops when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Starts with the text of a configuration file, on a free port.
    pub(crate) fn start(yaml: &str) -> Self {
        Self::start_at(yaml, 0)
    }

    /// The same on a port.
    pub(crate) fn start_at(yaml: &str, port: u16) -> Self {
        Self::start_with(yaml, port, query::Settings::default())
    }

    /// The same with limits of queries.
    pub(crate) fn start_with(yaml: &str, port: u16, query: query::Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tributary.yaml");
        fs::write(&file, yaml).unwrap();
        let load = move || config::build(Some(&file), &Flags::default());
        let config = load().unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
        let settings = Settings {
            addresses: vec![listen_address(&format!("127.0.0.1:{port}")).unwrap()],
            window: Duration::from_secs(900),
            query,
            ..Settings::default()
        };
        let app = App::build(config, &settings, Load::new(load)).unwrap();
        let address = app.addresses()[0];
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || app.run(&stopped));
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// The body of `/federate` for a query string, once there is one.
    pub(crate) fn federate(&self, query: &str) -> String {
        eventually("/federate", Duration::from_secs(30), || {
            match http::get(self.address, &format!("/federate?{query}")) {
                Ok(answer) if answer.status == 200 => Ok(answer.body),
                Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !std::thread::panicking() {
                result.unwrap().unwrap();
            }
        }
    }
}
