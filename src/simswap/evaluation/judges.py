"""The judges of an evaluation beside the first."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from simswap.config import OF_TRAINING, build
from simswap.errors import InputError
from simswap.models.recognition import Recognizer
from simswap.models.recorded import judge_of


def further_judges(nodes: DictConfig, config: Mapping[str, Any]) -> dict[str, Recognizer]:
    """Build the further judges, by name.

    Args:
        nodes: ``judges`` of a checked configuration: each has a ``_target_``, is ``of_training``, or is null for none.
        config: The checkpoint's config.

    Raises:
        InputError: A judge cannot be built, or the training had none of its own.
    """
    made = {}
    for name, node in nodes.items():
        key = f"judges.{name}"  # type: ignore[str-bytes-safe]
        if node is None:
            continue
        try:
            judge = judge_of(config) if node == OF_TRAINING else build(node)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        if judge is None:
            raise InputError(
                f"{key}={OF_TRAINING}: this training had no judge of its own; give another, or leave it out"
            )
        made[str(name)] = judge
    return made
