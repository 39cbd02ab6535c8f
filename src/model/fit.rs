//! Cuts the texts of a report to their limits, so that a report never fails the work.
//!
//! Identifying texts (names, objects, keys, tenants, owners, labels) that break a limit are
//! refused. Reporting texts are cut instead: they get a mark at the end, and the action gets a
//! warning. This is a pure function of the command, so a repeat gives the same result on every
//! store.

use std::sync::Arc;

use super::action::ActionError;
use super::attributes::check_attributes;
use super::command::{Change, Command};
use super::json::Json;
use super::limits::{Invalid, Limits, label, prose};
use super::new_action::NewAction;
use super::progress::Progress;
use super::report::{CancelRequest, Finish, Report};

/// Mark at the end of a text that was cut.
pub(crate) const CUT: &str = " [cut]";

/// Last warning of a list that exceeded [`Limits::WARNINGS`].
pub(crate) const MORE_WARNINGS: &str = "further warnings were left out";

/// Notes about values that were cut or left out. Each becomes a warning on the action. The part
/// before the colon contains the field and the kind of change.
pub(crate) type Notes = Vec<Arc<str>>;

/// Returns the command as it is recorded; `None` if all its texts fit.
pub(crate) fn fitted(command: &Command) -> Option<Command> {
    match command {
        Command::Create { new, by } if !new.fits() => {
            let mut new = NewAction::clone(new);
            new.fit();
            let (new, by) = (Arc::new(new), by.clone());
            Some(Command::Create { new, by })
        }
        Command::Apply {
            uid,
            op,
            change,
            by,
            if_version,
        } => Some(Command::Apply {
            uid: *uid,
            op: *op,
            change: fitted_change(change)?,
            by: by.clone(),
            if_version: *if_version,
        }),
        _ => None,
    }
}

fn fitted_change(change: &Change) -> Option<Change> {
    let mut fitted = match change {
        Change::Report(report) if !report.fits() => change.clone(),
        Change::Finish(finish) if !finish.fits() => change.clone(),
        Change::RequestCancel(request) if !request.fits() => change.clone(),
        _ => return None,
    };
    match &mut fitted {
        Change::Report(report) => report.fit(),
        Change::Finish(finish) => finish.fit(),
        Change::RequestCancel(request) => request.fit(),
        Change::Start | Change::Adopt => {}
    }
    Some(fitted)
}

impl Report {
    fn fits(&self) -> bool {
        self.step.as_deref().is_none_or(fits_label)
            && self.description.as_deref().is_none_or(fits_prose)
            && (self.attributes.as_ref()).is_none_or(|json| check_attributes(json).is_ok())
            && fit_warnings(&self.warnings)
    }

    /// Cuts the texts to their limits.
    pub(crate) fn fit(&mut self) {
        let notes = &mut self.notes;
        match self.step.as_deref() {
            Some("") => {
                notes.push("step was left out: it is empty".into());
                self.step = None;
            }
            _ => fit_label("step", &mut self.step, notes),
        }
        fit_prose_opt("description", &mut self.description, notes);
        if let Some(Err(invalid)) = self.attributes.as_ref().map(check_attributes) {
            self.attributes = None;
            notes.push(left_as_they_were(&invalid.reason));
        }
        cut_warnings(&mut self.warnings, notes);
    }
}

impl Finish {
    fn fits(&self) -> bool {
        self.error.as_ref().is_none_or(ActionError::fits) && fit_warnings(&self.warnings)
    }

    /// Cuts the texts to their limits: recording the outcome matters more than a complete message.
    pub(crate) fn fit(&mut self) {
        let notes = &mut self.notes;
        if let Some(error) = &mut self.error {
            error.fit(notes);
        }
        cut_warnings(&mut self.warnings, notes);
    }
}

#[cfg(feature = "tracker")]
impl Finish {
    /// Leaves out every value that may be large. The notes give `reason`.
    pub(crate) fn reduce(&mut self, reason: &str) {
        if self.result.take().is_some() {
            self.notes.push(note("result was left out", reason));
        }
        if !self.warnings.is_empty() {
            self.warnings = Vec::new();
            self.notes.push(note("warnings were left out", reason));
        }
        if let Some(error) = &mut self.error {
            if error.detail.take().is_some() {
                self.notes.push(note("error detail was left out", reason));
            }
            if error.message.len() > Limits::LABEL {
                error.message = cut(error.message.to_string(), Limits::LABEL);
                self.notes.push(note("error message was cut", reason));
            }
        }
    }
}

