"""What a checkpoint says about itself, as plain values."""

from collections.abc import Mapping
from typing import Any

from simswap.models.generator import Generator
from simswap.models.recognition import Recognizer
from simswap.version import __version__, git_commit

FORMAT = 1
KEY = "simswap"
GENERATOR_PREFIX = "ema."
DISCRIMINATORS_PREFIX = "discriminators."


def describe(
    generator: Generator,
    template: str,
    image_size: int,
    recognizer: Recognizer,
    config: dict[str, Any],
    recognizer_view: str = "warp",
) -> dict[str, Any]:
    """The description that is stored with the weights; plain values only, so that it loads with weights_only."""
    return {
        "format": FORMAT,
        "package_version": __version__,
        "git_commit": git_commit(),
        "image_size": image_size,
        "pixel_range": generator.pixel_range,
        "template": template,
        "generator": dict(generator.settings),
        "recognizer": {"name": recognizer.name, "sha256": recognizer.sha256},
        "recognizer_view": recognizer_view,
        "config": config,
    }


def of_training(content: Mapping[str, Any]) -> dict[str, Any]:
    """What only the callbacks and the trainer of a training checkpoint record, for the description."""
    hashes = content.get("callbacks", {}).get("RunFingerprint", {}).get("hashes", {})
    return {"iterations": content.get("global_step"), "data_rows_sha256": hashes.get("data")}
