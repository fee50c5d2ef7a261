//! Finished exposition text and how pieces of it join into one page.
//!
//! In: the text of one family of one cluster (a [`Block`]), headers, odd lines. Out: a [`Page`], a list of immutable
//! texts that is sent as it lies (identity) or as deflate segments that are made when somebody asks and kept
//! (gzip). Nothing is formatted or copied when a page is sent, except that texts under 4 KiB are copied
//! together on their way out, since a `writev` of a thousand crumbs costs more than the copy. Not before: a client
//! would wait for all of them before its first byte, and the page would hold a second copy.

pub mod escape;
pub mod gzip;
pub mod text;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use self::gzip::Segment;

/// Texts shorter than this many bytes are sent together with their neighbours.
const JOIN_MAX: usize = 4 << 10;

/// Short texts that are sent together end once they have this many bytes.
const JOINED_MIN: usize = 64 << 10;

/// A segment of smaller texts ends once it holds this many bytes: below, deflate's start-up cost shows.
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

/// One merged answer: texts in order, and the cuts of them into pieces to be sent and into deflate segments.
#[derive(Debug)]
pub struct Page {
    texts: Vec<Bytes>,
    /// Where the texts of each piece end; they begin where those of the piece before end.
    pieces: Vec<usize>,
    segments: Vec<PageSegment>,
    len: u64,
}

/// What one deflate segment of a page covers.
#[derive(Debug)]
enum PageSegment {
    /// A run of whole texts, kept with the page.
    Run {
        first: usize,
        end: usize,
        cell: OnceLock<Segment>,
    },
    /// A part of a large block, kept with the block, so that the next page finds it again.
    Part { block: Block, index: usize },
}

impl Page {
    /// The pieces, in order; together the whole page. A long text is shared, short ones are copied into one piece of
    /// some 64 KiB whenever it is asked for.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        (0..self.pieces.len()).filter_map(|index| self.piece(index))
    }

    /// Piece `index`, if there are so many.
    pub fn piece(&self, index: usize) -> Option<Bytes> {
        let end = *self.pieces.get(index)?;
        let first = index.checked_sub(1).map_or(0, |before| self.pieces[before]);
        Some(match &self.texts[first..end] {
            [text] => text.clone(),
            texts => texts.concat().into(),
        })
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
                Segment::deflate(self.texts[*first..*end].iter().map(|text| &text[..]))
            }),
            PageSegment::Part { block, index } => {
                block.parts[*index].get_or_init(|| Segment::deflate([block.part(*index)]))
            }
        }
    }
}

/// Puts a page together, text by text.
#[derive(Debug, Default)]
pub struct PageBuilder {
    texts: Vec<PageText>,
    pieces: Vec<usize>,
    segments: Vec<PageSegment>,
    len: u64,
    /// All text that is written here and now, and how much of it is among the texts.
    written: Vec<u8>,
    entered: usize,
    /// Bytes in the open piece of short texts.
    piece_len: usize,
    /// First text of the open run, and the bytes in it.
    run_first: usize,
    run_len: usize,
}

#[derive(Debug)]
enum PageText {
    Shared(Bytes),
    /// A part of what is written.
    Written(Range<usize>),
}

impl PageBuilder {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer for text that is written here and now (headers, single lines): append whole lines to it.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.written
    }

    /// Appends the lines of a block.
    pub fn block(&mut self, block: &Block) {
        self.enter_written();
        let text = PageText::Shared(block.text.clone());
        if block.parts.is_empty() {
            return self.enter(text, block.text.len());
        }
        self.close_piece();
        self.close_run();
        self.len += block.text.len() as u64;
        self.texts.push(text);
        self.pieces.push(self.texts.len());
        self.run_first = self.texts.len();
        self.segments
            .extend((0..block.parts.len()).map(|index| PageSegment::Part {
                block: block.clone(),
                index,
            }));
    }

    /// The page.
    pub fn finish(mut self) -> Page {
        self.enter_written();
        self.close_piece();
        self.close_run();
        let written = Bytes::from(self.written);
        let texts = self.texts.into_iter().map(|text| match text {
            PageText::Shared(text) => text,
            PageText::Written(place) => written.slice(place),
        });
        Page {
            texts: texts.collect(),
            pieces: self.pieces,
            segments: self.segments,
            len: self.len,
        }
    }

    /// Enters what was written since the last text.
    fn enter_written(&mut self) {
        let place = self.entered..self.written.len();
        self.entered = place.end;
        self.enter(PageText::Written(place.clone()), place.len());
    }

    fn enter(&mut self, text: PageText, len: usize) {
        if len == 0 {
            return;
        }
        if len >= JOIN_MAX {
            self.close_piece();
        }
        self.texts.push(text);
        self.len += len as u64;
        self.piece_len += len;
        self.run_len += len;
        if len >= JOIN_MAX || self.piece_len >= JOINED_MIN {
            self.close_piece();
        }
        if self.run_len >= SEGMENT_MIN {
            self.close_run();
        }
    }

    /// The next text begins another piece.
    fn close_piece(&mut self) {
        if self.piece_len > 0 {
            self.pieces.push(self.texts.len());
        }
        self.piece_len = 0;
    }

    fn close_run(&mut self) {
        let (first, end) = (self.run_first, self.texts.len());
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
        (member, page.pieces().collect::<Vec<_>>().concat())
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
    fn short_texts_are_sent_together_and_long_ones_as_they_lie() {
        let mut builder = PageBuilder::new();
        let short = Block::new(Bytes::from("a 1\n".repeat(256)));
        let long = Block::new(Bytes::from("b 1\n".repeat(JOIN_MAX / 4)));
        (0..100).for_each(|_| builder.block(&short));
        builder.block(&long);
        builder.text().extend_from_slice(b"c 1\n");
        let page = builder.finish();
        let lens: Vec<_> = page.pieces().map(|piece| piece.len()).collect();
        assert_eq!(lens, [JOINED_MIN, 100 * 1024 - JOINED_MIN, JOIN_MAX, 4]);
        let shared = page.piece(2).map(|piece| piece.as_ptr());
        assert_eq!(shared, Some(long.text().as_ptr()));
        assert_eq!(page.piece(4), None);
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
