//! Actions in a terminal: progress bars, or appended lines if the output is not a terminal.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use action_store::expectations::Expectations;
use action_store::{Action, ActionUid, Clock};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

const WIDTH: usize = 12;

pub(crate) struct Screen {
    bars: MultiProgress,
    /// The bars of the block. If the output is not a terminal, a bar's message is what was printed.
    shown: HashMap<ActionUid, ProgressBar>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            shown: HashMap::new(),
        }
    }

    /// Starts a new block below the current output.
    pub(crate) fn title(&mut self, words: &str) -> io::Result<()> {
        // The last bar does not end its line.
        let end = match self.bars.is_hidden() || self.shown.is_empty() {
            true => "",
            false => "\n",
        };
        *self = Screen::new();
        print(&format!("{end}\n{words}\n"))
    }

    /// Shows the progress of the actions in the block, and their expected remaining time.
    pub(crate) fn show(
        &mut self,
        actions: &[Arc<Action>],
        expected: &[Expectations],
    ) -> io::Result<()> {
        for action in actions {
            let bar = self.shown.entry(action.uid).or_insert_with(|| {
                let new = ProgressBar::new(10_000).with_finish(ProgressFinish::Abandon);
                self.bars.add(new)
            });
            let rest = rest(action, expected);
            let ended = format!("{:<WIDTH$} {rest}", word(action));
            if self.bars.is_hidden() {
                let now = format!("{} {:?}", word(action), action.step);
                if bar.message() != now {
                    print(&format!("{} {}\n", head(action), ended.trim_end()))?;
                    bar.set_message(now);
                }
                continue;
            }
            let (template, message) = match action.is_unfinished() {
                true => ("{prefix} {bar:12} {msg}", rest),
                false => ("{prefix} {msg}", ended),
            };
            bar.set_style(ProgressStyle::with_template(template).map_err(io::Error::other)?);
            bar.set_prefix(head(action));
            bar.set_message(message);
            bar.set_position(action.progress.hundredths().into());
        }
        Ok(())
    }

    /// Shows all details of ended actions.
    pub(crate) fn table(&mut self, actions: &[Arc<Action>]) -> io::Result<()> {
        for action in actions {
            let (head, word, rest) = (head(action), word(action), rest(action, &[]));
            let line = format!("  {}{head} {word:<WIDTH$} {rest}", action.uid);
            print(&format!("{}\n", line.trim_end()))?;
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

fn head(action: &Action) -> String {
    let object = action.object.as_ref().map_or("", |object| object.as_str());
    format!("  {:<12} {object:<8}", action.name)
}

fn rest(action: &Action, expected: &[Expectations]) -> String {
    let percent = format!("{} %", action.progress);
    format!("{percent:<8} {}", tail(action, expected))
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
