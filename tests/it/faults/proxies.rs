//! HTTP proxies on the way to a cluster.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::access::{authority, one};
use super::upstream::{Reply, Upstream};

/// A proxy that joins whoever asks it to CONNECT with one address. Its threads end with their connections.
struct Tunnel {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                // A connection that breaks ends.
                thread::spawn(move || drop(join(stream, target, &seen)));
            }
        });
        Self { address, heads }
    }
}

fn join(mut near: TcpStream, target: SocketAddr, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        near.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    heads
        .lock()
        .unwrap()
        .push(String::from_utf8_lossy(&head).into_owned());
    let mut far = TcpStream::connect(target)?;
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        // The other half ends with it.
        let _ = to.shutdown(Shutdown::Both);
        copied
    });
    io::copy(&mut far, &mut near)?;
    near.shutdown(Shutdown::Both)
}

#[test]
fn a_cluster_is_reached_through_its_proxy() {
    let proxy = Upstream::new(Reply::text("probe 1\n"));
    let keys = format!(
        "proxy_url: '{}', proxy_connect_header: {{X-Team: {{values: [a]}}, Proxy-Authorization: {{files: [key]}}}}",
        proxy.url()
    );
    // Nobody knows this host but the proxy.
    let url = "http://prometheus.invalid:9090/base";
    let running = one(url, &keys, &[("key", "Basic abc")]);
    running.wait_for_line("probe{");
    let rounds = proxy.rounds();
    let round = rounds.first().unwrap();
    assert_eq!(round.path, "http://prometheus.invalid:9090/base/federate");
    assert_eq!(round.header("x-team"), Some("a"));
    assert_eq!(round.header("proxy-authorization"), Some("Basic abc"));
    // A rotated key is taken.
    std::fs::write(running.folder.path().join("key"), "Basic def").unwrap();
    super::proxy::wait("the new key", || {
        let rounds = proxy.rounds();
        let last = rounds.last().unwrap().header("proxy-authorization");
        if last == Some("Basic def") {
            Ok(())
        } else {
            Err(format!("{last:?}"))
        }
    });
}

#[test]
fn hosts_of_no_proxy_are_reached_without_it() {
    let proxy = Upstream::new(Reply::text("wrong 1\n"));
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let keys = format!(
        "proxy_url: '{}', no_proxy: '10.0.0.0/8, 127.0.0.1'",
        proxy.url()
    );
    one(&upstream.url(), &keys, &[]).wait_for_line("probe{");
    assert_eq!(proxy.requests().len(), 0);
}

#[test]
fn tls_goes_through_the_proxy_untouched() {
    let ours = authority("ours");
    let upstream = super::access::server(&ours, &super::access::params("prometheus.invalid"));
    let tunnel = Tunnel::to(upstream.address());
    let files = [("ca.pem", &*ours.pem()), ("key", "Basic abc")];
    let keys = format!(
        "tls_config: {{ca_file: ca.pem}}, proxy_url: 'http://{}', \
         proxy_connect_header: {{Proxy-Authorization: {{files: [key]}}}}",
        tunnel.address
    );
    one("https://prometheus.invalid:9443", &keys, &files).wait_for_line("probe{");
    let head = tunnel.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        head.starts_with("connect prometheus.invalid:9443 "),
        "{head}"
    );
    assert!(head.contains("proxy-authorization: basic abc"), "{head}");
    let asked = &upstream.rounds()[0];
    assert_eq!(
        asked.header("proxy-authorization"),
        None,
        "the proxy's alone"
    );
    // The certificate is checked for server_name, and the proxy is still told the host.
    let keys = keys.replace(
        "ca_file: ca.pem",
        "ca_file: ca.pem, server_name: prometheus.invalid",
    );
    one("https://10.9.8.7:9443", &keys, &files).wait_for_line("probe{");
    let heads = tunnel.heads.lock().unwrap();
    assert!(heads.last().unwrap().starts_with("CONNECT 10.9.8.7:9443 "));
}

#[test]
fn a_proxy_that_is_not_there_is_told() {
    let keys = "proxy_url: 'http://127.0.0.1:1'";
    let message = one("http://prometheus.invalid", keys, &[]).wait_for_error("c", "connect");
    assert!(message.starts_with("cannot connect"), "{message}");
}
