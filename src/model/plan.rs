//! The decisions: what to load for a batch, and what its commands come to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::action::{
    Action, ActionError, ActionUid, Cancel, Digest, Evidence, OpId, Outcome, OwnerEnd, Version,
};
use super::command::{
    Batch, BatchMode, CancelRequest, Change, Clash, Command, Done, Effect, Finish, Refused, Report,
};
use super::late::{error_note, last_stamp, tell_late};
use super::lifecycle::{Authority, Edge, Move};
use super::limits::{Invalid, Limits, at_most, label_opt, prose, prose_opt};
use super::new_action::{NewAction, check_attributes};
use super::owner::{Owner, OwnerRef, OwnerState};
use super::progress::Progress;
use super::query::CheckError;
use super::repeat::{descends, told_before};
use super::time::Timestamp;
use super::transition::{Transition, TransitionKind, check_log};
use super::workspace::{Key, Loaded};

type Answer = Result<Done, Refused>;

/// What a batch's plan looks at, and what can be said of its commands without looking.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Needs {
    /// The actions to load, each with its pin and whether its log has a late report.
    pub actions: BTreeSet<ActionUid>,
    /// The operations to look for in the logs of those actions.
    pub ops: BTreeSet<(ActionUid, OpId)>,
    /// The owner names of which to load every incarnation. To these come the owners of the
    /// actions loaded.
    pub owners: BTreeSet<Arc<str>>,
    /// The keys to look up. To the actions above come those that hold them.
    pub keys: BTreeSet<Key>,
    /// For each command what is wrong with it whatever the store holds.
    verdicts: Vec<Result<(), Invalid>>,
    /// For each create what it asks for.
    digests: Vec<Option<Digest>>,
}

/// What to load for a batch. Everything that can be checked without the store is checked here,
/// in the caller's own task.
///
/// # Errors
/// [`CheckError::Unsupported`] if the batch has a command this version does not know.
pub fn needs(batch: &Batch) -> Result<Needs, CheckError> {
    let mut needs = Needs {
        actions: BTreeSet::new(),
        ops: BTreeSet::new(),
        owners: BTreeSet::new(),
        keys: BTreeSet::new(),
        verdicts: Vec::with_capacity(batch.commands.len()),
        digests: Vec::with_capacity(batch.commands.len()),
    };
    for command in &batch.commands {
        needs.verdicts.push(check(command));
        let mut digest = None;
        match command {
            Command::Create { new, by } => {
                digest = Some(new.digest());
                needs.actions.insert(new.uid);
                needs.own(by);
                needs.key(&new.tenant, &new.exclusive, &new.idempotency_key);
            }
            Command::Apply { uid, op, by, .. } => {
                needs.actions.insert(*uid);
                needs.ops.insert((*uid, *op));
                needs.own(by);
            }
            Command::Claim { owner, .. }
            | Command::Renew(owner)
            | Command::Release(owner)
            | Command::Fence { owner, .. } => {
                needs.owners.insert(owner.name.clone());
            }
            Command::Pin { uid, .. } | Command::Remove { uid, .. } => {
                needs.actions.insert(*uid);
            }
            Command::Import { action, .. } => {
                needs.actions.insert(action.uid);
                needs.ops.extend(action.last_op.map(|op| (action.uid, op)));
                if action.is_unfinished() {
                    needs.key(&action.tenant, &action.exclusive, &action.idempotency_key);
                } else {
                    needs.key(&action.tenant, &[], &action.idempotency_key);
                }
            }
            Command::Unknown => return Err(CheckError::Unsupported("this command")),
        }
        needs.digests.push(digest);
    }
    Ok(needs)
}

impl Needs {
    fn own(&mut self, by: &Option<OwnerRef>) {
        self.owners.extend(by.as_ref().map(|by| by.name.clone()));
    }

    fn key(&mut self, tenant: &Arc<str>, exclusive: &[Arc<str>], idempotency: &Option<Arc<str>>) {
        let exclusive = exclusive.iter().map(|key| Key::exclusive(tenant, key));
        self.keys.extend(exclusive);
        let idempotency = idempotency.as_ref();
        self.keys
            .extend(idempotency.map(|key| Key::idempotency(tenant, key)));
    }
}

