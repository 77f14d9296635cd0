"""Conversion between probabilities and log odds."""

from collections.abc import Mapping
from math import exp, log
from typing import Any

#: Log odds are clipped to ± this; a probability is never nearer to 0 or 1 than 1e-13.
LOGIT_MAX = 30.0


def clipped(value: float, limit: float) -> float:
    """``value``, limited to ±``limit``."""
    # Compared inline: this runs for every number, and a call of `min` takes twice as long.
    if value < -limit:
        return -limit
    if value > limit:
        return limit
    return value


def sigmoid(logit: float) -> float:
    """The probability of log odds."""
    return 1.0 / (1.0 + exp(-clipped(logit, LOGIT_MAX)))


def logit(probability: float, limit: float = LOGIT_MAX) -> float:
    """The log odds of a probability, limited to ±``limit``."""
    if not 0.0 < probability < 1.0:
        return limit if probability >= 1.0 else -limit
    return clipped(log(probability / (1.0 - probability)), limit)


def logit_of(probabilities: Mapping[Any, float]) -> float:
    """The log odds of a binary classifier's prediction; 0 for an empty one, which some classifiers
    give before they have learnt.
    """
    true, false = probabilities.get(True, 0.0), probabilities.get(False, 0.0)
    if true == false:
        return 0.0
    if true <= 0.0 or false <= 0.0:
        return LOGIT_MAX if true > false else -LOGIT_MAX
    return clipped(log(true / false), LOGIT_MAX)
