//! Actions that are parts of other actions.

use std::sync::Arc;

use super::Tracker;
use super::begin;
use super::drain::Asked;
use super::handle::{ActionHandle, Reporter};
use crate::error::Error;
use crate::model::{Action, NewAction};

impl Tracker {
    /// Records a new action with its children and starts it, in one commit. No reader sees the
    /// parent without its children.
    ///
    /// The children are queued under this owner's name, in the order given. Start each with
    /// [`start_queued`](Tracker::start_queued). Each child is [a part of](NewAction::part_of) the
    /// parent and takes its tenant, actor and correlation, unless it sets its own.
    ///
    /// The maximum is [`max_commands`](crate::Capabilities::max_commands) minus 2 children. For
    /// more, or for children that are not known yet, use [`Reporter::begin_child`].
    ///
    /// The end of the parent does not end its children, nor the reverse. Each child has its own
    /// owner and outcome, and an executing child continues after its parent ends. Check the
    /// children before you end the parent, with [`ChildCounts`](crate::action::ChildCounts) or by waiting
    /// for them.
    ///
    /// If the parent exists already, by uid or idempotency key, nothing is recorded. If it is queued,
    /// it is begun, and its recorded children are returned. Otherwise the answer is `Found` with the
    /// parent; [`children`](crate::ActionStoreExt::children) reads its children. After
    /// `OutcomeUnknown`, call again as for [`begin`](Tracker::begin).
    ///
    /// # Errors
    /// As [`begin`](Tracker::begin), for the parent and for each child. Nothing is recorded then.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use action_store::action::ChildCounts;
    /// use action_store::{MemoryStore, NewAction, ObjectRef, Tracker};
    ///
    /// let tracker = Tracker::start(MemoryStore::new(), "plane@host-1").await?;
    /// let node = |uid| NewAction::task("upgrade_node").with_object(ObjectRef::node(uid));
    /// let cluster = NewAction::task("upgrade_cluster").with_object(ObjectRef::cluster());
    ///
    /// let (upgrade, nodes) = tracker
    ///     .begin_with_children(cluster, (1..=3).map(node).collect())
    ///     .await?;
    /// for node in nodes {
    ///     tracker.start_queued(node.uid).await?.succeed().await?;
    ///     let so_far = ChildCounts::of(tracker.store(), upgrade.uid()).await?;
    ///     upgrade.progress(so_far.progress());
    /// }
    /// upgrade.succeed().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    pub async fn begin_with_children(
        &self,
        parent: NewAction,
        children: Vec<NewAction>,
    ) -> Result<(ActionHandle, Vec<Arc<Action>>), Error> {
        let core = self.core.clone();
        let parent = core.shared.options.correlation.fill(parent);
        let children = children.into_iter();
        let children = children.map(|child| child.part_of(&parent)).collect();
        let work = async move {
            let _gate = core.enter("begin").await?;
            let _counted = core.shared.admit("begin", &Asked::new(&parent))?;
            core.shared.has_queued();
            begin::begin_with_children(&core, parent, children).await
        };
        self.core.drive("begin", work).await
    }
}

impl Reporter {
    /// Records a new action that is [a part of](NewAction::part_of) this one and starts it, in one
    /// commit, as [`Tracker::begin`] does.
    ///
    /// The child takes this action's tenant, actor and correlation, unless it sets its own. If this
    /// action has a cancel request, the child gets it too.
    ///
    /// ```
    /// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::tracker::RunError> {
    /// use action_store::{NewAction, ObjectRef};
    ///
    /// let drain = NewAction::task("drain_node").with_object(ObjectRef::node(7));
    /// tracker
    ///     .run(drain, async |action| {
    ///         for bdb in [1, 2] {
    ///             let new = NewAction::task("migrate_bdb").with_object(ObjectRef::bdb(bdb));
    ///             let child = action.begin_child(new).await?;
    ///             child.run(async |part| Ok(part.step("copy").await?)).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Tracker::begin`]; `Conflict` if this action is completed. If the cancel request cannot
    /// be passed on, the child is interrupted and the error returned.
    pub async fn begin_child(&self, child: NewAction) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let parent = NewAction::from(&*self.action());
        let child = core.shared.options.correlation.fill(child.part_of(&parent));
        let work = async move {
            let _gate = core.enter("begin").await?;
            let _counted = core.shared.admit("begin", &Asked::new(&child))?;
            begin::begin(&core, child).await
        };
        self.core.drive("begin", work).await
    }
}
