//! A round as something that a decoder can write to.

use std::io::{self, Write};

use super::report::RoundError;
use super::round::Round;

/// Holds the round and the error that stopped it.
#[derive(Debug)]
pub(super) struct RoundSink {
    round: Option<Round>,
    error: Option<RoundError>,
}

impl RoundSink {
    pub(super) fn new(round: Round) -> Self {
        Self {
            round: Some(round),
            error: None,
        }
    }

    /// The round under way.
    pub(super) fn round(&mut self) -> &mut Round {
        self.round
            .as_mut()
            .expect("taken only when the body has ended")
    }

    /// Ends the sink.
    pub(super) fn take_round(&mut self) -> Round {
        self.round.take().expect("taken only once")
    }

    /// Why the round refused a window.
    pub(super) fn take_error(&mut self) -> Option<RoundError> {
        self.error.take()
    }
}

impl Write for RoundSink {
    /// An error without a round: a decoder that is dropped in the middle of a body still writes what it has inflated.
    fn write(&mut self, window: &[u8]) -> io::Result<usize> {
        let Some(round) = &mut self.round else {
            return Err(io::Error::other("the body was given up"));
        };
        match round.push(window) {
            Ok(()) => Ok(window.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::Error::other("the round refuses the body"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
