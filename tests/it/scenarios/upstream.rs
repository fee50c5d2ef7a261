//! A server that answers every `/federate` with the same page, and has no other paths.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A listening server. It stays until the test program ends; what it answers then does not matter.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
}

impl Upstream {
    /// Starts with the page to send.
    pub(super) fn start(page: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that has gone is no failure.
                let _ = answer(stream, page);
            }
        });
        Self { address }
    }
}

/// One request, one answer.
fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let (status, body) = if request.starts_with("GET /federate") {
        ("200 OK", page)
    } else {
        ("404 Not Found", "")
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}
