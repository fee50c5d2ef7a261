//! A cluster's server that plays a script: exact bytes, pauses, floods, an early end. What it was asked is kept.
//!
//! `faults/real.rs` compares [`Reply::text`] and [`Reply::gzip`] with what a real Prometheus sends.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::write::GzEncoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longest time that anything here waits for its peer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Connections are counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// The value of a header, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The names of all headers, in small letters.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// The decoded `match[]`.
    pub(crate) fn matches(&self) -> Vec<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name == "match[]")
            .map(|(_, value)| value.into_owned())
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// The same bytes until the peer has had enough.
    Flood(Vec<u8>, Arc<AtomicU64>),
    /// Nothing until the peer has had enough.
    Hang,
    /// Says that it has come so far.
    Note(Arc<AtomicBool>),
}

/// What the server does about a request: steps, then it keeps the connection or closes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    steps: Vec<Step>,
    keep: bool,
}

impl Reply {
    /// Nothing at all; the connection is closed behind it.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    pub(crate) fn flood(self, bytes: impl AsRef<[u8]>) -> Self {
        self.flood_counted(bytes, &Arc::default())
    }

    /// The same, and how many bytes the peer has taken.
    pub(crate) fn flood_counted(mut self, bytes: impl AsRef<[u8]>, taken: &Arc<AtomicU64>) -> Self {
        let flood = Step::Flood(bytes.as_ref().to_vec(), taken.clone());
        self.steps.push(flood);
        self
    }

    pub(crate) fn note(mut self, reached: &Arc<AtomicBool>) -> Self {
        self.steps.push(Step::Note(reached.clone()));
        self
    }

    pub(crate) fn hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    pub(crate) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// The head of an answer: the status line's end, and header lines without line ends.
    pub(crate) fn head(status: &str, headers: &[&str]) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for header in headers {
            head += header;
            head += "\r\n";
        }
        Self::new().send(head + "\r\n")
    }

    /// A whole answer with its length; the connection stays.
    pub(crate) fn full(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let length = format!("Content-Length: {}", body.as_ref().len());
        let headers = [headers, &[&*length]].concat();
        Self::head(status, &headers).send(body).keep()
    }

    /// An exposition as Prometheus sends it, short enough for a length.
    pub(crate) fn text(body: impl AsRef<[u8]>) -> Self {
        Self::full("200 OK", &[TEXT, DATE], body)
    }

    /// The same in chunks.
    pub(crate) fn chunked(body: impl AsRef<[u8]>) -> Self {
        let head = Self::head("200 OK", &[TEXT, DATE, "Transfer-Encoding: chunked"]);
        head.send(chunks(body.as_ref())).send("0\r\n\r\n").keep()
    }

    /// The same compressed, in chunks.
    pub(crate) fn gzip(body: impl AsRef<[u8]>) -> Self {
        let body = gzip(body.as_ref());
        let head = [TEXT, DATE, GZIP, "Transfer-Encoding: chunked"];
        let head = Self::head("200 OK", &head);
        head.send(chunks(&body)).send("0\r\n\r\n").keep()
    }

    /// An exposition that ends with the connection.
    pub(crate) fn closing(body: impl AsRef<[u8]>) -> Self {
        Self::head("200 OK", &[TEXT, DATE, "Connection: close"]).send(body)
    }

    fn play(&self, stream: &mut dyn Wire, stop: &AtomicBool) -> io::Result<()> {
        for step in &self.steps {
            match step {
                Step::Send(bytes) => stream.write_all(bytes)?,
                Step::Pause(time) => thread::sleep(*time),
                Step::Flood(bytes, taken) => {
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(bytes)?;
                        taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    }
                }
                // The peer sends nothing while it waits, so this ends when it goes.
                Step::Hang => drop(stream.read(&mut [0])),
                Step::Note(reached) => reached.store(true, Ordering::Relaxed),
            }
        }
        stream.flush()
    }
}

pub(crate) const TEXT: &str = "Content-Type: text/plain; version=0.0.4; charset=utf-8";
pub(crate) const GZIP: &str = "Content-Encoding: gzip";
/// The first byte that a TLS client sends.
const TLS_HANDSHAKE: u8 = 22;
const DATE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT";

/// One gzip member.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(2048) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

type Answers = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

struct Shared {
    /// Answers `/federate`; everything else is `api`'s.
    federate: Mutex<Answers>,
    api: Mutex<Answers>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    tls: Option<Arc<ServerConfig>>,
    stop: AtomicBool,
}

