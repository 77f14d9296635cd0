"""Why an evaluation can end early."""


class EvaluationFailed(Exception):
    """There is nothing to evaluate, or nothing to evaluate it with; the message says what to do."""


def not_installed(what: str) -> EvaluationFailed:
    """``what``: the thing that is missing, in words."""
    return EvaluationFailed(
        f"{what} is not installed: run `make evaluate`, which brings it, "
        "or `pip install -r requirements/bench.txt`"
    )
