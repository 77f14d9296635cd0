"""A server for trying and testing: a directory, fixed loopback ports, and processes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from streams.embedded.ports import are_free, free_ports
from streams.embedded.process import PortTakenError, ServerProcess

PORT_TRIES_MAX = 3


class EmbeddedServer(ABC):
    """What the embedded broker and store have in common. Usable as a context manager.

    Without ``directory`` a temporary one is used, and removed by ``close``. It takes the ports
    that it is given if they are free, and other free ones if not.
    """

    #: All processes, running or not.
    processes: Sequence[ServerProcess]

    def __init__(
        self, name: str, directory: Path | None, *, port_count: int, ports: Sequence[int] = ()
    ) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = TemporaryDirectory(prefix=f"keepstream-{name}-")
            directory = Path(self._temporary.name)
        self.directory = directory.resolve()
        # A broker's files are the customers' events: nobody else on the machine may read them.
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._port_count = port_count
        self._wanted_ports = ports
        self._ports: Sequence[int] = ()

    @property
    def pids(self) -> list[int]:
        """The ids of the running processes."""
        return [process.pid for process in self.processes if process.pid]

    @property
    def ports(self) -> Sequence[int]:
        """Its ports. Raises ``RuntimeError`` before it is started."""
        if not self._ports:
            raise RuntimeError(f"The {type(self).__name__} has no address before it is started.")
        return self._ports

    @abstractmethod
    def start(self) -> None:
        """Start it if it doesn't run, and return when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it, by SIGKILL if it doesn't end in time."""

    def close(self) -> None:
        """Stop everything, and remove the directory if it is a temporary one."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch_on_ports(self, launch: Callable[[], None]) -> None:
        """Call ``launch`` on the ports of the last start. The first time, use the given ports if
        they are free, and others if not.
        """
        if self._ports:
            # Clients know these ports, so it cannot move to others.
            launch()
            return
        wanted = self._wanted_ports
        for tries_left in reversed(range(PORT_TRIES_MAX)):
            self._ports = wanted if wanted and are_free(wanted) else free_ports(self._port_count)
            try:
                launch()
                return
            except PortTakenError:
                self._ports = ()
                if not tries_left:
                    raise
