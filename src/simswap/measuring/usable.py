"""What can be measured: finite images, embeddings with a direction, open eyes."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.measuring.gallery import ProtocolPairs

log = logging.getLogger(__name__)

CLOSED = 0.5  # eyes closed further than this show no gaze


def is_picture(images: Tensor) -> Tensor:
    """Which images [B, C, H, W] are finite everywhere, bool [B]."""
    return images.isfinite().flatten(1).all(dim=1)


def is_direction(embeddings: Tensor) -> Tensor:
    """Which embeddings [B, E] have a direction, bool [B]: finite and not zero."""
    return embeddings.isfinite().all(dim=1) & (embeddings != 0).any(dim=1)


def usable_pairs(embeddings: Tensor, pairs: ProtocolPairs, judge: str) -> Tensor:
    """Which pairs have a target and a source that the judge can embed; logs a warning if some have not.

    Args:
        embeddings: The judge's embeddings of the gallery [N, E], in its order.
        pairs: The protocol's pairs.
        judge: The judge's name.

    Returns:
        Bool [pairs].

    Raises:
        InputError: If the judge can embed no gallery image.
    """
    known = is_direction(embeddings)
    if not known.any():
        raise InputError(
            f"the judge {judge} gives no usable embedding (NaN, infinite or zero) of any of the "
            f"{len(known)} gallery images: its weights are damaged, or it is not a recognizer; choose another"
        )
    if not known.all():
        log.warning(
            "the judge %s cannot embed %d of %d gallery images; their pairs count as missed",
            judge,
            int((~known).sum()),
            len(known),
        )
    target, source = (
        torch.from_numpy(np.searchsorted(pairs.gallery, rows)).to(known.device) for rows in (pairs.target, pairs.source)
    )
    return known[target] & known[source]


def true_gaze(attribute: Callable[[str], np.ndarray | None], device: torch.device) -> Tensor | None:
    """The true gaze, float [rows, 2] in degrees, NaN for closed eyes; None if it is unknown.

    Args:
        attribute: Returns an attribute of all rows by its name, or None.
        device: Of the result.
    """
    x, y = attribute("gaze_x"), attribute("gaze_y")
    if x is None or y is None:
        return None
    blink = attribute("blink")
    closed = np.zeros(len(x), dtype=bool) if blink is None else blink > CLOSED
    return torch.from_numpy(np.where(closed[:, None], np.nan, np.column_stack([x, y]))).to(device)
