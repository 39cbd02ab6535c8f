//! `list` and `counts`: many actions at once.

use action_store::address::StoreAddress;
use action_store::query::Detail;
use action_store::{
    Action, ActionStore, ActionStoreExt as _, Clock, Cursor, Limits, Order, Outcome, Status,
    Timestamp,
};
use clap::{Args, ValueEnum};
use serde_json::json;
use terminal::Style;

use crate::error::Result;
use crate::filters::FilterArgs;
use crate::open::{Need, open};
use crate::output::{Cell, Column, Out, Table, note};
use crate::{json, progress, time};

const LIST_EXAMPLES: &str = "\
Examples:
  actions list --unfinished
  actions list --outcome failed --finished-since 1d --order finished
  actions list --touches node:7 --all --json | jq -r 'select(.progress < 50) | .uid'
  actions list --all | head

STATUS is the outcome of a completed action. TOOK is the time from the start to the end, or until
now. With --json, `result` and the `detail` of an error are left out unless --full is given.";

/// List actions, newest first
#[derive(Debug, Args)]
#[command(after_long_help = LIST_EXAMPLES)]
pub(crate) struct List {
    /// Order: newest or oldest created first, or finished: the last completed first
    #[arg(long, value_enum, default_value_t = ListOrder::Newest)]
    order: ListOrder,
    /// Number of actions
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All actions, whatever --limit says
    #[arg(long)]
    all: bool,
    /// Continue after the cursor that an earlier list printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// More columns, for a wide terminal
    #[arg(long)]
    wide: bool,
    /// With --json: all fields
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListOrder {
    Newest,
    Oldest,
    Finished,
}

/// Returns the outcome of a completed action and the status of any other, and how to show it.
pub(crate) fn status(action: &Action) -> Cell {
    let style = match (action.status, action.outcome) {
        (_, Some(Outcome::Succeeded)) => Style::new().green(),
        (_, Some(Outcome::Failed)) => Style::new().red(),
        (_, Some(Outcome::Lost)) => Style::new().magenta(),
        (_, Some(_)) => Style::new().yellow(),
        (Status::Executing, None) => Style::new().cyan(),
        (_, None) => Style::new(),
    };
    let word = action
        .outcome
        .map_or(action.status.as_str(), |outcome| outcome.as_str());
    Cell::styled(word, style)
}

/// Returns the time from the start of an action to its end, or until now.
fn took(action: &Action, now: Timestamp) -> String {
    let until = action.finished_at.unwrap_or(now);
    match action.started_at {
        Some(started) => time::short(until.since(started)),
        None => "-".to_owned(),
    }
}

fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// A table of actions.
#[derive(Debug)]
pub(crate) struct ActionTable {
    table: Table,
    wide: bool,
}

impl ActionTable {
    pub(crate) fn new(wide: bool) -> ActionTable {
        let mut columns = vec![
            Column::left("UID"),
            Column::left("STATUS"),
            Column::right("%"),
            Column::long("NAME"),
            Column::long("OBJECT"),
            Column::left("CREATED (UTC)").optional(1),
            Column::right("TOOK").optional(2),
        ];
        if wide {
            let more = ["STEP", "TENANT", "ACTOR", "OWNER"].map(Column::long);
            columns.extend(more);
            columns.push(Column::left("CANCEL"));
        }
        let table = Table::new(columns);
        ActionTable { table, wide }
    }

    pub(crate) fn row(&mut self, action: &Action, now: Timestamp) {
        let object = action.object.as_ref().map(|object| object.as_str());
        let mut row: Vec<Cell> = vec![
            action.uid.to_string().into(),
            status(action),
            action.progress.to_string().into(),
            Cell::from(&action.name),
            or_dash(object).into(),
            time::utc(action.created_at).into(),
            took(action, now).into(),
        ];
        if self.wide {
            let owner = action.owner.as_ref().map(|owner| &*owner.name);
            let cancel = action.cancel.as_ref().map(|_| "requested");
            row.extend([
                or_dash(action.step.as_deref()).into(),
                Cell::from(&action.tenant),
                or_dash(action.actor.as_deref()).into(),
                or_dash(owner).into(),
                or_dash(cancel).into(),
            ]);
        }
        self.table.row(row);
    }

    pub(crate) fn write(&mut self, out: &mut Out) -> Result<()> {
        self.table.write(out)
    }
}

pub(crate) async fn list(address: &StoreAddress, command: &List, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let order = match command.order {
        ListOrder::Newest => Order::Newest,
        ListOrder::Oldest => Order::Oldest,
        ListOrder::Finished => Order::Finished,
    };
    let detail = match out.json && command.full {
        true => Detail::Full,
        false => Detail::Summary,
    };
    let mut query = command
        .filters
        .query()
        .with_order(order)
        .with_detail(detail);
    query.after = command.after;
    let mut left = match command.all {
        true => u64::MAX,
        false => command.limit,
    };
    let now = Clock::system().now();
    let mut table = ActionTable::new(command.wide);
    let mut is_empty = true;
    let next = loop {
        query.limit = u16::try_from(left).unwrap_or(u16::MAX).min(Limits::PAGE);
        let page = opened.store.list(&query).await?;
        left = left.saturating_sub(page.items.len() as u64);
        is_empty &= page.items.is_empty();
        for action in &page.items {
            if out.json {
                out.json(&json::action(action))?;
            } else {
                table.row(action, now);
            }
        }
        table.write(out)?;
        match page.next {
            Some(next) if left > 0 => query.after = Some(next),
            next => break next,
        }
    };
    out.flush()?;
    if is_empty {
        note("no action matches");
    }
    if let Some(next) = next {
        note(&format!(
            "there may be more: continue with --after {next}, or use --all"
        ));
    }
    opened.close().await
}

const COUNTS_EXAMPLES: &str = "\
Examples:
  actions counts
  actions counts --object bdb:7 --since 30d
  actions counts --label region=eu-1 --bound 1000000 --json

Each state is counted up to --bound. Beyond it the number is a lower bound: `exact` is false, and the
table shows `>=`.";

/// Count actions by status and outcome
#[derive(Debug, Args)]
#[command(after_long_help = COUNTS_EXAMPLES)]
pub(crate) struct Counts {
    /// Maximum number of actions to count in each state
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    bound: u32,
    #[command(flatten)]
    filters: FilterArgs,
}

pub(crate) async fn counts(address: &StoreAddress, command: &Counts, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let shown = progress::busy("counting");
    let filters = command.filters.filters();
    let counts = opened.store.count(&filters, command.bound).await?;
    shown.finish_and_clear();
    let states = counts.by_word().map(|(word, c)| (word, c.number, c.exact));
    let total = ("total", counts.total(), counts.is_exact());
    let rows = states.into_iter().chain([total]);
    if out.json {
        let fields = rows.map(|(word, number, exact)| {
            (word.to_owned(), json!({ "number": number, "exact": exact }))
        });
        out.json(&fields.collect::<serde_json::Map<_, _>>())?;
    } else {
        let mut table = Table::new([Column::left("STATUS"), Column::right("ACTIONS")]);
        for (word, number, exact) in rows {
            let sign = if exact { "" } else { ">= " };
            table.row(vec![word.into(), format!("{sign}{number}").into()]);
        }
        table.write(out)?;
    }
    out.flush()?;
    if !counts.is_exact() {
        note("there may be more where it says so; raise --bound to count them");
    }
    opened.close().await
}
