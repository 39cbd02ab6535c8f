//! `watch` and `tail`: live commands. Ctrl-C ends them cleanly.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use action_store::address::StoreAddress;
use action_store::{
    Action, ActionStore, ActionUid, Clock, Cursor, Error, ErrorKind, Order, Outcome, Query, Watcher,
};
use clap::Args;
use terminal::Term;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::error::{Exit, Failure, Result};
use crate::filters::{FilterArgs, uid};
use crate::list::{ActionTable, status};
use crate::open::{Need, Opened, open};
use crate::output::{Column, Out, Table, note};
use crate::{json, time};

const WATCH_EXAMPLES: &str = "\
Examples:
  actions watch 01890a5d-ac96-774b-bcce-b302099a8057
  actions watch UID && echo it succeeded
  actions watch --object bdb:7

With uids, it prints each change and ends when all of these actions are completed: with 0 if all of
them succeeded, otherwise with 6. Without uids, it needs a terminal and shows the unfinished actions
until Ctrl-C.";

/// Follow actions until they are completed, or show all unfinished actions live
#[derive(Debug, Args)]
#[command(after_long_help = WATCH_EXAMPLES)]
pub(crate) struct Watch {
    /// Uids of the actions to follow
    #[arg(value_name = "UID", value_parser = uid)]
    uids: Vec<ActionUid>,
    #[command(flatten)]
    filters: FilterArgs,
}

const TAIL_EXAMPLES: &str = "\
Examples:
  actions tail
  actions tail --outcome failed --json | while read -r action; do alert \"$action\"; done
  actions tail --from-beginning --once

Each action is shown at its latest change, in the order of these changes. Changes of one action that
follow each other quickly are shown as one. At the end it prints the cursor to continue from.";

