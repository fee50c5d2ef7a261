//! Finished exposition text and how pieces of it join into one page.
//!
//! In: the text of one family of one cluster (a [`Block`]), headers, odd lines. Out: a [`Page`], a list of immutable
//! pieces that is sent as it lies (identity) or as deflate segments that are made when somebody asks and kept
//! (gzip). Nothing is formatted or copied when a page is sent, except that pieces under 4 KiB are copied
//! together, since a `writev` of a thousand crumbs costs more than the copy.

pub mod escape;
pub mod gzip;
pub mod text;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use self::gzip::Segment;

/// Blocks shorter than this many bytes are copied into a joined piece.
const JOIN_MAX: usize = 4 << 10;

/// A segment of smaller pieces ends once it holds this many bytes: below, deflate's start-up cost shows.
const SEGMENT_MIN: usize = 64 << 10;

/// A longer block is cut into parts of this many bytes, so that no slice of work takes longer than some 4 ms.
const PART_MAX: usize = 1 << 20;

/// Finished lines of one family of one cluster, with the deflate segments of it that somebody asked for.
///
/// Cloning shares both. Blocks under 64 KiB have no segments of their own: the page joins them with their neighbours.
#[derive(Clone, Debug)]
pub struct Block {
    text: Bytes,
    parts: Arc<[OnceLock<Segment>]>,
}

