//! Actions in a terminal: bars that move, or lines where nothing can move.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use action_store::{Action, ActionUid, Outcome, Status};

const WIDTH: usize = 24;

pub(crate) struct Screen {
    moves: bool,
    /// How many lines of bars stand there now.
    drawn: usize,
    /// What was said last of each action, where lines are all there is.
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

    /// Begins a new block below what stands there.
    pub(crate) fn title(&mut self, words: &str) -> io::Result<()> {
        self.drawn = 0;
        self.print(&format!("\n{words}\n"))
    }

    /// Shows where the actions of the block are.
    pub(crate) fn show(&mut self, actions: &[Arc<Action>]) -> io::Result<()> {
        if self.moves {
            let mut text = String::new();
            if self.drawn > 0 {
                text.push_str(&format!("\x1b[{}A", self.drawn));
            }
            for action in actions {
                text.push_str(&format!("\r\x1b[K{}\n", bar(action)));
            }
            self.drawn = actions.len();
            return self.print(&text);
        }
        for action in actions {
            let step = action.step.as_deref().unwrap_or_default();
            let now = format!("{} {step}", word(action));
            if self.said.get(&action.uid) != Some(&now) {
                self.print(&format!("{}\n", line(action)))?;
                self.said.insert(action.uid, now);
            }
        }
        Ok(())
    }

    /// Shows everything there is to say about actions that are over.
    pub(crate) fn table(&mut self, actions: &[Arc<Action>]) -> io::Result<()> {
        for action in actions {
            self.print(&format!("  {}{}\n", action.uid, line(action)))?;
        }
        Ok(())
    }

    /// To a terminal that went away nothing can be said, and that is no reason to stop.
    fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }
}

fn object(action: &Action) -> &str {
    action.object.as_ref().map_or("", |object| object.as_str())
}

fn word(action: &Action) -> &'static str {
    match action.outcome {
        Some(outcome) => outcome.as_str(),
        None => action.status.as_str(),
    }
}

fn bar(action: &Action) -> String {
    let percent = action.progress.as_percent();
    let full = usize::from(action.progress.hundredths()) * WIDTH / 10_000;
    let colour = match (action.status, action.outcome) {
        (Status::Queued, _) => "2",
        (Status::Executing, _) => "36",
        (_, Some(Outcome::Succeeded)) => "32",
        _ => "31",
    };
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full));
    let (name, object) = (&action.name, object(action));
    format!(
        "  {name:<12} {object:<8} \x1b[{colour}m{bar}\x1b[0m {percent:>5.1} %  {}",
        tail(action)
    )
}

fn line(action: &Action) -> String {
    let (name, object, word) = (&action.name, object(action), word(action));
    let percent = format!("{} %", action.progress);
    let line = format!(
        "  {name:<12} {object:<8} {word:<11} {percent:<8} {}",
        tail(action)
    );
    line.trim_end().to_owned()
}

/// The step it is in, or why it failed.
fn tail(action: &Action) -> String {
    match (&action.error, action.outcome, &action.step) {
        (Some(error), ..) => format!("{}: {}", error.code, error.message),
        (None, None, Some(step)) => step.to_string(),
        _ => String::new(),
    }
}
