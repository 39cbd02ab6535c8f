//! The actions that a command changes: chosen by uid, or by filter.

use std::collections::BTreeSet;

use action_store::query::Detail;
use action_store::{Action, ActionStoreExt, ActionUid, Filter, Limits, OwnerRef};
use clap::Args;

use crate::error::{Failure, Result};
use crate::filters::{FilterArgs, uid};
use crate::open::Opened;
use crate::show;

/// The actions to change: by uid, or by filter.
#[derive(Debug, Clone, Args)]
pub(crate) struct Targets {
    /// Uids of the actions
    #[arg(value_name = "UID", value_parser = uid)]
    pub(crate) uids: Vec<ActionUid>,
    /// Change the actions that match the filters. Without it they are only shown
    #[arg(long)]
    yes: bool,
    /// Only show which actions would be changed
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// True if uids do not replace `--yes`.
    #[arg(skip)]
    needs_yes: bool,
}

impl Targets {
    /// Returns true if nothing is to be changed.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run || ((self.needs_yes || self.uids.is_empty()) && !self.yes)
    }

    /// Makes `--yes` necessary with uids too, because more is changed than the actions.
    pub(crate) fn needing_yes(mut self) -> Targets {
        self.needs_yes = true;
        self
    }

    /// Returns the owners of the unfinished actions, each once, with the number of these actions.
    pub(crate) async fn owners(&self, opened: &Opened) -> Result<Vec<(OwnerRef, u64)>> {
        let mut owners: Vec<(OwnerRef, u64)> = Vec::new();
        let mut add = |action: &Action| {
            let owner = action.owner.as_ref().filter(|_| action.is_unfinished());
            let Some(owner) = owner else { return };
            match owners.iter_mut().find(|(known, _)| known == owner) {
                Some((_, number)) => *number += 1,
                None => owners.push((owner.clone(), 1)),
            }
        };
        // One uid may be named twice.
        let uids: BTreeSet<ActionUid> = self.uids.iter().copied().collect();
        for uid in uids {
            add(&*show::find(opened, uid).await?);
        }
        if self.uids.is_empty() {
            let query = self.filters.query().with_filter(Filter::Unfinished);
            let query = query.with_detail(Detail::Summary);
            let mut pages = opened.store.pages(query.with_limit(Limits::PAGE));
            while let Some(page) = pages.next().await? {
                page.items.iter().for_each(|action| add(action));
            }
        }
        Ok(owners)
    }

    /// Returns an error unless either uids or filters are given.
    pub(crate) fn check(&self) -> Result<()> {
        match (self.uids.is_empty(), self.filters.is_empty()) {
            (true, true) => Err(
                Failure::usage("neither uids nor filters are given").with_hint(
                    "name uids, or choose actions with filters; --unfinished chooses all of them",
                ),
            ),
            (false, false) => Err(Failure::usage(
                "filters do not apply to actions that are named by uid",
            )),
            _ => Ok(()),
        }
    }
}
