"""Why an evaluation may end early."""


class EvaluationFailed(Exception):
    """There is no data or no library for an evaluation; the message says what to do."""


def not_installed(what: str) -> EvaluationFailed:
    """``what``: the missing thing, in words."""
    return EvaluationFailed(
        f"{what} is not installed: run `make evaluate`, which brings it, "
        "or `pip install -r requirements/bench.txt`"
    )
