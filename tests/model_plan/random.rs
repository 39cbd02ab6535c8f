//! Random commands: the memory store batch by batch, strict tables with several batches in one
//! transaction and the plain rules of `naive` must agree on every answer and every state.

use action_store::action::Version;
use action_store::command::OpId;
use action_store::owner::OwnerState;
use action_store::{
    ActionError, ActionUid, Batch, CancelRequest, Change, Command, Finish, NewAction, Outcome,
    OwnerRef, Progress, Report, Timestamp,
};
use proptest::prelude::*;

use crate::harness::{Bench, Tables, apply_as, check_log, create, kinds};
use crate::naive::{Life, World};

/// One command, as numbers that shrink well.
#[derive(Debug, Clone)]
struct Draw {
    what: u8,
    uid: usize,
    who: usize,
    op: usize,
    value: u8,
}

type Group = Vec<(bool, Vec<Draw>)>;

/// The few identities that commands meet on.
struct Cast {
    uids: Vec<ActionUid>,
    owners: Vec<OwnerRef>,
    ops: Vec<OpId>,
}

impl Cast {
    fn new() -> Cast {
        let names = ["a", "b", "a", "b", "a"];
        Cast {
            uids: (0..4).map(|_| ActionUid::new()).collect(),
            owners: names.into_iter().map(OwnerRef::new).collect(),
            ops: (0..24).map(|_| OpId::new()).collect(),
        }
    }

    fn command(&self, draw: &Draw) -> Command {
        let uid = self.uids[draw.uid];
        let owner = self.owners[draw.who % self.owners.len()].clone();
        let by = self.owners.get(draw.who);
        let op = self.ops[draw.op];
        let version = Version::new(u64::from(draw.value) + 1).unwrap();
        let finish = |outcome| {
            let finish = Finish::new(outcome);
            Change::Finish(match outcome {
                Outcome::Failed => finish.with_error(ActionError::new("e", "m")),
                _ => finish,
            })
        };
        let change = match draw.what {
            0..=4 => {
                let new = NewAction::task(["t", "u"][usize::from(draw.value % 2)]).with_uid(uid);
                let other = self.uids[(draw.uid + 1) % self.uids.len()];
                let new = match draw.value {
                    6 | 7 => new.with_parent(other),
                    _ => new,
                };
                let new = match draw.value % 6 {
                    0 | 1 => new,
                    2 => new.with_exclusive("k"),
                    3 => new.with_exclusive("k").with_exclusive("l"),
                    4 => new.with_idempotency_key("i"),
                    _ => new.with_idempotency_key("i").with_exclusive("l"),
                };
                return create(new, by.filter(|_| draw.op.is_multiple_of(2)));
            }
            5..=7 => {
                let take_over = !draw.value.is_multiple_of(4);
                return Command::claim(owner).with_take_over(take_over);
            }
            8 => return Command::renew(owner),
            9 => return Command::release(owner),
            10 => {
                let if_renewals = u64::from(draw.value % 2);
                return Command::fence(owner, if_renewals);
            }
            11 => {
                let pinned = draw.value.is_multiple_of(3);
                return Command::pin(uid, pinned);
            }
            12 | 13 => {
                let if_version = version;
                return Command::remove(uid, if_version);
            }
            14..=18 => Change::Start,
            19 => Change::Adopt,
            20 => Change::RequestCancel(CancelRequest::new()),
            21..=24 => {
                let progress = Progress::from_hundredths(u16::from(draw.value) * 1428 + 4).unwrap();
                let report = Report::new().with_progress(progress);
                Change::Report(match draw.value % 3 {
                    0 => report,
                    1 => report.with_step("one"),
                    _ => report.with_step("two"),
                })
            }
            _ => finish(Outcome::ALL[usize::from(draw.value) % 5]),
        };
        match apply_as(op, uid, change, by) {
            Command::Apply {
                uid,
                op,
                change,
                by,
                ..
            } => Command::apply(uid, change)
                .by(by)
                .with_op(op)
                .if_version(draw.op.is_multiple_of(5).then_some(version)),
            other => other,
        }
    }

    fn batch(&self, all: bool, draws: &[Draw]) -> Batch {
        let commands = draws.iter().map(|draw| self.command(draw)).collect();
        match all {
            true => Batch::all(commands),
            false => Batch::each(commands),
        }
    }
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let draw = (0..30u8, 0..4usize, 0..7usize, 0..24usize, 0..8u8);
    let draw = draw.prop_map(|(what, uid, who, op, value)| Draw {
        what,
        uid,
        who,
        op,
        value,
    });
    let batch = (any::<bool>(), prop::collection::vec(draw, 1..6));
    let group = prop::collection::vec(batch, 1..4);
    prop::collection::vec(group, 1..14)
}

