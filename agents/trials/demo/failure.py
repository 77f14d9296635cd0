"""Why a demonstration may end early."""


class DemoFailed(Exception):
    """The demonstration did not reach its promised result; the message says what is missing."""
