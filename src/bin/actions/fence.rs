//! Ends owners that are recorded as alive but do not renew any more.

use std::time::Duration;

use action_store::owner::{Owner, OwnerQuery};
use action_store::{ActionStoreExt, Command, ErrorKind};

use crate::change::Targets;
use crate::error::Result;
use crate::open::Opened;
use crate::output::{note, plain};
use crate::{progress, time};

/// Parts of the wait. Each counts for its own length only, so that a pause of the whole machine
/// does not look like the silence of an owner.
const STEPS: u32 = 10;

/// Waits, then ends the owners of the targets that did not renew meanwhile.
pub(crate) async fn silent_owners(
    opened: &Opened,
    targets: &Targets,
    after: Duration,
) -> Result<()> {
    let owners = targets.owners(opened).await?;
    let before = alive(opened).await?;
    let before: Vec<Owner> = before
        .into_iter()
        .filter(|owner| owners.contains(&owner.owner))
        .collect();
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

async fn alive(opened: &Opened) -> Result<Vec<Owner>> {
    let mut owners = opened.store.all_owners(OwnerQuery::active()).await?;
    owners.retain(Owner::is_alive);
    Ok(owners)
}
