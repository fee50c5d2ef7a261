//! The body of an answer: all bytes in one piece, or, where a fault is simulated, the first half and then an error, upon
//! which hyper closes the connection although more bytes were promised.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Page {
    /// What is still to be sent.
    rest: Bytes,
    /// How many bytes are promised but never sent.
    missing: usize,
    /// Whether hyper had its chance to send what it got before the error.
    flushed: bool,
}

impl Page {
    pub(super) fn new(bytes: Bytes) -> Page {
        Page {
            rest: bytes,
            missing: 0,
            flushed: false,
        }
    }

    /// The same page with its second half cut off.
    pub(super) fn cut(self) -> Page {
        let kept = self.rest.len() / 2;
        Page {
            missing: self.rest.len() - kept,
            rest: self.rest.slice(..kept),
            flushed: false,
        }
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        if self.missing > 0 && !std::mem::replace(&mut self.flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.missing > 0 {
            self.missing = 0;
            return Poll::Ready(Some(Err(io::Error::other("cut on purpose"))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.rest.len() + self.missing) as u64)
    }
}
