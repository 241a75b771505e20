"""How alike two faces are to a recognizer: the mean cosine of their embeddings."""

from torch import Tensor
from torch.nn import functional

from simswap.metrics.per_sample import PerSampleMetric


class IdentitySimilarity(PerSampleMetric):
    """Mean cosine of embeddings, -1..1, between each result and its source (or its target).

    ``values("cosine")`` gives the cosine of every sample.
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(("cosine",))

    def update(self, results: Tensor, references: Tensor) -> None:
        """Add B pairs: embeddings float [B, E] of the results and of what they are compared with.

        They need not be normalized. Raises ValueError for other shapes.
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
