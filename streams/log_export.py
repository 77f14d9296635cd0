"""Exports `customer-events` as a log that `replay` accepts, and the model snapshots it names."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from time import time

import msgspec

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS
from models.events.line import Line
from models.events.rejection import Rejected
from models.events.wire import decode_log_line
from models.learning.snapshot import Snapshot
from streams.archive.whole_log import WholeLog
from streams.kafka_clients import new_reader, running
from streams.log_records import clock_record, is_to_come, model_record
from streams.set_aside import SetAside
from streams.snapshot_store import SnapshotStore
from streams.topic_scan import Span, scan, spans_of

Write = Callable[[bytes], object]
OnProgress = Callable[[int, int], object]

_JSON_SPACE = b" \t\r\n"
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class Export(msgspec.Struct):
    """What became of the log's records.

    `begins`: the first offsets of partitions whose oldest records are gone. `announced`: the
    SHA-256 of every model version that the log adopts. `unknown`: versions that `model-snapshots`
    lacks; their records were left out. ``to_come``: how many records with a future time were left
    out. ``gone``: how many records of customers whose key is deleted, ``erased`` customers in all.
    ``missing``: how many records neither the log nor the archive has. ``foreign``: how many records
    of the archive Keepstream did not write.
    """

    records: int = 0
    skipped: int = 0
    partitions: int = 0
    begins: dict[int, int] = {}
    announced: dict[int, str] = {}
    unknown: list[int] = []
    to_come: int = 0
    gone: int = 0
    erased: int = 0
    missing: int = 0
    foreign: int = 0


async def export_log(
    settings: Settings, write: Write, on_progress: OnProgress | None = None
) -> Export:
    """Write every record of `customer-events` up to its present end, one line each. Records that
    the topic no longer has are taken from the archive.

    Partition by partition, in order; each line contains its position. Some records are counted and
    skipped, as workers refuse them, too: those that are no JSON objects, are set aside, announce a
    missing model, or have a future time. ``on_progress(done, total)`` counts records.
    """
    export, now_ms, set_aside = Export(), int(time() * 1_000), SetAside.of(settings)
    snapshots = SnapshotStore(settings, Snapshot(0, 0, {}))
    async with running(new_reader(settings), settings) as reader:
        log = WholeLog(reader, settings)
        spans = await log.spans()
        total = sum(span.end - span.begin for span in spans)
        for span in spans:
            _open_partition(export, span, write)
            adopted = 0
            async for records in log.scan(span):
                for record in records:
                    line = log_line(record.value, record.partition, record.offset)
                    told = _line_in(record.value)
                    control = told if told is not None and told.type == "model" else None
                    if set_aside.has(CUSTOMER_EVENTS, record.partition, record.offset):
                        export.skipped += 1
                        continue
                    if told is not None and is_to_come(told, now_ms):
                        export.to_come += 1
                        continue
                    if control is not None and (control.version or 0) > adopted:
                        version, name = control.version or 0, control.sha256 or ""
                        if not await snapshots.fetch(version, name):
                            export.unknown.append(version)
                            continue
                        adopted = version
                        export.announced.setdefault(version, name)
                    _export(export, line, write)
                if on_progress is not None:
                    on_progress(export.records + export.skipped, total)
    for found in log.outcome.values():
        export.gone += found.gone
        export.erased += len(found.erased)
        export.missing += found.missing
        export.foreign += found.foreign
    return export


async def read_snapshots(settings: Settings, announced: dict[int, str]) -> dict[int, bytes]:
    """Every snapshot on `model-snapshots` by version; if a version was published twice, the one
    that was announced.
    """
    found: dict[int, bytes] = {}
    async with running(new_reader(settings), settings) as reader:
        for span in await spans_of(reader, MODEL_SNAPSHOTS, settings):
            async for records in scan(reader, span, settings):
                for record in records:
                    _keep(found, record.key, record.value, announced)
    return found


def header_lines(partition: int) -> Iterator[bytes]:
    """The first lines of a partition, which say that the log has its own clock and models.

    Their offset is -1, before all records, so that they change nothing else.
    """
    for record in (clock_record(0), model_record(0, "")):
        line = log_line(record, partition, -1)
        assert line is not None
        yield line


def log_line(value: bytes | None, partition: int, offset: int) -> bytes | None:
    """A record's JSON object on one line, with its position; None if it is not an object."""
    record = (value or b"").strip(_JSON_SPACE)
    if not (record.startswith(b"{") and record.endswith(b"}")):
        return None
    # Line breaks can only be white space here: JSON does not allow them within a text.
    fields = record[1:-1].translate(_ONE_LINE).rstrip()
    # At the end: the last of two equal fields counts.
    comma = b"," if fields else b""
    return b'{%b%b"position":{"partition":%d,"offset":%d}}' % (fields, comma, partition, offset)


def _open_partition(export: Export, span: Span, write: Write) -> None:
    number = span.partition.partition
    export.partitions += 1
    if span.begin:
        export.begins[number] = span.begin
    for line in header_lines(number):
        write(line + b"\n")


def _export(export: Export, line: bytes | None, write: Write) -> None:
    if line is None:
        export.skipped += 1
        return
    export.records += 1
    write(line + b"\n")


def _line_in(value: bytes | None) -> Line | None:
    """A record as a line; None for one that a replay refuses, too."""
    try:
        return decode_log_line(value or b"")
    except Rejected:
        return None


def _keep(
    found: dict[int, bytes], key: bytes | None, value: bytes | None, announced: dict[int, str]
) -> None:
    # The version becomes a file name, so only digits are accepted.
    if value is None or key is None or not key.isdigit():
        return
    version = int(key)
    # The first is kept, unless another one has the announced hash.
    if version not in found or sha256(value).hexdigest() == announced.get(version):
        found[version] = value
