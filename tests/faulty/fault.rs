//! The list of what can be wrong with a store.

/// The fault of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    None,
    /// Ignores `if_version`.
    DropsVersionConditions,
    /// Forgets in whose name a cancel request is, and so that its owner is fenced.
    ForgetsWhoAsks,
    /// Draws a new operation id for each change: no repeat is recognised.
    ForgetsOperations,
    /// Carries `All` out as `Each`.
    TakesAllForEach,
    /// Takes new parts of an action that is completed.
    AddsPartsToWhatIsOver,
    /// Says that it has removed a part of an unfinished action.
    RemovesParts,
    /// Answers in reverse order.
    ReversesAnswers,
    /// Carries commands out one by one, each in a transaction of its own.
    SplitsBatches,
    /// Answers `Unavailable` after having applied, every third time.
    LiesAboutWhatIsApplied,
    /// Leaves out the last item of a full page.
    LosesTheLastOfAPage,
    /// Offers a page after a full one that ended the list.
    OffersAPageBeyondTheEnd,
    /// Begins a page with the last item of the page before.
    RepeatsAnItem,
    /// Still counts an action that was removed.
    CountsRemovedActions,
    /// Lists completed actions in the order of their creation.
    CompletesByCreation,
    /// Takes the end of a range of times for the last time in it.
    IncludesTheEndOfARange,
    /// Shows each page of an oldest-first list newest first.
    ReversesOldest,
    /// Leaves a term out.
    IgnoresATerm,
    /// Looks at one filter of each kind.
    LooksAtOneFilterOfAKind,
    /// Leaves out which action is asked for.
    IgnoresUids,
    /// Takes the first of several objects for all of them.
    LooksAtOneObject,
    /// Shows an action once for each of several objects that it touches.
    RepeatsWhatTouchesTwo,
    /// Forgets the labels of an action.
    ForgetsLabels,
    /// Cuts labels that are too long or too many.
    CutsLabels,
    /// Finds an action by a label with another value.
    IgnoresLabelValues,
    /// Finds an action by the labels of a removed one with its uid.
    KeepsLabelsOfTheRemoved,
    /// Takes a set with an outcome for one with every outcome.
    IgnoresOutcomesOfASet,
    /// Takes the prefix of a name for a pattern.
    TakesPrefixesForPatterns,
    /// Reads only some of the names that begin with a text.
    MergesAFewNames,
    /// Takes any number of objects.
    TakesTooManyObjects,
    /// Leaves terms out that it does not know.
    IgnoresUnknownTerms,
    /// Trims labels.
    TrimsNames,
    /// Parses and writes JSON again.
    RewritesJson,
    /// Shows full actions where summaries are asked for.
    IgnoresDetail,
    /// Takes any limit.
    IgnoresLimits,
    /// Drops the oldest entries of a log that is too long, whatever they are.
    DropsTheOldestEntries,
    /// Drops steps and notes of a log that is too long, and keeps all adoptions.
    KeepsEveryAdoption,
    /// Loses the log entries of cancel requests.
    LosesLogEntries,
    /// Sorts each page of the log of all by action.
    SortsTheLogOfAll,
    /// Says of a fenced owner that it was released.
    ConfusesEnds,
    /// Answers duplicates of a uid once.
    AnswersDuplicatesOnce,
    /// Takes a revision beyond the store for its last.
    ToleratesTheFuture,
    /// Goes on after it was closed.
    NeverCloses,
    /// Accepts a cursor of any branch.
    GoesOnInAnyBranch,
    /// Restarts a feed instead of reporting that its cursor has expired.
    NeverExpires,
    /// Writes a batch in two halves. A cancelled caller has written only one.
    HalvesDroppedWrites,
    /// Decides by what it read before it writes: several callers win.
    ChecksThenActs,
    // Faults of the feed.
    /// Shows the feed in the order of creation.
    FeedsByCreation,
    /// Begins every feed at its beginning.
    FeedsFromTheBeginning,
    /// Says that a feed has expired once anything was removed.
    ExpiresTooSoon,
    /// Counts revisions of what is removed back.
    CountsRevisionsBack,
    /// Does not know that anything was ever removed.
    ForgetsThatItRemoved,
    // Lists and logs.
    /// Goes on in a list after as many as it has shown.
    PagesByOffset,
    /// Ends a list when the last action that it has shown is completed.
    EndsBehindWhatIsCompleted,
    /// Goes on in a log after as many as it has shown.
    PagesLogsByOffset,
    /// Ignores case when it looks up owners by name.
    FoldsOwnerNames,
    /// Keeps the log of what is removed.
    KeepsRemovedLogs,
    /// Goes on in a log one entry too late.
    SkipsALogEntry,
    /// Loses the notes of log entries.
    LosesNotes,
    /// Loses who brought a log entry about.
    LosesWhoDecided,
    // Imports.
    /// Imports without the fields of a later version.
    ImportsKnownFieldsOnly,
    /// Imports without the description.
    ImportsWithoutDescription,
    /// Imports without the exclusive keys.
    ImportsWithoutKeys,
    /// Takes an import repeated for a conflict.
    ForgetsImports,
    /// Keeps versions as floating-point numbers.
    RoundsVersions,
    /// Imports an action of any version, at the highest that it knows.
    CapsImportedVersions,
    // Owners.
    /// Answers renewals without counting them.
    ForgetsRenewals,
    /// Answers releases and lets the owner live.
    ForgetsReleases,
    /// Takes a name over though it was asked not to.
    AlwaysTakesOver,
    /// Fences an owner without comparing its renewals.
    FencesWhoeverRenews,
    /// Lists owners in the reverse order.
    ReversesOwners,
    /// Lists owners of all names, though one name is asked for.
    IgnoresOwnerNames,
    /// Leaves out the last owner of a page that goes on.
    SkipsAnOwner,
    /// Takes owners that have ended for active.
    TakesAllOwnersForActive,
    /// Takes only owners that are alive for active.
    TakesTheLivingForActive,
    /// Forgets old ended owners, even if they have unfinished actions.
    ForgetsWhoeverHasEnded,
    /// Forgets a living owner with an earlier incarnation of its name.
    ForgetsTheLivingWithItsName,
    /// Lets an incarnation that has ended claim its name again.
    TakesLateClaims,
    // Changes.
    /// Never wakes who waits.
    NeverWakes,
    /// Answers who waits with the revision that was known.
    AnswersWhatIsKnown,
    /// Counts a renewal as a change.
    CountsRenewalsAsChanges,
    // Closing.
    /// Leaves who waits waiting when it closes.
    KeepsWaitersAtClose,
    /// Fails to close twice.
    ClosesOnce,
    /// Takes a close that was begun for one that was done.
    ForgetsADroppedClose,
    // Keys.
    /// Ignores case when it compares exclusive keys.
    FoldsKeys,
    /// Holds exclusive keys for ever.
    HoldsKeysForEver,
    /// Forgets idempotency keys.
    ForgetsIdempotencyKeys,
    /// Lets tenants meet in an exclusive key.
    SharesKeysAmongTenants,
    /// Always names the holder of the first exclusive key, for any key.
    NamesAnotherHolder,
    /// Looks at exclusive keys before it looks whether a create is a repeat.
    LooksAtKeysFirst,
    // Relations.
    /// Finds actions by their object, not by related ones.
    FindsSubjectsOnly,
    /// Forgets what an action is a part of.
    ForgetsParents,
    // Pins.
    /// Answers pins and pins nothing.
    ForgetsPins,
    /// Removes what is pinned as well.
    RemovesWhatIsPinned,
    // Limits.
    /// Cuts long descriptions.
    CutsDescriptions,
    /// Refuses reports whose texts do not fit.
    RefusesWhatDoesNotFit,
    /// Cuts texts of reports that do not fit, and does not say so.
    CutsInSilence,
    /// Refuses an end whose texts do not fit.
    RefusesEndsThatDoNotFit,
    /// Does not know how an owner ended.
    ForgetsHowAnOwnerEnded,
    /// Says of an owner that released its name that it was fenced.
    SaysFencedOfTheReleased,
    /// Applies progress again that is repeated after another change.
    AppliesProgressAgain,
    /// Refuses progress that is repeated after the end.
    RefusesProgressAfterTheEnd,
    /// Refuses a batch of the largest size.
    RefusesTheLargest,
    /// Takes more commands than it says, in pieces.
    TakesTooMany,
    /// Looks up more uids than it says.
    LooksUpTooMany,
    /// Fails when the answer to a look-up is large.
    AnswersLittle,
    // Futures that are dropped.
    /// Loses a place for readers with each read that is dropped.
    LosesReaders,
    /// Loses a place for waiters with each that is dropped.
    LosesWaiters,
    // Creates and what becomes of actions.
    /// Takes every create with an existing uid for a repeat, without comparing its content.
    TakesAnyContent,
    /// Creates an action for an owner that is not alive, as if no owner was given.
    CreatesForTheDead,
    /// Lets any caller end an action, as if it were the owner.
    EndsForAnybody,
    /// Ends an action as succeeded without being at its end.
    SucceedsHalfway,
    /// Removes an action without comparing its version.
    RemovesWhateverVersion,
    /// Looks at a key before it writes, and writes without it.
    ChecksKeysThenActs,
    // The clock.
    /// Takes an owner for dead that has not renewed for an hour, by the clock.
    ReapsByTheClock,
    /// Stamps changes with what the clock says, also when that was set back.
    StampsAsTheClockSays,
    /// Lists by the time of creation.
    ListsByTheClock,
    // Owners that are not alive.
    /// Takes an incarnation for the one alive of its name.
    KnowsOwnersByName,
    /// Checks for a living owner before it lets a name be claimed.
    ChecksLivesThenClaims,
    /// Never forgets an owner.
    KeepsEveryOwner,
    /// Settles an action as lost although its owner is alive.
    LosesFromTheLiving,
    /// Lets an action be adopted although its owner is alive.
    AdoptsFromTheLiving,
    /// Answers without the evidence.
    LosesEvidence,
    /// Lets only its owner end a queued action, dead or alive.
    KeepsQueuedForTheDead,
    /// Lets only its owner start a queued action, dead or alive.
    StartsForItsOwnerAlone,
    /// Restarts an adopted action.
    AdoptsFromTheBeginning,
    /// Finds an adopted action by who owned it before.
    FindsByFormerOwner,
    /// Forgets late reports.
    ForgetsLateReports,
    /// Keeps each late report, however often it comes.
    KeepsEveryLateReport,
    /// Takes a late report that is repeated for one that was accepted.
    AcceptsRepeatedLateReports,
    /// Undoes a late report with the batch it came in.
    UndoesLateReports,
    /// Takes an action with a late report for decided.
    LetsLateReportsDecide,
    /// Enters late reports behind everything else.
    PutsLateReportsLast,
}
