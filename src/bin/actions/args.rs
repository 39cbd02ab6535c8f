//! The command line: global options and the list of commands.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{act, cancel, check, list, live, remove, serve, show, transfer, upkeep};

const MANUAL: &str = "\
Store addresses:
  sqlite:PATH              a SQLite file. Commands that read open it read-only, beside any plane.
                           Commands that change it open it shared, beside a plane that shares it.
                           A plane that has the file for itself alone must be stopped first.
  sqlite:PATH?mode=MODE    MODE is exclusive, shared or ro. exclusive proves that no other process
                           has the file, and ends the owners in it: settle then works after a crash.
                           Further parameters: create=false, timeout=30s. In PATH write ? as %3F
                           and % as %25.
  postgres://USER@HOST/DATABASE
                           the schema `actions` of a PostgreSQL database, in a program that was
                           built with the feature postgres. Only import, and copy in its
                           destination, create or update the schema.
  memory:                  an empty store that ends with the program

Output:
  Tables are for people: times in UTC, long texts cut to the terminal, colours only on a terminal.
  With --json, lists and live commands print one JSON object per line, and other commands print one
  object. Fields have the names of the library's structs. Times are RFC 3339 in UTC, progress is in
  percent, and a field without a value is left out. Messages and progress bars go to standard error.

Exit codes:
  0  done                                  4  refused: a conflict, a living owner, a pinned action,
  1  failed                                   an expired cursor
  2  wrong command line or address         5  the store is missing, in use, full or unreachable
  3  no such action                        6  done, with a bad result: damage, a difference, a
                                              watched action that did not succeed
  A closed pipe and Ctrl-C in a live command are no errors: 0.

Examples:
  export ACTIONS_STORE=sqlite:/var/lib/plane/actions.db
  actions list --unfinished
  actions list --outcome failed --since 2h --json | jq -r .uid
  actions watch 01890a5d-ac96-774b-bcce-b302099a8057 && echo it succeeded
  actions cancel --object bdb:7 --reason 'maintenance'        (shows what it would do)
  actions cancel --object bdb:7 --reason 'maintenance' --yes
  actions --store \"$ACTIONS_STORE?mode=exclusive\" settle --unfinished --yes --reason 'host died'
  actions backup /backup/actions-2026-01-31.db
  actions serve --user ada";

/// Lists, follows, changes, moves, checks and serves the recorded actions of a store
#[derive(Debug, Parser)]
#[command(name = "actions", version, after_long_help = MANUAL, max_term_width = 100)]
pub(crate) struct Args {
    /// Address of the store, such as sqlite:plane.db
    // Parsed later: clap would print a wrong address with its password.
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "ACTIONS_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// Print JSON for programs instead of tables
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List actions, newest first
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Show everything that is recorded about actions
    Show(show::Show),
    /// Show what has happened to an action
    #[command(visible_alias = "log")]
    History(show::History),
    /// Follow actions until they are completed, or show all unfinished actions live
    Watch(live::Watch),
    /// Follow the changes of all actions
    Tail(live::Tail),
    /// Count actions by status and outcome
    Counts(list::Counts),
    /// Ask the owners of actions to cancel them
    Cancel(cancel::Cancel),
    /// Complete actions that no living owner will complete
    Settle(act::Settle),
    /// Keep completed actions from being removed
    Pin(act::Pin),
    /// Remove old completed actions, by a retention policy
    Prune(remove::Prune),
    /// Remove all completed actions of an object, a tenant or another filter
    Erase(remove::Erase),
    /// Write a store as lines of JSON
    Export(transfer::Export),
    /// Read an export into a store
    Import(transfer::Import),
    /// Copy all actions into another store and compare the two
    Copy(transfer::Copy),
    /// Read a whole store and look for damage
    #[command(after_long_help = check::ABOUT)]
    Check,
    /// Copy a SQLite store to a new file, while it is in use
    Backup(upkeep::Backup),
    /// Show the state of a store and its owners
    Diagnostics,
    /// Print the SQL that creates the schema: of the kind of store that the address names, or SQLite
    Schema,
    /// Serve the read API and the web page over a store, with a password
    Serve(serve::Serve),
    /// Print a script that completes commands in a shell
    Completions {
        /// Shell to complete in
        shell: Shell,
    },
}
