"""Tables of measures with three or more labels, such as step, channel and who."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from agents.console.pages.shop import LABELS_MAX, value_in_words, words_of
from models.measures import Measure, Sample


class TableRow(NamedTuple):
    """The labels of a row, and its value in each column; empty where there is none."""

    labels: tuple[str, ...]
    values: tuple[str, ...]


class TableColumn(NamedTuple):
    name: str
    about: str


class MeasureTable(NamedTuple):
    """Measures of one subject that have the same labels."""

    name: str
    labels: tuple[str, ...]
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]


def measure_tables(samples: Iterable[Sample]) -> tuple[MeasureTable, ...]:
    """A table for each group of measures whose names begin with the same word, in their order."""
    groups: dict[tuple[str, tuple[str, ...]], list[Sample]] = {}
    for sample in samples:
        if len(sample.measure.labels) > LABELS_MAX:
            subject = words_of(sample.measure.name).split()[0]
            groups.setdefault((subject, sample.measure.labels), []).append(sample)
    return tuple(_table(group) for group in groups.values())


def _table(samples: Sequence[Sample]) -> MeasureTable:
    measures = list(dict.fromkeys(sample.measure for sample in samples))
    name = _subject(measures)
    known = {(sample.labels, sample.measure): sample.value for sample in samples}
    rows = dict.fromkeys(sample.labels for sample in samples)
    return MeasureTable(
        name,
        measures[0].labels,
        tuple(
            TableColumn(words_of(one.name).removeprefix(name).strip() or name, one.about)
            for one in measures
        ),
        tuple(
            TableRow(
                labels,
                tuple(
                    value_in_words(one, known[labels, one]) if (labels, one) in known else ""
                    for one in measures
                ),
            )
            for labels in rows
        ),
    )


def _subject(measures: Sequence[Measure]) -> str:
    """The words with which all of their names begin."""
    named = [words_of(measure.name).split() for measure in measures]
    alike = takewhile(lambda words: len(set(words)) == 1, zip(*named, strict=False))
    return " ".join(words[0] for words in alike)
