"""How a command shows an error (one red line, exit code 2, no traceback), and how it is stopped."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

#: The command ran, and found problems.
EXIT_FOUND = 1
#: The command could not run.
EXIT_FAILED = 2
#: The command ran, but so many events were refused for one reason that its result misleads.
EXIT_REFUSED = 3

#: Longer than the first sentence of any command's help.
_SENTENCE_LENGTH_MAX = 200
_OUR_PACKAGES = frozenset({"config", "models", "streams", "agents"})
#: Added to the number of the signal that stopped the command, as shells do.
EXIT_STOPPED = 128

#: Client packages, and the server each one talks to. Errors from these packages are usually the
#: server's.
_SERVERS = {"kafka": "the Kafka broker", "aiokafka": "the Kafka broker", "redis": "Redis"}


#: What to do about a file or directory that the system refuses.
FIXES = {
    errno.ENOENT: "name one that exists, or make it",
    errno.EEXIST: "that is a file, so name another directory",
    errno.ENOTDIR: "a part of the path is a file, so name another directory",
    errno.EISDIR: "that is a directory, so name a file",
    errno.EACCES: "name one that you may use, or change its permissions",
    errno.EPERM: "name one that you may use, or change its permissions",
    errno.EROFS: "name one on a disk that can be written to",
    errno.ENOSPC: "free some space on the disk, or name one elsewhere",
}


class CommandError(Exception):
    """A command can't do what it was asked; the message says why and what to do."""


class ListingGroup(TyperGroup):
    """Lists commands with their whole first sentence: on a narrow terminal Typer would cut most of
    them off.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        named = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(_SENTENCE_LENGTH_MAX))
            for name, command in named
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class ExplainingGroup(ListingGroup):
    """Shows errors with an explanation as text, and bugs with their traceback. SIGTERM and SIGHUP
    stop a command the way Ctrl-C does: it cleans up first.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            with _stopped_by(signal.SIGTERM, signal.SIGHUP):
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            number = stop.args[0] if stop.args else signal.SIGINT
            complain(f"stopped by {signal.Signals(number).name}")
            raise typer.Exit(EXIT_STOPPED + number) from None
        except Exception as error:
            text = explanation(error)
            if text is None:
                raise
            complain(text)
            raise typer.Exit(EXIT_FAILED) from None


@contextmanager
def _stopped_by(*numbers: signal.Signals) -> Iterator[None]:
    """Let these signals interrupt as SIGINT does, unless they already have another handler."""

    def stop(number: int, _frame: object) -> None:
        # Cleaning up takes time: a second signal must not cut it short.
        for other in taken:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def complain(text: str) -> None:
    """Say what is wrong, in red where there are colours."""
    typer.secho(text, fg="red", err=True)


def explanation(error: Exception) -> str | None:
    """The explanation in an error that was written for the user; None for a bug."""
    if isinstance(error, OSError) and error.errno is not None:
        # The reader of our output closed the pipe. That is no error; the caller handles it.
        if error.errno == errno.EPIPE:
            return None
        where = f"{error.filename}: " if error.filename else ""
        fix = FIXES.get(error.errno, "") if where else ""
        return f"{where}{error.strerror or error}{f': {fix}' if fix else ''}"
    # Judged by the module of the error's class, so that modules that are slow to import are not
    # needed.
    package = type(error).__module__.partition(".")[0]
    if server := _SERVERS.get(package):
        # Its text may hold an address with a password; the class of the error says enough.
        return (
            f"{server} stopped answering or refused ({type(error).__name__}): see "
            f"`keepstream doctor`, then run this again"
        )
    return str(error) if package in _OUR_PACKAGES or isinstance(error, OSError) else None
