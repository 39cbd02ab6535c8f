//! Keeping a store small: what may go, what would go, and letting it go.
//!
//! - [`Retention`] says what is kept: by age and outcome, the last of each object, at most so many.
//! - [`plan`] shows what would go and why; it changes nothing.
//! - [`Pruner`] removes it, a small transaction at a time; `prune` does all of it, with pauses.
//! - [`Eraser`] removes all that is completed of an object or a tenant; `erase` with pauses.
//! - `Retention::keep` prunes in the background. Nothing is ever removed by a store itself.
//! - [`history_complete_since`] says since when nothing is missing.
//!
//! All of it is built on the methods of [`ActionStore`] alone. A removal names the
//! version it was decided on, and the store refuses to remove what is pinned or unfinished, so
//! nothing has to stand still meanwhile.
//!
//! What pauses or runs in the background (`prune`, `erase`, the `run`s, the keeper) needs tokio's
//! timer and so the feature `tracker`; the steps they are made of need neither.
//!
//! ```
//! # #[cfg(feature = "tracker")]
//! # async fn example() -> Result<(), action_store::StoreError> {
//! use std::time::Duration;
//!
//! use action_store::retention::{self, Retention};
//! use action_store::{Clock, MemoryStore, ObjectRef, Outcome, Term};
//!
//! let (store, clock) = (MemoryStore::new(), Clock::system());
//! let week = Duration::from_secs(7 * 24 * 60 * 60);
//! let policy = Retention::new().with_age(Outcome::Succeeded, Some(week));
//!
//! let mut plan = retention::plan(&store, &policy, clock.now());
//! while let Some(page) = plan.next().await? {
//!     for (action, reason) in page {
//!         println!("{} would go: {reason:?}", action.uid);
//!     }
//! }
//! let pruned = retention::prune(&store, &policy, clock.now()).await?;
//! assert_eq!(pruned.removed, plan.counts());
//!
//! let erased = retention::erase(&store, Term::Touches(ObjectRef::node(7))).await?;
//! assert!(erased.is_complete());
//! # Ok(())
//! # }
//! # #[cfg(feature = "tracker")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
//! #     .block_on(example()).unwrap();
//! ```

mod age;
mod due;
mod erase;
#[cfg(feature = "tracker")]
mod keeper;
mod kept;
mod parts;
mod plan;
mod policy;
mod prune;
mod removing;

pub use due::{Counts, Reason};
#[cfg(feature = "tracker")]
pub use erase::erase;
pub use erase::{Erased, Eraser, LISTED, Left, Stays};
#[cfg(feature = "tracker")]
pub use keeper::{Keeper, Round};
pub use plan::{Plan, plan};
pub use policy::Retention;
#[cfg(feature = "tracker")]
pub use prune::prune;
pub use prune::{Pruned, Pruner};

use crate::error::StoreError;
use crate::model::Timestamp;
use crate::store::ActionStore;

/// Since when a store's history is whole: every action created later than this is there, or was
/// never recorded. None if nothing was ever removed.
///
/// It is when the youngest action was created that was removed, so one erased yesterday moves it
/// there, although everything else of the year before is kept.
///
/// # Errors
/// As [`ActionStore::changed`].
pub async fn history_complete_since<S>(store: &S) -> Result<Option<Timestamp>, StoreError>
where
    S: ActionStore + ?Sized,
{
    Ok(store.changed(None).await?.removed_created)
}