/// Follow the changes of all actions
#[derive(Debug, Args)]
#[command(after_long_help = TAIL_EXAMPLES)]
pub(crate) struct Tail {
    /// Begin with the oldest change instead of now
    #[arg(long, conflicts_with = "after")]
    from_beginning: bool,
    /// Continue after the cursor that an earlier tail printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// End at the end of the feed instead of waiting for changes
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

/// Waits for Ctrl-C or a request to terminate. Listens from the call on, not from the first poll: a
/// signal in between would kill the program.
pub(crate) fn stopped() -> impl Future<Output = ()> + Send {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{Signal, SignalKind, signal};

        async fn received(signal: Option<Signal>) {
            match signal {
                Some(mut signal) => drop(signal.recv().await),
                // The signal then has its usual effect.
                None => std::future::pending().await,
            }
        }
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let [interrupt, terminate] = kinds.map(|kind| signal(kind).ok());
        async {
            tokio::select! {
                () = received(interrupt) => {}
                () = received(terminate) => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        let _either_way = tokio::signal::ctrl_c().await;
    }
}

/// Prints changes, one a line.
#[derive(Debug)]
struct Changes {
    table: Table,
}

impl Changes {
    fn new() -> Changes {
        let table = Table::new([
            Column::left("AT (UTC)"),
            Column::left("UID"),
            Column::left("STATUS").at_least(11),
            Column::right("%").at_least(5).optional(2),
            Column::long("NAME").at_least(20),
            Column::long("OBJECT").at_least(8).optional(3),
            Column::long("STEP").optional(1),
        ]);
        Changes { table }
    }

    fn show(&mut self, action: &Action, out: &mut Out) -> Result<()> {
        if out.json {
            out.json(&json::action(action))?;
            return out.flush();
        }
        let object = action.object.as_ref().map(|object| object.as_str());
        // A cancel request and an end are no signs of life of the action.
        let cancelled = action.cancel.as_ref().map(|cancel| cancel.at);
        let at = action
            .finished_at
            .max(cancelled)
            .max(Some(action.last_seen_at));
        self.table.row(vec![
            time::utc(at.unwrap_or(action.last_seen_at)).into(),
            action.uid.to_string().into(),
            status(action),
            action.progress.to_string().into(),
            (&action.name).into(),
            object.unwrap_or("-").into(),
            action.step.as_deref().unwrap_or("-").into(),
        ]);
        self.table.write(out)?;
        out.flush()
    }
}

pub(crate) async fn watch(address: &StoreAddress, command: &Watch, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    if command.uids.is_empty() {
        return screen(&opened, &command.filters, out).await;
    }
    if !command.filters.is_empty() {
        let message = "filters do not apply to actions that are named by uid";
        return Err(Failure::usage(message));
    }
    let watcher = Watcher::new(opened.store.clone());
    let (found, mut changes) = mpsc::channel::<std::result::Result<Arc<Action>, Error>>(16);
    for uid in &command.uids {
        let mut watch = watcher.watch(*uid);
        let found = found.clone();
        tokio::spawn(async move {
            while let Some(change) = watch.next().await.transpose() {
                if found.send(change).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(found);
    let mut shown = Changes::new();
    let mut all_succeeded = true;
    let mut stop = std::pin::pin!(stopped());
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = &mut stop => return Ok(()),
        };
        let Some(change) = change else { break };
        let action = change?;
        let succeeded = action.outcome == Some(Outcome::Succeeded);
        all_succeeded &= succeeded || action.is_unfinished();
        shown.show(&action, out)?;
    }
    opened.close().await?;
    match all_succeeded {
        true => Ok(()),
        false => Err(Failure::Told(Exit::Findings)),
    }
}

/// Pause between two pictures of the screen.
const PICTURE: Duration = Duration::from_millis(250);
/// A picture is drawn again after this time, because durations go on.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows the unfinished actions until Ctrl-C.
async fn screen(opened: &Opened, filters: &FilterArgs, out: &mut Out) -> Result<()> {
    if out.json || !std::io::stdout().is_terminal() {
        return Err(
            Failure::usage("watch without a uid shows a screen and needs a terminal")
                .with_hint("name uids, or use `actions tail` for a list of changes"),
        );
    }
    let term = Term::stdout();
    let mut stop = std::pin::pin!(stopped());
    loop {
        let rows = usize::from(term.size().0).saturating_sub(4).max(1);
        out.width = Some(term.size().1.into());
        let limit = u16::try_from(rows)
            .unwrap_or(u16::MAX)
            .min(action_store::Limits::PAGE);
        let mut query = filters
            .query()
            .with_filter(action_store::Filter::Unfinished);
        query.limit = limit;
        let page = opened.store.list(&query).await?;
        let now = Clock::system().now();
        let mut table = ActionTable::new(false);
        page.items.iter().for_each(|action| table.row(action, now));
        term.clear_screen()?;
        let more = if page.next.is_some() { " newest" } else { "" };
        let count = page.items.len();
        out.line(format!(
            "{} UTC   {count}{more} unfinished   Ctrl-C ends",
            time::utc(now)
        ))?;
        out.line("")?;
        table.write(out)?;
        out.flush()?;
        let changed = async {
            sleep(PICTURE).await;
            let changed = opened.store.changed(Some(page.at.revision));
            tokio::time::timeout(REDRAW, changed).await
        };
        tokio::select! {
            changed = changed => if let Ok(Err(error)) = changed {
                return Err(error.into());
            },
            () = &mut stop => return Ok(()),
        }
    }
}

pub(crate) async fn tail(address: &StoreAddress, command: &Tail, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let filters = command.filters.query();
    let mut shown = Changes::new();
    if command.once {
        let cursor = once(&opened, command, &filters, &mut shown, out).await?;
        tell(cursor);
        return opened.close().await;
    }
    let watcher = Watcher::new(opened.store.clone());
    let mut feed = match command.from_beginning {
        true => watcher.watch_from_beginning(),
        false => watcher.watch_all(command.after).await?,
    };
    let mut stop = std::pin::pin!(stopped());
    loop {
        let next = tokio::select! {
            next = feed.next() => next,
            () = &mut stop => break,
        };
        match next {
            Ok(action) if filters.matches(&action) => shown.show(&action, out)?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::CursorExpired => {
                note(
                    "actions were removed before they were shown, or the store was restored; \
                      going on with what is there now",
                );
                feed.restart().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    tell(feed.cursor());
    Ok(())
}

/// Says from where a later tail can continue.
fn tell(cursor: Option<Cursor>) {
    if let Some(cursor) = cursor {
        note(&format!("continue with --after {cursor}"));
    }
}

/// Shows the feed up to its end.
async fn once(
    opened: &Opened,
    command: &Tail,
    filters: &Query,
    shown: &mut Changes,
    out: &mut Out,
) -> Result<Option<Cursor>> {
    let end = opened.store.changed(None).await?;
    let mut after = command.after;
    if after.is_none() && !command.from_beginning {
        return Ok(Some(Cursor::feed(end, end.revision)));
    }
    loop {
        let query = Query::new().with_order(Order::Feed).with_after(after);
        let page = opened.store.list(&query).await?;
        for action in page.items.iter().filter(|action| filters.matches(action)) {
            shown.show(action, out)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(Some(Cursor::feed(page.at, page.at.revision))),
        }
    }
}
