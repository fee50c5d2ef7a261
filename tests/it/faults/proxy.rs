//! The program in process, on a port of its own, and what it says of itself.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tributary::app::{App, Load, Settings};
use tributary::config::{self, Flags, ListenAddress};

use super::http::{self, Answer};

/// Whatever is waited for comes before this time.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running program; stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    stop: CancellationToken,
    running: Option<thread::JoinHandle<()>>,
    /// The configuration, and what a test puts beside it.
    pub(crate) folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts with this configuration on a free port.
    pub(crate) fn start(yaml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), yaml, 0)
    }

    /// Starts on a given port, with a folder that holds what the configuration names.
    pub(crate) fn start_in(folder: tempfile::TempDir, yaml: &str, port: u16) -> Self {
        Self::start_with(folder, yaml, port, &Flags::default())
    }

    /// The same with flags.
    pub(crate) fn start_with(
        folder: tempfile::TempDir,
        yaml: &str,
        port: u16,
        flags: &Flags,
    ) -> Self {
        let file = folder.path().join("tributary.yaml");
        std::fs::write(&file, yaml).unwrap();
        let flags = flags.clone();
        let load = move || config::build(Some(&file), &flags);
        let config = load().unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
        let listen = ListenAddress {
            host: "127.0.0.1".into(),
            port,
        };
        let settings = Settings {
            addresses: vec![listen],
            lifecycle: true,
            window: Duration::from_secs(900),
            ..Settings::default()
        };
        let app = App::build(config, &settings, Load::new(load)).unwrap();
        let address = app.addresses()[0];
        let stop = CancellationToken::new();
        let token = stop.clone();
        let running = Some(thread::spawn(move || app.run(&token).unwrap()));
        Self {
            address,
            stop,
            running,
            folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        http::request(self.address, "GET", target, &[]).unwrap()
    }

    /// Writes another configuration and has it read: status and body of the answer.
    pub(crate) fn reload(&self, yaml: &str) -> (u16, String) {
        std::fs::write(self.folder.path().join("tributary.yaml"), yaml).unwrap();
        let answer = http::request(self.address, "POST", "/-/reload", &[]).unwrap();
        (answer.status, answer.text())
    }

    /// The merged page; empty while there is none.
    pub(crate) fn page(&self) -> String {
        let answer = self.get("/federate");
        if answer.status == 200 {
            answer.text()
        } else {
            String::new()
        }
    }

    /// What `/api/v1/clusters` says of a cluster.
    pub(crate) fn cluster(&self, name: &str) -> Value {
        let answer: Value = serde_json::from_slice(&self.get("/api/v1/clusters").body).unwrap();
        let clusters = answer["data"]["clusters"].as_array().unwrap();
        let found = clusters.iter().find(|cluster| cluster["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// The class of the error of a cluster's last round; none when it was well.
    pub(crate) fn failing(&self, name: &str) -> Option<String> {
        let error = &self.cluster(name)["lastError"];
        (error["current"] == true).then(|| error["reason"].as_str().unwrap().to_owned())
    }

    /// The value of a series of `/metrics`, written as it stands there; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").text();
        let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
        values
            .next()
            .map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until a cluster's last round failed with this class; the error's text.
    pub(crate) fn wait_for_error(&self, name: &str, class: &str) -> String {
        wait(&format!("{name} to fail with {class}"), || {
            let error = &self.cluster(name)["lastError"];
            let failed = error["current"] == true && error["reason"] == class;
            let message = error["message"].as_str().unwrap_or_default().to_owned();
            failed.then_some(message).ok_or_else(|| error.to_string())
        })
    }

    /// Waits until a line of the page begins so; the page.
    pub(crate) fn wait_for_line(&self, start: &str) -> String {
        wait(&format!("a line {start}"), || {
            let page = self.page();
            let found = page.lines().any(|line| line.starts_with(start));
            if found { Ok(page) } else { Err(page) }
        })
    }

    /// Waits until a cluster has had so many more rounds.
    pub(crate) fn wait_for_rounds(&self, name: &str, more: u64) {
        let rounds = || self.cluster(name)["rounds"].as_u64().unwrap();
        let goal = rounds() + more;
        wait(&format!("{more} rounds of {name}"), || {
            let now = rounds();
            if now >= goal { Ok(()) } else { Err(now) }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.running.take().map(thread::JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// A configuration: rounds every 400 ms, snapshots stay 2 s; more of `global`, and the clusters' items.
pub(crate) fn config(global: &str, clusters: &[String]) -> String {
    format!(
        "global:\n  scrape_interval: 400ms\n  scrape_timeout: 400ms\n  {global}\nclusters:\n{}",
        clusters.concat()
    )
}

/// One cluster of a configuration; `more` keys in flow style without braces.
pub(crate) fn item(name: &str, url: &str, more: &str) -> String {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(", {more}")
    };
    format!("  - {{name: {name}, url: '{url}'{more}}}\n")
}

/// Looks again and again until `look` finds what it wants; panics with what it saw last.
pub(crate) fn wait<T, E: std::fmt::Display>(
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "waited for {what}; last: {seen}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
