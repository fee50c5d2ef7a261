//! Other programs: started with their output in files, ended with the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::eventually;

/// A program under way, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a program without input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, folder }
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its status once it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end; gives the exit code.
    #[track_caller]
    pub(crate) fn exit_code(&mut self, patience: Duration) -> Option<i32> {
        let status = eventually("the end of a program", patience, || {
            self.ended()
                .ok_or_else(|| format!("still runs: {}{}", self.stdout(), self.stderr()))
        });
        status.code()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(&mut self) {
        // Neither fails unless it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address nobody listens on at this moment.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Whether the programs of a test are here. Without them a test is left out, saying so; under `CI=true` it fails.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here =
        |program: &&&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(|p| !is_here(p)).collect();
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci || missing.is_empty(), "not installed: {missing:?}");
    if !missing.is_empty() {
        eprintln!("left out: {missing:?} is not installed; tests/run.sh installs it");
    }
    missing.is_empty()
}
