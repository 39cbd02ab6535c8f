//! `actions`: the operators' command line. It lists, follows, changes, moves, checks and serves the
//! actions of a store.

mod act;
mod args;
mod cancel;
mod change;
mod check;
mod error;
mod fence;
mod filters;
mod json;
mod list;
mod live;
mod open;
mod output;
mod progress;
mod remove;
mod serve;
mod show;
mod targets;
mod time;
mod transfer;
mod upkeep;

use std::process::ExitCode;

use action_store::address::StoreAddress;
use clap::{CommandFactory, Parser};

use args::{Args, Command};
use error::{Exit, Failure, Result};
use output::Out;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot start: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

async fn run(args: Args) -> Result<()> {
    let mut out = Out::new(args.json);
    let done = dispatch(args, &mut out).await;
    // Also after an error: shows the output so far.
    let flushed = out.flush();
    done.and(flushed)
}

async fn dispatch(args: Args, out: &mut Out) -> Result<()> {
    let store = || address(args.store.as_deref().ok_or_else(no_store)?);
    match args.command {
        Command::List(command) => list::list(&store()?, &command, out).await,
        Command::Counts(command) => list::counts(&store()?, &command, out).await,
        Command::Show(command) => show::show(&store()?, &command, out).await,
        Command::History(command) => show::history(&store()?, &command, out).await,
        Command::Watch(command) => live::watch(&store()?, &command, out).await,
        Command::Tail(command) => live::tail(&store()?, &command, out).await,
        Command::Cancel(command) => cancel::cancel(&store()?, &command, out).await,
        Command::Settle(command) => act::settle(&store()?, &command, out).await,
        Command::Pin(command) => act::pin(&store()?, &command, out).await,
        Command::Prune(command) => remove::prune(&store()?, &command, out).await,
        Command::Erase(command) => remove::erase(&store()?, &command, out).await,
        Command::Export(command) => transfer::export(&store()?, &command, out).await,
        Command::Import(command) => transfer::import(&store()?, &command, out).await,
        Command::Copy(command) => {
            let to = address(&command.to)?;
            transfer::copy(&store()?, &to, &command, out).await
        }
        Command::Check => check::check(&store()?, out).await,
        Command::Backup(command) => upkeep::backup(&store()?, &command, out).await,
        Command::Diagnostics => upkeep::diagnostics(&store()?, out).await,
        Command::Schema => {
            let store = args.store.as_deref().map(address).transpose()?;
            upkeep::schema(store.as_ref(), out)
        }
        Command::Serve(command) => serve::serve(&store()?, &command, out).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "actions", &mut script);
            out.line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

/// Parses the address of a store. The error does not contain the address, which may have a password.
fn address(text: &str) -> Result<StoreAddress> {
    let parsed = text.parse::<StoreAddress>();
    parsed.map_err(|invalid| Failure::from(invalid).about("address of the store"))
}

fn no_store() -> Failure {
    Failure::usage("no store is named").with_hint("add --store sqlite:PATH, or set ACTIONS_STORE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
