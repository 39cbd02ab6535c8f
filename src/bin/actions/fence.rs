//! Ends owners that are recorded as alive but do not renew any more.

use std::time::Duration;

use action_store::owner::{Owner, OwnerQuery};
use action_store::{ActionStoreExt, Command, ErrorKind, Filter};

use crate::error::Result;
use crate::open::Opened;
use crate::output::{note, number, plain};
use crate::targets::Targets;
use crate::{progress, time};

/// Parts of the wait. Each counts for its own length only, so that a pause of the whole machine
/// does not look like the silence of an owner.
const STEPS: u32 = 10;

/// Number of actions of an owner up to which each state is counted.
const COUNTED: u32 = 100_000;

/// Owners that are alive and have targets, each with the number of its targets.
async fn alive(opened: &Opened, targets: &Targets) -> Result<Vec<(Owner, u64)>> {
    let owners = targets.owners(opened).await?;
    let mut alive = Vec::new();
    for owner in opened.store.all_owners(OwnerQuery::active()).await? {
        let found = owners.iter().find(|(known, _)| *known == owner.owner);
        if let Some((_, number)) = found
            && owner.is_alive()
        {
            alive.push((owner, *number));
        }
    }
    Ok(alive)
}

/// Tells which owners would end, and how many other actions they have.
pub(crate) async fn announce(opened: &Opened, targets: &Targets, after: Duration) -> Result<()> {
    for (owner, targets) in alive(opened, targets).await? {
        let filters = [Filter::Owner(owner.owner.clone()), Filter::Unfinished];
        let counts = opened.store.count(&filters, COUNTED).await?;
        let others = counts.total().saturating_sub(targets);
        let least = if counts.is_exact() { "" } else { "at least " };
        let others = match others {
            0 => "no other unfinished actions".to_owned(),
            others => number(
                others,
                "other unfinished action",
                "other unfinished actions",
            ),
        };
        note(&format!(
            "with --yes, this ends {} if it does not renew within {}; it has {least}{others}",
            plain(&owner.owner.name),
            time::short(after)
        ));
    }
    Ok(())
}

/// Waits, then ends the owners of the targets that did not renew meanwhile.
pub(crate) async fn silent_owners(
    opened: &Opened,
    targets: &Targets,
    after: Duration,
) -> Result<()> {
    let before = alive(opened, targets).await?;
    let before: Vec<Owner> = before.into_iter().map(|(owner, _)| owner).collect();
    if before.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = before
        .iter()
        .map(|owner| plain(&owner.owner.name))
        .collect();
    note(&format!(
        "waiting {} for a renewal of {}",
        time::short(after),
        names.join(", ")
    ));
    let bar = progress::busy("waiting");
    for _ in 0..STEPS {
        tokio::time::sleep(after / STEPS).await;
    }
    bar.finish_and_clear();
    for (owner, name) in before.into_iter().zip(names) {
        // The store refuses this if the owner has renewed since.
        let fence = Command::fence(owner.owner, owner.renewals);
        match opened.store.command(fence).await {
            Ok(_) => note(&format!("ended {name}: it did not renew")),
            Err(error) if error.kind() == ErrorKind::OwnerAlive => {
                note(&format!("{name} is alive: it has renewed"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
