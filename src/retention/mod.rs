//! Retention: removes completed actions by age, by number, or on request.
//!
//! - [`Retention`] is the policy: maximum ages by outcome, the last actions of each object, and a
//!   cap.
//!
//! - [`plan`] shows which actions the policy would remove, and why. It changes nothing.
//!
//! - [`Pruner`] removes these actions, one small transaction at a time. [`prune`] runs it to the
//!   end, with pauses.
//!
//! - [`Eraser`] removes all completed actions of an object or a tenant. [`erase`] runs it to the end,
//!   with pauses.
//!
//! - [`Retention::spawn`] prunes in the background. Retention is off until you enable it: a store
//!   removes nothing by itself.
//!
//! - [`history_complete_since`] returns the time since which the history is complete.
//!
//! Retention uses only the methods of [`ActionStore`]. Each removal names the version that the
//! decision was based on. The store refuses to remove pinned and unfinished actions, so other tasks
//! may write during retention.
//!
//! The functions that pause and the background task need a tokio runtime with its timer. These are
//! [`prune`], [`erase`], the `run` methods and [`Retention::spawn`]. The steps ([`Pruner::next`],
//! [`Eraser::next`]) do not.
//!
//! ```
//! # async fn example() -> Result<(), action_store::StoreError> {
//! use std::time::Duration;
//!
//! use action_store::retention::{self, Retention};
//! use action_store::{Clock, MemoryStore, ObjectRef, Outcome, Filter};
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
//! let erased = retention::erase(&store, Filter::Touches(ObjectRef::node(7))).await?;
//! assert!(erased.is_complete());
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
//! #     .block_on(example()).unwrap();
//! ```

mod age;
mod delete_batch;
mod erase;
mod keep_last;
mod parts;
mod plan;
mod policy;
mod prune;
mod prune_task;
mod scan;

pub use erase::erase;
pub use erase::{Erased, Eraser, LISTED, Left, Stays};
pub use plan::{Plan, plan};
pub use policy::Retention;
pub use prune::prune;
pub use prune::{Pruned, Pruner};
pub use prune_task::{PruneReport, PruneTask};
pub use scan::{Counts, Reason};

use crate::error::StoreError;
use crate::model::Timestamp;
use crate::store::ActionStore;

/// Returns the time since which the store's history is complete.
///
/// Every recorded action created later than this time is still in the store. `None` if nothing was
/// ever removed.
///
/// The time is the `created_at` of the youngest action that was removed. One recent action that was
/// erased therefore moves it far ahead, although older actions are still there.
///
/// # Errors
/// As [`ActionStore::changed`].
pub async fn history_complete_since<S>(store: &S) -> Result<Option<Timestamp>, StoreError>
where
    S: ActionStore + ?Sized,
{
    Ok(store.changed(None).await?.pruned_created)
}
