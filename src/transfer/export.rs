//! Exports a store as lines of text.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::sync::Arc;

use super::error::TransferError;
use super::line::{Checkpoint, Count, DUE, Line, Origin, Sum, action_line};
use super::text::Lines;
use super::walk::{PAGE, Walk, whole};
use crate::error::StoreError;
use crate::model::{Action, Cursor, Filter};
use crate::store::ActionStore;

/// Exports all actions of a store as text.
///
/// The text is written synchronously, in the caller's task. Use a buffered writer to a local file.
/// For a slower or asynchronous destination, take the lines from an [`Exporter`].
///
/// # Errors
/// As [`Exporter::write_to`].
pub async fn export<S, W>(store: &S, out: &mut W) -> Result<Count, TransferError>
where
    S: ActionStore + ?Sized,
    W: io::Write + Send + ?Sized,
{
    Exporter::new(store).write_to(out).await
}

/// Exports a store line by line. Holds one page of actions and one log in memory.
///
/// The export contains each action that exists at the start, once, in the order of creation.
/// Actions that are removed before their turn are left out. Actions created later are left out too,
/// though some may appear if the newest action at the start is removed meanwhile.
///
/// Each action and its log are as of one moment; different actions may be as of different moments.
///
/// # Examples
///
/// ```
/// # use action_store::{ActionStoreExt, MemoryStore, NewAction, transfer};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.create(NewAction::task("backup_bdb")).await?;
///
/// let mut exporter = transfer::Exporter::new(&store);
/// let mut text = String::new();
/// while let Some(line) = exporter.next().await? {
///     text.push_str(&line); // or send it, with whatever writer the host has
///     text.push('\n');
/// }
///
/// let other = MemoryStore::new();
/// let report = transfer::import(&other, &mut text.as_bytes()).await?;
/// assert_eq!(report.imported, 1);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "an export does nothing until its lines are asked for"]
pub struct Exporter<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    filters: Vec<Filter>,
    page: u16,
    after: Option<Cursor>,
    header: bool,
    walk: Option<Walk>,
    items: VecDeque<Arc<Action>>,
    /// Cursor after the current page, until a checkpoint has recorded it.
    page_end: Option<Cursor>,
    over: bool,
    count: Count,
    sum: Sum,
    /// Bytes of lines since the last checkpoint.
    since: usize,
    lines: u64,
}

impl<'s, S: ActionStore + ?Sized> Exporter<'s, S> {
    /// Creates an exporter for all actions.
    pub fn new(store: &'s S) -> Exporter<'s, S> {
        Exporter {
            store,
            filters: Vec::new(),
            page: PAGE,
            after: None,
            header: true,
            walk: None,
            items: VecDeque::new(),
            page_end: None,
            over: false,
            count: Count::default(),
            sum: Sum::NONE,
            since: 0,
            lines: 0,
        }
    }

    /// Resumes a broken-off export of the same store with the same terms. It continues with the
    /// line after the checkpoint. [`resume_point`] finds the checkpoint in the written text.
    ///
    /// Actions that changed meanwhile are exported in their new state. Actions created meanwhile
    /// are exported too.
    pub fn resume(store: &'s S, point: &ResumePoint) -> Exporter<'s, S> {
        let checkpoint = &point.checkpoint;
        Exporter {
            after: checkpoint.after,
            header: false,
            count: checkpoint.count,
            sum: checkpoint.sum.and(&checkpoint.to_string()),
            lines: point.lines,
            ..Exporter::new(store)
        }
    }

    /// Exports only the actions that match. May be called several times; an action must match all
    /// terms. An action that starts or ceases to match during the export may be included or left
    /// out.
    pub fn with_filter(mut self, filter: Filter) -> Exporter<'s, S> {
        self.filters.push(filter);
        self
    }

    /// Sets the number of actions per page, 1..=[`Limits::PAGE`](crate::Limits::PAGE). The default
    /// is 100. There is a checkpoint after each page.
    pub fn with_page(mut self, actions: u16) -> Exporter<'s, S> {
        self.page = actions;
        self
    }

