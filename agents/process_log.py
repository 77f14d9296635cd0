"""The log of a long-running process: a first line, a last line, and in between text for people or
JSON for machines.
"""

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import msgspec

from config import VERSION
from config.compiled import flavour
from config.settings import Settings
from streams.library_lines import LibraryLines, quiet_libraries

log = logging.getLogger(__name__)

_OUR_PACKAGES = frozenset({"config", "models", "streams", "agents"})
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLog(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the ``fields`` that were passed, and
    the traceback of an unexpected error.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class WithoutTraceback(logging.Filter):
    """Drops the traceback of errors whose message says what to do. A traceback would hide the
    message, and make the error look like a bug.
    """

    def __init__(self, *explained: type[Exception]) -> None:
        super().__init__()
        self._explained = explained

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.exc_info and isinstance(record.exc_info[1], self._explained):
            record.exc_info = None
        return True


def run_logged(
    program: str,
    settings: Settings,
    body: Callable[[], int],
    *explained: type[Exception],
) -> int:
    """Run ``body`` with a log on standard error, and return its exit code.

    ``explained``: errors whose message says what to do. Warnings of libraries are reworded by
    `LibraryLines`, except at the level DEBUG.
    """
    _begin_log(settings, explained)
    started_s = monotonic()
    changed = changed_settings(settings)
    told = ", ".join(f"{name}={value}" for name, value in changed.items()) or "none"
    log.info(
        "keepstream %s %s (%s) starts as process %d; settings other than the defaults: %s",
        program, VERSION, flavour(), os.getpid(), told,
        extra={"fields": {
            "program": program, "version": VERSION, "core": flavour(), "settings": changed,
        }},
    )  # fmt: skip
    try:
        code = body()
    except BaseException as error:
        log.critical(
            "keepstream %s ends after %.0f s: %s",
            program, monotonic() - started_s, _in_short(error),
            extra={"fields": {"program": program}},
        )  # fmt: skip
        raise
    log.log(
        logging.CRITICAL if code else logging.INFO,
        "keepstream %s ends after %.0f s with exit code %d",
        program, monotonic() - started_s, code,
        extra={"fields": {"program": program, "exitCode": code}},
    )  # fmt: skip
    return code


def changed_settings(settings: Settings) -> dict[str, Any]:
    """The settings that differ from the defaults, by field, without passwords."""
    shipped = dict(Settings().__rich_repr__())
    return {name: value for name, value in settings.__rich_repr__() if value != shipped[name]}


def _in_short(error: BaseException) -> str:
    """The text of an error of ours. For a library's error only its class: the text may quote a
    password.
    """
    kind = type(error)
    return str(error) if kind.__module__.partition(".")[0] in _OUR_PACKAGES else kind.__name__


def _begin_log(settings: Settings, explained: tuple[type[Exception], ...]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings.log_format == "json"
    handler.setFormatter(JsonLog() if is_json else logging.Formatter(TEXT_FORMAT))
    # Also at DEBUG: messages of libraries below a warning may contain records, and so customers.
    quiet_libraries()
    if settings.log_level != "DEBUG":
        handler.addFilter(LibraryLines())
    handler.addFilter(WithoutTraceback(*explained))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
