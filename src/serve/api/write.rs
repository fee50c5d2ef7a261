//! Answers as JSON, written piece by piece while the client reads: a matrix of a gigabyte is never there as text.
//!
//! What is written is what Prometheus writes (`util/jsonutil`, `web/api/v1/json_codec.go`): `resultType` before
//! `result`, times in seconds with three decimals where there are some, values as texts.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    RETRY_AFTER, VARY,
};
use http::{Method, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::super::body::Body;
use super::super::federate::accepts_gzip;
use super::super::json::JSON;
use super::error::{ApiError, Kind};
use crate::pool::Pool;

/// So much text is made at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The same where it is compressed, which leaves about a tenth.
const GZIP_PIECE_BYTES: usize = 256 << 10;

/// Texts shorter than this are not compressed.
const GZIP_BYTES_MIN: usize = 1 << 10;

/// Texts up to this are written where the request is read; longer ones in the pool.
const SHORT_BYTES: usize = 16 << 10;

/// Pieces that are made ahead of a client that reads more slowly.
const PIECES_AHEAD: usize = 2;

/// Time for a whole answer.
const DEADLINE: Duration = Duration::from_secs(600);

/// Warnings, and infos, of one answer; of more the last says how many there were.
const NOTES_MAX: usize = 10;

/// What is answered.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) data: Data,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

/// The value of `data`.
pub(super) enum Data {
    /// JSON that is there.
    Text(Vec<u8>),
    /// A list in the middle, whose items are written one by one.
    List {
        /// Up to and with the opening bracket.
        head: Vec<u8>,
        items: Box<dyn Items>,
        /// From the closing bracket on.
        tail: Vec<u8>,
    },
}

impl Default for Data {
    fn default() -> Self {
        Self::Text(b"null".to_vec())
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Data")
    }
}

/// Items of a list, to be written one after the other.
pub(super) trait Items: Send {
    /// Writes the next item; false if there is none.
    fn write_next(&mut self, out: &mut Vec<u8>) -> bool;
}

/// What an iterator gives, each written by a function.
pub(super) struct Each<I, F>(pub(super) I, pub(super) F);

impl<I, F> Items for Each<I, F>
where
    I: Iterator + Send,
    F: FnMut(I::Item, &mut Vec<u8>) + Send,
{
    fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        let next = self.0.next();
        next.map(|item| (self.1)(item, out)).is_some()
    }
}

impl Reply {
    /// Any value of moderate size.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|error| ApiError::new(Kind::Internal, error.to_string()))?;
        Ok(Self {
            data: Data::Text(text),
            ..Self::default()
        })
    }

    /// A list of whatever `items` write.
    pub(super) fn list(items: impl Items + 'static) -> Self {
        let data = Data::List {
            head: b"[".to_vec(),
            items: Box::new(items),
            tail: b"]".to_vec(),
        };
        Self {
            data,
            ..Self::default()
        }
    }
}

/// Writes one answer.
struct Writer {
    /// What comes next, before the items.
    head: Vec<u8>,
    items: Option<Box<dyn Items>>,
    is_first: bool,
    /// What comes behind them.
    tail: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    is_done: bool,
}

impl Writer {
    fn new(reply: Reply, gzip: bool) -> Self {
        let mut head = br#"{"status":"success","data":"#.to_vec();
        let (items, mut tail) = match reply.data {
            Data::Text(text) => {
                head.extend_from_slice(&text);
                (None, Vec::new())
            }
            Data::List {
                head: open,
                items,
                tail,
            } => {
                head.extend_from_slice(&open);
                (Some(items), tail)
            }
        };
        write_notes(&mut tail, "warnings", &reply.warnings);
        write_notes(&mut tail, "infos", &reply.infos);
        tail.push(b'}');
        let gzip = gzip && (items.is_some() || head.len() + tail.len() >= GZIP_BYTES_MIN);
        Self {
            head,
            items,
            is_first: true,
            tail,
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            is_done: false,
        }
    }

    /// Whether it is written in no time.
    fn is_short(&self) -> bool {
        self.items.is_none() && self.head.len() + self.tail.len() <= SHORT_BYTES
    }

    /// The next piece; none behind the last.
    fn piece(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        let enough = if self.gzip.is_some() {
            GZIP_PIECE_BYTES
        } else {
            PIECE_BYTES
        };
        let mut out = std::mem::take(&mut self.head);
        while let Some(items) = &mut self.items {
            if out.len() >= enough {
                break;
            }
            let before = out.len();
            if !self.is_first {
                out.push(b',');
            }
            self.is_first = false;
            if !items.write_next(&mut out) {
                out.truncate(before);
                self.items = None;
            }
        }
        if self.items.is_none() {
            out.append(&mut self.tail);
            self.is_done = true;
        }
        Some(self.compressed(out).into())
    }

