//! The one list of cases, and the macros that make tests of it.

/// Makes every case of the suite a test of its own, named as the case, in the module where it
/// stands.
///
/// Takes a [`Fixture`](crate::conformance::Fixture) (an async function without arguments will
/// do), and what that fixture offers beside a store: `clock` if its stores stamp with the manual
/// clock they bring, `reopen` if they can be opened again. Cases that need what is not declared
/// are not among the tests; declaring what the fixture does not offer, or offering what is not
/// declared, fails `the_fixture_offers_what_it_declares`.
///
/// The tests need `tokio` with `macros` and `rt-multi-thread` as a dev-dependency, and
/// `action-store` with the feature `conformance`.
///
/// ```
/// # #![allow(unexpected_cfgs)]
/// mod my_store {
///     use action_store::conformance::Subject;
///     use action_store::{Clock, MemoryStore, Timestamp};
///
///     async fn open() -> Subject {
///         let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
///         Subject::new(MemoryStore::with_clock(clock.clone())).with_clock(clock)
///     }
///
///     action_store::conformance_tests!(open, clock);
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, no, no] }
    };
    ($fixture:expr, clock $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, yes, no] }
    };
    ($fixture:expr, reopen $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, no, yes] }
    };
    ($fixture:expr, clock, reopen $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, yes, yes] }
    };
}

