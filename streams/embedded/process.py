"""A server as a child process that never outlives the process that started it.

All brokers, stores and workers of demonstrations and tests are started, awaited and stopped here.
"""

import atexit
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

POLL_INTERVAL_S = 0.05
LOG_TAIL_LINES = 30
#: With less free space than this, the disk counts as full.
FREE_BYTES_MIN = 1024 * 1024
#: Nobody else on the machine may read what a server writes: files are 0600, directories 0700.
PRIVATE_UMASK = 0o077

# Waits until its stdin ends, which happens when the process that started it dies for any reason,
# then kills the server. It holds a handle to the process, because process ids are reused.
GUARD = """
import os, signal, sys
pid = int(sys.argv[1])
try:
    handle = os.pidfd_open(pid)
    end = lambda: signal.pidfd_send_signal(handle, signal.SIGKILL)
except (AttributeError, OSError):
    end = lambda: os.kill(pid, signal.SIGKILL)
sys.stdin.buffer.read()
try:
    end()
except ProcessLookupError:
    pass
"""


class ServerFailedError(RuntimeError):
    """A server ended, or was not ready in time. The message ends with the tail of its log."""


class PortTakenError(ServerFailedError):
    """A server ended because another process had taken its port."""


class ServerProcess:
    """One server: its process, its log and its pid file.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches the workers and not the
    broker they still need. A guard ends it when its parent is gone, even by ``kill -9``.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.pid_path = directory / f"{name}.pid"
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._server.pid if self._server and self._server.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, and before it was started."""
        return self._server.poll() if self._server else None

    def start(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
    ) -> None:
        """Run ``command``. Its output is added to the log."""
        if self.pid:
            raise RuntimeError(f"{self.name} runs already, as process {self.pid}")
        self._release()
        # The guard would be enough; this way the server ends before its parent does.
        atexit.register(self.kill)
        # Made private before anything is in it: a log may quote what a client sent.
        self.log_path.touch(0o600)
        with self.log_path.open("ab") as log:
            self._log_offset = log.tell()
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
                cwd=cwd,
                umask=PRIVATE_UMASK,
            )
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", GUARD, str(self._server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid_path.touch(0o600)
        self.pid_path.write_text(f"{self._server.pid}\n")

    def require_alive(self) -> None:
        """Raise ``PortTakenError`` or another ``ServerFailedError`` if the server has ended."""
        if self.pid:
            return
        lost_its_port = "Address already in use" in self.log_since_start()
        kind = PortTakenError if lost_its_port else ServerFailedError
        raise kind(f"{self.name} ended with code {self.exit_code}. {self.log_tail()}")

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server a signal, if it runs."""
        if self._server:
            self._server.send_signal(number)

    def wait(self, timeout_s: float) -> int | None:
        """Return the server's exit code when it has ended; None if it was never started.

        Raises ``ServerFailedError`` if it still runs after ``timeout_s``.
        """
        if self._server:
            try:
                self._server.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise ServerFailedError(
                    f"{self.name} still runs after {timeout_s:g} s. {self.log_tail()}"
                ) from None
        self._release()
        return self.exit_code

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._server:
            self._server.kill()
            self._server.wait()
        self._release()

    def log_since_start(self) -> str:
        """Return what the server has written since it was started last."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def log_tail(self) -> str:
        """Return the last lines of the log, with its path, for an error message."""
        lines = self.log_since_start().splitlines()[-LOG_TAIL_LINES:]
        return f"{self._full_disk()}The end of {self.log_path}:\n" + "\n".join(lines)

    def _full_disk(self) -> str:
        """A sentence if the disk is full, which a server's log can't report; else empty."""
        directory = self.log_path.parent
        free_bytes = disk_usage(directory).free
        if free_bytes >= FREE_BYTES_MIN:
            return ""
        return f"The disk of {directory} is full: make room on it, then start again. "

    def _release(self) -> None:
        """Remove the guard and the pid file of a server that has ended."""
        if self._guard:
            # Killed, because closing its stdin would make it kill the server.
            self._guard.kill()
            self._guard.wait()
            if self._guard.stdin:
                self._guard.stdin.close()
        self._guard = None
        atexit.unregister(self.kill)
        self.pid_path.unlink(missing_ok=True)


def wait_until(
    condition: Callable[[], object],
    what: str,
    timeout_s: float,
    servers: Sequence[ServerProcess],
    *,
    every_s: float = POLL_INTERVAL_S,
) -> None:
    """Return when ``condition`` holds; it is checked ``every_s`` seconds.

    Raises ``ServerFailedError`` with ``what``, and the ends of the servers' logs, if it doesn't
    within ``timeout_s``.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            tails = "\n".join(server.log_tail() for server in servers)
            raise ServerFailedError(f"Not within {timeout_s:g} s: {what}. {tails}")
        time.sleep(every_s)


def wait_until_ready(
    servers: Sequence[ServerProcess], is_ready: Callable[[], bool], timeout_s: float
) -> None:
    """Return when ``is_ready`` returns true.

    Raises ``ServerFailedError`` if it doesn't within ``timeout_s``, or one of the servers ends.
    """

    def all_run_and_are_ready() -> bool:
        for server in servers:
            server.require_alive()
        return is_ready()

    names = ", ".join(server.name for server in servers)
    wait_until(all_run_and_are_ready, f"{names} ready", timeout_s, servers)


def stop_all(servers: Sequence[ServerProcess], timeout_s: float) -> None:
    """Ask all servers to end; kill those that haven't after ``timeout_s``."""
    for server in servers:
        server.send_signal(signal.SIGTERM)
    for server in servers:
        try:
            server.wait(timeout_s)
        except ServerFailedError:
            server.kill()


@contextmanager
def killed_on_failure(servers: Sequence[ServerProcess]) -> Iterator[None]:
    """Kill all servers if the block, which starts them, fails."""
    try:
        yield
    except BaseException:
        for server in servers:
            server.kill()
        raise
