//! Answer bodies: a short text, pieces that are ready, or pieces that are made while they are sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, Sleep, sleep_until};

use super::gate::Passage;
use crate::cluster::FetchError;
use crate::cluster::pass::PassedBody;
use crate::expose::Page;
use crate::store::View;

/// Longer pieces are handed over in parts, since the deadline is looked at between two parts.
const PART_MAX: usize = 1 << 20;

/// A body on its way out.
#[derive(Debug)]
pub(super) struct Body {
    source: Source,
    /// Bytes still to send, where that is known.
    left: Option<u64>,
    /// What must live until the last byte is handed over.
    _held: Option<Held>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What a body counts against.
#[derive(Debug)]
pub(super) enum Held {
    /// A place among the bodies in flight, and the snapshots that it shows.
    Snapshots {
        _place: OwnedSemaphorePermit,
        _view: View,
    },
    /// A place among the requests that a cluster answers for us.
    Passage { _passage: Passage },
}

#[derive(Debug)]
enum Source {
    Full(Bytes),
    /// The pieces of pages, one after the other.
    Pages {
        pages: Vec<Arc<Page>>,
        page: usize,
        /// The next piece of that page.
        piece: usize,
        /// What is left of the piece before it.
        rest: Bytes,
    },
    List(std::vec::IntoIter<Bytes>),
    Made(mpsc::Receiver<Bytes>),
    /// As it comes from a cluster: dropped when the client goes, which ends the cluster's work.
    Passed(PassedBody),
}

/// The client took too long.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the client did not take the whole answer in time")]
    Deadline,
    #[error("the answer could not be made to its end")]
    Incomplete,
    #[error("the cluster's answer broke: {0}")]
    Passed(#[from] FetchError),
}

impl Body {
    /// A body that is there.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self {
            left: Some(bytes.len() as u64),
            source: Source::Full(bytes),
            _held: None,
            deadline: None,
        }
    }

    /// All pieces of some pages.
    pub(super) fn pages(pages: Vec<Arc<Page>>, held: Held, deadline: Instant) -> Self {
        let len = pages.iter().map(|page| page.len()).sum();
        Self::held(
            Source::Pages {
                pages,
                page: 0,
                piece: 0,
                rest: Bytes::new(),
            },
            Some(len),
            held,
            deadline,
        )
    }

    /// Pieces that are there.
    pub(super) fn list(pieces: Vec<Bytes>, held: Held, deadline: Instant) -> Self {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::held(Source::List(pieces.into_iter()), Some(len), held, deadline)
    }

    /// Pieces that somebody makes and sends; the last is an empty one, so that a lost maker is not taken for the end.
    pub(super) fn made(pieces: mpsc::Receiver<Bytes>, held: Held, deadline: Instant) -> Self {
        Self::held(Source::Made(pieces), None, held, deadline)
    }

    /// As [`made`](Self::made), of pieces that hold on to nothing.
    pub(super) fn streamed(pieces: mpsc::Receiver<Bytes>, deadline: Instant) -> Self {
        Self {
            source: Source::Made(pieces),
            left: None,
            _held: None,
            deadline: Some(Box::pin(sleep_until(deadline))),
        }
    }

    /// What a cluster sends, as long as it says it is.
    pub(super) fn passed(
        body: PassedBody,
        length: Option<u64>,
        passage: Passage,
        deadline: Instant,
    ) -> Self {
        Self::held(
            Source::Passed(body),
            length,
            Held::Passage { _passage: passage },
            deadline,
        )
    }

    fn held(source: Source, left: Option<u64>, held: Held, deadline: Instant) -> Self {
        Self {
            source,
            left,
            _held: Some(held),
            deadline: Some(Box::pin(sleep_until(deadline))),
        }
    }
}

impl Source {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Self::Pages {
                pages,
                page,
                piece,
                rest,
            } => {
                while rest.is_empty()
                    && let Some(current) = pages.get(*page)
                {
                    if let Some(bytes) = current.piece(*piece) {
                        (*piece, *rest) = (*piece + 1, bytes);
                    } else {
                        (*page, *piece) = (*page + 1, 0);
                    }
                }
                let part = rest.split_to(rest.len().min(PART_MAX));
                Poll::Ready((!part.is_empty()).then_some(Ok(part)))
            }
            Self::List(pieces) => Poll::Ready(pieces.next().map(Ok)),
            Self::Made(pieces) => pieces.poll_recv(context).map(|piece| match piece {
                Some(piece) if piece.is_empty() => None,
                Some(piece) => Some(Ok(piece)),
                None => Some(Err(BodyError::Incomplete)),
            }),
            Self::Passed(body) => body
                .poll_piece(context)
                .map(|piece| piece.map(|piece| piece.map_err(BodyError::from))),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(BodyError::Deadline)));
        }
        let next = std::task::ready!(self.source.next(context));
        if let (Some(left), Some(Ok(bytes))) = (&mut self.left, &next) {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
