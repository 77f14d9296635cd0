"""Protections against others: forged or damaged records, topics that were replaced, and clocks,
stores and clients that misbehave.
"""

from tests.mutants.mutant import Mutant

TRAINER = "tests/agents/test_trainer.py"

TRUST = (
    Mutant(
        "a record of another release is left out only where an operator named it",
        "streams/set_aside.py",
        "        if place in self._places:\n            return\n",
        "        return\n",
        "tests/streams/test_log_records.py"
        "::test_another_release_s_record_is_told_with_its_place_and_can_be_set_aside",
    ),
    Mutant(
        "a record of a time to come does not move the clock",
        "streams/log_records.py",
        "    require_past(line, int(time() * 1_000))\n    return line\n",
        "    return line\n",
        "tests/streams/test_log_records.py"
        "::test_what_would_move_the_clock_past_what_is_true_is_refused",
    ),
    Mutant(
        "a lesson of a record that the log does not have is left out",
        "streams/log_ends.py",
        "        raise Foreign(",
        "        return\n        raise Foreign(",
        "tests/streams/test_log_ends.py"
        "::test_a_place_that_is_still_to_come_is_left_out_and_true_ones_are_not",
        is_quick=True,
    ),
    Mutant(
        "the trainer asks where the log ends before it learns",
        "agents/trainer.py",
        "            await ends.require(lesson)\n",
        "",
        TRAINER + "::test_a_lesson_whose_place_is_still_to_come_is_left_out",
    ),
    Mutant(
        "a snapshot goes on from the one that it names",
        "models/learning/lineage.py",
        "        if previous and previous not in before:",
        "        if False:",
        "tests/models/test_lineage.py::test_what_does_not_go_on_is_refused_and_changes_nothing",
    ),
    Mutant(
        "a snapshot that no trainer of ours drew is neither adopted nor restored",
        "streams/snapshot_store.py",
        "            self._lineage.admit(snapshot, now_ms=int(time() * 1_000), is_cut=is_cut)\n",
        "",
        "tests/streams/test_snapshot_store.py"
        "::test_a_snapshot_that_does_not_go_on_from_the_last_is_nobodys",
    ),
    Mutant(
        "a snapshot is announced under the hash of its stored bytes",
        "models/learning/snapshot.py",
        "        return self.stored_sha256 or encode_snapshot(self)[1]",
        "        return encode_snapshot(self)[1]",
        "tests/streams/test_snapshot_store.py"
        "::test_a_restored_trainer_announces_the_snapshot_as_it_is_stored",
    ),
    Mutant(
        "a model that is not above the adopted one is not adopted",
        "models/partition.py",
        "line.version is not None and line.version > self.state.model_version",
        "line.version is not None",
        "tests/models/test_partition.py::test_a_model_that_is_not_newer_is_not_even_asked_for",
    ),
    Mutant(
        "state is continued only in the topic that it is of",
        "streams/record_batches.py",
        "committed.topic_id != topic_id)",
        "False)",
        "tests/streams/test_record_batches.py"
        "::test_another_topic_is_refused_where_state_is_a_fold_of_the_one_before",
    ),
    Mutant(
        "offsets of a topic made anew are other places",
        "models/repeats.py",
        "        elif known[0] != generation:\n",
        "        elif False:\n",
        "tests/models/test_repeats.py::test_offsets_of_another_topic_of_the_name_are_other_places",
    ),
    Mutant(
        "a topic that is replaced under a worker ends it",
        "streams/topic_identity.py",
        "            if known != topic_id:",
        "            if False:",
        "tests/streams/test_topic_watch.py"
        "::test_a_topic_that_was_replaced_is_told_at_the_next_look",
        is_quick=True,
    ),
    Mutant(
        "a row that is further than the log takes it is made anew",
        "streams/rebuilding.py",
        "    if place_of(packed).applied >= place_of(written).applied:",
        "    if True:",
        "tests/streams/test_rebuilding.py::test_a_row_that_is_further_than_the_log_takes_it_is_made_anew",
    ),
    Mutant(
        "a row that changed by itself is damage",
        "models/customer/row_layout.py",
        "    elif stored.checksum != crc32(content[_BODY_AT:]).to_bytes(_CHECKSUM_BYTES):",
        "    elif False:",
        "tests/models/test_row.py::test_no_bit_of_a_row_can_change_without_being_noticed",
        is_quick=True,
    ),
    Mutant(
        "the head of an earlier release's row that changed by itself is damage",
        "models/customer/earlier_rows.py",
        "    if checksum != _number(checked.checksum):",
        "    if False:",
        "tests/models/test_earlier_rows.py::test_no_byte_can_change_without_being_noticed",
    ),
    Mutant(
        "the wall clock leads no further than time has passed",
        "streams/steady_clock.py",
        "        return min(wall_ms, int(self._limit_ms))",
        "        return wall_ms",
        "tests/streams/test_steady_clock.py"
        "::test_jumps_in_small_steps_lead_no_further_than_a_large_one",
        is_quick=True,
    ),
    Mutant(
        "a process that stood still for a session ends",
        "streams/pulse.py",
        "            self._stood_still |= monotonic() - self._last_s > self._longest_s",
        "            pass",
        "tests/streams/test_pulse.py::test_joining_again_does_not_hide_that_it_stood_still",
    ),
    Mutant(
        "connections to the web port are limited",
        "agents/web/connections.py",
        "        if len(self._open) >= self._limit:",
        "        if False:",
        "tests/agents/test_web_connections.py"
        "::test_half_sent_requests_hold_no_more_than_their_share",
    ),
    Mutant(
        "a decision whose key is taken waits apart",
        "streams/trigger_streams.py",
        "        if foreign:\n",
        "        if False:\n",
        "tests/streams/test_redis_views.py"
        "::test_a_key_that_holds_something_else_stops_nobody_and_multiplies_nothing",
    ),
    Mutant(
        "only decisions that Redis did not take are tried again",
        "streams/trigger_streams.py",
        "        return failed\n\n    async def erase",
        "        return [*decisions] if failed else []\n\n    async def erase",
        "tests/streams/test_redis_views.py::test_only_what_redis_did_not_take_is_tried_again",
    ),
    Mutant(
        "rights that are missing are named before anything is read",
        "streams/rights.py",
        "    if missing:\n        who",
        "    if False:\n        who",
        "tests/kafka/test_rights.py"
        "::test_whoever_may_do_nothing_is_told_all_of_it_before_anything_is_done",
    ),
    Mutant(
        "a record that is set aside is gone on without",
        "streams/set_aside.py",
        "        if place in self._places:\n",
        "        if False:\n",
        "tests/streams/test_recovery.py::test_a_record_that_is_set_aside_counts_as_damaged",
    ),
    Mutant(
        "a lesson of a time that is still to come is not learnt",
        "models/learning/lesson_checks.py",
        "    if lesson.timestamp_ms > now_ms + AHEAD_MAX_MS:\n",
        "    if False:\n",
        "tests/models/test_lesson_checks.py::test_a_lesson_of_a_time_to_come_is_none",
    ),
    Mutant(
        "state is not continued in another topic of the name",
        "streams/recovery.py",
        "        _require_origin(fold.origin, origin, events, changelog)\n",
        "",
        "tests/streams/test_recovery.py::test_state_of_other_topics_is_refused",
    ),
    Mutant(
        "a damaged row is told by its checksum",
        "streams/recovery.py",
        "            if not told.is_intact:\n",
        "            if False:\n",
        "tests/streams/test_recovery.py"
        "::test_no_flipped_bit_of_a_record_passes_for_sound_or_for_another_release",
    ),
    Mutant(
        "who was continued from a damaged row stays known as damaged",
        "streams/recovery.py",
        """\
            if not told.is_sound:
                self.damaged.add(customer)
            elif self.damaged:
""",
        "            if self.damaged:\n",
        "tests/streams/test_recovery.py"
        "::test_a_row_that_was_continued_from_a_damaged_one_is_known_without_it",
    ),
    Mutant(
        "a connection without a request is closed",
        "agents/web/connections.py",
        "                if now_s - connection.since_s > longest_s:\n",
        "                if False:\n",
        "tests/agents/test_web_connections.py::test_a_connection_without_a_request_is_closed",
    ),
    Mutant(
        "what may be in the log and has no id is not sent again",
        "streams/publisher.py",
        "        if not all(record.counts_once for record in undelivered.unknown):\n",
        "        if False:\n",
        "tests/streams/test_publisher_outages.py"
        "::test_what_may_be_in_the_log_and_has_no_id_is_not_sent_again",
        is_quick=True,
    ),
    Mutant(
        "a part of a refund of which nobody says how much is not taken for everything",
        "models/customer/order_news.py",
        "    if news.partial:\n        raise Rejected(\n            Reason.REQUIRED_MISSING,\n",
        "    if False:\n        raise Rejected(\n            Reason.REQUIRED_MISSING,\n",
        "tests/models/test_shop_words.py::test_a_part_of_which_nobody_says_how_much_is_refused",
    ),
    Mutant(
        "a currency beside an amount is the event's",
        "models/events/priced.py",
        "        if amount.mark != said and not",
        "        if False and not",
        "tests/models/test_shop_words.py::test_an_amount_is_in_no_currency_by_guess",
    ),
    Mutant(
        "who has bought is not reminded any more",
        "models/decisions/withdrawal.py",
        "            shut = bought\n",
        "            shut = None\n",
        "tests/models/test_withdrawal.py"
        "::test_who_buys_before_it_was_delivered_is_not_reminded_any_more",
    ),
)
