//! Enters the lines of an export into a store.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;

use super::enter::{Entering, Imported};
use super::error::{BadLine, TransferError};
use super::line::{Checkpoint, Count, DUE, Line, MOST, Origin, Sum};
use super::text::Lines;
use crate::store::ActionStore;

/// Enters the text of an export into a store.
///
/// The text is read between awaits, in the caller's task: give it a local file, or feed the lines
/// of anything slower to an [`Importer`].
///
/// # Errors
/// As [`Importer::line`] and [`Importer::finish`]; [`TransferError::Text`] for a text that cannot
/// be read.
pub async fn import<S, R>(store: &S, text: &mut R) -> Result<Imported, TransferError>
where
    S: ActionStore + ?Sized,
    R: BufRead + Send + ?Sized,
{
    let mut lines = Lines::new(text);
    let mut importer = Importer::new(store);
    while let Some(line) = lines.next()? {
        // A file may well end with empty lines, but not begin with them.
        let nothing = line.text.is_empty() && importer.is_complete();
        if !nothing {
            importer.line(&line.text).await?;
        }
    }
    importer.finish()
}

/// Takes the lines of an export and enters them into a store.
///
/// The actions between two checkpoints are entered once the second one has shown that all of them
/// arrived undamaged; so many are held in memory. Whatever stops an import, what was entered
/// stays, and importing the whole text again goes over it without harm.
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
    /// Bytes of the lines in the queue.
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
    /// An import that has seen no line.
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

    /// What became of the actions so far.
    #[must_use]
    pub fn report(&self) -> &Imported {
        &self.report
    }

    /// Where the export comes from, once its first line was seen.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Whether the last line of the export was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::After
    }

    /// Takes the next line, without its newline. After [`TransferError::Store`] the same line can
    /// be given again.
    ///
    /// An action that the store refuses is no error: it is reported, and disturbs nobody.
    ///
    /// # Errors
    /// [`TransferError::Line`] for a line that is not what the format has there,
    /// [`TransferError::Store`] as [`ActionStore::write`].
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
            Stage::After => return Err(bad(BadLine::corrupt("stands after the end"))),
            Stage::Within => {}
        }
        match Line::read(line).map_err(bad)? {
            Line::Header => Err(bad(BadLine::corrupt("is a first line"))),
            Line::Action(action, log) => {
                if self.queue.len() == MOST || self.since >= DUE {
                    return Err(bad(BadLine::corrupt("a checkpoint is missing before it")));
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
    /// [`TransferError::CutOff`] if the last line of the export was not among those given.
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
                "the lines {from} to {} are damaged: they do not have this checksum",
                self.lines
            )));
        }
        if checkpoint.count != self.count {
            return Err(BadLine::corrupt(format!(
                "counts {} actions and {} log entries, {} and {} came",
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