/// That the memory store, the tables and the plain rules know the same.
fn compare(bench: &Bench, tables: &Tables, world: &World, cast: &Cast) {
    for uid in &cast.uids {
        let (found, row) = (bench.find(*uid), tables.rows.get(uid));
        assert_eq!(found.as_ref(), row.map(|row| &row.action));
        let known = world.actions.get(uid);
        assert_eq!(row.is_some(), known.is_some());
        let (Some(row), Some(known)) = (row, known) else {
            continue;
        };
        let action = &row.action;
        action.check_invariants().unwrap();
        check_log(action, &row.log);
        assert_eq!(bench.log(*uid), row.log);
        assert_eq!(action.version.get(), known.version);
        assert_eq!(
            (action.status, action.outcome),
            (known.status, known.outcome)
        );
        assert_eq!(action.owner, known.owner);
        assert_eq!(action.progress.hundredths(), known.progress);
        assert_eq!(action.step.as_deref(), known.step.as_deref());
        assert_eq!(action.cancel.is_some(), known.cancel);
        assert_eq!(action.evidence.is_some(), known.evidence);
        assert_eq!(action.log_entries, known.entries);
        assert_eq!(row.pinned, known.pinned);
        assert_eq!(row.log.iter().any(|entry| entry.is_late()), known.late);
    }
    let mut owners = bench.owners();
    owners.sort_by(|a, b| a.owner.name.cmp(&b.owner.name));
    let kept: Vec<_> = tables.owners.values().flatten().cloned().collect();
    assert_eq!(owners, kept);
    assert_eq!(owners.len(), world.owners.len());
    for owner in owners {
        let known = world.owners.iter().find(|(known, _)| *known == owner.owner);
        let store_id = match owner.state {
            OwnerState::Alive => Life::Alive(owner.renewals),
            OwnerState::Fenced => Life::Fenced,
            OwnerState::Released => Life::Released,
            other => panic!("no command makes an owner {other:?}"),
        };
        assert_eq!(known.map(|(_, store_id)| *store_id), Some(store_id));
    }
}

fn run(groups: &[Group]) {
    let (bench, cast) = (Bench::new(), Cast::new());
    let (mut tables, mut world) = (Tables::default(), World::default());
    for (index, group) in groups.iter().enumerate() {
        // Also backwards now and then.
        let seconds = 1000 + (index as i64 * 7) % 11;
        bench.clock.set(Timestamp::from_seconds(seconds));
        let batches: Vec<Batch> = group
            .iter()
            .map(|(all, draws)| cast.batch(*all, draws))
            .collect();
        let grouped = tables.write(&batches, Timestamp::from_seconds(seconds));
        for (batch, grouped) in batches.iter().zip(grouped) {
            let alone = bench.write(batch.clone());
            assert_eq!(kinds(&alone), world.write(batch), "{batch:?}");
            assert_eq!(alone, grouped, "{batch:?}");
        }
        compare(&bench, &tables, &world, &cast);
    }
}

/// Writing everything once more must be harmless to what is completed: one outcome, for ever.
fn run_twice(groups: &[Group]) {
    let (bench, cast) = (Bench::new(), Cast::new());
    for (all, draws) in groups.iter().flatten() {
        let mut batch = cast.batch(*all, draws);
        batch
            .commands
            .retain(|command| !matches!(command, Command::Remove { .. }));
        let first = bench.write(batch.clone());
        let ended = |uid: &ActionUid| bench.find(*uid).filter(|action| !action.is_unfinished());
        let before: Vec<_> = cast.uids.iter().filter_map(ended).collect();
        let second = bench.write(batch.clone());
        for action in before {
            assert_eq!(bench.action(action.uid), action, "{batch:?}");
        }
        let changes = batch.commands.iter().zip(first.iter().zip(&second));
        for (command, (first, second)) in changes {
            // An applied change with a log entry is never applied again.
            let tells = match command {
                Command::Apply { change, .. } => !matches!(change, Change::Report(_)),
                Command::Create { .. } => true,
                _ => false,
            };
            if tells && first.is_ok() {
                let word = crate::harness::kind(second);
                let undone = word.starts_with("batch");
                assert!(word != "applied" || undone, "{command:?} in {batch:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_grouping_of_any_commands_comes_to_what_the_plain_rules_say(groups in groups()) {
        run(&groups);
    }

    #[test]
    fn an_applied_change_is_never_applied_again(groups in groups()) {
        run_twice(&groups);
    }
}