impl CancelRequest {
    fn fits(&self) -> bool {
        self.reason.as_deref().is_none_or(fits_prose)
    }

    /// Cuts the reason to its limit.
    pub(crate) fn fit(&mut self) {
        fit_prose_opt("cancel reason", &mut self.reason, &mut self.notes);
    }
}

impl NewAction {
    fn fits(&self) -> bool {
        self.description.as_deref().is_none_or(fits_prose)
    }

    /// Cuts the description to its limit.
    pub(crate) fn fit(&mut self) {
        fit_prose_opt("description", &mut self.description, &mut self.notes);
    }
}

impl ActionError {
    fn fits(&self) -> bool {
        fits_label(&self.code)
            && fits_prose(&self.message)
            && self.detail.as_deref().is_none_or(fits_prose)
    }

    fn fit(&mut self, notes: &mut Notes) {
        if self.code.is_empty() {
            self.code = UNNAMED_CODE.into();
            notes.push(format!("error code was empty: recorded as {UNNAMED_CODE}").into());
        }
        if !fits_label(&self.code) {
            let mut code = Some(self.code.clone());
            fit_label("error code", &mut code, notes);
            self.code = code.unwrap_or_else(|| UNNAMED_CODE.into());
        }
        fit_prose("error message", &mut self.message, notes);
        fit_prose_opt("error detail", &mut self.detail, notes);
    }
}

/// Code of an error without a code.
pub(crate) const UNNAMED_CODE: &str = "internal_error";

/// Returns the note about attributes that are not valid.
pub(crate) fn left_as_they_were(reason: &str) -> Arc<str> {
    note("attributes were left as they were", reason)
}

/// Returns the value. If there is none, adds a note with the effect on the field and the reason.
pub(crate) fn value_or_note<T, V: TryInto<T, Error: std::fmt::Display>>(
    value: V,
    what: &str,
    notes: &mut Notes,
) -> Option<T> {
    match value.try_into() {
        Ok(value) => Some(value),
        Err(error) => {
            notes.push(note(what, &error.to_string()));
            None
        }
    }
}

/// Lets [`Report::with_attributes`] and similar methods take a `Result`.
impl TryFrom<Result<Json, Invalid>> for Json {
    type Error = Invalid;

    fn try_from(json: Result<Json, Invalid>) -> Result<Json, Invalid> {
        json
    }
}

/// Lets [`Report::with_progress`] take a `Result`.
impl TryFrom<Result<Progress, Invalid>> for Progress {
    type Error = Invalid;

    fn try_from(progress: Result<Progress, Invalid>) -> Result<Progress, Invalid> {
        progress
    }
}

/// Builds a note that is not longer than a label.
fn note(what: &str, reason: &str) -> Arc<str> {
    let text = format!("{what}: {reason}");
    cut(text.replace(char::is_control, "\u{fffd}"), Limits::LABEL)
}

fn fits_label(text: &str) -> bool {
    label("", text).is_ok()
}

fn fits_prose(text: &str) -> bool {
    prose("", text).is_ok()
}

fn fit_warnings(warnings: &[Arc<str>]) -> bool {
    warnings.len() <= Limits::WARNINGS && warnings.iter().all(|text| fits_prose(text))
}

fn fit_label(field: &str, text: &mut Option<Arc<str>>, notes: &mut Notes) {
    if let Some(text) = text.as_mut().filter(|text| !fits_label(text)) {
        let whole = text.replace(char::is_control, "\u{fffd}");
        notes.push(changed(field, whole.len(), Limits::LABEL));
        *text = cut(whole, Limits::LABEL);
    }
}

fn fit_prose(field: &str, text: &mut Arc<str>, notes: &mut Notes) {
    if !fits_prose(text) {
        let whole = text.replace('\0', "\u{fffd}");
        notes.push(changed(field, whole.len(), Limits::TEXT));
        *text = cut(whole, Limits::TEXT);
    }
}

fn fit_prose_opt(field: &str, text: &mut Option<Arc<str>>, notes: &mut Notes) {
    if let Some(text) = text {
        fit_prose(field, text, notes);
    }
}

