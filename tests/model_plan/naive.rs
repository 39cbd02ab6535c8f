//! The rules once more, as plainly and slowly as possible, to be compared with the model.

use std::collections::{BTreeMap, BTreeSet};

use action_store::command::{BatchMode, OpId};
use action_store::{
    ActionUid, Batch, Change, Command, NewAction, Outcome, OwnerRef, Report, Status,
};

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) new: NewAction,
    pub(crate) status: Status,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) owner: Option<OwnerRef>,
    pub(crate) started: bool,
    pub(crate) version: u64,
    pub(crate) progress: u16,
    pub(crate) step: Option<String>,
    pub(crate) cancel: bool,
    pub(crate) evidence: bool,
    pub(crate) pinned: bool,
    pub(crate) late: bool,
    pub(crate) entries: u32,
    last_op: Option<OpId>,
    logged: BTreeSet<OpId>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Life {
    Alive(u64),
    Fenced,
    Released,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) actions: BTreeMap<ActionUid, Known>,
    pub(crate) owners: Vec<(OwnerRef, Life)>,
}

impl World {
    pub(crate) fn write(&mut self, batch: &Batch) -> Vec<String> {
        let told = self.told(batch);
        let before = self.clone();
        let mut answers = Vec::new();
        for (command, told) in batch.commands.iter().zip(told) {
            let answer = self.answer(command, told);
            let refused = !matches!(answer.as_str(), "applied" | "already");
            if refused && batch.mode == BatchMode::All {
                *self = before;
                self.tell_late(command, &answer);
                let index = answers.len();
                let mut all = vec![format!("batch {index}"); batch.commands.len()];
                all[index] = answer;
                return all;
            }
            self.tell_late(command, &answer);
            answers.push(answer);
        }
        answers
    }

    fn store_id(&self, owner: &OwnerRef) -> Option<Life> {
        let known = self.owners.iter().find(|(known, _)| known == owner);
        known.map(|(_, store_id)| *store_id)
    }

    fn alive(&self, owner: &OwnerRef) -> bool {
        matches!(self.store_id(owner), Some(Life::Alive(_)))
    }

    fn set(&mut self, owner: &OwnerRef, store_id: Life) {
        let found = self.owners.iter_mut().find(|(known, _)| known == owner);
        found.expect("set of an owner nobody knows").1 = store_id;
    }

    /// Which reports a later command of the batch shows to have been told before.
    fn told(&self, batch: &Batch) -> Vec<bool> {
        let told = |index: usize| -> Option<bool> {
            let Command::Apply {
                uid,
                op,
                change,
                by,
                if_version,
                ..
            } = &batch.commands[index]
            else {
                return None;
            };
            let action = self.actions.get(uid)?;
            let known = |op: &OpId| action.last_op == Some(*op) || action.logged.contains(op);
            if !matches!(change, Change::Report(_)) || known(op) {
                return None;
            }
            let runs = by.is_some() && action.owner == *by && action.started;
            Some(batch.commands[index + 1..].iter().any(|later| match later {
                Command::Apply {
                    uid: u,
                    op,
                    change: Change::Report(_) | Change::Finish(_),
                    by: b,
                    ..
                } => {
                    let alone = runs && if_version.is_none() && b == by;
                    u == uid && known(op) && (batch.mode == BatchMode::All || alone)
                }
                _ => false,
            }))
        };
        let count = batch.commands.len();
        (0..count).map(|index| told(index) == Some(true)).collect()
    }

    fn tell_late(&mut self, command: &Command, answer: &str) {
        let Command::Apply {
            uid,
            change: Change::Finish(_),
            by: Some(by),
            ..
        } = command
        else {
            return;
        };
        let (dead, known) = (!self.alive(by), self.store_id(by).is_some());
        if let Some(action) = self.actions.get_mut(uid) {
            let may_have_run = action.owner.as_ref() == Some(by) || (action.started && known);
            action.late |= answer == "fenced" && dead && may_have_run;
        }
    }

    fn answer(&mut self, command: &Command, told: bool) -> String {
        let answer = match command {
            Command::Create { new, by, .. } => self.create(new, by.as_ref()),
            Command::Apply {
                uid,
                op,
                change,
                by,
                if_version,
                ..
            } => {
                let by = by.as_ref();
                if by.is_none() && matches!(change, Change::Start | Change::Adopt) {
                    return "invalid by".to_owned();
                }
                let Some(action) = self.actions.get(uid) else {
                    return "not found".to_owned();
                };
                if told || action.last_op == Some(*op) || action.logged.contains(op) {
                    "already"
                } else if by.is_some_and(|by| !self.alive(by)) {
                    "fenced"
                } else if if_version.is_some_and(|v| v.get() != action.version) {
                    "version"
                } else {
                    self.change(*uid, *op, change, by)
                }
            }
            Command::Claim {
                owner, take_over, ..
            } => self.claim(owner, *take_over),
            Command::Renew(owner) => match self.store_id(owner) {
                Some(Life::Alive(renewals)) => {
                    self.set(owner, Life::Alive(renewals + 1));
                    "applied"
                }
                _ => "fenced",
            },
            Command::Release(owner) => match self.store_id(owner) {
                Some(Life::Alive(_)) => {
                    self.set(owner, Life::Released);
                    "applied"
                }
                Some(Life::Released) => "already",
                _ => "fenced",
            },
            Command::Fence {
                owner, if_renewals, ..
            } => match self.store_id(owner) {
                Some(Life::Alive(renewals)) if renewals == *if_renewals => {
                    self.set(owner, Life::Fenced);
                    "applied"
                }
                Some(Life::Alive(_)) => "owner alive",
                _ => "already",
            },
            Command::Pin { uid, pinned, .. } => match self.actions.get_mut(uid) {
                None => "not found",
                Some(action) if action.pinned == *pinned => "already",
                Some(action) => {
                    action.pinned = *pinned;
                    "applied"
                }
            },
            Command::Remove {
                uid, if_version, ..
            } => match self.actions.get(uid) {
                None => "already",
                Some(action) if action.version != if_version.get() => "version",
                Some(action) if action.status != Status::Completed => "status",
                Some(action) if action.pinned => "pinned",
                Some(action) if self.is_over(action.new.parent) == Some(false) => "status",
                Some(_) => {
                    self.actions.remove(uid);
                    "applied"
                }
            },
            other => panic!("{other:?} is not drawn"),
        };
        answer.to_owned()
    }

