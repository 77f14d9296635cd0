"""Why a demonstration can end early."""


class DemoFailed(Exception):
    """The demonstration did not come to what it promises; the message says what is missing."""
