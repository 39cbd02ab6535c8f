//! Progress of long work, on standard error. Nothing is shown unless that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Out;

const TICK: Duration = Duration::from_millis(100);

/// Shows progress towards a number of actions, which may turn out to be a little off.
pub(crate) fn actions(total: u64, what: &'static str) -> ProgressBar {
    started(
        Some(total),
        "{msg} {wide_bar} {human_pos} of {human_len} ({eta} left)",
        what,
    )
}

/// Shows progress towards a number of bytes.
pub(crate) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    started(
        Some(total),
        "{msg} {wide_bar} {bytes} of {total_bytes} ({eta} left)",
        what,
    )
}

/// Shows that work of unknown size goes on.
pub(crate) fn unknown(what: &'static str) -> ProgressBar {
    started(None, "{msg} {spinner} {human_pos} ({elapsed})", what)
}

/// Shows that work goes on which does not tell how far it is.
pub(crate) fn busy(what: &'static str) -> ProgressBar {
    started(None, "{msg} {spinner} ({elapsed})", what)
}

/// As `unknown`, for a command that prints lines meanwhile: on a terminal they are the progress.
pub(crate) fn beside_lines(out: &Out, what: &'static str) -> ProgressBar {
    match out.width {
        Some(_) => ProgressBar::hidden(),
        None => unknown(what),
    }
}

fn started(total: Option<u64>, template: &str, what: &'static str) -> ProgressBar {
    // Hidden by indicatif unless standard error is a terminal.
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}
