//! A client that sees what was sent: status line, headers, framing, bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body of a gzip answer, by a reader that stops behind the first member; nothing may stand behind it.
    pub(crate) fn unzipped(&self) -> String {
        let (mut text, mut rest) = (String::new(), &self.body[..]);
        let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
        decoder.read_to_string(&mut text).unwrap();
        assert!(rest.is_empty(), "{} bytes behind the member", rest.len());
        text
    }
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address)?))
    }

    /// A connection that was set up otherwise.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends a request; `headers` are lines without their ends.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[&str]) -> io::Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: tributary\r\n");
        for header in headers {
            request += header;
            request += "\r\n";
        }
        self.write(request + "\r\n")
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads the head of an answer only.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let end = loop {
            let found = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                break end;
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Answer {
            status: status.ok_or_else(|| io::Error::other(head.clone()))?,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        })
    }

    /// Reads a whole answer to a request of this method; an answer cut short is an error.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let bodyless = method == "HEAD" || answer.status == 204 || answer.status == 304;
        if bodyless {
            return Ok(answer);
        }
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        let length = answer.header("content-length").map(str::parse::<usize>);
        answer.body = match (chunked, length) {
            (true, None) => self.chunks()?,
            (false, Some(Ok(length))) => self.exactly(length)?,
            (false, None) => {
                while self.fill()? > 0 {}
                std::mem::take(&mut self.buffer)
            }
            _ => return Err(io::Error::other(format!("bad framing: {answer:?}"))),
        };
        Ok(answer)
    }

    /// Reads bytes of a body, at most so many; 0 at the end of the connection.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<usize> {
        if !self.buffer.is_empty() {
            let most = most.min(self.buffer.len());
            self.buffer.drain(..most);
            return Ok(most);
        }
        let mut buffer = vec![0; most];
        self.stream.read(&mut buffer)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length =
                usize::from_str_radix(line.trim_end(), 16).map_err(|_| io::Error::other(line))?;
            body.extend_from_slice(&self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 64 << 10];
        let read = self.stream.read(&mut buffer)?;
        self.buffer.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
) -> io::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.ask(method, target, headers)?;
    connection.answer(method)
}
