//! What a workload does.

/// What the callers of a workload do, each in a closed loop of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Work {
    /// Creates actions.
    Create,
    /// Whole lives: create, start, three reports of progress, complete. Each is a call.
    Life,
    /// Looks one action of the stock up, chosen at random.
    Get,
    /// Reads the first page of a list.
    List(ListBy),
    /// Walks through the feed from its beginning, again and again. A page is a call.
    Feed,
    /// Waits in [`changed`](crate::ActionStore::changed) while another writes: a call takes from
    /// the moment the write was sent to the moment the caller has heard of it.
    Wait,
    /// Whole lives while the completed ones of the stock are removed, oldest first. The calls
    /// measured are those of the lives.
    Prune,
    /// Closes the store, opens it again and reads an action: one after the other, by one caller.
    Reopen,
}

impl Work {
    /// Every kind of work.
    #[must_use]
    pub fn all() -> Vec<Work> {
        let mut all = vec![Work::Create, Work::Life, Work::Get, Work::Feed, Work::Wait];
        all.extend(ListBy::ALL.iter().map(|by| Work::List(*by)));
        all.extend([Work::Prune, Work::Reopen]);
        all
    }

    /// Its name: `life`, `list_by_object`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Life => "life",
            Work::Get => "get",
            Work::List(by) => by.name(),
            Work::Feed => "feed",
            Work::Wait => "wait",
            Work::Prune => "prune",
            Work::Reopen => "reopen",
        }
    }
}

macro_rules! lists {
    ($($(#[$meta:meta])* $variant:ident $name:literal,)*) => {
        /// Which list: all actions, or those of one term, newest first unless it says otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ListBy {
            $($(#[$meta])* $variant,)*
        }

        impl ListBy {
            /// All of them: one for each term there is, and two without one.
            pub const ALL: &[ListBy] = &[$(ListBy::$variant,)*];

            /// Its name: `list_newest`, `list_by_object`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ListBy::$variant => $name,)*
                }
            }
        }
    };
}

lists! {
    /// All actions.
    Newest "list_newest",
    /// All actions, oldest first.
    Oldest "list_oldest",
    /// One action.
    Uid "list_by_uid",
    /// The completed ones, nine of ten.
    Status "list_by_status",
    /// One of ten.
    Unfinished "list_unfinished",
    /// The failed ones, a tenth.
    Outcome "list_by_outcome",
    /// A third.
    Source "list_by_source",
    /// A tenth.
    Name "list_by_name",
    /// A hundredth.
    Object "list_by_object",
    /// A tenth.
    Touches "list_by_touched_object",
    /// A fiftieth, of three objects: what a scope of objects shows.
    TouchesAny "list_by_any_touched_object",
    /// A tenth.
    Tenant "list_by_tenant",
    /// A twentieth.
    Actor "list_by_actor",
    /// All that were started.
    Owner "list_by_owner",
    /// All that were started.
    OwnerName "list_by_owner_name",
    /// A fiftieth.
    Parent "list_by_parent",
    /// A fiftieth.
    RetryOf "list_by_retried_action",
    /// A fiftieth.
    Correlation "list_by_correlation",
    /// The later half.
    CreatedFrom "list_created_from",
    /// The earlier half.
    CreatedBefore "list_created_before",
    /// The later half.
    FinishedFrom "list_finished_from",
    /// The earlier half.
    FinishedBefore "list_finished_before",
    /// One of twenty-five.
    CancelRequested "list_cancel_requested",
}