/// Everything about a command that can be judged without the store.
fn check(command: &Command) -> Result<(), Invalid> {
    let named = |by: &Option<OwnerRef>| by.as_ref().map_or(Ok(()), OwnerRef::check);
    match command {
        Command::Create { new, by } => {
            new.check()?;
            named(by)
        }
        Command::Apply { change, by, .. } => {
            named(by)?;
            if by.is_none() && matches!(change, Change::Start | Change::Adopt) {
                return Err(Invalid::new("by", "is missing: it becomes the owner"));
            }
            match change {
                Change::Start | Change::Adopt => Ok(()),
                Change::Report(report) => check_report(report),
                Change::RequestCancel(request) => {
                    label_opt("by", request.by.as_deref())?;
                    prose_opt("reason", request.reason.as_deref())
                }
                Change::Finish(finish) => check_finish(finish),
            }
        }
        Command::Claim { owner, .. }
        | Command::Renew(owner)
        | Command::Release(owner)
        | Command::Fence { owner, .. } => owner.check(),
        Command::Pin { .. } | Command::Remove { .. } | Command::Unknown => Ok(()),
        Command::Import { action, log } => {
            action.check()?;
            check_log(action, log)
        }
    }
}

fn check_report(report: &Report) -> Result<(), Invalid> {
    label_opt("step", report.step.as_deref())?;
    prose_opt("description", report.description.as_deref())?;
    report
        .attributes
        .as_ref()
        .map_or(Ok(()), check_attributes)?;
    check_warnings(&report.warnings)
}

fn check_finish(finish: &Finish) -> Result<(), Invalid> {
    label_opt("decided_by", finish.decided_by.as_deref())?;
    check_warnings(&finish.warnings)?;
    if let Some(error) = &finish.error {
        error.check()?;
    }
    match (finish.outcome, &finish.error, &finish.result) {
        (Outcome::Failed, None, _) => Err(Invalid::new("error", "is missing: a failure has one")),
        (Outcome::Succeeded, Some(_), _) => Err(Invalid::new("error", "comes with success")),
        (Outcome::Lost, _, Some(_)) => Err(Invalid::new("result", "nobody knows a lost result")),
        _ => Ok(()),
    }
}

fn check_warnings(warnings: &[Arc<str>]) -> Result<(), Invalid> {
    at_most("warnings", warnings.len(), Limits::WARNINGS)?;
    warnings.iter().try_for_each(|text| prose("warnings", text))
}

/// Applies a batch's commands, in order, to what is loaded, and says what to answer. What is to
/// be saved gathers in `loaded`; see [`Loaded::into_changes`].
///
/// `now` is the store's clock; within an action it never runs backwards.
pub fn plan(batch: &Batch, needs: &Needs, loaded: &mut Loaded, now: Timestamp) -> Vec<Answer> {
    let told = told_before(batch, loaded);
    let static_parts = needs.verdicts.iter().zip(&needs.digests);
    let commands = batch.commands.iter().zip(static_parts).enumerate();
    let mut decided = commands.map(|(index, (command, (verdict, digest)))| {
        let told = told.contains(&index);
        move |loaded: &mut Loaded| -> Answer {
            verdict.clone().map_err(Refused::Invalid)?;
            decide(command, *digest, told, loaded, now)
        }
    });
    match batch.mode {
        BatchMode::Each => decided
            .zip(&batch.commands)
            .map(|(decide, command)| {
                let answer = decide(loaded);
                if let Err(refused) = &answer {
                    tell_late(command, refused, loaded, now);
                }
                answer
            })
            .collect(),
        BatchMode::All => {
            loaded.begin();
            let mut answers: Vec<Answer> = Vec::with_capacity(batch.commands.len());
            let refused = decided.try_for_each(|decide| {
                answers.push(Ok(decide(loaded)?));
                Ok(())
            });
            loaded.end(refused.is_ok());
            match refused {
                Ok(()) => answers,
                Err(refused) => {
                    let index = answers.len();
                    tell_late(&batch.commands[index], &refused, loaded, now);
                    let mut answers = vec![Err(Refused::Batch(index)); batch.commands.len()];
                    answers[index] = Err(refused);
                    answers
                }
            }
        }
    }
}