    fn create(&mut self, new: &NewAction, by: Option<&OwnerRef>) -> &'static str {
        let same = |known: &Known| known.new.digest() == new.digest();
        if let Some(known) = self.actions.get(&new.uid) {
            return if same(known) { "already" } else { "uid" };
        }
        for known in self.actions.values() {
            if new.idempotency_key.is_some() && known.new.idempotency_key == new.idempotency_key {
                return if same(known) {
                    "already"
                } else {
                    "idempotency key"
                };
            }
        }
        if by.is_some_and(|by| !self.alive(by)) {
            return "fenced";
        }
        if self.is_over(new.parent) == Some(true) {
            return "status";
        }
        for known in self.actions.values() {
            let shares = known
                .new
                .exclusive
                .iter()
                .any(|key| new.exclusive.contains(key));
            if shares && known.status != Status::Completed {
                return "exclusive";
            }
        }
        let known = Known {
            new: new.clone(),
            status: Status::Queued,
            outcome: None,
            owner: by.cloned(),
            started: false,
            version: 1,
            progress: 0,
            step: None,
            cancel: false,
            evidence: false,
            pinned: false,
            late: false,
            entries: 1,
            last_op: None,
            logged: BTreeSet::new(),
        };
        self.actions.insert(new.uid, known);
        "applied"
    }

    /// Returns true if a parent is completed; none if it is not known.
    fn is_over(&self, parent: Option<ActionUid>) -> Option<bool> {
        let parent = self.actions.get(&parent?)?;
        Some(parent.status == Status::Completed)
    }

    fn change(
        &mut self,
        uid: ActionUid,
        op: OpId,
        change: &Change,
        by: Option<&OwnerRef>,
    ) -> &'static str {
        let owner = self.actions[&uid].owner.clone();
        let owner_alive = owner.as_ref().is_some_and(|owner| self.alive(owner));
        let is_owner = by.is_some() && by == owner.as_ref();
        let action = self.actions.get_mut(&uid).unwrap();
        let mut logged = true;
        match (change, action.status) {
            (Change::Start, Status::Queued) => {
                action.status = Status::Executing;
                action.started = true;
                action.owner = by.cloned();
            }
            (Change::Report(_), Status::Executing) if !is_owner => return "not owner",
            // The owner repeats how far it came, after it ended the action.
            (Change::Report(report), Status::Completed)
                if is_owner
                    && action.started
                    && *report
                        == Report::new().with_progress(report.progress.unwrap_or_default())
                    && report
                        .progress
                        .is_some_and(|p| p.hundredths() <= action.progress) =>
            {
                return "already";
            }
            (Change::Report(report), Status::Executing) => {
                let step = report.step.as_deref().map(str::to_owned);
                logged = step.is_some() && step != action.step;
                let progress = report.progress.map(|p| p.hundredths().min(9_999));
                if !logged && progress.is_some_and(|p| p <= action.progress) {
                    return "already";
                }
                action.step = step.or(action.step.take());
                action.progress = action.progress.max(progress.unwrap_or(0));
            }
            (Change::RequestCancel(_), Status::Queued | Status::Executing) => {
                if action.cancel {
                    return "already";
                }
                action.cancel = true;
            }
            (Change::Adopt, Status::Executing) if owner_alive => return "owner alive",
            (Change::Adopt, Status::Executing) => action.owner = by.cloned(),
            (Change::Finish(finish), status) => {
                match (status, finish.outcome) {
                    (Status::Completed, _) => return "status",
                    (Status::Queued, Outcome::Succeeded | Outcome::Lost) => return "status",
                    (Status::Queued, _) if owner_alive && !is_owner => return "not owner",
                    (Status::Executing, Outcome::Lost) if owner_alive => return "owner alive",
                    (Status::Executing, Outcome::Lost) | (Status::Queued, _) => {}
                    (Status::Executing, _) if !is_owner => return "not owner",
                    (Status::Executing, _) => {}
                }
                action.status = Status::Completed;
                action.outcome = Some(finish.outcome);
                action.evidence = action.owner.is_some() && !is_owner;
                if finish.outcome == Outcome::Succeeded {
                    action.progress = 10_000;
                }
            }
            _ => return "status",
        }
        action.version += 1;
        action.last_op = Some(op);
        if logged {
            action.entries += 1;
            action.logged.insert(op);
        }
        "applied"
    }

    fn claim(&mut self, owner: &OwnerRef, take_over: bool) -> &'static str {
        match self.store_id(owner) {
            Some(Life::Alive(_)) => return "already",
            Some(_) => return "fenced",
            None => {}
        }
        let mut others = self.owners.iter().map(|(other, _)| other.clone());
        let living = others.find(|other| other.name == owner.name && self.alive(other));
        if let Some(living) = living {
            if !take_over {
                return "owner alive";
            }
            self.set(&living, Life::Fenced);
        }
        self.owners.push((owner.clone(), Life::Alive(0)));
        "applied"
    }
}
