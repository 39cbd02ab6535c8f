//! Imports the lines of an export into a store.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;

use super::enter::{Entering, Imported};
use super::error::{BadLine, TransferError};
use super::line::{Checkpoint, Count, DUE, Line, MOST, Origin, Sum};
use super::text::Lines;
use crate::store::ActionStore;

/// Imports the text of an export into a store.
///
/// The text is read synchronously, in the caller's task. Use a local file; for a slower source,
/// pass the lines to an [`Importer`].
///
/// # Errors
/// As [`Importer::line`] and [`Importer::finish`]. [`TransferError::Text`] if the text cannot be
/// read.
pub async fn import<S, R>(store: &S, text: &mut R) -> Result<Imported, TransferError>
where
    S: ActionStore + ?Sized,
    R: BufRead + Send + ?Sized,
{
    let mut lines = Lines::new(text);
    let mut importer = Importer::new(store);
    while let Some(line) = lines.next()? {
        // Empty lines are accepted at the end of a file, but not at its beginning.
        let nothing = line.text.is_empty() && importer.is_complete();
        if !nothing {
            importer.line(&line.text).await?;
        }
    }
    importer.finish()
}

/// Imports the lines of an export into a store.
///
/// The importer holds the actions since the last checkpoint in memory. It writes them once the next
/// checkpoint proves that they arrived undamaged.
///
/// If an import stops, the actions already written stay. It is safe to import the whole text again.
#[derive(Debug)]
#[must_use = "an import does nothing until it is given lines"]
pub struct Importer<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    stage: Stage,
    origin: Option<Origin>,
    lines: u64,
    count: Count,
    sum: Sum,
    queue: VecDeque<Entering>,
    /// Size of the queued lines, in bytes.
    since: usize,
    report: Imported,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Within,
    After,
}

impl<'s, S: ActionStore + ?Sized> Importer<'s, S> {
    /// Creates an importer that has received no lines yet.
    pub fn new(store: &'s S) -> Importer<'s, S> {
        Importer {
            store,
            stage: Stage::Before,
            origin: None,
            lines: 0,
            count: Count::default(),
            sum: Sum::NONE,
            queue: VecDeque::new(),
            since: 0,
            report: Imported::default(),
        }
    }

    /// Returns the report so far.
    #[must_use]
    pub fn report(&self) -> &Imported {
        &self.report
    }

    /// Returns the origin of the export; `None` before the first line.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Returns true once the last line of the export was received.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::After
    }

    /// Takes the next line, without its newline. After [`TransferError::Store`], pass the same line
    /// again.
    ///
    /// If the store refuses an action, this is not an error. The refusal is reported, and the other
    /// actions are imported.
    ///
    /// # Errors
    /// [`TransferError::Line`] if the line does not follow the format. [`TransferError::Store`] as
    /// [`ActionStore::write`].
    pub async fn line(&mut self, line: &str) -> Result<(), TransferError> {
        let number = self.lines + 1;
        self.take(line, number).await?;
        self.lines = number;
        self.sum = self.sum.and(line);
        Ok(())
    }

    async fn take(&mut self, line: &str, number: u64) -> Result<(), TransferError> {
        let bad = |bad: BadLine| bad.at(number);
        match self.stage {
            Stage::Before => {
                self.origin = Some(Line::first(line).map_err(bad)?);
                self.stage = Stage::Within;
                return Ok(());
            }
            Stage::After => return Err(bad(BadLine::corrupt("is after the end of the export"))),
            Stage::Within => {}
        }
        match Line::read(line).map_err(bad)? {
            Line::Header => Err(bad(BadLine::corrupt("is a second header"))),
            Line::Action(action, log) => {
                if self.queue.len() == MOST || self.since >= DUE {
                    return Err(bad(BadLine::corrupt(
                        "a checkpoint is missing before this line",
                    )));
                }
                self.since += line.len();
                self.count.add(log.len());
                self.queue.push_back(Entering {
                    line: Some(number),
                    action: Arc::new(*action),
                    log,
                });
                Ok(())
            }
            Line::Checkpoint(checkpoint) => {
                self.check(&checkpoint).map_err(bad)?;
                self.enter().await
            }
            Line::End(end) => {
                self.check(&end).map_err(bad)?;
                self.enter().await?;
                self.stage = Stage::After;
                Ok(())
            }
        }
    }

    /// Ends the import.
    ///
    /// # Errors
    /// [`TransferError::CutOff`] if the last line of the export was not received.
    pub fn finish(self) -> Result<Imported, TransferError> {
        match self.stage {
            Stage::After => Ok(self.report),
            _ => Err(TransferError::CutOff { lines: self.lines }),
        }
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<(), BadLine> {
        let from = self.lines + 1 - self.queue.len() as u64;
        if checkpoint.sum != self.sum {
            return Err(BadLine::corrupt(format!(
                "lines {from} to {} are damaged: their checksum differs",
                self.lines
            )));
        }
        if checkpoint.count != self.count {
            return Err(BadLine::corrupt(format!(
                "declares {} actions and {} log entries, but {} and {} were read",
                checkpoint.count.actions,
                checkpoint.count.entries,
                self.count.actions,
                self.count.entries
            )));
        }
        Ok(())
    }

    async fn enter(&mut self) -> Result<(), TransferError> {
        let entered = self.report.enter(self.store, &mut self.queue).await;
        entered.map_err(TransferError::to)?;
        self.since = 0;
        Ok(())
    }
}
