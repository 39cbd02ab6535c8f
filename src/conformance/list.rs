//! The list of all cases.

/// The list of cases. A case is `plain`, or needs a `crowd` of threads, a `clock`, or to
/// `reopen` its store. A case that is not listed here causes a compiler warning about
/// unused code.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($then:ident $with:tt) => {
        $crate::$then! {
            $with
            {
                create {
                    plain a_new_action_is_queued_at_version_one;
                    plain a_repeated_create_is_answered_already;
                    plain a_repeated_create_returns_the_current_action;
                    plain the_same_uid_with_other_content_is_a_conflict;
                    plain a_create_repeated_with_another_correlation_is_answered_already;
                    plain an_action_created_by_an_owner_belongs_to_it;
                    plain a_create_by_an_owner_that_is_not_alive_is_fenced;
                    plain a_create_repeated_after_its_owner_was_fenced_is_answered_already;
                    plain an_action_that_breaks_a_rule_is_invalid;
                    plain an_action_at_every_limit_is_accepted;
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
                finding {
                    plain labels_stay_as_they_were_created;
                    plain an_action_is_found_by_each_of_its_labels;
                    plain the_labels_of_a_removed_action_find_nothing;
                    plain labels_at_every_limit_are_accepted_and_beyond_it_refused;
                    plain every_set_of_states_returns_the_actions_in_them;
                    plain a_prefix_finds_the_names_that_begin_with_it;
                    plain a_prefix_finds_many_names_and_many_actions;
                    plain merged_lists_find_what_lies_behind_many_rows;
                    plain counts_agree_with_the_lists;
                    plain a_count_beyond_its_bound_is_a_lower_bound;
                }
                keys {
                    plain an_exclusive_key_has_one_holder;
                    plain a_refused_create_takes_none_of_its_keys;
                    plain an_exclusive_key_is_free_once_its_holder_is_completed;
                    plain keys_are_separate_for_each_tenant;
                    plain a_conflict_names_the_holder_within_the_tenant;
                    plain a_conflict_names_the_key_and_its_holder;
                    plain actions_exclusive_on_one_object_exclude_each_other;
                    plain a_repeated_create_does_not_conflict_with_itself;
                    plain exclusive_and_idempotency_keys_do_not_conflict;
                    plain keys_are_compared_byte_for_byte;
                    plain an_exclusive_key_is_held_within_its_batch;
                    plain an_exclusive_key_is_released_and_taken_in_one_batch;
                    plain an_exclusive_key_named_twice_is_invalid;
                    plain an_idempotency_key_finds_the_first_action;
                    plain an_idempotency_key_with_other_content_is_a_conflict;
                    plain an_idempotency_key_is_free_once_its_action_is_removed;
                    plain the_two_kinds_of_keys_keep_their_holders_if_their_texts_are_equal;
                    plain tenants_and_keys_that_join_to_one_text_are_separate;
                    plain long_keys_that_differ_in_their_last_byte_are_separate;
                }
                relations {
                    plain an_action_is_found_once_by_each_object_it_touches;
                    plain the_parts_of_an_action_are_found_by_its_uid;
                    plain a_completed_action_takes_no_new_parts;
                    plain a_part_of_an_unfinished_action_is_not_removed;
                    plain an_action_and_its_parts_are_recorded_together_or_not_at_all;
                }
                lifecycle {
                    plain every_legal_transition_is_accepted;
                    plain every_illegal_transition_is_refused;
                    plain only_its_owner_can_change_an_executing_action;
                    plain anyone_can_finish_a_queued_action_without_an_owner;
                    plain only_its_living_owner_can_finish_a_queued_action;
                    plain starting_an_action_makes_the_starter_its_owner;
                    plain a_start_or_adoption_without_an_owner_is_invalid;
                    plain a_completed_action_never_changes;
                    plain a_contradictory_finish_is_invalid;
                    plain a_finish_records_every_field;
                    plain an_interruption_without_a_message_gets_one;
                    plain a_succeeded_action_is_at_100_percent;
                    plain an_unknown_action_is_not_found;
                }
                operations {
                    plain a_repeated_operation_is_answered_already;
                    plain an_operation_repeated_after_others_is_answered_already;
                    plain progress_repeated_after_other_changes_is_answered_already;
                    plain a_repeat_is_recognised_before_the_version_is_checked;
                    plain an_operation_id_is_scoped_to_its_action;
                    plain a_refused_operation_can_be_retried;
                    plain a_version_condition_is_enforced;
                    plain versions_have_no_gaps;
                    plain timestamps_and_versions_agree_with_the_log;
                }
                reports {
                    plain a_report_records_every_field;
                    plain progress_never_goes_down;
                    plain a_report_with_lower_progress_keeps_the_higher_progress;
                    plain a_report_of_progress_alone_adds_no_log_entry;
                    plain a_note_adds_a_log_entry;
                    plain attributes_are_replaced_as_a_whole;
                    plain warnings_are_deduplicated_and_bounded;
                    plain only_the_owner_can_report;
                    plain a_report_before_the_start_or_after_the_end_is_refused;
                    plain the_first_cancel_request_is_kept;
                    plain a_cancel_request_does_not_change_the_status;
                    plain a_cancel_request_for_a_completed_action_is_refused;
                    plain an_owner_finds_its_cancel_requests_until_the_action_ends;
                }
                batches {
                    plain an_empty_batch_is_accepted;
                    plain answers_are_in_the_order_of_the_commands;
                    plain a_command_sees_the_effects_of_earlier_commands;
                    plain an_action_changed_twice_in_a_batch_is_in_the_feed_once;
                    plain in_each_mode_a_refused_command_does_not_affect_the_others;
                    plain in_all_mode_one_refusal_refuses_the_whole_batch;
                    plain in_all_mode_an_invalid_command_refuses_the_whole_batch;
                    plain repeating_a_batch_changes_nothing;
                    plain an_action_created_and_removed_in_one_batch_leaves_no_trace;
                    plain an_action_removed_and_recreated_in_one_batch_is_new;
                    plain a_batch_of_the_largest_size_is_accepted;
                    plain a_batch_with_too_many_commands_is_invalid;
                    plain a_batch_with_too_many_bytes_is_invalid;
                    plain an_unknown_command_is_unsupported;
                }
                owners {
                    plain a_claim_makes_an_owner_alive;
                    plain a_claim_fences_the_previous_incarnation;
                    plain a_claim_without_take_over_does_not_fence_a_living_owner;
                    plain an_ended_incarnation_cannot_claim_again;
                    plain a_renewal_increments_the_renewal_count;
                    plain a_renewal_does_not_change_any_action;
                    plain an_owner_that_never_claimed_is_fenced;
                    plain a_release_ends_an_owner;
                    plain a_fence_requires_the_current_renewal_count;
                    plain a_fenced_owner_cannot_write;
                    plain a_replaced_owner_cannot_write;
                    plain a_released_owner_cannot_write;
                    plain a_fence_applies_to_later_commands_of_its_batch;
                    plain an_operation_accepted_before_the_fence_can_be_repeated;
                    plain an_owner_name_that_breaks_the_rules_is_invalid;
                }
                recovery {
                    plain an_action_can_be_lost_only_after_its_owner_ended;
                    plain a_lost_action_keeps_the_evidence;
                    plain anyone_can_finish_a_queued_action_of_a_dead_owner;
                    plain a_queued_action_of_a_dead_owner_can_be_started;
                    plain an_adopted_action_continues;
                    plain an_adopted_action_is_found_with_its_new_owner;
                    plain a_late_report_is_refused_and_kept_once;
                    plain a_late_report_repeated_is_refused_again;
                    plain a_late_report_in_a_refused_batch_is_kept;
                    plain a_late_report_does_not_complete_its_action;
                    plain a_late_report_is_logged_in_arrival_order;
                }
                removal {
                    plain a_position_counts_the_actions_of_its_store;
                    plain an_unfinished_action_is_not_removed;
                    plain a_pinned_action_is_not_removed;
                    plain an_unfinished_action_can_be_pinned;
                    plain a_removal_requires_the_current_version;
                    plain removing_an_action_removes_its_log;
                    plain removing_an_unknown_action_is_answered_already;
                    plain an_import_keeps_an_action_and_its_log;
                    plain an_import_takes_the_keys_of_its_action;
                    plain an_imported_action_of_an_unknown_owner_can_be_lost;
                    plain timestamps_of_any_date_are_imported;
                    plain a_contradictory_import_is_invalid;
                }
                pruning {
                    plain a_list_resumes_after_its_cursor_action_is_removed;
                    plain a_log_resumes_after_its_cursor_action_is_removed;
                    plain a_removed_position_is_not_reused;
                    crowd remaining_actions_are_returned_once_during_removals;
                }
                pruned {
                    plain pruned_through_is_the_highest_last_revision_of_the_removed_actions;
                    plain pruned_created_is_the_latest_creation_time_of_the_removed_actions;
                    plain a_feed_cursor_expires_when_its_action_ends_and_is_removed_in_one_batch;
                }
                transfer {
                    plain a_transferred_store_is_identical;
                    plain a_refused_import_does_not_affect_the_others;
                    plain an_import_keeps_a_living_owner_alive;
                    plain an_action_imported_at_the_highest_version_still_changes;
                    plain a_version_above_the_highest_is_refused_at_import;
                    plain an_imported_action_keeps_the_fields_of_a_later_version;
                }
                get {
                    plain answers_are_in_the_order_of_the_uids;
                    plain an_empty_lookup_returns_nothing;
                    plain a_lookup_of_the_largest_size_is_accepted;
                    plain large_actions_are_looked_up_listed_and_changed_together;
                    plain uids_of_any_uuid_version_are_accepted;
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
                values {
                    plain a_report_of_progress_alone_is_kept;
                    plain progress_is_exact_to_the_hundredth;
                    plain versions_are_compared_and_kept_exactly;
                    plain an_owner_keeps_the_time_of_its_claim;
                }
                branches {
                    plain a_cursor_of_another_branch_is_expired;
                    plain a_feed_cursor_beyond_the_store_is_expired;
                }
                list {
                    plain every_filter_returns_the_matching_actions;
                    plain every_pair_of_filters_returns_the_actions_that_match_both;
                    plain an_action_that_touches_several_listed_objects_is_returned_once;
                    plain every_page_size_returns_the_same_list;
                    plain a_page_that_ends_a_list_has_no_next_page;
                    plain a_query_beyond_its_limits_is_invalid;
                    plain an_unknown_filter_or_order_is_unsupported;
                    plain a_cursor_of_another_list_is_invalid;
                    plain a_cursor_of_another_store_is_invalid;
                    plain a_cursor_survives_conversion_to_text;
                    plain a_summary_omits_result_and_detail;
                    plain a_page_carries_the_position_of_the_store;
                }
                filters {
                    plain two_filters_of_one_kind_must_both_match;
                }
                scan {
                    plain a_walk_finds_what_lies_behind_more_rows_than_a_page_reads;
                    plain a_page_reads_a_bounded_number_of_rows;
                    plain a_page_reads_a_bounded_number_of_rows_of_every_index;
                }
                walks {
                    crowd paging_returns_each_action_once_during_writes;
                    plain a_bulk_cancel_reaches_each_match_once;
                    plain the_feed_returns_each_action_once_at_its_latest_change;
                    plain the_feed_can_resume_after_any_revision;
                    crowd a_feed_reader_misses_no_change;
                    plain a_feed_cursor_expires_when_an_action_it_has_not_returned_is_removed;
                    plain an_expired_feed_cursor_stays_expired;
                    plain a_store_reports_where_its_complete_history_begins;
                    plain a_feed_started_after_a_removal_works;
                    plain a_feed_cursor_survives_the_removal_of_a_returned_action;
                    plain creation_order_never_changes;
                }
                completion {
                    plain completion_order_lists_the_last_completed_first;
                    plain completions_during_a_walk_in_completion_order_do_not_disturb_it;
                    clock ranges_of_times_return_the_actions_within_them;
                }
                paging {
                    crowd pages_of_every_size_are_complete_during_writes;
                    crowd log_pages_of_every_size_are_complete_during_writes;
                }
                log {
                    plain a_log_is_ordered_and_ends_at_the_state_of_its_action;
                    plain the_log_of_an_unknown_action_is_empty;
                    plain the_global_log_is_in_write_order;
                    plain the_global_log_can_resume_at_its_end;
                    plain a_log_query_beyond_its_limits_is_invalid;
                    plain a_log_keeps_its_newest_entries;
                    plain a_long_log_keeps_the_lifecycle;
                    plain a_log_of_adoptions_is_bounded;
                    plain a_log_that_one_batch_makes_too_long_is_truncated;
                    plain a_late_report_evicts_nothing_from_a_full_log;
                    crowd a_page_shows_all_changes_up_to_its_position_and_no_later_one;
                }
                changed {
                    plain changed_without_a_revision_returns_at_once;
                    plain changed_returns_at_once_if_a_change_exists;
                    crowd a_change_wakes_its_waiters;
                    crowd a_revision_that_wakes_a_waiter_is_readable;
                    crowd a_revision_seen_on_a_page_can_be_waited_for;
                    crowd a_wait_that_begins_during_a_write_ends;
                    plain a_revision_beyond_the_store_is_invalid;
                    plain a_write_that_changes_nothing_takes_no_revision;
                    plain a_closed_store_refuses_every_call;
                    plain closing_a_store_releases_its_waiters;
                    crowd two_callers_can_close_at_once;
                }
                drops {
                    plain a_dropped_write_is_applied_completely_or_not_at_all;
                    plain dropped_reads_do_not_affect_later_calls;
                    plain a_dropped_write_keeps_its_order;
                }
                taken {
                    plain a_write_dropped_after_it_was_taken_is_applied;
                    plain a_close_finishes_the_writes_that_were_taken;
                }
                polls {
                    plain a_write_dropped_at_any_poll_is_applied_completely_or_not_at_all;
                    plain a_read_dropped_at_any_poll_does_not_affect_later_calls;
                    plain a_waiter_dropped_at_any_poll_does_not_affect_the_others;
                    plain a_close_dropped_at_any_poll_is_finished_by_the_next_close;
                }
                contention {
                    crowd one_of_many_concurrent_finishes_wins;
                    crowd concurrent_compare_and_set_loses_no_change;
                    crowd one_of_many_concurrent_creates_gets_an_exclusive_key;
                    crowd concurrent_creates_with_one_idempotency_key_make_one_action;
                    crowd a_batch_sent_concurrently_is_applied_once;
                    crowd one_of_many_concurrent_claims_wins;
                    crowd no_write_of_a_fenced_owner_follows_its_fence;
                    crowd readers_see_an_action_and_its_log_agree;
                }
                clock {
                    clock timestamps_come_from_the_clock;
                    clock timestamps_never_go_backwards;
                    clock list_and_feed_order_does_not_depend_on_the_clock;
                    clock time_filters_have_microsecond_precision;
                    clock a_late_owner_stays_alive;
                }
                owner_lists {
                    plain owners_are_listed_in_claim_order;
                    plain an_owner_query_that_breaks_the_rules_is_invalid;
                    plain an_active_owner_is_alive_or_owns_an_unfinished_action;
                    plain the_number_of_remembered_ended_owners_is_bounded;
                    plain an_owner_of_an_unfinished_action_is_never_forgotten;
                    plain a_late_claim_does_not_fence_a_successor;
                }
                reopen {
                    reopen acknowledged_writes_survive_reopening;
                    reopen repeats_are_recognised_after_reopening;
                    reopen keys_pins_and_fences_hold_after_reopening;
                    reopen an_owner_survives_reopening_or_is_disconnected;
                    reopen cursors_stay_valid_after_reopening;
                    reopen a_removed_position_is_not_reused_after_reopening;
                    reopen a_store_reopens_intact_after_a_dropped_close;
                    reopen a_store_knows_after_reopening_what_was_removed;
                    reopen a_late_report_is_kept_once_after_reopening;
                    reopen a_report_of_progress_alone_survives_reopening;
                    reopen the_times_of_an_owner_survive_reopening;
                    reopen writes_taken_before_a_close_survive_reopening;
                    reopen a_change_through_a_second_store_wakes_a_waiter;
                }
            }
        }
    };
}