fn decide(
    command: &Command,
    digest: Option<Digest>,
    told: bool,
    loaded: &mut Loaded,
    now: Timestamp,
) -> Answer {
    match command {
        Command::Create { new, by } => {
            let digest = digest.unwrap_or_else(|| new.digest());
            create(new, digest, by.as_ref(), loaded, now)
        }
        Command::Apply {
            uid,
            op,
            change,
            by,
            if_version,
        } => {
            let apply = Apply {
                uid: *uid,
                op: *op,
                change,
                by: by.as_ref(),
                if_version: *if_version,
                told,
                now,
            };
            apply.decide(loaded)
        }
        Command::Claim { owner, take_over } => claim(owner, *take_over, loaded, now),
        Command::Renew(owner) => renew(owner, loaded, now),
        Command::Release(owner) => release(owner, loaded, now),
        Command::Fence { owner, if_renewals } => fence(owner, *if_renewals, loaded, now),
        Command::Pin { uid, pinned } => pin(*uid, *pinned, loaded),
        Command::Remove { uid, if_version } => remove(*uid, *if_version, loaded),
        Command::Import { action, log } => import(action, log, loaded),
        Command::Unknown => Err(Refused::Invalid(Invalid::new("command", "is unknown"))),
    }
}

fn already(action: &Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Already, Some(action.clone())))
}

fn applied(action: Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Applied, Some(action)))
}

fn conflict(clash: Clash, current: &Arc<Action>) -> Refused {
    Refused::Conflict {
        clash,
        current: current.clone(),
    }
}

fn create(
    new: &NewAction,
    digest: Digest,
    by: Option<&OwnerRef>,
    loaded: &mut Loaded,
    now: Timestamp,
) -> Answer {
    if let Some(current) = loaded.action(new.uid) {
        return match current.digest == digest {
            true => already(current),
            false => Err(conflict(Clash::Uid, current)),
        };
    }
    let idempotency = new.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&new.tenant, key));
    if let Some(current) = idempotency.and_then(|key| loaded.holder(&key)) {
        return match current.digest == digest {
            true => already(current),
            false => Err(conflict(Clash::IdempotencyKey, current)),
        };
    }
    if let Some(by) = by.filter(|by| loaded.alive(by).is_none()) {
        return Err(fenced(by, None));
    }
    for key in &new.exclusive {
        if let Some(holder) = loaded.holder(&Key::exclusive(&new.tenant, key)) {
            return Err(conflict(Clash::Exclusive(key.clone()), holder));
        }
    }
    let mut action = Action::new(new, digest, now);
    action.owner = by.cloned();
    let action = Arc::new(action);
    let created = Transition::new(TransitionKind::Created, &action, now);
    loaded.enter_action(action.clone(), [created]);
    applied(action)
}

fn fenced(owner: &OwnerRef, current: Option<&Arc<Action>>) -> Refused {
    Refused::Fenced {
        owner: owner.clone(),
        current: current.cloned(),
    }
}

/// One `Command::Apply`.
struct Apply<'c> {
    uid: ActionUid,
    op: OpId,
    change: &'c Change,
    by: Option<&'c OwnerRef>,
    if_version: Option<Version>,
    /// Whether it is a report that was carried out when its batch was written before.
    told: bool,
    now: Timestamp,
}

