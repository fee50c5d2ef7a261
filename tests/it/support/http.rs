//! A client that is small enough to be trusted: HTTP/1.0, one request a connection, no chunks to join.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Most time without a byte.
const STALL: Duration = Duration::from_secs(30);

/// An answer whose body is text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks for a path with its query.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, &format!("GET {path}"), &[], b"")
}

/// Asks for a path with one parameter `name` per value, to be encoded.
pub(crate) fn get_with(
    address: SocketAddr,
    path: &str,
    parameters: &[(&str, &str)],
) -> io::Result<Answer> {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    get(address, &format!("{path}?{query}"))
}

/// Sends a body.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    exchange(address, &format!("POST {path}"), headers, body)
}

fn exchange(
    address: SocketAddr,
    request: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, STALL)?;
    stream.set_read_timeout(Some(STALL))?;
    let mut head = format!(
        "{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let parts = status.zip(answer.split_once("\r\n\r\n"));
    let (status, (_, body)) =
        parts.ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}
