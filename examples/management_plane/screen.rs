//! Actions in a terminal: lines that are redrawn, or appended lines if the output is not
//! a terminal.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use action_store::expectations::Expectations;
use action_store::{Action, ActionUid, Clock};

const WIDTH: usize = 12;

pub(crate) struct Screen {
    moves: bool,
    /// Number of lines to redraw.
    drawn: usize,
    /// Last line printed for each action, if the output is not a terminal.
    said: HashMap<ActionUid, String>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            moves: io::stdout().is_terminal(),
            drawn: 0,
            said: HashMap::new(),
        }
    }

    /// Starts a new block below the current output.
    pub(crate) fn title(&mut self, words: &str) -> io::Result<()> {
        self.drawn = 0;
        print(&format!("\n{words}\n"))
    }

    /// Shows the progress of the actions in the block, and their expected remaining time.
    pub(crate) fn show(
        &mut self,
        actions: &[Arc<Action>],
        expected: &[Expectations],
    ) -> io::Result<()> {
        if self.moves && self.drawn > 0 {
            print(&format!("\x1b[{}A", self.drawn))?;
        }
        for action in actions {
            let now = format!("{} {:?}", word(action), action.step);
            if self.moves {
                print(&format!(
                    "\x1b[K{}\n",
                    line(action, Some(bar(action)), expected)
                ))?;
            } else if self.said.get(&action.uid) != Some(&now) {
                print(&format!("{}\n", line(action, None, expected)))?;
                self.said.insert(action.uid, now);
            }
        }
        self.drawn = actions.len();
        Ok(())
    }

    /// Shows all details of ended actions.
    pub(crate) fn table(&mut self, actions: &[Arc<Action>]) -> io::Result<()> {
        for action in actions {
            print(&format!("  {}{}\n", action.uid, line(action, None, &[])))?;
        }
        Ok(())
    }
}

/// A terminal that was closed is not a reason to stop.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn word(action: &Action) -> &'static str {
    match action.outcome {
        Some(outcome) => outcome.as_str(),
        None => action.status.as_str(),
    }
}

fn bar(action: &Action) -> String {
    let full = usize::from(action.progress.hundredths()) * WIDTH / 10_000;
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full))
}

fn line(action: &Action, bar: Option<String>, expected: &[Expectations]) -> String {
    let object = action.object.as_ref().map_or("", |object| object.as_str());
    let bar = bar.filter(|_| action.is_unfinished());
    let state = bar.unwrap_or_else(|| word(action).to_owned());
    let percent = format!("{} %", action.progress);
    let tail = tail(action, expected);
    let line = format!(
        "  {:<12} {object:<8} {state:<WIDTH$} {percent:<8} {tail}",
        action.name
    );
    line.trim_end().to_owned()
}

/// The current step and the expected remaining time, or the error.
fn tail(action: &Action, expected: &[Expectations]) -> String {
    if let Some(error) = &action.error {
        return format!("{}: {}", error.code, error.message);
    }
    let step = action.step.as_deref().filter(|_| action.is_unfinished());
    let now = Clock::system().now();
    let left = expected.iter().find_map(|of| of.remaining(action, now));
    let left = left.map(|left| format!(", about {:.1} s left", left.duration().as_secs_f64()));
    format!("{}{}", step.unwrap_or_default(), left.unwrap_or_default())
}
