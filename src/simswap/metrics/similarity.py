"""Identity similarity, the cosine of two faces' embeddings, and identity transfer, which is made of three."""

import torch
from torch import Tensor
from torch.nn import functional

from simswap.metrics.per_sample import PerSampleMetric


class IdentitySimilarity(PerSampleMetric):
    """The mean cosine, -1..1, between the embeddings of results and of their sources (or targets).

    ``values("cosine")`` returns the cosine of every sample.
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(("cosine",))

    def update(self, results: Tensor, references: Tensor) -> None:
        """Add B pairs.

        Args:
            results: Embeddings of the results, float [B, E], normalized or not.
            references: Embeddings to compare them with, float [B, E].

        Raises:
            ValueError: If the shapes differ.
        """
        if results.ndim != 2 or results.shape != references.shape:
            raise ValueError(
                f"two [B, E] of the same shape needed, got {list(results.shape)} and {list(references.shape)}"
            )
        # float64: mixed precision and TF32 would move a cosine in its third decimal.
        self.append(cosine=functional.cosine_similarity(results.double(), references.double(), dim=1))

    def compute(self) -> Tensor:
        """Float64 []: the mean cosine; NaN before the first sample."""
        return self.mean("cosine")


SAME = 1e-6
"""1 - cosine below which target and source are the same person to a judge."""


def identity_share(reached: Tensor, begun: Tensor) -> Tensor:
    """How far identity went from target to source.

    Args:
        reached: Cosines of results and sources, float [B].
        begun: Cosines of targets and sources, float [B].

    Returns:
        ``(reached - begun) / (1 - begun)``, float [B]; NaN where target and source are the same.
    """
    way = 1 - begun
    return torch.where(way < SAME, torch.nan, (reached - begun) / way)


class IdentityTransfer(PerSampleMetric):
    """The share of the way from the target's identity to the source's: (e(R)·e(S) - e(T)·e(S)) / (1 - e(T)·e(S)).

    It is 0 for a result with the target's embedding and 1 for one with the source's, whatever cosine a recognizer gives
    to strangers. It is negative for a result that is farther from the source than the target is.
    ``values("transfer")`` returns every sample's; NaN where target and source have the same embedding.
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(("transfer",))

    def update(self, results: Tensor, targets: Tensor, sources: Tensor) -> None:
        """Add B pairs.

        Args:
            results: Embeddings of the results, float [B, E], normalized or not.
            targets: Embeddings of the targets, float [B, E].
            sources: Embeddings of the sources, float [B, E].

        Raises:
            ValueError: If the shapes differ.
        """
        if results.ndim != 2 or not results.shape == targets.shape == sources.shape:
            raise ValueError(
                f"three [B, E] of the same shape needed, got {list(results.shape)}, {list(targets.shape)} and "
                f"{list(sources.shape)}"
            )
        reached, begun = (
            functional.cosine_similarity(faces.double(), sources.double(), dim=1) for faces in (results, targets)
        )
        self.append(transfer=identity_share(reached, begun))
