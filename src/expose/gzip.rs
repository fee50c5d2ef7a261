//! Deflate segments that join into ONE gzip member.
//!
//! Each segment is raw deflate that ends at a byte boundary (sync flush), so header, segments, an empty last block
//! and the combined checksum are one member. Members are never put one behind the other: curl, browsers and reqwest
//! stop after the first (tower-rs/tower-http#737, curl/curl#22156).

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes that follow the last segment: the empty final block, the checksum and the length.
pub const TRAILER_LEN: u64 = 10;

/// The level that costs the least CPU time. Level 2 needs a third more and saves a fifth on the wire.
const LEVEL: u32 = 1;

/// Room for output is made when less than this is left, and so much at once.
const GROW_BELOW: usize = 1 << 10;
const GROW_BY: usize = 32 << 10;

/// Below this many bytes a segment is stored as it is: setting up a compressor costs more than it saves.
const STORED_MAX: usize = 512;

/// One compressed piece of a page.
pub struct Segment {
    data: Bytes,
    crc: Crc,
    plain_len: u64,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("bytes", &self.data.len())
            .field("plain", &self.plain_len)
            .finish_non_exhaustive()
    }
}

impl Segment {
    /// Compresses the pieces, in order.
    pub fn deflate<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let pieces: Vec<&[u8]> = pieces.into_iter().collect();
        let mut crc = Crc::new();
        for piece in &pieces {
            crc.update(piece);
        }
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let data = if len < STORED_MAX {
            stored(&pieces, len)
        } else {
            compressed(&pieces, len)
        };
        Self {
            data: data.into(),
            crc,
            plain_len: len as u64,
        }
    }

    /// The raw deflate bytes, ending at a byte boundary.
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

/// RFC 1951 3.2.4: a stored block, not the last.
fn stored(pieces: &[&[u8]], len: usize) -> Vec<u8> {
    let len16 = u16::try_from(len).expect("stored segments are shorter than 64 KiB");
    let mut data = Vec::with_capacity(len + 5);
    data.push(0);
    data.extend_from_slice(&len16.to_le_bytes());
    data.extend_from_slice(&(!len16).to_le_bytes());
    for piece in pieces {
        data.extend_from_slice(piece);
    }
    data
}

fn compressed(pieces: &[&[u8]], len: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let mut data = Vec::with_capacity(len / 5);
    for piece in pieces {
        feed(&mut compress, piece, &mut data, FlushCompress::None);
    }
    feed(&mut compress, &[], &mut data, FlushCompress::Sync);
    data.shrink_to_fit();
    data
}

/// Feeds `input` until all of it is taken and, with a flush, all of it is written.
fn feed(compress: &mut Compress, mut input: &[u8], data: &mut Vec<u8>, flush: FlushCompress) {
    loop {
        if data.capacity() - data.len() < GROW_BELOW {
            data.reserve(GROW_BY);
        }
        let before = compress.total_in();
        let status = compress
            .compress_vec(input, data, flush)
            .expect("deflate takes any input");
        let taken = usize::try_from(compress.total_in() - before).expect("not more than was given");
        input = &input[taken..];
        let full = data.len() == data.capacity();
        if input.is_empty() && !full || status == Status::BufError {
            return;
        }
    }
}

/// Adds up the checksums of the segments sent.
#[derive(Default)]
pub struct Trailer {
    crc: Crc,
    len: u64,
}

impl std::fmt::Debug for Trailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trailer")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Trailer {
    /// Counts a segment in, in the order in which they are sent.
    pub fn add(&mut self, segment: &Segment) {
        self.crc.combine(&segment.crc);
        self.len += segment.plain_len;
    }

    /// An empty last block (fixed codes), the CRC-32 and the length modulo 2³², all little-endian (RFC 1952).
    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = vec![0x03, 0x00];
        bytes.extend_from_slice(&self.crc.sum().to_le_bytes());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "RFC 1952 asks for the length modulo 2^32"
        )]
        bytes.extend_from_slice(&(self.len as u32).to_le_bytes());
        bytes
    }
}
