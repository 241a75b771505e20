"""Every layer range of the weak feature matching loss that the configured discriminators allow."""

from omegaconf import DictConfig

from simswap.config import build

FIRST, LAST = "objective.feature_matching.first_layer", "objective.feature_matching.last_layer"


def valid_ranges(layers: int) -> list[tuple[int, int]]:
    """All (m, M) with 0 <= m <= M < ``layers``, by m and then M: ``layers (layers + 1) / 2`` of them."""
    return [(first, last) for first in range(layers) for last in range(first, layers)]


def range_overrides(cfg: DictConfig) -> list[list[str]]:
    """The ranges as overrides of ``simswap-train``, for the configured discriminators and crops.

    Raises:
        InputError: The crops are not prepared, or the discriminators do not fit them.
    """
    layers = build(cfg.discriminator, image_size=build(cfg.data, seed=0).size).layer_count
    return [[f"{FIRST}={first}", f"{LAST}={last}"] for first, last in valid_ranges(layers)]
