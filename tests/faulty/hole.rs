//! Faults of a [`Holed`](super::holed::Holed) store.

/// The fault of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hole {
    None,
    // Pages that reach the scan limit.
    /// Says that a newest-first list ends at the scan limit.
    EndsNewestAtTheScanLimit,
    /// Says that an oldest-first list ends at the scan limit.
    EndsOldestAtTheScanLimit,
    /// Says that the feed ends at the scan limit.
    EndsTheFeedAtTheScanLimit,
    /// Reads on until the page is full, however many rows that takes.
    ScansWithoutLimit,
    /// Does so only where the rows of several objects are merged.
    ScansMergedListsWithoutLimit,
    // Positions after removals.
    /// Reports `pruned_through` one too high.
    PrunesOneTooFar,
    /// Reports `pruned_through` one too low.
    PrunesOneTooLittle,
    /// Reports the revision of the last removed action, not the highest one.
    PrunesThroughTheLast,
    /// Reports the revision of the store at the removal.
    PrunesThroughTheStore,
    /// Reports the creation time of the last removed action, not the latest one.
    PrunesCreatedOfTheLast,
    /// Reports the time of the end instead of the time of the creation.
    PrunesCreatedAtTheEnd,
    /// Takes no revision for an end in the batch that removes the action.
    MissesAnEndThatIsRemoved,
    // Reopening.
    /// Forgets `pruned_through` at reopening.
    ForgetsPrunedThroughAtReopening,
    /// Forgets `pruned_created` at reopening.
    ForgetsPrunedCreatedAtReopening,
    /// Forgets at reopening which logs have a late report.
    ForgetsLateReportsAtReopening,
    /// Forgets progress at reopening that came without a log entry.
    ForgetsProgressAtReopening,
    /// Takes an owner's last renewal for its claim, once it was reopened.
    ForgetsClaimTimesAtReopening,
    // Waiting.
    /// Wakes waiters before the commit.
    AnnouncesBeforeTheCommit,
    /// Compares a waiter's revision with the one announced, which lags behind the commits.
    AnnouncesLongAfterTheCommit,
    /// Misses a commit that is announced while a waiter begins to wait.
    MissesWhatIsAnnouncedMeanwhile,
    /// Wakes no waiter for a commit through another store.
    WaitsForItsOwnCommits,
    // Positions of pages.
    /// Reads the position of a log page after its entries.
    ReadsLogPositionsLater,
    /// Reads the position of a list page after its actions.
    ReadsListPositionsLater,
    // Keys.
    /// Keeps exclusive and idempotency keys in the same rows.
    MixesKindsOfKeys,
    /// Joins tenant and key without a separator.
    JoinsTenantAndKey,
    /// Joins tenant and key with a separator that both may have.
    JoinsTenantAndKeyByAColon,
    /// Cuts keys at 191 bytes. The second holder takes the row of the first.
    CutsKeys,
    // Values.
    /// Acknowledges a report of progress alone and keeps nothing.
    AcknowledgesProgressAlone,
    /// Keeps progress alone out of the feed.
    HidesProgressAloneFromTheFeed,
    /// Keeps progress as a 32-bit float.
    KeepsProgressAsAFloat,
    /// Compares the low 32 bits of versions.
    ComparesVersionsIn32Bits,
    /// Compares versions as floats.
    ComparesVersionsAsFloats,
    /// Keeps the low 32 bits of the versions of log entries.
    LogsVersionsIn32Bits,
    /// Keeps the versions of log entries as floats.
    LogsVersionsAsFloats,
    /// Takes an owner's last renewal for its claim.
    ForgetsClaimTimes,
    // Writes that were taken.
    /// Writes in the caller's task: a dropped future cancels the write.
    WritesInTheCallersTask,
    /// Refuses at a close what it has taken.
    RefusesWhatWasTakenAtAClose,
    /// Acknowledges at a close what it has taken, and does not write it.
    LosesWhatWasTakenAtAClose,
}
