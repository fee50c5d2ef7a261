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
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts the program that cargo built for these tests.
    pub(crate) fn start(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tributary.yaml");
        std::fs::write(&file, yaml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.arg("--config.file").arg(file);
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
            _folder: folder,
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
