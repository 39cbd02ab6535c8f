//! Writes a store as lines of text.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::sync::Arc;

use super::error::TransferError;
use super::line::{Checkpoint, Count, DUE, Line, Origin, Sum, action_line};
use super::text::Lines;
use super::walk::{PAGE, Walk, whole};
use crate::error::StoreError;
use crate::model::{Action, Cursor, Term};
use crate::store::ActionStore;

/// Writes all of a store into a text.
///
/// The text is written to between awaits, in the caller's task: give it a buffered writer to a
/// local file. For anything slower, or asynchronous, take the lines of an [`Exporter`].
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

/// Yields a store's export, line by line. Holds one page of actions and one log in memory.
///
/// The export has every action that was there when it began and was not removed before its turn
/// came, once, in the order of creation, and none that was created later (some may come if the
/// newest one was removed meanwhile). Each action stands with its log as of one moment; different
/// actions may be as of different moments.
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
    terms: Vec<Term>,
    page: u16,
    after: Option<Cursor>,
    header: bool,
    walk: Option<Walk>,
    items: VecDeque<Arc<Action>>,
    /// Where the page in hand ends, until a checkpoint has said it.
    page_end: Option<Cursor>,
    over: bool,
    count: Count,
    sum: Sum,
    /// Bytes of lines since the last checkpoint.
    since: usize,
    lines: u64,
}

impl<'s, S: ActionStore + ?Sized> Exporter<'s, S> {
    /// An export of all actions.
    pub fn new(store: &'s S) -> Exporter<'s, S> {
        Exporter {
            store,
            terms: Vec::new(),
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

    /// Goes on where an export of the same store, with the same terms, was broken off: with the
    /// line that follows the checkpoint. [`resume_point`] finds it in what was written.
    ///
    /// What changed in the meantime is exported as it is then; so are actions created since.
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

    /// Exports only what matches; may be repeated. Terms that cease to hold while the export runs
    /// may let an action through or leave it out.
    pub fn with_term(mut self, term: Term) -> Exporter<'s, S> {
        self.terms.push(term);
        self
    }

    /// Sets how many actions are read at once, 1..=[`Limits::PAGE`](crate::Limits::PAGE), 100
    /// unless set. There is a checkpoint after each page.
    pub fn with_page(mut self, actions: u16) -> Exporter<'s, S> {
        self.page = actions;
        self
    }

    /// How much was exported so far.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count
    }

    /// The next line, without a newline; none after the last. After an error the same line can be
    /// asked for again.
    ///
    /// # Errors
    /// As [`ActionStore::list`] and [`ActionStore::log`]; `Unavailable` also for an action whose
    /// full log has gained entries in each of 32 tries to read it.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        if self.walk.is_none() {
            let query = Walk::query(self.terms.clone(), self.page);
            let mut walk = Walk::new(query, self.after);
            let at = walk.begin(self.store).await?;
            self.walk = Some(walk);
            if self.header {
                let origin = Origin {
                    store: at.life,
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
                    // A page on which nothing was found needs no checkpoint.
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

    /// Writes all lines that are left.
    ///
    /// # Errors
    /// [`TransferError::Store`] as [`Exporter::next`]; [`TransferError::Text`] if they could not
    /// be written, after which what was written must be [resumed](Exporter::resume).
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

/// Where an export that was broken off can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumePoint {
    /// The last whole checkpoint.
    pub checkpoint: Checkpoint,
    /// How many bytes of the text to keep: up to and with that checkpoint's line.
    pub bytes: u64,
    /// How many lines these are.
    pub lines: u64,
}

/// Looks for the last checkpoint in the text of an export from which it can go on; none if there
/// is none, and the export must begin anew. Cut the text to [`ResumePoint::bytes`], then
/// [`Exporter::resume`] and append.
///
/// The text is held against its checksums, so what follows damage is not kept. A complete export
/// can be resumed too: it then goes on from its last checkpoint, with what was created since.
///
/// # Errors
/// [`TransferError::Text`] if it cannot be read, [`TransferError::Line`] for a text that begins as
/// something else or as an export of another version.
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
            // The end, half a line, or bytes that are no text.
            _ => return Ok(found),
        };
        if lines.number == 1 {
            Line::first(&line).map_err(|bad| bad.at(1))?;
        } else if line.starts_with("{\"action\"") {
            count += 1;
        } else {
            match Line::read(&line) {
                Ok(Line::Checkpoint(at)) if at.sum == sum && at.count.actions == count => {
                    // One that was due for its bytes stands within a page, and leads nowhere.
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
