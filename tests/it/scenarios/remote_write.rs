//! Prometheus' remote write 1.0: series in, one request out. Both codings are written here, as small as they can be:
//! Protocol Buffers with three messages, and Snappy that compresses nothing.

use std::net::SocketAddr;

use super::notation::Series;
use crate::support::http;

/// Kinds of fields (<https://protobuf.dev/programming-guides/encoding/>).
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

/// Longest piece whose length fits into two bytes.
const LITERAL_MAX: usize = 1 << 16;

/// The body of a request with these series.
pub(super) fn request(series: &[Series]) -> Vec<u8> {
    let mut message = Vec::new();
    for one in series {
        bytes(&mut message, 1, &time_series(one));
    }
    snappy(&message)
}

/// Sends it; the server must take it whole.
pub(super) fn send(address: SocketAddr, request: &[u8]) {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let answer = http::post(address, "/api/v1/write", &headers, request).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.body);
}

fn time_series(series: &Series) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, value) in &series.labels {
        let mut label = Vec::new();
        bytes(&mut label, 1, name.as_bytes());
        bytes(&mut label, 2, value.as_bytes());
        bytes(&mut message, 1, &label);
    }
    for (time_ms, bits) in &series.samples {
        let mut sample = Vec::new();
        varint(&mut sample, 1 << 3 | FIXED64);
        sample.extend(bits.to_le_bytes());
        varint(&mut sample, 2 << 3 | VARINT);
        varint(&mut sample, time_ms.cast_unsigned());
        bytes(&mut message, 2, &sample);
    }
    message
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, field << 3 | BYTES);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f | 0x80).to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Literals only (<https://github.com/google/snappy/blob/main/format_description.txt>).
fn snappy(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, content.len() as u64);
    for piece in content.chunks(LITERAL_MAX) {
        let length = u16::try_from(piece.len() - 1).unwrap();
        out.push(61 << 2);
        out.extend(length.to_le_bytes());
        out.extend(piece);
    }
    out
}

#[test]
fn numbers_are_coded() {
    let check = |number: u64, want: &[u8]| {
        let mut out = Vec::new();
        varint(&mut out, number);
        assert_eq!(out, want);
    };
    check(0, &[0]);
    check(127, &[127]);
    check(128, &[0x80, 1]);
    check(300, &[0xac, 2]);
    assert_eq!(snappy(b"ab"), [2, 61 << 2, 1, 0, b'a', b'b']);
}
