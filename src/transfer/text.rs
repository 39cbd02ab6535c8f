//! Reads the lines of a text, of bounded length.

use std::io::{BufRead, Read};

use super::error::{BadLine, TransferError};
use super::line::LONGEST;

/// Reader for the lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'r, R: BufRead + ?Sized> {
    text: &'r mut R,
    /// Number of the last line read, counted from 1.
    pub(super) number: u64,
    /// Number of bytes up to the end of that line.
    pub(super) bytes: u64,
}

/// A line of a text.
#[derive(Debug)]
pub(super) struct TextLine {
    /// The line without its end, which is a newline, possibly after a carriage return.
    pub(super) text: String,
    /// True if the line ends with a newline. Otherwise it is the last one and may be incomplete.
    pub(super) whole: bool,
}

impl<'r, R: BufRead + ?Sized> Lines<'r, R> {
    pub(super) fn new(text: &'r mut R) -> Lines<'r, R> {
        Lines {
            text,
            number: 0,
            bytes: 0,
        }
    }

    /// Reads the next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<TextLine>, TransferError> {
        let number = self.number + 1;
        let mut line = Vec::new();
        let mut limited = self.text.take(LONGEST as u64 + 1);
        let read = limited.read_until(b'\n', &mut line);
        let read = read.map_err(|error| TransferError::text(number, error))?;
        if read == 0 {
            return Ok(None);
        }
        if read > LONGEST {
            let reason = format!("is too long; the limit is {LONGEST} bytes");
            return Err(BadLine::corrupt(reason).at(number));
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if whole {
            line.pop_if(|last| *last == b'\r');
        }
        let text = String::from_utf8(line)
            .map_err(|error| BadLine::corrupt(error.to_string()).at(number))?;
        self.number = number;
        self.bytes += read as u64;
        Ok(Some(TextLine { text, whole }))
    }
}