    /// Returns the number of actions and log entries exported so far.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count
    }

    /// Returns the next line, without a newline; `None` after the last. After an error, call it
    /// again to repeat the line.
    ///
    /// # Errors
    /// As [`ActionStore::list`] and [`ActionStore::log`]. `Unavailable` also if the full log of an
    /// action gained entries during each of 32 attempts to read it.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        if self.walk.is_none() {
            let query = Walk::query(self.filters.clone(), self.page);
            let mut walk = Walk::new(query, self.after);
            let at = walk.begin(self.store).await?;
            self.walk = Some(walk);
            if self.header {
                let origin = Origin {
                    store: at.store_id,
                    revision: at.revision,
                };
                return Ok(Some(self.yielded(origin.to_string())));
            }
        }
        loop {
            if self.over {
                return Ok(None);
            }
            if self.since >= DUE && !self.items.is_empty() {
                return Ok(Some(self.checkpoint(None)));
            }
            if let Some(head) = self.items.front() {
                let whole = whole(self.store, head.clone()).await?;
                self.items.pop_front();
                let Some(whole) = whole else { continue };
                self.count.add(whole.log.len());
                let line = action_line(&whole.action, &whole.log)?;
                self.since += line.len();
                return Ok(Some(self.yielded(line)));
            }
            if let Some(after) = self.page_end.take() {
                return Ok(Some(self.checkpoint(Some(after))));
            }
            let Some(walk) = &mut self.walk else {
                return Ok(None);
            };
            match walk.next(self.store).await? {
                Some(heads) => {
                    // An empty page needs no checkpoint.
                    self.page_end = heads.next.filter(|_| !heads.items.is_empty());
                    self.items = heads.items.into();
                }
                None => {
                    self.over = true;
                    let end = self.mark(None).end_line();
                    return Ok(Some(self.yielded(end)));
                }
            }
        }
    }

    /// Writes all remaining lines.
    ///
    /// # Errors
    /// [`TransferError::Store`] as [`Exporter::next`]. [`TransferError::Text`] if the text could
    /// not be written; the export must then be [resumed](Exporter::resume).
    pub async fn write_to<W>(&mut self, out: &mut W) -> Result<Count, TransferError>
    where
        W: io::Write + Send + ?Sized,
    {
        while let Some(mut line) = self.next().await.map_err(TransferError::from)? {
            line.push('\n');
            let written = out.write_all(line.as_bytes());
            written.map_err(|error| TransferError::text(self.lines, error))?;
        }
        let flushed = out.flush();
        flushed.map_err(|error| TransferError::text(self.lines, error))?;
        Ok(self.count)
    }

    fn mark(&self, after: Option<Cursor>) -> Checkpoint {
        Checkpoint {
            count: self.count,
            after,
            sum: self.sum,
        }
    }

    fn checkpoint(&mut self, after: Option<Cursor>) -> String {
        self.since = 0;
        let line = self.mark(after).to_string();
        self.yielded(line)
    }

    fn yielded(&mut self, line: String) -> String {
        self.sum = self.sum.and(&line);
        self.lines += 1;
        line
    }
}

/// Position in the text of a broken-off export from which it can resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumePoint {
    /// The last complete checkpoint from which the export can resume.
    pub checkpoint: Checkpoint,
    /// Number of bytes of the text to keep, including the line of the checkpoint.
    pub bytes: u64,
    /// Number of lines in these bytes.
    pub lines: u64,
}

/// Finds the last checkpoint from which an export can resume. `None` if there is none: then start a
/// new export.
///
/// To resume, cut the text to [`ResumePoint::bytes`], call [`Exporter::resume`] and append its
/// lines.
///
/// The text is verified with its checksums, and nothing after damage is kept. A complete export can
/// be resumed too: it continues from its last checkpoint, with the actions created since.
///
/// # Errors
/// [`TransferError::Text`] if the text cannot be read. [`TransferError::Line`] if the text does not
/// begin as an export of this version.
pub fn resume_point<R>(text: &mut R) -> Result<Option<ResumePoint>, TransferError>
where
    R: BufRead + ?Sized,
{
    let mut lines = Lines::new(text);
    let (mut sum, mut count) = (Sum::NONE, 0);
    let mut found = None;
    loop {
        let line = match lines.next() {
            Ok(Some(line)) if line.whole => line.text,
            Err(error @ TransferError::Text { .. }) => return Err(error),
            // The end, an incomplete line, or bytes that are not text.
            _ => return Ok(found),
        };
        if lines.number == 1 {
            Line::first(&line).map_err(|bad| bad.at(1))?;
        } else if line.starts_with("{\"action\"") {
            count += 1;
        } else {
            match Line::read(&line) {
                Ok(Line::Checkpoint(at)) if at.sum == sum && at.count.actions == count => {
                    // A checkpoint within a page has no cursor, so the export cannot resume there.
                    if at.after.is_some() {
                        found = Some(ResumePoint {
                            checkpoint: at,
                            bytes: lines.bytes,
                            lines: lines.number,
                        });
                    }
                }
                _ => return Ok(found),
            }
        }
        sum = sum.and(&line);
    }
}
