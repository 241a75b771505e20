"""What can be measured at all: pictures that hold numbers alone, embeddings that say who it is, eyes that are open."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.measuring.gallery import ProtocolPairs

log = logging.getLogger(__name__)

CLOSED = 0.5  # eyes that are closed further show no gaze


def is_picture(images: Tensor) -> Tensor:
    """bool [B]: which images [B, C, H, W] hold finite numbers alone."""
    return images.isfinite().flatten(1).all(dim=1)


def is_direction(embeddings: Tensor) -> Tensor:
    """bool [B]: which embeddings [B, E] say who it is; not those with a NaN or an infinity, and not zero."""
    return embeddings.isfinite().all(dim=1) & (embeddings != 0).any(dim=1)


def usable_pairs(embeddings: Tensor, pairs: ProtocolPairs, judge: str) -> Tensor:
    """bool [pairs]: whose target and source the judge can embed. embeddings: of the gallery, in its order.

    Raises InputError where it can embed no image of the gallery; says in the log where there are some.
    """
    known = is_direction(embeddings)
    if not known.any():
        raise InputError(
            f"the judge {judge} gives no usable embedding (NaN, infinite or zero) of any of the "
            f"{len(known)} gallery images: its weights are damaged, or it is no recognizer; give another"
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
    """Float [rows, 2] in degrees, NaN where the eyes are closed; None where it is not known. attribute: of all rows."""
    x, y = attribute("gaze_x"), attribute("gaze_y")
    if x is None or y is None:
        return None
    blink = attribute("blink")
    closed = np.zeros(len(x), dtype=bool) if blink is None else blink > CLOSED
    return torch.from_numpy(np.where(closed[:, None], np.nan, np.column_stack([x, y]))).to(device)
