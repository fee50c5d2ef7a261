//! What the fake upstream sends is compared once with what a real Prometheus sends: names of headers and framing.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use super::http::{self, Answer};
use super::proxy::wait;
use super::upstream::{Reply, Upstream};

struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that scrapes itself; none where it is not installed, which is a failure under `CI=true`.
fn prometheus() -> Option<Prometheus> {
    if Command::new("prometheus")
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(std::env::var("CI").is_err(), "prometheus is not installed");
        println!("left out: prometheus is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: p, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--web.listen-address={address}"))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Prometheus {
        child,
        address,
        _folder: folder,
    })
}

fn get(address: SocketAddr, target: &str, coding: &str) -> Result<Answer, String> {
    let accept = "Accept: text/plain;version=0.0.4;escaping=allow-utf-8";
    let coding = format!("Accept-Encoding: {coding}");
    http::request(address, "GET", target, &[accept, &coding]).map_err(|error| error.to_string())
}

/// Names of all headers, and the values of those that the reader of an answer looks at.
fn outline(answer: &Answer) -> Vec<String> {
    let mut lines: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| match &**name {
            "content-type" | "content-encoding" | "transfer-encoding" | "vary" => {
                format!("{name}: {value}")
            }
            _ => name.clone(),
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_fake_upstream_sends_what_a_real_one_sends() {
    let Some(real) = prometheus() else { return };
    let (short, long) = (
        "/federate?match[]=up",
        "/federate?match[]=%7Bjob%3D%22p%22%7D",
    );
    wait("the server to have samples", || {
        let answer = get(real.address, long, "identity")?;
        if answer.body.len() > 10_000 {
            Ok(())
        } else {
            Err(answer.text())
        }
    });
    let check = |target: &str, coding: &str, reply: fn(&[u8]) -> Reply| {
        let theirs = get(real.address, target, coding).unwrap();
        let fake = Upstream::new(reply(b"up 1\n"));
        let ours = get(fake.address(), "/federate", coding).unwrap();
        assert_eq!(outline(&ours), outline(&theirs), "{target} {coding}");
        assert_eq!(ours.status, theirs.status);
    };
    check(short, "identity", |body| Reply::text(body));
    check(long, "identity", |body| Reply::chunked(body));
    check(long, "gzip", |body| Reply::gzip(body));
    let nowhere = get(real.address, "/api/v1/nowhere", "identity").unwrap();
    assert_eq!(
        (nowhere.status, &*nowhere.text()),
        (404, "404 page not found\n")
    );
}
