"""Why a demonstration can end early."""


class DemoFailed(Exception):
    """The demonstration did not come to what it promises; the message says what is missing."""


class Stopped(BaseException):
    """Somebody asked for the end: Ctrl-C, or a signal. No ``Exception``, so nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that this signal ended."""
        return 128 + self.number
