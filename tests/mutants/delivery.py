"""Protections of the way from a raw topic to a row: nothing lost, repeated or out of order."""

from tests.mutants.mutant import Mutant

BACKLOG = (
    "tests/simulation/test_simulation.py"
    "::test_a_backlog_is_folded_once_and_in_order_whatever_happens[{}]"
)
LIVE = (
    "tests/simulation/test_simulation.py"
    "::test_events_that_come_in_meanwhile_are_folded_once_whatever_happens[{}]"
)
TRAINER = "tests/agents/test_trainer.py"

DELIVERY = (
    Mutant(
        "effects are durable before rows",
        "agents/profile.py",
        """\
        await self._outbox.flush()
        self._pulse.require()
        changed = self._write_rows(owned)
""",
        "        changed = self._write_rows(owned)\n",
        BACKLOG.format(0),
        is_quick=True,
    ),
    Mutant(
        "rows are in the changelog before the ack",
        "agents/profile.py",
        """\
        await self._outbox.flush()
        batch.ack()
""",
        """\
        batch.ack()
        await self._outbox.flush()
""",
        BACKLOG.format(0),
    ),
    Mutant(
        "a flush waits for the broker",
        "streams/outbox.py",
        "            await asyncio.gather(*durable)",
        "            pass",
        BACKLOG.format(0),
    ),
    Mutant(
        "a row knows what it has applied",
        "models/partition.py",
        "row is not None and row.applied >= offset",
        "False",
        "tests/properties/test_partitions.py"
        "::test_rows_ahead_of_their_partition_after_a_crash_change_nothing",
    ),
    Mutant(
        "a record that ingest repeats is dropped by its place on the raw topic",
        "models/repeats.py",
        "    if source.offset <= sources.get(name, -1):",
        "    if False:",
        "tests/models/test_partition.py"
        "::test_what_ingest_repeats_after_a_crash_is_dropped_by_its_source",
        is_quick=True,
    ),
    Mutant(
        "a message that a publisher repeats is dropped by its id",
        "models/engine.py",
        "    if row.has_seen(message):",
        "    if False:",
        "tests/models/test_partition.py::test_every_event_has_one_fate",
        is_quick=True,
    ),
    Mutant(
        "a model is used from its record in the log on",
        "models/partition.py",
        "                self.adopt(self._announced(version, sha256), sha256)",
        "                pass",
        "tests/models/test_partition.py"
        "::test_decisions_name_the_model_that_was_adopted_before_them",
        is_quick=True,
    ),
    Mutant(
        "the changelog keeps both writers of a takeover",
        "config/topics.py",
        '        "min.compaction.lag.ms": str(10 * MINUTE_MS),\n',
        '        "min.compaction.lag.ms": "0",\n',
        "tests/streams/test_topics.py::test_the_changelog_keeps_both_writers_of_a_takeover",
        is_quick=True,
    ),
    Mutant(
        "of two writers of a row, the higher position wins",
        "streams/recovery.py",
        "        if before is None or place_of(value).applied >= place_of(before).applied:",
        "        if True:",
        "tests/streams/test_recovery.py"
        "::test_the_higher_applied_position_wins_not_the_later_record",
        is_quick=True,
    ),
    Mutant(
        "events and dead letters are durable before ingest commits",
        "agents/ingest.py",
        """\
                await self._outbox.flush()
                self._moved_s = monotonic()
                self._commit(consumer, epoch)
""",
        """\
                self._commit(consumer, epoch)
                await self._outbox.flush()
                self._moved_s = monotonic()
""",
        LIVE.format(0),
    ),
    Mutant(
        "records that are being checked are still to come",
        "agents/ingest.py",
        "            for batch in consumer.ledger.in_flight\n",
        "            for batch in ()\n",
        BACKLOG.format(0),
    ),
    Mutant(
        "a slow topic is passed only as far as makes nothing late",
        "agents/ingest.py",
        "leeway_ms = 0 if is_patient else self._parameters.time.lateness",
        "leeway_ms = 0 if is_patient else 10**15",
        BACKLOG.format(0),
    ),
    Mutant(
        "nothing is fetched between a seek and the end of its rebalance",
        "streams/batch_consumer.py",
        "            self._open_epoch == self.ledger.epoch\n            and self.flow_active",
        "            self.flow_active",
        "tests/streams/test_fetch_gate.py"
        "::test_it_shuts_when_partitions_are_sought_anew_and_opens_when_the_rebalance_ends",
        is_quick=True,
    ),
    Mutant(
        "the end of an older rebalance opens no gate",
        "streams/batch_consumer.py",
        "        if self._sought_epoch == self.ledger.epoch:",
        "        if True:",
        "tests/streams/test_fetch_gate.py::test_the_end_of_an_older_rebalance_does_not_open_it",
    ),
    Mutant(
        "a batch of an epoch that is over is not committed",
        "streams/record_batches.py",
        "        return self._in_flight.get(batch.topic) is batch",
        "        return True",
        "tests/streams/test_record_batches.py::test_a_batch_of_an_older_epoch_can_neither_end_nor_be_committed",
    ),
    Mutant(
        "a record of another release is left out only where an operator named it",
        "streams/set_aside.py",
        "        if place in self._places:\n            return\n",
        "        return\n",
        "tests/streams/test_log_records.py"
        "::test_another_release_s_record_is_told_with_its_place_and_can_be_set_aside",
        is_quick=True,
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
        is_quick=True,
    ),
    Mutant(
        "a snapshot goes on from the one that it names",
        "models/learning/lineage.py",
        "        if previous and previous not in before:",
        "        if False:",
        "tests/models/test_lineage.py::test_what_does_not_go_on_is_refused_and_changes_nothing",
        is_quick=True,
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
        is_quick=True,
    ),
    Mutant(
        "state is continued only in the topic that it is of",
        "streams/record_batches.py",
        "committed.topic_id != topic_id)",
        "False)",
        "tests/streams/test_record_batches.py"
        "::test_another_topic_is_refused_where_state_is_a_fold_of_the_one_before",
        is_quick=True,
    ),
    Mutant(
        "offsets of a topic made anew are other places",
        "models/repeats.py",
        "        elif known[0] != generation:\n",
        "        elif False:\n",
        "tests/models/test_repeats.py::test_offsets_of_another_topic_of_the_name_are_other_places",
        is_quick=True,
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
        "a part of a row that changed by itself is damage",
        "models/customer/row.py",
        "        if content_sum != entry[:_CHECKSUM_BYTES]:",
        "        if False:",
        "tests/models/test_row.py::test_no_bit_of_a_row_can_change_without_being_noticed",
        is_quick=True,
    ),
    Mutant(
        "the head of a row that changed by itself is damage",
        "models/customer/row.py",
        "    if _sum_of_head(checked.head, checked.parts) != checked.checksum:",
        "    if False:",
        "tests/models/test_row.py::test_no_bit_of_a_row_can_change_without_being_noticed",
        is_quick=True,
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
        is_quick=True,
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
        "streams/redis_views.py",
        "        if foreign:\n",
        "        if False:\n",
        "tests/streams/test_redis_views.py"
        "::test_a_key_that_holds_something_else_stops_nobody_and_multiplies_nothing",
    ),
    Mutant(
        "only decisions that Redis did not take are tried again",
        "streams/redis_views.py",
        "        return failed\n\n    async def return_displaced",
        "        return [*decisions] if failed else []\n\n    async def return_displaced",
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
        "a silent topic holds the others back once",
        "agents/ingest.py",
        "        self._given_up |= given_up\n",
        "",
        "tests/agents/test_ingest.py::test_a_topic_that_nobody_serves_is_waited_for_once",
        is_quick=True,
    ),
    Mutant(
        "history waits once for a trainer that stands",
        "streams/pacing.py",
        "if self._given_up.get(n) != standings[n].learnt_ms}",
        "}",
        "tests/agents/test_ingest.py"
        "::test_a_trainer_that_does_not_get_on_is_waited_for_once_and_told",
        is_quick=True,
    ),
    Mutant(
        "a partition without a leader keeps no other from being read",
        "streams/loop_bound_client.py",
        "if cluster.leader_for_partition(tp) not in (None, -1)]",
        "]",
        "tests/streams/test_found_positions.py"
        "::test_a_partition_without_a_leader_keeps_no_other_from_being_read",
        is_quick=True,
    ),
    Mutant(
        "a worker ends whatever of it hangs",
        "streams/faust_app.py",
        "    limit.start()\n",
        "",
        "tests/streams/test_run_worker.py::test_a_worker_that_fails_ends_even_if_it_cannot_stop",
    ),
)
