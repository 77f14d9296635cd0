"""Protections on the way from a raw topic to a row: nothing lost, repeated or out of order."""

from tests.mutants.mutant import Mutant

BACKLOG = (
    "tests/simulation/test_simulation.py"
    "::test_a_backlog_is_folded_once_and_in_order_whatever_happens[{}]"
)
LIVE = (
    "tests/simulation/test_simulation.py"
    "::test_events_that_come_in_meanwhile_are_folded_once_whatever_happens[{}]"
)
HISTORY = (
    "tests/simulation/test_simulation.py"
    "::test_history_is_learnt_as_its_replay_learns_it_whatever_happens[{}]"
)

DELIVERY = (
    Mutant(
        "effects are durable before rows",
        "agents/profile.py",
        """\
        await self._outbox.flush()
        self._pulse.require()
        changed, gone = self._write_rows(owned)
""",
        "        changed, gone = self._write_rows(owned)\n",
        BACKLOG.format(0),
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
        "a flush waits for room behind another buffer",
        "streams/outbox.py",
        "                continue\n            return durable",
        "                raise\n            return durable",
        "tests/kafka/test_lost_broker.py"
        "::test_a_lost_broker_is_seen_and_what_waited_is_done_when_it_is_back[killed]",
    ),
    Mutant(
        "a row knows what it has applied",
        "models/partition_customers.py",
        "        return row.applied >= offset\n    return grave",
        "        return False\n    return grave",
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
                self._end_steps()
                self._moved_s = monotonic()
                self._commit(consumer, epoch)
""",
        """\
                self._commit(consumer, epoch)
                await self._outbox.flush()
                self._end_steps()
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
        "what was published a moment ago may not be in all topics yet",
        "streams/alignment.py",
        "at_ms - SETTLED_MS",
        "at_ms",
        "tests/streams/test_alignment.py"
        "::test_what_is_published_in_order_leaves_in_time_however_it_is_read",
    ),
    Mutant(
        "no clock goes beyond what is known of any partition",
        "streams/alignment.py",
        "            if doubt.is_about(first, known_ms) and not self._is_here(*one)\n",
        "            if False\n",
        "tests/streams/test_alignment.py::test_no_clock_goes_beyond_what_is_known_of_any_partition",
        is_quick=True,
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
        "a silent topic holds the others back once",
        "agents/ingest.py",
        "        self._given_up |= given_up\n",
        "",
        "tests/agents/test_ingest.py::test_a_topic_that_nobody_serves_is_waited_for_once",
    ),
    Mutant(
        "history waits once for a trainer that stands",
        "streams/pacing.py",
        "if self._given_up.get(n) != standings[n].learnt_ms}",
        "}",
        "tests/agents/test_ingest.py"
        "::test_a_trainer_that_does_not_get_on_is_waited_for_once_and_told",
    ),
    Mutant(
        "a partition without a leader keeps no other from being read",
        "streams/loop_bound_client.py",
        "if cluster.leader_for_partition(tp) not in (None, -1)]",
        "]",
        "tests/streams/test_found_positions.py"
        "::test_a_partition_without_a_leader_keeps_no_other_from_being_read",
    ),
    Mutant(
        "a worker ends whatever of it hangs",
        "streams/faust_app.py",
        "    limit.start()\n",
        "",
        "tests/streams/test_run_worker.py::test_a_worker_that_is_told_to_stop_ends",
    ),
    Mutant(
        "a worker whose partitions were taken away writes nothing of its batch",
        "agents/profile.py",
        "        if not batch.is_current:\n",
        "        if False:\n",
        "tests/agents/test_profile.py::test_a_batch_that_is_no_longer_ours_leaves_nothing",
        is_quick=True,
    ),
    Mutant(
        "rows of a batch that was taken away are forgotten with its effects",
        "agents/profile.py",
        "            self._partitions.forget(piece.partition for piece in batch.slices)\n",
        "",
        LIVE.format(0),
    ),
    Mutant(
        "history waits until the day before is learnt",
        "streams/pacing.py",
        "is_over = len(given_up) == len(awaited)",
        "is_over = True",
        "tests/streams/test_pacing.py"
        "::test_what_ends_a_day_waits_until_every_partition_is_told_and_has_learnt",
        is_quick=True,
    ),
    Mutant(
        "lessons are committed only up to a snapshot",
        "agents/trainer.py",
        "                committable = trainer.consumed\n",
        "                committable = consumed\n",
        LIVE.format(0),
    ),
    Mutant(
        "a snapshot is durable before it is announced",
        "streams/snapshot_store.py",
        "value=content)\n    await outbox.flush()\n",
        "value=content)\n",
        "tests/streams/test_snapshot_store.py"
        "::test_a_published_snapshot_is_announced_everywhere_after_it_is_durable",
    ),
    Mutant(
        "a trainer that goes on announces the last snapshot once more",
        "agents/trainer.py",
        "        if latest.version:\n",
        "        if False:\n",
        HISTORY.format(0),
    ),
    Mutant(
        "a trainer without anything to read goes on from its last snapshot",
        "agents/idle_clocks.py",
        "            await self._trainer.go_on_idle(self._app.batch_consumer)\n",
        "",
        HISTORY.format(0),
    ),
    Mutant(
        "the end of each day is written into partitions in which nothing happens",
        "agents/ingest.py",
        "        for number in turn.partitions:\n",
        "        for number in ():\n",
        HISTORY.format(0),
    ),
    Mutant(
        "history waits until its lessons are learnt",
        "streams/owned_partitions.py",
        "min(clock_ms, heard_ms) if adopts_all else 0",
        "clock_ms",
        HISTORY.format(0),
    ),
    Mutant(
        "history waits until its model is adopted",
        "streams/owned_partitions.py",
        "        adopts_all = self.fold.state.model_version >= version\n",
        "        adopts_all = True\n",
        HISTORY.format(0),
    ),
    Mutant(
        "decisions are delivered before they are committed",
        "agents/deliver.py",
        "        while decisions and (decisions := await self._streams.append(decisions)):\n",
        "        batch.ack()\n"
        "        while decisions and (decisions := await self._streams.append(decisions)):\n",
        LIVE.format(0),
    ),
    Mutant(
        "after a batch that was given up none is committed",
        "agents/deliver.py",
        "        if batch.epoch == self._left_epoch:\n",
        "        if False:\n",
        "tests/agents/test_deliver.py::test_after_a_batch_that_was_given_up_none_is_committed",
    ),
)