/// Returns the note about a text that was cut, or whose characters were replaced.
fn changed(field: &str, bytes: usize, limit: usize) -> Arc<str> {
    if bytes > limit {
        format!("{field} was cut: {bytes} bytes; the limit is {limit}").into()
    } else {
        format!("{field} was changed: control characters were replaced").into()
    }
}

/// Cuts warnings that are too long, without a note: the mark is enough. If there are too many
/// warnings, adds a note.
fn cut_warnings(warnings: &mut Vec<Arc<str>>, notes: &mut Notes) {
    let given = warnings.len();
    if given > Limits::WARNINGS {
        warnings.truncate(Limits::WARNINGS);
        let most = Limits::WARNINGS;
        notes.push(format!("warnings were left out: {given} at once; the limit is {most}").into());
    }
    for warning in warnings {
        fit_prose("", warning, &mut Notes::new());
    }
}

/// Converts any text to valid prose.
pub(crate) fn as_prose(text: &str) -> Arc<str> {
    cut(text.replace('\0', "\u{fffd}"), Limits::TEXT)
}

/// Cuts a text to at most `bytes` bytes, including the mark.
pub(crate) fn cut(text: String, bytes: usize) -> Arc<str> {
    if text.len() <= bytes {
        text.into()
    } else {
        format!("{}{CUT}", head(&text, bytes - CUT.len())).into()
    }
}

/// Returns the longest prefix that fits in `bytes` bytes.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::warnings::Warnings;

    #[test]
    fn a_text_that_is_too_long_is_cut_and_noted() {
        let long = "é".repeat(5000);
        let error = ActionError::new("", format!("a\0{long}")).with_detail(long);
        let mut finish = Finish::failed(error).with_warning("w\0".repeat(4096));
        finish.fit();
        let error = finish.error.as_ref().unwrap();
        assert_eq!(error.check(), Ok(()));
        assert!(error.message.ends_with(CUT) && error.message.starts_with("a\u{fffd}é"));
        assert!(error.detail.as_ref().unwrap().ends_with(CUT));
        assert!(finish.warnings[0].ends_with(CUT));
        let notes: Vec<&str> = finish.notes.iter().map(|note| &**note).collect();
        let expected = [
            "error code was empty: recorded as internal_error",
            "error message was cut: 10004 bytes; the limit is 4096",
            "error detail was cut: 10000 bytes; the limit is 4096",
        ];
        assert_eq!(notes, expected);
        // A second pass changes nothing.
        let (before, notes) = (finish.clone(), finish.notes.len());
        finish.fit();
        assert_eq!((&finish, finish.notes.len()), (&before, notes));
    }

    #[test]
    fn a_label_is_cut_at_a_character_and_ends_with_the_mark() {
        let mut report = Report::new().with_step("é".repeat(200));
        report.fit();
        let step = report.step.unwrap();
        assert_eq!(step.len(), 248 + CUT.len());
        assert!(step.ends_with(CUT));
        let mut report = Report::new().with_step("a\nb\u{85}");
        report.fit();
        assert_eq!(report.step.as_deref(), Some("a\u{fffd}b\u{fffd}"));
    }

    #[test]
    fn a_text_that_fits_is_not_changed() {
        let text: Arc<str> = "é".repeat(2048).into();
        let report = Report::new()
            .with_description(text.clone())
            .with_step("x".repeat(255));
        assert!(report.fits());
        let mut again = report.clone();
        again.fit();
        assert_eq!(report, again);
        assert!(Arc::ptr_eq(&text, again.description.as_ref().unwrap()));
    }

    #[test]
    fn a_full_list_puts_notes_into_its_last_warning() {
        let long: Arc<str> = "x".repeat(Limits::TEXT).into();
        let full: Vec<Arc<str>> = (0..Limits::WARNINGS).map(|_| long.clone()).collect();
        let mut warnings = Warnings::new(&full);
        let note: Arc<str> = "result was left out: too long".into();
        for _ in 0..2 {
            warnings.note(&note);
            warnings.add(&"another".into());
        }
        let (texts, added) = warnings.into_parts();
        assert_eq!(texts.len(), Limits::WARNINGS);
        let last = texts.last().unwrap();
        assert!(last.len() <= Limits::TEXT, "{}", last.len());
        let whole = format!("{MORE_WARNINGS}; {note}; xxx");
        assert!(last.starts_with(&whole) && last.ends_with(CUT), "{last}");
        assert_eq!(added, Some(note));
    }
}