    fn compressed(&mut self, text: Vec<u8>) -> Vec<u8> {
        let never_fails = "a vector takes everything";
        let Some(gzip) = &mut self.gzip else {
            return text;
        };
        gzip.write_all(&text).expect(never_fails);
        if self.is_done {
            gzip.try_finish().expect(never_fails);
        }
        std::mem::take(gzip.get_mut())
    }
}

/// Sends an answer: short ones at once with their length, others while they are written. `places` are for those.
pub(super) async fn respond(
    reply: Reply,
    method: &Method,
    headers: &HeaderMap,
    pool: &Pool,
    places: &Arc<Semaphore>,
) -> Response<Body> {
    let accepted = headers.get(ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let writer = Writer::new(reply, accepted.is_some_and(accepts_gzip));
    let gzip = writer.gzip.is_some();
    let mut response = match first(writer, pool).await {
        Err(error) => return error.response(),
        Ok((whole, None)) => {
            let len = whole.len();
            let body = if *method == Method::HEAD {
                Bytes::new()
            } else {
                whole
            };
            let mut response = Response::new(Body::full(body));
            response.headers_mut().insert(CONTENT_LENGTH, len.into());
            response
        }
        Ok(_) if *method == Method::HEAD => Response::new(Body::full(Bytes::new())),
        Ok((piece, Some(writer))) => match places.clone().try_acquire_owned() {
            Ok(place) => stream(piece, writer, pool.clone(), place),
            Err(_) => return crowded(),
        },
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn crowded() -> Response<Body> {
    let error = ApiError::new(
        Kind::Unavailable,
        "too many long answers on their way: try again in a moment",
    );
    let mut response = error.response();
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}

/// The first piece, with the writer if there is more.
async fn first(mut writer: Writer, pool: &Pool) -> Result<(Bytes, Option<Writer>), ApiError> {
    let is_short = writer.is_short();
    let write = move || {
        let piece = writer.piece().unwrap_or_default();
        (piece, (!writer.is_done).then_some(writer))
    };
    if is_short {
        return Ok(write());
    }
    Ok(pool.run(write).await?)
}

fn stream(piece: Bytes, writer: Writer, pool: Pool, place: OwnedSemaphorePermit) -> Response<Body> {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(send(piece, writer, pool, sender, place));
    Response::new(Body::streamed(pieces, Instant::now() + DEADLINE))
}

/// Sends piece by piece; ends early when the client has gone.
async fn send(
    mut piece: Bytes,
    mut writer: Writer,
    pool: Pool,
    sender: mpsc::Sender<Bytes>,
    place: OwnedSemaphorePermit,
) {
    loop {
        // An empty piece would mean the end; the encoder may have kept everything for the next one.
        if !piece.is_empty() && sender.send(piece).await.is_err() {
            return;
        }
        let made = pool.run(move || (writer.piece(), writer)).await;
        match made {
            Ok((Some(next), back)) => (piece, writer) = (next, back),
            Ok((None, _)) => break,
            // Without the empty piece the client sees that something is missing.
            Err(_) => return,
        }
    }
    drop(place);
    let _ = sender.send(Bytes::new()).await;
}

/// Adds `,"warnings":[…]` unless there are none.
fn write_notes(out: &mut Vec<u8>, name: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let _ = write!(out, ",\"{name}\":[");
    let left = notes.len().saturating_sub(NOTES_MAX);
    for (at, note) in notes.iter().take(NOTES_MAX).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, note);
    }
    if left > 0 {
        let more = format!(
            "{left} more {} annotations omitted",
            &name[..name.len() - 1]
        );
        out.push(b',');
        write_text(out, &more);
    }
    out.push(b']');
}

/// A text in quotes. What a page or a script could take for more than text is escaped.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let (escape, len): (&[u8], _) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
            0..0x20 | 0x7f => (b"", 1),
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
        start = at + len;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// `{"name":"value",…}`.
pub(super) fn write_labels<'a>(
    out: &mut Vec<u8>,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(b'{');
    for (at, (name, value)) in labels.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write_text(out, value);
    }
    out.push(b'}');
}

/// `[1.5,"2"]`.
pub(super) fn write_point(out: &mut Vec<u8>, time_ms: i64, value: f64) {
    out.push(b'[');
    write_seconds(out, time_ms);
    out.push(b',');
    write_value(out, value);
    out.push(b']');
}

