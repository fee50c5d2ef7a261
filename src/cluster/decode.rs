//! Takes a body off its `Content-Encoding` in small windows.
//!
//! In: chunks as they come from the wire. Out: windows of at most 32 KiB (gzip) or the chunks themselves (identity),
//! written to a sink. Every member of a gzip body is read; what is on the wire and what comes out is counted, and
//! both are capped, so that a bomb bursts early.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::FetchError;

/// The body's way from the wire to a sink.
#[derive(Debug)]
pub struct Decoder<S: Write> {
    stage: Stage<S>,
    limits: Limits,
    wire_bytes: u64,
}

/// The most bytes of one body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// On the wire.
    pub compressed: u64,
    /// Decoded.
    pub decoded: u64,
}

#[derive(Debug)]
enum Stage<S: Write> {
    Identity(Counted<S>),
    Gzip(Box<MultiGzDecoder<Counted<S>>>),
}

/// Counts what passes and stops at the limit.
#[derive(Debug)]
struct Counted<S> {
    sink: S,
    bytes: u64,
    limit: u64,
}

impl<S: Write> Write for Counted<S> {
    fn write(&mut self, window: &[u8]) -> io::Result<usize> {
        self.bytes += window.len() as u64;
        if self.bytes >= self.limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "over the limit",
            ));
        }
        self.sink.write_all(window)?;
        Ok(window.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Write> Decoder<S> {
    /// A decoder that writes to `sink`.
    pub fn new(sink: S, gzip: bool, limits: Limits) -> Self {
        let counted = Counted {
            sink,
            bytes: 0,
            limit: limits.decoded,
        };
        let stage = if gzip {
            Stage::Gzip(Box::new(MultiGzDecoder::new(counted)))
        } else {
            Stage::Identity(counted)
        };
        Self {
            stage,
            limits,
            wire_bytes: 0,
        }
    }

    /// Whether a chunk takes long: inflating one does.
    pub fn is_slow(&self) -> bool {
        matches!(self.stage, Stage::Gzip(_))
    }

    /// Takes a chunk. An error of the sink comes back as [`FetchError::Encoding`]: the sink knows better.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.wire_bytes += chunk.len() as u64;
        let limit = self.limits.compressed;
        // A body that is not compressed has one size, so the lower limit is the one to name.
        let is_lower = self.is_slow() || limit < self.limits.decoded;
        if self.wire_bytes >= limit && is_lower {
            return Err(FetchError::TooLarge {
                kind: "compressed",
                limit,
                key: "compressed_body_size_limit",
            });
        }
        let result = match &mut self.stage {
            Stage::Identity(sink) => sink.write_all(chunk),
            Stage::Gzip(decoder) => decoder.write_all(chunk),
        };
        result.map_err(|error| self.explain(&error))
    }

    /// Ends the body: a gzip body must be whole.
    pub fn finish(&mut self) -> Result<(), FetchError> {
        let Stage::Gzip(decoder) = &mut self.stage else {
            return Ok(());
        };
        if self.wire_bytes == 0 {
            return Err(FetchError::Encoding("the gzip body is empty".into()));
        }
        let result = decoder.try_finish();
        result.map_err(|error| self.explain(&error))
    }

    /// Bytes on the wire and decoded bytes so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.wire_bytes, self.counted().bytes)
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        match &mut self.stage {
            Stage::Identity(counted) => &mut counted.sink,
            Stage::Gzip(decoder) => &mut decoder.get_mut().sink,
        }
    }

    fn counted(&self) -> &Counted<S> {
        match &self.stage {
            Stage::Identity(counted) => counted,
            Stage::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn explain(&self, error: &io::Error) -> FetchError {
        if error.kind() == io::ErrorKind::FileTooLarge {
            return FetchError::TooLarge {
                kind: "decoded",
                limit: self.limits.decoded,
                key: "body_size_limit",
            };
        }
        FetchError::Encoding(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const WIDE: Limits = Limits {
        compressed: 1 << 30,
        decoded: 1 << 30,
    };

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(
        body: &[u8],
        gzip: bool,
        limits: Limits,
        step: usize,
    ) -> Result<Vec<u8>, &'static str> {
        let mut decoder = Decoder::new(Vec::new(), gzip, limits);
        let result = body
            .chunks(step)
            .try_for_each(|chunk| decoder.push(chunk))
            .and_then(|()| decoder.finish());
        result
            .map(|()| decoder.sink().clone())
            .map_err(|error| error.reason())
    }

    #[test]
    fn every_member_is_read_in_any_cut() {
        let text = "a 1\n".repeat(5000);
        let two = [gzip(text.as_bytes()), gzip(b"b 2\n")].concat();
        let want = format!("{text}b 2\n").into_bytes();
        for step in [1, 7, 100, 100_000] {
            assert_eq!(
                decode(&two, true, WIDE, step),
                Ok(want.clone()),
                "chunks of {step}"
            );
        }
        assert_eq!(decode(b"a 1\n", false, WIDE, 3), Ok(b"a 1\n".to_vec()));
    }

    #[test]
    fn a_body_cut_anywhere_is_an_error() {
        let whole = gzip("a 1\nb 2\n".repeat(50).as_bytes());
        for len in 0..whole.len() {
            assert_eq!(
                decode(&whole[..len], true, WIDE, 16),
                Err("encoding"),
                "{len} of {} bytes",
                whole.len()
            );
        }
    }

    #[test]
    fn a_bomb_bursts_at_the_limit() {
        let bomb = gzip(&vec![b'a'; 50_000_000]);
        let mut decoder = Decoder::new(
            io::sink(),
            true,
            Limits {
                decoded: 1_000_000,
                ..WIDE
            },
        );
        let error = decoder.push(&bomb).unwrap_err();
        assert_eq!(error.reason(), "too_large");
        assert!(
            decoder.bytes().1 <= 1_000_000 + (64 << 10),
            "{:?}",
            decoder.bytes()
        );
        assert_eq!(
            decode(
                &bomb,
                true,
                Limits {
                    compressed: 1000,
                    ..WIDE
                },
                512
            ),
            Err("too_large")
        );
        assert_eq!(
            decode(
                b"0123456789",
                false,
                Limits {
                    decoded: 10,
                    ..WIDE
                },
                4
            ),
            Err("too_large")
        );
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        assert_eq!(
            decode(b"# TYPE a untyped\na 1\n", true, WIDE, 64),
            Err("encoding")
        );
    }
}
