"""What one judge says of one swapper: retrieval, similarities, and how far it agrees with another judge."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.usable import is_direction
from simswap.metrics.per_sample import PerSampleMetric
from simswap.metrics.retrieval import IdentityRetrieval
from simswap.metrics.similarity import IdentitySimilarity, IdentityTransfer

RETRIEVAL = {"id_retrieval": "top1", "id_retrieval_top5": "top5", "id_retrieval_without_source": "top1_without_source"}
"""The figures of retrieval, and their rules in `IdentityRetrieval.hits`."""


class Kept(NamedTuple):
    """Where a figure's values are: the metric that keeps them, and how to get them from it."""

    metric: PerSampleMetric
    values: Callable[[], Tensor]


class Judged:
    """One judge's figures of one swapper, in the order in which the pairs were added.

    A pair whose result, target or source the judge cannot embed is left out: the judge *misses* it.

    Args:
        pairs: The protocol's pairs.
        person: int64 [rows], the person of every row of the data.
        gallery: The judge's embeddings of the gallery [N, E], in the order of ``pairs.gallery``.
    """

    def __init__(self, pairs: ProtocolPairs, person: Tensor, gallery: Tensor) -> None:
        self._pairs, self._person, self._gallery = pairs, person, gallery
        self._known = is_direction(gallery)
        rows = torch.from_numpy(pairs.gallery).to(gallery.device)
        self.retrieval = IdentityRetrieval().to(gallery.device)
        self.retrieval.set_gallery(gallery[self._known], person[rows][self._known], rows[self._known])
        self.to_source, self.to_target = (IdentitySimilarity().to(gallery.device) for _ in range(2))
        self.transfer = IdentityTransfer().to(gallery.device)
        self._places: list[Tensor] = []

    def add(self, place: Tensor, embeddings: Tensor, usable: bool = False) -> None:
        """Add B pairs.

        Args:
            place: int64 [B], the place of each pair in the protocol.
            embeddings: The judge's embeddings of the results [B, E].
            usable: Whether this judge is known to embed every face of these pairs.
        """
        at = place.cpu().numpy()
        target, source = (np.searchsorted(self._pairs.gallery, rows[at]) for rows in self._pairs[1:])
        if not usable:
            known = self._known.cpu().numpy()
            seen = is_direction(embeddings).cpu().numpy() & known[target] & known[source]
            at, target, source = at[seen], target[seen], source[seen]
            kept = torch.from_numpy(np.flatnonzero(seen)).to(place.device)
            place, embeddings = place[kept], embeddings[kept]
        rows = torch.from_numpy(self._pairs.source[at]).to(self._person.device)
        self._places.append(place)
        self.retrieval.update(embeddings, self._person[rows], rows)
        self.to_source.update(embeddings, self._gallery[source])
        self.to_target.update(embeddings, self._gallery[target])
        self.transfer.update(embeddings, self._gallery[target], self._gallery[source])

    def kept(self) -> dict[str, Kept]:
        """The figures, and where their values are."""
        return {
            **{name: Kept(self.retrieval, partial(self.retrieval.hits, rule)) for name, rule in RETRIEVAL.items()},
            "id_similarity": Kept(self.to_source, partial(self.to_source.values, "cosine")),
            "target_similarity": Kept(self.to_target, partial(self.to_target.values, "cosine")),
            "identity_share": Kept(self.transfer, partial(self.transfer.values, "transfer")),
        }

    def samples(self) -> dict[str, Tensor]:
        """Every figure's value per pair of the protocol, float [n], NaN where there is none."""
        return {name: self._in_order(kept.values()) for name, kept in self.kept().items()}

    def _in_order(self, values: Tensor) -> Tensor:
        whole = values.new_full((len(self._pairs.target),), torch.nan)
        if len(values):
            whole[torch.cat(self._places)] = values
        return whole

    @property
    def missed(self) -> int:
        """The number of pairs without a result that this judge can measure."""
        return len(self._pairs.target) - sum(len(places) for places in self._places)

    @property
    def chance(self) -> float:
        """The top-1 retrieval of a gallery image drawn at random."""
        return float(self.retrieval.values("chance").double().nanmean())


def agreement(one: Tensor, other: Tensor) -> Tensor:
    """Whether two judges say the same of each pair, float [n]: 1 if both find the source's person or neither does.

    Args:
        one: Float [n], whether the judge finds the source's person: 1 or 0, NaN where it says nothing.
        other: Likewise.

    Returns:
        NaN where one of them says nothing.
    """
    return torch.where(one.isnan() | other.isnan(), torch.nan, (one == other).float())


def kappa(one: Tensor, other: Tensor) -> float:
    """Cohen's kappa of two judges' hits (Cohen 1960): their agreement beyond chance, divided by the most there can be.

    1 for the same hits, 0 for judges that agree as often as two independent ones with these shares of hits.

    Args:
        one: As in `agreement`.
        other: Likewise.

    Returns:
        NaN without a pair, or if both judges find everyone or both find no one.
    """
    known = ~(one.isnan() | other.isnan())
    first, second = one[known].double(), other[known].double()
    agree = float((first == second).double().mean())
    p, q = float(first.mean()), float(second.mean())
    expected = p * q + (1 - p) * (1 - q)
    return (agree - expected) / (1 - expected) if expected < 1 else float("nan")
