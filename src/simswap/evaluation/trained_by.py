"""Whether a judge took part in the training that it judges: as conditioning's recognizer, or in the identity loss."""

from collections.abc import Mapping, Sequence
from typing import Any

from simswap.checkpoint import SwapCheckpoint
from simswap.models.recognition import Recognizer


def loss_recognizers(checkpoints: Sequence[SwapCheckpoint]) -> list[dict[str, str]]:
    """The recognizers of the checkpoints' identity losses apart from ``recognition``'s default, each once.

    Returns:
        ``name``, ``sha256`` and ``weights_sha256`` of each; empty where every loss used the conditioning's alone.
    """
    found = {}
    for checkpoint in checkpoints:
        for one in (checkpoint.description.get("loss_recognizers") or {}).values():
            found[one["sha256"]] = {key: one[key] for key in ("name", "sha256", "weights_sha256")}
    return list(found.values())


def part_in_training(
    judge: Recognizer, recognizer: Recognizer | None, loss: Sequence[Mapping[str, str]]
) -> dict[str, bool]:
    """What evaluation.json says of a judge: ``same_network``, and with other recognizers in the loss ``in_loss``.

    Args:
        judge: The judge.
        recognizer: The conditioning's; None without a checkpoint.
        loss: `loss_recognizers`.
    """
    in_loss = judge.weights_sha256 in {one["weights_sha256"] for one in loss}
    conditioning = recognizer is not None and judge.weights_sha256 == recognizer.weights_sha256
    return {"same_network": conditioning or in_loss, **({"in_loss": in_loss} if loss else {})}


def words_of_same(judge: Mapping[str, Any], network: str) -> str:
    """What the table says of a judge with ``same_network``."""
    if judge.get("in_loss", True):
        role = "one of the identity loss" if "in_loss" in judge else "the one trained with"
        return f"same network as {role} ({network}): identity figures are flattering"
    return f"same network as the conditioning's, not in its loss ({network}): identity figures may be flattering"
