//! The kinds of work that a workload can do.

/// The work that each caller of a workload repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Work {
    /// Creates actions.
    Create,
    /// Runs the whole lifecycle of an action: create, start, three progress reports,
    /// finish. Each step is a call.
    Life,
    /// Looks up one of the initial actions, chosen at random.
    Get,
    /// Reads the first page of a list.
    List(ListBy),
    /// Reads the feed from its beginning to its end, repeatedly. Each page is a call.
    Feed,
    /// Waits in [`changed`](crate::ActionStore::changed) while another task writes. A
    /// call takes from the moment the write is sent until the caller is notified.
    Wait,
    /// Runs lifecycles like `Life` while another task removes the completed initial
    /// actions, oldest first. Only the calls of the lifecycles are measured.
    Prune,
    /// Closes the store, opens it again and reads an action, one after the other, with
    /// one caller.
    Reopen,
}

impl Work {
    /// Returns every kind of work.
    #[must_use]
    pub fn all() -> Vec<Work> {
        let mut all = vec![Work::Create, Work::Life, Work::Get, Work::Feed, Work::Wait];
        all.extend(ListBy::ALL.iter().map(|by| Work::List(*by)));
        all.extend([Work::Prune, Work::Reopen]);
        all
    }

    /// Returns the name of the work: the variant in snake case, for example `life` or
    /// `list_object`.
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
        /// The list to read: all actions or one filter. Newest first unless the variant
        /// says otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ListBy {
            $($(#[$meta])* $variant,)*
        }

        impl ListBy {
            /// Every list: one for each filter, and two without a filter.
            pub const ALL: &[ListBy] = &[$(ListBy::$variant,)*];

            /// Returns the name of the list: `list_` and the variant in snake case, for
            /// example `list_newest` or `list_object`.
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
    Uid "list_uid",
    /// The completed actions: nine tenths.
    Status "list_status",
    /// The unfinished actions: one tenth.
    Unfinished "list_unfinished",
    /// The failed actions: one tenth.
    Outcome "list_outcome",
    /// One source: a third of the actions.
    Source "list_source",
    /// One name: a tenth of the actions.
    Name "list_name",
    /// One object: a hundredth of the actions.
    Object "list_object",
    /// One touched object: a tenth of the actions.
    Touches "list_touches",
    /// Any of three touched objects: a fiftieth of the actions. An authorization scope
    /// makes such a query.
    TouchesAny "list_touches_any",
    /// One tenant: a tenth of the actions.
    Tenant "list_tenant",
    /// One actor: a twentieth of the actions.
    Actor "list_actor",
    /// One owner: every action that was started.
    Owner "list_owner",
    /// One owner name: every action that was started.
    OwnerName "list_owner_name",
    /// One parent: a fiftieth of the actions.
    Parent "list_parent",
    /// One retried action: a fiftieth of the actions.
    RetryOf "list_retry_of",
    /// One correlation: a fiftieth of the actions.
    Correlation "list_correlation",
    /// The half of the actions created last.
    CreatedFrom "list_created_from",
    /// The half of the actions created first.
    CreatedBefore "list_created_before",
    /// The half of the actions finished last.
    FinishedFrom "list_finished_from",
    /// The half of the actions finished first.
    FinishedBefore "list_finished_before",
    /// Actions with a cancel request: one of twenty-five.
    CancelRequested "list_cancel_requested",
}