/// Milliseconds as seconds: three decimals where there are some.
pub(super) fn write_seconds(out: &mut Vec<u8>, time_ms: i64) {
    let sign = if time_ms < 0 { "-" } else { "" };
    let ms = time_ms.unsigned_abs();
    let _ = match ms % 1000 {
        0 => write!(out, "{sign}{}", ms / 1000),
        fraction => write!(out, "{sign}{}.{fraction:03}", ms / 1000),
    };
}

/// A value in quotes: the shortest digits that read back the same, with an exponent below 1e-6 and from 1e21 on.
pub(super) fn write_value(out: &mut Vec<u8>, value: f64) {
    let abs = value.abs();
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) && abs.is_finite() {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').expect("the form has an exponent");
        let (sign, exponent) = exponent
            .strip_prefix('-')
            .map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(out, "\"{digits}e{sign}{exponent:0>2}\"");
    } else {
        write_plain_value(out, value);
    }
}

/// A value in quotes, never with an exponent: so scalars are written.
pub(super) fn write_plain_value(out: &mut Vec<u8>, value: f64) {
    let _ = if value.is_nan() {
        write!(out, "\"NaN\"")
    } else if value.is_infinite() {
        write!(out, "\"{}Inf\"", if value > 0.0 { '+' } else { '-' })
    } else {
        write!(out, "\"{value}\"")
    };
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values() {
        let check = |value: f64, want: &str| {
            assert_eq!(
                written(|out| write_value(out, value)),
                format!("\"{want}\"")
            );
        };
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(0.1, "0.1");
        check(1e-6, "0.000001");
        check(9.9e-7, "9.9e-07");
        check(-1e-300, "-1e-300");
        check(123_456_789_012_345_680_000.0, "123456789012345680000");
        check(1e21, "1e+21");
        check(1.5e21, "1.5e+21");
        check(f64::MAX, "1.7976931348623157e+308");
        check(f64::from_bits(1), "5e-324");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        assert_eq!(written(|out| write_plain_value(out, 1e-7)), "\"0.0000001\"");
    }

    #[test]
    fn times() {
        let check = |ms, want: &str| assert_eq!(written(|out| write_seconds(out, ms)), want);
        check(0, "0");
        check(1, "0.001");
        check(1100, "1.100");
        check(-1500, "-1.500");
        check(1_435_781_451_781, "1435781451.781");
        check(i64::MIN, "-9223372036854775.808");
    }

    #[test]
    fn texts() {
        let check = |text: &str, want: &str| {
            let got = written(|out| write_text(out, text));
            assert_eq!(got, format!("\"{want}\""));
            let back: String = serde_json::from_str(&got).unwrap();
            assert_eq!(back, text);
        };
        check("", "");
        check("é\u{1f600}", "é\u{1f600}");
        check("a\"\\\n\r\t", "a\\\"\\\\\\n\\r\\t");
        check("</script>&", "\\u003c/script\\u003e\\u0026");
        check("\u{0}\u{1f}\u{7f}", "\\u0000\\u001f\\u007f");
        check("x\u{2028}y\u{2029}\u{2027}", "x\\u2028y\\u2029\u{2027}");
    }

    fn reply(count: usize, warnings: usize) -> Reply {
        let items = (0..count).map(|n| format!("series {n}"));
        Reply {
            warnings: (0..warnings).map(|n| format!("w{n}")).collect(),
            ..Reply::list(Each(items, |item: String, out: &mut Vec<u8>| {
                write_text(out, &item);
            }))
        }
    }

    fn whole(mut writer: Writer) -> (Vec<u8>, usize) {
        let mut pieces = 0;
        let mut all = Vec::new();
        while let Some(piece) = writer.piece() {
            pieces += 1;
            all.extend_from_slice(&piece);
        }
        (all, pieces)
    }

    #[test]
    fn lists_of_any_length_are_whole() {
        let check = |count: usize, more_than: usize| {
            let (plain, pieces) = whole(Writer::new(reply(count, 0), false));
            let items: Vec<String> = (0..count).map(|n| format!("series {n}")).collect();
            let want = serde_json::json!({"status": "success", "data": items});
            let got: serde_json::Value = serde_json::from_slice(&plain).unwrap();
            assert_eq!(got, want);
            assert!(pieces > more_than, "{pieces}");
            let (packed, _) = whole(Writer::new(reply(count, 0), true));
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked, plain);
        };
        check(0, 0);
        check(1, 0);
        check(100_000, 10);
    }

    #[test]
    fn notes_are_counted_behind_the_tenth() {
        let (text, _) = whole(Writer::new(reply(0, 12), false));
        let got: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let warnings = got["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 11);
        assert_eq!(warnings[10], "2 more warning annotations omitted");
        assert!(got.get("infos").is_none());
    }
}
