//! A real Prometheus server and a real node exporter, each on a free port.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::http;
use super::process::{Process, free_address};

/// Another program may take a port between our look and the server's start; then another port is tried.
const ATTEMPTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is ready, and killed when this is dropped.
pub(crate) struct Prometheus {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    flags: Vec<String>,
    process: Process,
}

impl Prometheus {
    /// Starts with the text of a configuration file, in which `SELF` is the server's own address, and further flags.
    pub(crate) fn start(yaml: &str, flags: &[&str]) -> Self {
        Self::start_filled(yaml, flags, |_| {})
    }

    /// The same over the blocks that `fill` puts into the folder of the data.
    pub(crate) fn start_filled(yaml: &str, flags: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(&folder.path().join("data"));
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let start = |address: SocketAddr| {
            let yaml = yaml.replace("SELF", &address.to_string());
            fs::write(folder.path().join("prometheus.yml"), yaml).unwrap();
            spawn(&folder, address, &flags)
        };
        let (address, process) = listening(start, "/-/ready");
        Self {
            address,
            folder,
            flags,
            process,
        }
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with the data that it has, where it was.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.folder, self.address, &self.flags);
        let address = self.address;
        eventually("a Prometheus that is started again", PATIENCE, || {
            if self.process.ended().is_some() {
                self.process = spawn(&self.folder, address, &self.flags);
            }
            ready(address, "/-/ready")
        });
    }

    /// The result of an instant query at a time in milliseconds.
    pub(crate) fn query(&self, expression: &str, at_ms: i64) -> Vec<Value> {
        let time = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let parameters = [("query", expression), ("time", &time)];
        let answer = http::get_with(self.address, "/api/v1/query", &parameters).unwrap();
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        match answer["data"]["result"].take() {
            Value::Array(result) => result,
            other => panic!("{expression}: {other}"),
        }
    }
}

fn spawn(folder: &TempDir, address: SocketAddr, flags: &[String]) -> Process {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", at("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", at("data")))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn")
        .args(flags);
    Process::start(&mut command)
}

/// A node exporter that answers.
pub(crate) struct NodeExporter {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl NodeExporter {
    /// Starts with Debian's collectors.
    pub(crate) fn start() -> Self {
        let start = |address: SocketAddr| {
            let mut command = Command::new("prometheus-node-exporter");
            command.arg(format!("--web.listen-address={address}"));
            Process::start(&mut command)
        };
        let (address, process) = listening(start, "/metrics");
        Self {
            address,
            _process: process,
        }
    }
}

/// Starts a server on a free address and waits until it answers a path.
fn listening(start: impl Fn(SocketAddr) -> Process, path: &str) -> (SocketAddr, Process) {
    let mut last_words = String::new();
    for _ in 0..ATTEMPTS {
        let address = free_address();
        let mut process = start(address);
        let is_ready = eventually("a server", PATIENCE, || match process.ended() {
            Some(_) => Ok(false),
            None => ready(address, path).map(|()| true),
        });
        if is_ready {
            return (address, process);
        }
        last_words = process.stderr();
    }
    panic!("no server: {last_words}");
}

fn ready(address: SocketAddr, path: &str) -> Result<(), String> {
    match http::get(address, path) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
        Err(error) => Err(error.to_string()),
    }
}