impl Apply<'_> {
    fn decide(&self, loaded: &mut Loaded) -> Answer {
        let Some(current) = loaded.action(self.uid).cloned() else {
            return Err(Refused::NotFound(self.uid));
        };
        // Before anything that may have changed since the first time.
        if self.told || loaded.has_op(self.uid, self.op) {
            return already(&current);
        }
        if let Some(by) = self.by.filter(|by| loaded.alive(by).is_none()) {
            return Err(fenced(by, Some(&current)));
        }
        if let Some(expected) = self.if_version.filter(|v| *v != current.version) {
            let found = current.version;
            return Err(conflict(Clash::Version { expected, found }, &current));
        }
        match self.change {
            Change::Report(report) => self.report(report, &current, loaded),
            Change::RequestCancel(request) => self.request_cancel(request, &current, loaded),
            Change::Start | Change::Finish(_) | Change::Adopt => self.make_move(&current, loaded),
        }
    }

    fn not_possible(&self, change: &'static str, current: &Arc<Action>) -> Refused {
        let status = current.status;
        conflict(Clash::Status { status, change }, current)
    }

    fn report(&self, report: &Report, current: &Arc<Action>, loaded: &mut Loaded) -> Answer {
        if current.started_at.is_none() || !current.is_unfinished() {
            return Err(self.not_possible("a report", current));
        }
        if self.by.is_none() || self.by != current.owner.as_ref() {
            return Err(conflict(Clash::NotOwner, current));
        }
        let mut next = self.next_of(current);
        let new_step = report.step.is_some() && report.step != current.step;
        if new_step {
            next.step.clone_from(&report.step);
        }
        if report.description.is_some() {
            next.description.clone_from(&report.description);
        }
        if report.attributes.is_some() {
            next.attributes.clone_from(&report.attributes);
        }
        let warning = add_warnings(&mut next, &report.warnings);
        let noted = warning.is_some()
            || next.description != current.description
            || next.attributes != current.attributes;
        let lower = report.progress.is_some_and(|p| p < current.progress);
        if lower && !new_step && !noted {
            return already(current);
        }
        next.progress = current.progress.max(report.progress.unwrap_or_default());
        let kind = match (new_step, noted) {
            (true, _) => Some(TransitionKind::Step),
            (false, true) => Some(TransitionKind::Noted),
            (false, false) => None,
        };
        self.save(next, kind, |entry| entry.note = warning, loaded)
    }

    fn request_cancel(
        &self,
        request: &CancelRequest,
        current: &Arc<Action>,
        loaded: &mut Loaded,
    ) -> Answer {
        if !current.is_unfinished() {
            return Err(self.not_possible("a cancel request", current));
        }
        if current.cancel.is_some() {
            return already(current);
        }
        let mut next = self.next_of(current);
        let mut cancel = Cancel::new(next.last_seen_at);
        cancel.by.clone_from(&request.by);
        cancel.reason.clone_from(&request.reason);
        next.cancel = Some(cancel);
        // Somebody's wish is no sign of life of the action.
        next.last_seen_at = current.last_seen_at;
        let (by, reason) = (request.by.clone(), request.reason.clone());
        let note = |entry: &mut Transition| {
            entry.by = by;
            entry.note = reason;
        };
        self.save(next, Some(TransitionKind::CancelRequested), note, loaded)
    }

    fn make_move(&self, current: &Arc<Action>, loaded: &mut Loaded) -> Answer {
        let Some(by_move) = Move::of(self.change) else {
            return already(current);
        };
        let Some(edge) = Edge::find(current.status, by_move) else {
            let change = match by_move {
                Move::Start => "start",
                Move::Adopt => "adoption",
                Move::Finish(outcome) => outcome.as_str(),
            };
            return Err(self.not_possible(change, current));
        };
        let its_owner = self.by.is_some() && self.by == current.owner.as_ref();
        let owner_alive = current.owner.as_ref().and_then(|owner| loaded.alive(owner));
        match (edge.authority, owner_alive) {
            (Authority::AnyOwner, _) => {}
            (Authority::ItsOwner, _) if its_owner => {}
            (Authority::ItsOwnerOrAnybodyWithout, Some(_)) if its_owner => {}
            (Authority::ItsOwnerOrAnybodyWithout | Authority::AnybodyOnceOwnerDied, None) => {}
            (Authority::AnybodyOnceOwnerDied, Some(alive)) => {
                return Err(Refused::OwnerAlive(Box::new(alive.clone())));
            }
            (Authority::ItsOwner | Authority::ItsOwnerOrAnybodyWithout, _) => {
                return Err(conflict(Clash::NotOwner, current));
            }
        }
        let mut next = self.next_of(current);
        next.status = edge.to;
        match self.change {
            Change::Start => {
                next.owner = self.by.cloned();
                next.started_at = Some(next.last_seen_at);
                self.save(next, Some(TransitionKind::Started), |_| (), loaded)
            }
            Change::Adopt => {
                next.owner = self.by.cloned();
                self.save(next, Some(TransitionKind::Adopted), |_| (), loaded)
            }
            Change::Finish(finish) => self.finish(finish, next, current, loaded),
            Change::Report(_) | Change::RequestCancel(_) => already(current),
        }
    }

    fn finish(
        &self,
        finish: &Finish,
        mut next: Action,
        current: &Action,
        loaded: &mut Loaded,
    ) -> Answer {
        next.outcome = Some(finish.outcome);
        next.finished_at = Some(next.last_seen_at);
        next.result.clone_from(&finish.result);
        next.error = finish
            .error
            .clone()
            .or_else(|| own_words(finish.outcome, current));
        add_warnings(&mut next, &finish.warnings);
        if finish.outcome == Outcome::Succeeded {
            next.progress = Progress::DONE;
        }
        let mut decided_by = finish.decided_by.clone();
        if let Some(owner) = current
            .owner
            .as_ref()
            .filter(|owner| self.by != Some(*owner))
        {
            // The action itself gave no sign of life: somebody spoke in its owner's place.
            next.last_seen_at = current.last_seen_at;
            let decider = decided_by.or_else(|| self.by.map(|by| by.name.clone()));
            let decider = decider.unwrap_or_else(|| "unnamed".into());
            let end = loaded
                .owner(owner)
                .map_or(OwnerEnd::Unknown, |o| match o.state {
                    OwnerState::Released => OwnerEnd::Released,
                    OwnerState::Fenced | OwnerState::Alive => OwnerEnd::Fenced,
                });
            let seen = current.last_seen_at;
            next.evidence = Some(Evidence::new(owner.clone(), end, seen, decider.clone()));
            decided_by = Some(decider);
        }
        let note = next.error.as_ref().map(error_note);
        let finished = |entry: &mut Transition| {
            entry.by = decided_by;
            entry.note = note;
        };
        self.save(next, Some(TransitionKind::Finished), finished, loaded)
    }

    /// The action one change later, with a sign of life.
    fn next_of(&self, current: &Action) -> Action {
        let mut next = current.clone();
        next.version = current.version.next();
        next.last_op = Some(self.op);
        next.last_seen_at = self.latest(current);
        next
    }

    /// The time of a change: never before anything that has happened to the action.
    fn latest(&self, current: &Action) -> Timestamp {
        self.now.max(last_stamp(current))
    }

    fn save(
        &self,
        mut next: Action,
        kind: Option<TransitionKind>,
        complete: impl FnOnce(&mut Transition),
        loaded: &mut Loaded,
    ) -> Answer {
        if let Some(kind) = kind {
            next.log_entries = next.log_entries.saturating_add(1);
            let at = self.latest(&next);
            let mut entry = Transition::new(kind, &next, at);
            complete(&mut entry);
            loaded.append(entry);
        }
        let next = Arc::new(next);
        loaded.set_action(next.clone());
        applied(next)
    }
}

