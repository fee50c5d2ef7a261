//! The real program as a process of its own, with its log.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::http::{self, Answer};
use super::proxy::wait;

/// A process; killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Program {
    /// Starts the program that cargo built for these tests.
    pub(crate) fn start(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tributary.yaml");
        std::fs::write(&file, yaml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.arg("--config.file").arg(file);
        command.arg("--web.enable-lifecycle");
        Self::spawn(command, folder)
    }

    /// Starts it with the `tributary.yaml` of a folder and all that is beside it.
    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command
            .arg("--config.file")
            .arg(folder.path().join("tributary.yaml"));
        Self::spawn(command, folder)
    }

    /// Starts a demo: simulated clusters and the program before them.
    pub(crate) fn demo(binary: &Path, clusters: usize, series: usize, interval: &str) -> Self {
        let mut command = Command::new(binary);
        command
            .args(["demo", "--scrape.interval", interval])
            .args(["--clusters", &clusters.to_string()])
            .args(["--series", &series.to_string()]);
        Self::spawn(command, tempfile::tempdir().unwrap())
    }

    fn spawn(mut command: Command, folder: tempfile::TempDir) -> Self {
        let mut child = command
            .args([
                "--web.listen-address",
                "127.0.0.1:0",
                "--log.level",
                "debug",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = log.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(written.lock().unwrap(), "{line}");
            }
        });
        let address = wait("the program to listen", || {
            let log = log.lock().unwrap();
            let address = log.lines().filter(|line| line.contains("Listening."));
            let mut address = address.filter_map(|line| line.split("address=").nth(1));
            let found =
                address.find_map(|rest| rest.split(' ').next()?.trim_matches('"').parse().ok());
            found.ok_or_else(|| log.clone())
        });
        Self {
            child,
            log,
            address,
            folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        http::request(self.address, "GET", target, &[]).unwrap()
    }

    /// Writes another configuration.
    pub(crate) fn write(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("tributary.yaml"), yaml).unwrap();
    }

    /// Bytes of memory in use.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap() << 10
    }

    /// Writes another configuration, and a signal says so.
    pub(crate) fn hang_up(&self, yaml: &str) {
        self.write(yaml);
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
