//! Which case must notice which fault.

use super::Fault;

/// Each fault, and a case that it must fail.
pub(crate) const BITES: &[(Fault, &str)] = &[
    (Fault::DropsVersionConditions, "a_version_condition_is_kept"),
    (
        Fault::DropsVersionConditions,
        "compare_and_set_loses_no_change",
    ),
    (
        Fault::ForgetsWhoAsks,
        "nothing_of_a_fenced_owner_is_accepted",
    ),
    (Fault::ForgetsOperations, "an_operation_repeated_is_already"),
    (Fault::ForgetsOperations, "a_batch_repeated_is_harmless"),
    (Fault::TakesAllForEach, "with_all_one_refusal_refuses_all"),
    (
        Fault::ReversesAnswers,
        "answers_stand_in_the_order_of_the_commands",
    ),
    (Fault::SplitsBatches, "an_unknown_command_is_unsupported"),
    (
        Fault::LiesAboutWhatIsApplied,
        "an_operation_repeated_is_already",
    ),
    (
        Fault::LosesTheLastOfAPage,
        "pages_of_any_size_make_the_same_list",
    ),
    (Fault::RepeatsAnItem, "pages_of_any_size_make_the_same_list"),
    (
        Fault::ReversesOldest,
        "creation_order_is_kept_whatever_changes",
    ),
    (Fault::IgnoresATerm, "every_term_finds_what_it_matches"),
    (Fault::IgnoresUids, "every_term_finds_what_it_matches"),
    (Fault::LooksAtOneObject, "every_term_finds_what_it_matches"),
    (
        Fault::RepeatsWhatTouchesTwo,
        "what_touches_any_of_many_objects_is_met_once_in_order",
    ),
    (
        Fault::TakesTooManyObjects,
        "a_query_beyond_its_limits_is_invalid",
    ),
    (
        Fault::IgnoresUnknownTerms,
        "an_unknown_term_or_order_is_unsupported",
    ),
    (Fault::TrimsNames, "labels_come_back_byte_for_byte"),
    (Fault::RewritesJson, "json_comes_back_byte_for_byte"),
    (
        Fault::IgnoresDetail,
        "a_summary_leaves_out_result_and_detail",
    ),
    (Fault::IgnoresLimits, "a_query_beyond_its_limits_is_invalid"),
    (Fault::LosesLogEntries, "the_first_cancel_request_stays"),
    (
        Fault::SortsTheLogOfAll,
        "the_log_of_all_is_in_the_order_of_writing",
    ),
    (Fault::ConfusesEnds, "a_claim_fences_the_incarnation_before"),
    (
        Fault::AnswersDuplicatesOnce,
        "answers_stand_in_the_order_of_the_uids",
    ),
    (
        Fault::ToleratesTheFuture,
        "a_revision_beyond_the_store_is_invalid",
    ),
    (Fault::NeverCloses, "a_closed_store_does_nothing_more"),
    (
        Fault::NeverExpires,
        "a_feed_cursor_expires_when_something_it_has_yet_to_show_is_removed",
    ),
    (
        Fault::HalvesDroppedWrites,
        "a_dropped_write_happens_whole_or_not_at_all",
    ),
    (
        Fault::HalvesDroppedWrites,
        "a_write_dropped_at_any_poll_happens_whole_or_not_at_all",
    ),
    (Fault::ChecksThenActs, "of_many_ends_one_stays"),
    (
        Fault::IgnoresATerm,
        "every_pair_of_terms_finds_what_both_match",
    ),
    (
        Fault::FeedsByCreation,
        "the_feed_has_each_action_once_at_its_latest_change",
    ),
    (
        Fault::FeedsFromTheBeginning,
        "the_feed_is_resumed_after_any_revision",
    ),
    (
        Fault::ExpiresTooSoon,
        "a_feed_walk_outlives_the_removal_of_what_it_has_shown",
    ),
    (
        Fault::CountsRevisionsBack,
        "what_was_removed_gives_no_place_to_what_comes",
    ),
    (
        Fault::ForgetsThatItRemoved,
        "a_store_knows_since_when_its_history_is_whole",
    ),
    (
        Fault::PagesByOffset,
        "a_list_goes_on_where_it_stood_when_that_is_removed",
    ),
    (
        Fault::PagesLogsByOffset,
        "a_log_goes_on_where_it_stood_when_that_is_removed",
    ),
    (
        Fault::LosesTheLastOfAPage,
        "pages_of_every_size_are_whole_while_others_write",
    ),
    (
        Fault::SkipsALogEntry,
        "a_log_read_in_pages_of_every_size_is_whole_while_others_write",
    ),
    (Fault::FoldsOwnerNames, "owners_are_found_byte_for_byte"),
    (
        Fault::KeepsRemovedLogs,
        "a_removed_action_is_gone_with_its_log",
    ),
    (
        Fault::SkipsALogEntry,
        "the_log_of_all_is_resumed_where_it_ended",
    ),
    (Fault::LosesNotes, "prose_comes_back_byte_for_byte"),
    (
        Fault::LosesWhoDecided,
        "codes_and_deciders_come_back_byte_for_byte",
    ),
    (
        Fault::ImportsWithoutDescription,
        "a_store_carried_over_is_the_same",
    ),
    (Fault::ImportsWithoutKeys, "an_import_takes_its_keys"),
    (
        Fault::ForgetsImports,
        "an_import_keeps_an_action_and_its_log",
    ),
    (
        Fault::TakesAllForEach,
        "a_refused_import_leaves_nothing_and_disturbs_nobody",
    ),
    (Fault::ForgetsRenewals, "a_renewal_counts"),
    (Fault::ForgetsReleases, "a_release_ends_an_owner"),
    (
        Fault::AlwaysTakesOver,
        "without_take_over_a_living_owner_is_left_alone",
    ),
    (
        Fault::FencesWhoeverRenews,
        "a_fence_is_by_the_renewals_seen",
    ),
    (Fault::ReversesOwners, "owners_are_listed_by_name_and_claim"),
    (Fault::AnswersWhatIsKnown, "what_is_there_is_not_waited_for"),
    (
        Fault::CountsRenewalsAsChanges,
        "what_changes_nothing_has_no_revision",
    ),
    (Fault::ClosesOnce, "a_closed_store_does_nothing_more"),
    (
        Fault::ForgetsADroppedClose,
        "a_close_dropped_at_any_poll_is_finished_by_the_next",
    ),
    (Fault::FoldsKeys, "keys_are_compared_byte_for_byte"),
    (
        Fault::HoldsKeysForEver,
        "an_exclusive_key_is_free_once_its_holder_is_completed",
    ),
    (
        Fault::ForgetsIdempotencyKeys,
        "an_idempotency_key_finds_the_first_action",
    ),
    (
        Fault::HoldsKeysForEver,
        "an_action_exclusive_on_its_object_keeps_off_who_asks_for_it",
    ),
    (Fault::SharesKeysAmongTenants, "keys_are_those_of_a_tenant"),
    (
        Fault::NamesAnotherHolder,
        "a_conflict_names_the_holder_within_the_tenant",
    ),
    (
        Fault::NamesAnotherHolder,
        "a_conflict_names_the_key_and_its_holder",
    ),
    (
        Fault::LooksAtKeysFirst,
        "a_create_repeated_is_not_in_its_own_way",
    ),
    (
        Fault::FindsSubjectsOnly,
        "an_action_is_found_once_by_each_object_it_touches",
    ),
    (
        Fault::ForgetsParents,
        "the_parts_of_an_action_are_found_by_it",
    ),
    (
        Fault::TakesAllForEach,
        "an_action_and_its_parts_are_recorded_together_or_not_at_all",
    ),
    (Fault::ForgetsPins, "a_pinned_action_is_not_removed"),
    (Fault::RemovesWhatIsPinned, "a_pinned_action_is_not_removed"),
    (
        Fault::RemovesWhatIsPinned,
        "what_stays_is_met_once_while_others_are_removed",
    ),
    (Fault::CutsDescriptions, "prose_comes_back_byte_for_byte"),
    (
        Fault::RefusesTheLargest,
        "a_batch_of_the_largest_size_is_accepted",
    ),
    (
        Fault::TakesTooMany,
        "a_batch_with_too_many_commands_is_invalid",
    ),
    (
        Fault::LooksUpTooMany,
        "as_many_uids_as_allowed_are_looked_up",
    ),
    (
        Fault::TakesAnyContent,
        "the_same_uid_with_other_content_is_a_conflict",
    ),
    (
        Fault::CreatesForTheDead,
        "a_create_in_the_name_of_who_is_not_alive_is_fenced",
    ),
    (
        Fault::EndsForAnybody,
        "an_executing_action_is_moved_by_its_owner_alone",
    ),
    (
        Fault::EndsForAnybody,
        "a_queued_action_of_a_living_owner_is_ended_by_it_alone",
    ),
    (Fault::SucceedsHalfway, "success_is_always_at_100_percent"),
    (
        Fault::RemovesWhateverVersion,
        "a_removal_demands_the_version",
    ),
    (
        Fault::ChecksKeysThenActs,
        "of_many_who_want_a_key_one_gets_it",
    ),
    (
        Fault::ChecksKeysThenActs,
        "many_creates_of_one_idempotency_key_make_one_action",
    ),
    (Fault::ReapsByTheClock, "an_owner_lives_however_late_it_is"),
    (Fault::StampsAsTheClockSays, "stamps_never_run_backwards"),
    (
        Fault::ListsByTheClock,
        "lists_and_feeds_do_not_follow_the_clock",
    ),
    (
        Fault::KnowsOwnersByName,
        "nothing_of_an_owner_taken_over_is_accepted",
    ),
    (
        Fault::KnowsOwnersByName,
        "nothing_of_a_fenced_owner_comes_after_its_fence",
    ),
    (
        Fault::ChecksLivesThenClaims,
        "of_many_who_claim_a_name_one_lives",
    ),
    (
        Fault::KeepsEveryOwner,
        "the_ended_owners_remembered_are_bounded",
    ),
    (
        Fault::LosesFromTheLiving,
        "an_action_is_lost_only_once_its_owner_is_dead",
    ),
    (
        Fault::AdoptsFromTheLiving,
        "an_action_is_lost_only_once_its_owner_is_dead",
    ),
    (Fault::LosesEvidence, "a_lost_action_keeps_the_evidence"),
    (
        Fault::KeepsQueuedForTheDead,
        "a_queued_action_of_a_dead_owner_is_ended_by_anybody",
    ),
    (
        Fault::StartsForItsOwnerAlone,
        "a_queued_action_of_a_dead_owner_may_be_started",
    ),
    (Fault::AdoptsFromTheBeginning, "an_adopted_action_goes_on"),
    (
        Fault::FindsByFormerOwner,
        "an_adopted_action_is_found_with_its_new_owner",
    ),
    (
        Fault::FindsByFormerOwner,
        "what_an_owner_is_asked_to_cancel_is_found_until_it_ends",
    ),
    (
        Fault::ForgetsLateReports,
        "a_late_report_is_refused_and_kept_once",
    ),
    (
        Fault::KeepsEveryLateReport,
        "a_late_report_is_refused_and_kept_once",
    ),
    (
        Fault::AcceptsRepeatedLateReports,
        "a_late_report_repeated_is_refused_again",
    ),
    (
        Fault::UndoesLateReports,
        "a_late_report_is_kept_of_a_batch_refused_as_a_whole",
    ),
    (
        Fault::LetsLateReportsDecide,
        "a_late_report_leaves_the_action_to_be_decided",
    ),
    (
        Fault::PutsLateReportsLast,
        "a_late_report_stands_in_the_log_where_it_came",
    ),
    (
        Fault::SaysFencedOfTheReleased,
        "an_incarnation_that_has_ended_does_not_come_back",
    ),
    (
        Fault::AppliesProgressAgain,
        "progress_repeated_after_others_is_already",
    ),
    (
        Fault::RefusesProgressAfterTheEnd,
        "progress_repeated_after_others_is_already",
    ),
    (
        Fault::RefusesWhatDoesNotFit,
        "a_report_that_does_not_fit_is_recorded_and_noted",
    ),
    (
        Fault::RefusesWhatDoesNotFit,
        "attributes_that_do_not_fit_leave_those_before",
    ),
    (
        Fault::RefusesWhatDoesNotFit,
        "what_was_cut_is_recognised_when_it_is_repeated",
    ),
    (
        Fault::CutsInSilence,
        "a_report_that_does_not_fit_is_recorded_and_noted",
    ),
    (
        Fault::CutsInSilence,
        "a_full_list_of_warnings_still_takes_a_note",
    ),
    (
        Fault::CutsInSilence,
        "a_cancel_reason_that_does_not_fit_is_cut_and_noted",
    ),
    (
        Fault::CutsInSilence,
        "a_description_that_does_not_fit_is_cut_at_the_create",
    ),
    (
        Fault::RefusesEndsThatDoNotFit,
        "an_end_that_does_not_fit_is_recorded_and_noted",
    ),
];

/// Faults that a case notices by waiting in vain, and so on a clock that a test may pause.
pub(crate) const HANGS: &[(Fault, &str)] = &[
    (Fault::NeverWakes, "a_change_wakes_who_waits_for_it"),
    (Fault::KeepsWaitersAtClose, "closing_lets_who_waits_go"),
    (
        Fault::LosesReaders,
        "a_read_dropped_at_any_poll_harms_nobody",
    ),
    (
        Fault::LosesWaiters,
        "a_waiter_dropped_at_any_poll_harms_nobody",
    ),
];