/// What an outcome that nobody explained says for itself.
fn own_words(outcome: Outcome, current: &Action) -> Option<ActionError> {
    match outcome {
        Outcome::Lost => Some(ActionError::new(
            ActionError::LOST,
            "its owner ended without reporting how it went",
        )),
        Outcome::Interrupted if current.started_at.is_none() => Some(ActionError::new(
            ActionError::INTERRUPTED,
            "it was never started",
        )),
        Outcome::Interrupted => Some(ActionError::new(
            ActionError::INTERRUPTED,
            "it was stopped before it was through",
        )),
        Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled => None,
    }
}

/// What stands in place of warnings beyond the limit.
const MORE_WARNINGS: &str = "further warnings were left out";

/// Adds the warnings an action does not have yet; returns the first it added.
fn add_warnings(action: &mut Action, new: &[Arc<str>]) -> Option<Arc<str>> {
    let mut warnings = action.warnings.to_vec();
    for warning in new {
        if !warnings.contains(warning) && warnings.len() < Limits::WARNINGS {
            let full = warnings.len() + 1 == Limits::WARNINGS;
            warnings.push(if full {
                MORE_WARNINGS.into()
            } else {
                warning.clone()
            });
        }
    }
    let first = warnings.get(action.warnings.len()).cloned();
    if first.is_some() {
        action.warnings = warnings.into();
    }
    first
}

