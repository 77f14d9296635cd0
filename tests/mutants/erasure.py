"""Protections of erasure: the whole person is erased, and nothing of them comes back."""

from tests.mutants.mutant import Mutant

ERASURE = (
    Mutant(
        "what is dated up to an erasure is gone for good",
        "models/graves.py",
        "        return self.is_suppressed or at_ms <= self.at_ms",
        "        return self.is_suppressed",
        "tests/models/test_erasure.py::test_what_comes_after",
    ),
    Mutant(
        "of who is suppressed nothing comes",
        "models/graves.py",
        "        return self.is_suppressed or at_ms <= self.at_ms",
        "        return at_ms <= self.at_ms",
        "tests/models/test_erasure.py::test_what_comes_after",
    ),
    Mutant(
        "a person tells each of their ids that they were erased",
        "models/erasure.py",
        "    ids = sorted({*row.ids, *state.claimed} - {customer, order.by})",
        "    ids: list[str] = []",
        "tests/models/test_erasure.py::test_the_whole_person_goes",
        is_quick=True,
    ),
    Mutant(
        "news of an earlier person erases nobody",
        "models/erasure.py",
        "        if not is_theirs or said.since <= before.at_ms:\n",
        "        if not is_theirs:\n",
        "tests/models/test_erasure.py::test_news_of_an_earlier_person_does_not_erase_a_new_one",
    ),
    Mutant(
        "who is erased counts among customers no more",
        "models/erasure.py",
        "        effects += _sums_of(row, order, context)\n",
        "",
        "tests/models/test_erasure.py::test_nobody_counts_among_customers_once_they_are_erased",
    ),
    Mutant(
        "what was on its way to somebody who was erased brings nobody back",
        "models/erasure.py",
        "            if not grave.hides(record.at_ms):\n                return None",
        "            return None",
        "tests/models/test_erasure.py::test_what_was_on_its_way_brings_nobody_back",
    ),
    Mutant(
        "a row of before an erasure is none, whoever wrote it",
        "streams/recovery.py",
        "        if self.graves and self._is_of_the_past(customer, value):",
        "        if False:",
        "tests/streams/test_graves.py::test_a_stray_row_is_ended_once_more",
    ),
    Mutant(
        "with somebody goes their key of the archive",
        "streams/archive/writing.py",
        "        self._forget(customer, grave.erased)",
        "        pass",
        "tests/properties/test_archives.py"
        "::test_the_archive_has_nothing_of_who_was_erased_and_all_else_is_as_ever",
    ),
    Mutant(
        "what no record asks for is of who was erased only where it may be",
        "streams/auditing/spools.py",
        "            if beside and not self._is_loose(place):",
        "            if False:",
        "tests/streams/test_auditing_erased.py::test_whatever_else_is_not_theirs_differs",
    ),
    Mutant(
        "who is another's id tells nothing of what an id of theirs makes of them",
        "models/linked_person.py",
        "        if not state.is_mirror:\n            return effects\n        return [*held",
        "        if True:\n            return effects\n        return [*held",
        "tests/models/test_segments_of_persons.py"
        "::test_the_sums_of_every_part_are_those_of_the_rows",
    ),
    Mutant(
        "whoever refuses analytics is taken out of the sums of all customers",
        "models/counted.py",
        "    scene.settled = [*scene.settled, *kept, *sums]",
        "    scene.settled = [*scene.settled, *kept]",
        "tests/contract/test_counted.py"
        "::test_the_sums_hold_what_the_row_says_while_it_may_be_learnt_from",
    ),
    Mutant(
        "a refusal of personalisation is no news of a customer",
        "models/decisions/segment_looks.py",
        "            is_hidden = is_turned and segment.is_personal",
        "            is_hidden = False",
        "tests/models/test_unprofiled.py"
        "::test_whoever_refuses_to_be_profiled_is_told_of_by_nothing_but_that",
        is_quick=True,
    ),
)