/// The list. A case is `plain`, needs a `crowd` of threads, a `clock` or to `reopen` its store.
/// What is not here is not compiled without a warning that nobody uses it.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($then:ident $with:tt) => {
        $crate::$then! {
            $with
            {
                create {
                    plain a_new_action_is_queued_at_version_one;
                    plain a_create_repeated_is_already;
                    plain a_create_repeated_later_answers_the_action_as_it_is;
                    plain the_same_uid_with_other_content_is_a_conflict;
                    plain a_create_repeated_under_another_correlation_is_already;
                    plain a_create_in_an_owners_name_is_owned;
                    plain a_create_in_the_name_of_who_is_not_alive_is_fenced;
                    plain a_create_repeated_after_its_owner_was_fenced_is_already;
                    plain an_action_that_breaks_a_rule_is_invalid;
                    plain as_much_as_is_allowed_is_accepted;
                }
                fitting {
                    plain a_report_that_does_not_fit_is_recorded_and_noted;
                    plain attributes_that_do_not_fit_leave_those_before;
                    plain more_warnings_than_fit_are_left_out_and_noted;
                    plain a_full_list_of_warnings_still_takes_a_note;
                    plain an_end_that_does_not_fit_is_recorded_and_noted;
                    plain a_cancel_reason_that_does_not_fit_is_cut_and_noted;
                    plain a_description_that_does_not_fit_is_cut_at_the_create;
                    plain what_was_cut_is_recognised_when_it_is_repeated;
                }
                keys {
                    plain an_exclusive_key_has_one_holder;
                    plain a_refused_create_takes_none_of_its_keys;
                    plain an_exclusive_key_is_free_once_its_holder_is_completed;
                    plain keys_are_those_of_a_tenant;
                    plain a_conflict_names_the_holder_within_the_tenant;
                    plain a_conflict_names_the_key_and_its_holder;
                    plain an_action_exclusive_on_its_object_keeps_off_who_asks_for_it;
                    plain a_create_repeated_is_not_in_its_own_way;
                    plain the_two_kinds_of_key_do_not_meet;
                    plain keys_are_compared_byte_for_byte;
                    plain an_exclusive_key_is_held_within_its_batch;
                    plain an_exclusive_key_passes_on_within_a_batch;
                    plain an_exclusive_key_named_twice_is_invalid;
                    plain an_idempotency_key_finds_the_first_action;
                    plain an_idempotency_key_with_other_content_is_a_conflict;
                    plain an_idempotency_key_is_free_once_its_action_is_removed;
                }
                relations {
                    plain an_action_is_found_once_by_each_object_it_touches;
                    plain the_parts_of_an_action_are_found_by_it;
                    plain an_action_and_its_parts_are_recorded_together_or_not_at_all;
                }
                lifecycle {
                    plain every_legal_edge_is_taken_by_who_may;
                    plain every_other_move_is_refused;
                    plain an_executing_action_is_moved_by_its_owner_alone;
                    plain a_queued_action_without_an_owner_is_ended_by_anybody;
                    plain a_queued_action_of_a_living_owner_is_ended_by_it_alone;
                    plain a_start_makes_the_starter_the_owner;
                    plain a_start_or_adoption_in_nobodys_name_is_invalid;
                    plain a_completed_action_never_changes;
                    plain a_finish_that_contradicts_itself_is_invalid;
                    plain an_end_is_recorded_whole;
                    plain an_end_without_words_says_why;
                    plain success_is_always_at_100_percent;
                    plain an_unknown_action_is_not_found;
                }
                operations {
                    plain an_operation_repeated_is_already;
                    plain an_operation_repeated_after_others_is_already;
                    plain progress_repeated_after_others_is_already;
                    plain a_repeat_is_recognised_before_the_version_condition;
                    plain an_operation_is_known_for_its_action_only;
                    plain a_refused_operation_may_be_tried_again;
                    plain a_version_condition_is_kept;
                    plain versions_have_no_holes;
                    plain stamps_and_numbers_agree;
                }
                reports {
                    plain a_report_is_recorded_whole;
                    plain progress_never_goes_down;
                    plain a_lower_progress_with_news_keeps_the_higher;
                    plain progress_alone_makes_no_log_entry;
                    plain a_note_makes_a_log_entry;
                    plain attributes_are_replaced_as_a_whole;
                    plain a_warning_is_kept_once_and_warnings_are_bounded;
                    plain only_the_owner_reports;
                    plain a_report_before_the_start_or_after_the_end_is_refused;
                    plain the_first_cancel_request_stays;
                    plain a_cancel_request_moves_nothing;
                    plain a_cancel_request_for_a_completed_action_is_refused;
                    plain what_an_owner_is_asked_to_cancel_is_found_until_it_ends;
                }
                batches {
                    plain an_empty_batch_is_accepted;
                    plain answers_stand_in_the_order_of_the_commands;
                    plain a_command_sees_those_before_it;
                    plain an_action_changed_twice_in_a_batch_is_in_the_feed_once;
                    plain with_each_a_refused_command_disturbs_nobody;
                    plain with_all_one_refusal_refuses_all;
                    plain with_all_an_invalid_command_refuses_all;
                    plain a_batch_repeated_is_harmless;
                    plain an_action_created_and_removed_in_one_batch_leaves_nothing;
                    plain an_action_removed_and_created_anew_in_one_batch_is_new;
                    plain a_batch_of_the_largest_size_is_accepted;
                    plain a_batch_with_too_many_commands_is_invalid;
                    plain a_batch_with_too_many_bytes_is_invalid;
                    plain an_unknown_command_is_unsupported;
                }
                owners {
                    plain a_claim_makes_an_owner_alive;
                    plain a_claim_fences_the_incarnation_before;
                    plain without_take_over_a_living_owner_is_left_alone;
                    plain an_incarnation_that_has_ended_does_not_come_back;
                    plain a_renewal_counts;
                    plain a_renewal_is_no_change_of_an_action;
                    plain who_never_claimed_is_fenced;
                    plain a_release_ends_an_owner;
                    plain a_fence_is_by_the_renewals_seen;
                    plain nothing_of_a_fenced_owner_is_accepted;
                    plain nothing_of_an_owner_taken_over_is_accepted;
                    plain nothing_of_a_released_owner_is_accepted;
                    plain a_fence_acts_within_its_batch;
                    plain a_repeat_of_what_was_accepted_before_the_fence_is_already;
                    plain owners_are_listed_by_name_and_claim;
                    plain the_ended_owners_remembered_are_bounded;
                    plain an_owner_name_that_breaks_the_rules_is_invalid;
                }
                recovery {
                    plain an_action_is_lost_only_once_its_owner_is_dead;
                    plain a_lost_action_keeps_the_evidence;
                    plain a_queued_action_of_a_dead_owner_is_ended_by_anybody;
                    plain a_queued_action_of_a_dead_owner_may_be_started;
                    plain an_adopted_action_goes_on;
                    plain an_adopted_action_is_found_with_its_new_owner;
                    plain a_late_report_is_refused_and_kept_once;
                    plain a_late_report_repeated_is_refused_again;
                    plain a_late_report_is_kept_of_a_batch_refused_as_a_whole;
                    plain a_late_report_leaves_the_action_to_be_decided;
                    plain a_late_report_stands_in_the_log_where_it_came;
                }
                removal {
                    plain an_unfinished_action_is_not_removed;
                    plain a_pinned_action_is_not_removed;
                    plain an_unfinished_action_may_be_pinned_ahead;
                    plain a_removal_demands_the_version;
                    plain a_removed_action_is_gone_with_its_log;
                    plain a_removal_of_what_never_was_is_already;
                    plain an_import_keeps_an_action_and_its_log;
                    plain an_import_takes_its_keys;
                    plain an_imported_action_of_an_unknown_owner_may_be_lost;
                    plain stamps_of_any_time_are_imported;
                    plain an_import_that_contradicts_itself_is_invalid;
                }
                pruning {
                    plain a_list_goes_on_where_it_stood_when_that_is_removed;
                    plain a_log_goes_on_where_it_stood_when_that_is_removed;
                    plain what_was_removed_gives_no_place_to_what_comes;
                    crowd what_stays_is_met_once_while_others_are_removed;
                }
                transfer {
                    plain a_store_carried_over_is_the_same;
                    plain a_refused_import_leaves_nothing_and_disturbs_nobody;
                    plain an_import_does_not_hide_that_its_owner_is_alive;
                }
                get {
                    plain answers_stand_in_the_order_of_the_uids;
                    plain nothing_is_found_for_no_uids;
                    plain as_many_uids_as_allowed_are_looked_up;
                    plain uids_of_any_version_are_taken;
                }
                texts {
                    plain labels_come_back_byte_for_byte;
                    plain labels_are_found_byte_for_byte;
                    plain owners_are_found_byte_for_byte;
                    plain codes_and_deciders_come_back_byte_for_byte;
                    plain prose_comes_back_byte_for_byte;
                    plain json_comes_back_byte_for_byte;
                    plain objects_of_any_kind_come_back;
                    plain a_label_that_breaks_the_rules_is_invalid;
                    plain attributes_that_break_the_rules_are_invalid;
                }
                list {
                    plain every_term_finds_what_it_matches;
                    plain every_pair_of_terms_finds_what_both_match;
                    plain what_touches_any_of_many_objects_is_met_once_in_order;
                    plain pages_of_any_size_make_the_same_list;
                    plain a_query_beyond_its_limits_is_invalid;
                    plain an_unknown_term_or_order_is_unsupported;
                    plain a_cursor_of_another_list_is_invalid;
                    plain a_cursor_of_another_store_is_invalid;
                    plain a_cursor_comes_back_from_its_text;
                    plain a_summary_leaves_out_result_and_detail;
                    plain a_page_says_where_the_store_stood;
                }
                walks {
                    crowd a_walk_meets_each_action_once_while_others_write;
                    plain the_feed_has_each_action_once_at_its_latest_change;
                    plain the_feed_is_resumed_after_any_revision;
                    crowd a_reader_of_the_feed_misses_nothing;
                    plain a_feed_cursor_expires_when_something_it_has_yet_to_show_is_removed;
                    plain a_feed_cursor_stays_expired_whatever_is_removed_later;
                    plain a_store_knows_since_when_its_history_is_whole;
                    plain a_feed_begun_after_a_removal_works;
                    plain a_feed_walk_outlives_the_removal_of_what_it_has_shown;
                    plain creation_order_is_kept_whatever_changes;
                }
                paging {
                    crowd pages_of_every_size_are_whole_while_others_write;
                    crowd a_log_read_in_pages_of_every_size_is_whole_while_others_write;
                }
                log {
                    plain a_log_is_in_order_and_ends_where_its_action_is;
                    plain the_log_of_an_unknown_action_is_empty;
                    plain the_log_of_all_is_in_the_order_of_writing;
                    plain the_log_of_all_is_resumed_where_it_ended;
                    plain a_log_query_beyond_its_limits_is_invalid;
                    plain a_log_keeps_its_newest_entries;
                    plain a_log_made_too_long_by_the_batch_that_began_it_is_cut_as_well;
                    plain a_late_report_pushes_nothing_out_of_a_full_log;
                }
                changed {
                    plain nothing_is_waited_for_without_a_revision;
                    plain what_is_there_is_not_waited_for;
                    crowd a_change_wakes_who_waits_for_it;
                    plain a_revision_beyond_the_store_is_invalid;
                    plain what_changes_nothing_has_no_revision;
                    plain a_closed_store_does_nothing_more;
                    plain closing_lets_who_waits_go;
                    crowd two_may_close_at_once;
                }
                drops {
                    plain a_dropped_write_happens_whole_or_not_at_all;
                    plain dropped_reads_harm_nobody;
                    plain a_dropped_write_keeps_its_place;
                }
                polls {
                    plain a_write_dropped_at_any_poll_happens_whole_or_not_at_all;
                    plain a_read_dropped_at_any_poll_harms_nobody;
                    plain a_waiter_dropped_at_any_poll_harms_nobody;
                    plain a_close_dropped_at_any_poll_is_finished_by_the_next;
                }
                contention {
                    crowd of_many_ends_one_stays;
                    crowd compare_and_set_loses_no_change;
                    crowd of_many_who_want_a_key_one_gets_it;
                    crowd many_creates_of_one_idempotency_key_make_one_action;
                    crowd the_same_batch_sent_by_many_acts_once;
                    crowd of_many_who_claim_a_name_one_lives;
                    crowd nothing_of_a_fenced_owner_comes_after_its_fence;
                    crowd readers_see_an_action_and_its_log_agree;
                }
                clock {
                    clock stamps_are_those_of_the_clock;
                    clock stamps_never_run_backwards;
                    clock lists_and_feeds_do_not_follow_the_clock;
                    clock terms_of_time_tell_stamps_apart_to_the_microsecond;
                    clock an_owner_lives_however_late_it_is;
                }
                reopen {
                    reopen what_was_acknowledged_is_there_after_reopening;
                    reopen repeats_are_recognised_after_reopening;
                    reopen keys_pins_and_fences_hold_after_reopening;
                    reopen walks_go_on_after_reopening;
                    reopen what_was_removed_before_reopening_gives_no_place_to_what_comes;
                    reopen a_store_whose_close_was_dropped_is_reopened_whole;
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$fixture:expr, $clock:ident, $reopen:ident] {
        $($group:ident { $($need:ident $case:ident;)* })*
    }) => {
        $($($crate::__conformance_test! { $need $clock $reopen $case $fixture })*)*

        #[tokio::test]
        async fn the_fixture_offers_what_it_declares(
        ) -> ::core::result::Result<(), $crate::conformance::Failure> {
            let declared = (stringify!($clock) == "yes", stringify!($reopen) == "yes");
            $crate::conformance::check_fixture(&$fixture, declared.0, declared.1).await
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    (plain $clock:ident $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    (crowd $clock:ident $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture,
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)] }
    };
    (clock yes $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    // Not applicable: there is nothing to test.
    (clock no $reopen:ident $case:ident $fixture:expr) => {};
    (reopen $clock:ident yes $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    (reopen $clock:ident no $case:ident $fixture:expr) => {};
    (@test $case:ident $fixture:expr, $(#[$attribute:meta])*) => {
        $(#[$attribute])*
        async fn $case() -> ::core::result::Result<(), $crate::conformance::Failure> {
            $crate::conformance::prove(stringify!($case), &$fixture).await
        }
    };
}

/// Registers the list; see `CASES`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_register {
    ([] { $($group:ident { $($need:ident $case:ident;)* })* }) => {
        /// Every case, by group.
        pub(super) const CASES: &[Case] = &[$($(Case {
            group: stringify!($group),
            name: stringify!($case),
            run: |fixture| Box::pin($group::$case(fixture)),
        },)*)*];
    };
}