fn claim(owner: &OwnerRef, take_over: bool, loaded: &mut Loaded, now: Timestamp) -> Answer {
    match loaded.owner(owner) {
        Some(known) if known.is_alive() => return Ok(Done::new(Effect::Already, None)),
        // An incarnation that has ended does not come back.
        Some(_) => return Err(fenced(owner, None)),
        None => {}
    }
    if let Some(living) = loaded.living(&owner.name).cloned() {
        if !take_over {
            return Err(Refused::OwnerAlive(Box::new(living)));
        }
        loaded.set_owner(ended(living, OwnerState::Fenced, now));
    }
    loaded.set_owner(Owner::claimed(owner.clone(), now));
    Ok(Done::new(Effect::Applied, None))
}

fn ended(mut owner: Owner, state: OwnerState, now: Timestamp) -> Owner {
    owner.state = state;
    owner.ended_at = Some(now.max(owner.renewed_at));
    owner
}

fn renew(owner: &OwnerRef, loaded: &mut Loaded, now: Timestamp) -> Answer {
    let Some(mut known) = loaded.alive(owner).cloned() else {
        return Err(fenced(owner, None));
    };
    known.renewals = known.renewals.saturating_add(1);
    known.renewed_at = now.max(known.renewed_at);
    loaded.set_owner(known);
    Ok(Done::new(Effect::Applied, None))
}

fn release(owner: &OwnerRef, loaded: &mut Loaded, now: Timestamp) -> Answer {
    match loaded.owner(owner).cloned() {
        Some(known) if known.is_alive() => {
            loaded.set_owner(ended(known, OwnerState::Released, now));
            Ok(Done::new(Effect::Applied, None))
        }
        Some(known) if known.state == OwnerState::Released => Ok(Done::new(Effect::Already, None)),
        _ => Err(fenced(owner, None)),
    }
}

fn fence(owner: &OwnerRef, if_renewals: u64, loaded: &mut Loaded, now: Timestamp) -> Answer {
    match loaded.alive(owner).cloned() {
        Some(alive) if alive.renewals == if_renewals => {
            loaded.set_owner(ended(alive, OwnerState::Fenced, now));
            Ok(Done::new(Effect::Applied, None))
        }
        Some(alive) => Err(Refused::OwnerAlive(Box::new(alive))),
        None => Ok(Done::new(Effect::Already, None)),
    }
}

fn pin(uid: ActionUid, pinned: bool, loaded: &mut Loaded) -> Answer {
    let Some(current) = loaded.action(uid).cloned() else {
        return Err(Refused::NotFound(uid));
    };
    if loaded.is_pinned(uid) == pinned {
        return already(&current);
    }
    loaded.set_pin(uid, pinned);
    applied(current)
}

fn remove(uid: ActionUid, if_version: Version, loaded: &mut Loaded) -> Answer {
    let Some(current) = loaded.action(uid) else {
        return Ok(Done::new(Effect::Already, None));
    };
    let found = current.version;
    let clash = if found != if_version {
        Clash::Version {
            expected: if_version,
            found,
        }
    } else if current.is_unfinished() {
        Clash::Status {
            status: current.status,
            change: "removal",
        }
    } else if loaded.is_pinned(uid) {
        Clash::Pinned
    } else {
        loaded.remove_action(uid);
        return Ok(Done::new(Effect::Applied, None));
    };
    Err(conflict(clash, current))
}

fn import(action: &Arc<Action>, log: &[Transition], loaded: &mut Loaded) -> Answer {
    if let Some(current) = loaded.action(action.uid) {
        return match descends(current, action, loaded) {
            true => already(current),
            false => Err(conflict(Clash::Uid, current)),
        };
    }
    for key in action.exclusive.iter().filter(|_| action.is_unfinished()) {
        if let Some(holder) = loaded.holder(&Key::exclusive(&action.tenant, key)) {
            return Err(conflict(Clash::Exclusive(key.clone()), holder));
        }
    }
    let idempotency = action.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&action.tenant, key));
    if let Some(holder) = idempotency.and_then(|key| loaded.holder(&key)) {
        return Err(conflict(Clash::IdempotencyKey, holder));
    }
    loaded.enter_action(action.clone(), log.iter().cloned());
    applied(action.clone())
}