/// The server. Ends with all its connections when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl Upstream {
    /// A server that gives one reply to every `/federate`, and 404 to all else.
    pub(crate) fn new(reply: Reply) -> Self {
        Self::with(move |_| reply.clone())
    }

    /// A server that decides by the request.
    pub(crate) fn with(federate: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), None, Arc::new(federate))
    }

    /// The same behind TLS.
    pub(crate) fn secure(tls: ServerConfig, reply: Reply) -> Self {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Self::listen(
            address,
            Some(Arc::new(tls)),
            Arc::new(move |_| reply.clone()),
        )
    }

    /// The same at a given address.
    pub(crate) fn secure_at(address: SocketAddr, tls: ServerConfig, reply: Reply) -> Self {
        Self::listen(
            address,
            Some(Arc::new(tls)),
            Arc::new(move |_| reply.clone()),
        )
    }

    /// The decoded parameters of a form that was sent.
    pub(crate) fn last_form(&self) -> Vec<(String, String)> {
        let requests = self.requests();
        let body = &requests.last().unwrap().body;
        form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect()
    }

    /// A server at the address of one that has gone.
    pub(crate) fn again(address: SocketAddr, reply: Reply) -> Self {
        Self::listen(address, None, Arc::new(move |_| reply.clone()))
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>, federate: Answers) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let not_found = Reply::full("404 Not Found", &[DATE], "404 page not found\n");
        let shared = Arc::new(Shared {
            federate: Mutex::new(federate),
            api: Mutex::new(Arc::new(move |_| not_found.clone())),
            requests: Mutex::default(),
            connections: Mutex::default(),
            tls,
            stop: AtomicBool::new(false),
        });
        let accepting = {
            let shared = shared.clone();
            thread::spawn(move || accept(&listener, &shared))
        };
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// What `/federate` gets from now on.
    pub(crate) fn reply(&self, reply: Reply) {
        *self.shared.federate.lock().unwrap() = Arc::new(move |_| reply.clone());
    }

    /// What everything but `/federate` gets from now on.
    pub(crate) fn api(&self, answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.shared.api.lock().unwrap() = Arc::new(answers);
    }

    /// Everything asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The rounds among it.
    pub(crate) fn rounds(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.ends_with("/federate"));
        requests
    }

    /// Closes all connections, as a server that restarts.
    pub(crate) fn hang_up(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            // It may have gone before.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.hang_up();
        // Wakes the thread that accepts; when that fails, it has ended already.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.hang_up();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in listener.incoming().enumerate() {
        let Ok(stream) = stream else { continue };
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let kept = stream.try_clone().unwrap();
        shared.connections.lock().unwrap().push(kept);
        let shared = shared.clone();
        // Peers come and go as the tests want it: an error only ends the connection.
        thread::spawn(move || drop(connection(number, stream, &shared)));
    }
}

fn connection(number: usize, stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let closer = stream.try_clone()?;
    let mut stream: Box<dyn Wire> = match &shared.tls {
        None => Box::new(stream),
        Some(tls) => {
            let session = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, stream))
        }
    };
    let mut head = Vec::new();
    loop {
        let request = match read_request(number, &mut stream, &mut head) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                // As Go's server answers what is no HTTP.
                stream.write_all(
                    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request",
                )?;
                return Err(error);
            }
        };
        let answers = if request.path.ends_with("/federate") {
            &shared.federate
        } else {
            &shared.api
        };
        let answers = answers.lock().unwrap().clone();
        shared.requests.lock().unwrap().push(request.clone());
        let reply = answers(&request);
        reply.play(&mut *stream, &shared.stop)?;
        if !reply.keep {
            break;
        }
    }
    closer.shutdown(Shutdown::Both)
}

/// The next request on a connection; none when the peer has closed it. `head` keeps what was read too much.
fn read_request(
    connection: usize,
    stream: &mut impl Read,
    head: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => head.extend_from_slice(&buffer[..read]),
        }
        if head[0] == TLS_HANDSHAKE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    head.drain(..end + 4);
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(": "));
    let mut request = Request {
        connection,
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let length = request.header("content-length").map_or(Ok(0), str::parse);
    let length = length.map_err(io::Error::other)?;
    while head.len() < length {
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
    let body: Vec<u8> = head.drain(..length).collect();
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}
