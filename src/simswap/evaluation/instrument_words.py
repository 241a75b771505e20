"""Instruments and their facts in words, for the lines above a printed table."""

import math
from collections.abc import Mapping
from typing import Any

from simswap.evaluation.trained_by import words_of_same


def judge_words(judge: Mapping[str, Any], recognizer: Mapping[str, Any] | None) -> str:
    """Whether a judge is the network trained with. recognizer: that network; None if it is not known."""
    if judge["same_network"]:
        return words_of_same(judge, network_words(judge))
    if recognizer is None:
        return f"{network_words(judge)}; whether the swaps were trained with it is not known"
    return f"{network_words(judge)}, another network than the one trained with"


def chance_words(share: float | None) -> str:
    """The retrieval of a blind draw."""
    return "not known" if share is None or not is_known(share) else f"{100 * share:.2g} %"


def floor_words(degrees: float) -> str:
    """The noise floor of an estimator."""
    return f"noise floor {degrees:.1f} degrees, the error of a single reading (means are told apart by their intervals)"


def network_words(network: Mapping[str, Any]) -> str:
    """A network by its name and hash."""
    sha256 = network["sha256"]
    return f"{network['name']} (sha256 {sha256[:8]})" if sha256 else f"{network['name']} (no file)"


def is_known(number: float | None) -> bool:
    """Whether there is a number."""
    return number is not None and math.isfinite(number)