impl Block {
    /// Wraps finished text: whole lines, each ended by a newline.
    pub fn new(text: Bytes) -> Self {
        let parts = if text.len() < SEGMENT_MIN {
            0
        } else {
            text.len().div_ceil(PART_MAX)
        };
        Self {
            text,
            parts: (0..parts).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The lines.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    fn part(&self, index: usize) -> &[u8] {
        let start = index * PART_MAX;
        &self.text[start..self.text.len().min(start + PART_MAX)]
    }
}

/// One merged answer: pieces in order, and the cut of them into deflate segments.
#[derive(Debug)]
pub struct Page {
    pieces: Vec<Bytes>,
    segments: Vec<PageSegment>,
    len: u64,
}

/// What one deflate segment of a page covers.
#[derive(Debug)]
enum PageSegment {
    /// A run of whole pieces, kept with the page.
    Run {
        first: usize,
        end: usize,
        cell: OnceLock<Segment>,
    },
    /// A part of a large block, kept with the block, so that the next page finds it again.
    Part { block: Block, index: usize },
}

impl Page {
    /// The pieces, in order; together the whole page.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Length of the page in bytes, uncompressed.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for a page without a byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many deflate segments make up the page.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Segment `index` if it is already made.
    pub fn ready_segment(&self, index: usize) -> Option<&Segment> {
        match &self.segments[index] {
            PageSegment::Run { cell, .. } => cell.get(),
            PageSegment::Part { block, index } => block.parts[*index].get(),
        }
    }

    /// Segment `index`, compressed now unless somebody did before: up to some milliseconds of CPU time.
    pub fn segment(&self, index: usize) -> &Segment {
        match &self.segments[index] {
            PageSegment::Run { first, end, cell } => cell.get_or_init(|| {
                Segment::deflate(self.pieces[*first..*end].iter().map(|piece| &piece[..]))
            }),
            PageSegment::Part { block, index } => {
                block.parts[*index].get_or_init(|| Segment::deflate([block.part(*index)]))
            }
        }
    }
}

/// Puts a page together, piece by piece.
#[derive(Debug, Default)]
pub struct PageBuilder {
    pieces: Vec<Bytes>,
    segments: Vec<PageSegment>,
    len: u64,
    /// Small pieces copied together, not yet a piece.
    joined: Vec<u8>,
    /// First piece of the open run, and the bytes in its finished pieces.
    run_first: usize,
    run_len: usize,
}

impl PageBuilder {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer for text that is written here and now (headers, single lines): append whole lines to it.
    pub fn text(&mut self) -> &mut Vec<u8> {
        if self.joined.len() >= SEGMENT_MIN {
            self.close_joined();
        }
        &mut self.joined
    }

    /// Appends the lines of a block.
    pub fn block(&mut self, block: &Block) {
        if block.text.len() < JOIN_MAX {
            self.text().extend_from_slice(&block.text);
            return;
        }
        self.close_joined();
        if block.parts.is_empty() {
            self.piece(block.text.clone());
            return;
        }
        self.close_run();
        self.len += block.text.len() as u64;
        self.pieces.push(block.text.clone());
        self.run_first = self.pieces.len();
        self.segments
            .extend((0..block.parts.len()).map(|index| PageSegment::Part {
                block: block.clone(),
                index,
            }));
    }

    /// The page.
    pub fn finish(mut self) -> Page {
        self.close_joined();
        self.close_run();
        Page {
            pieces: self.pieces,
            segments: self.segments,
            len: self.len,
        }
    }

    fn piece(&mut self, piece: Bytes) {
        self.len += piece.len() as u64;
        self.run_len += piece.len();
        self.pieces.push(piece);
        if self.run_len >= SEGMENT_MIN {
            self.close_run();
        }
    }

    fn close_joined(&mut self) {
        if !self.joined.is_empty() {
            let piece = Bytes::copy_from_slice(&self.joined);
            self.joined.clear();
            self.piece(piece);
        }
    }

    fn close_run(&mut self) {
        let (first, end) = (self.run_first, self.pieces.len());
        if first < end {
            self.segments.push(PageSegment::Run {
                first,
                end,
                cell: OnceLock::new(),
            });
        }
        self.run_first = end;
        self.run_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// The page as one gzip member, and the page as it is.
    fn both(page: &Page) -> (Vec<u8>, Vec<u8>) {
        let mut member = gzip::HEADER.to_vec();
        let mut trailer = gzip::Trailer::default();
        for index in 0..page.segments() {
            let segment = page.segment(index);
            member.extend_from_slice(segment.data());
            trailer.add(segment);
        }
        member.extend_from_slice(&trailer.finish());
        (member, page.pieces().concat())
    }

    fn build(blocks: &[(usize, u8)]) -> (Page, Vec<u8>) {
        let (mut builder, mut plain) = (PageBuilder::new(), Vec::new());
        for (number, (len, byte)) in blocks.iter().enumerate() {
            let header = format!("# TYPE family_{number} untyped\n");
            builder.text().extend_from_slice(header.as_bytes());
            let lines = format!("a{{b=\"{byte}\"}} {number}\n").repeat(*len);
            builder.block(&Block::new(Bytes::from(lines.clone())));
            plain.extend_from_slice(header.as_bytes());
            plain.extend_from_slice(lines.as_bytes());
        }
        (builder.finish(), plain)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Read by a decoder that stops after the first member: there must be only one.
        #[test]
        fn gzip_of_a_page_is_one_member_that_holds_the_page(
            blocks in prop::collection::vec((prop_oneof![0usize..40, 300usize..9000, 80_000usize..120_000], any::<u8>()), 0..9)
        ) {
            let (page, plain) = build(&blocks);
            let (member, pieces) = both(&page);
            prop_assert_eq!(&pieces, &plain);
            prop_assert_eq!(page.len(), plain.len() as u64);
            let (mut first_member, mut rest) = (Vec::new(), &member[..]);
            flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut first_member).unwrap();
            prop_assert_eq!(first_member, plain);
            prop_assert!(rest.is_empty(), "bytes after the first member");
        }
    }

    #[test]
    fn a_large_block_keeps_its_segments_for_the_next_page() {
        let block = Block::new(Bytes::from("a 1\n".repeat(100_000)));
        let page = |block: &Block| {
            let mut builder = PageBuilder::new();
            builder.block(block);
            builder.finish()
        };
        let first = page(&block);
        assert!(first.ready_segment(0).is_none());
        first.segment(0);
        assert!(page(&block).ready_segment(0).is_some());
    }
}
