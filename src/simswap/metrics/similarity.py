"""Identity similarity: the mean cosine of two faces' embeddings."""

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
