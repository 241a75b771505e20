"""The last validation of a training as figures, and how it measured."""

import math
from collections.abc import Mapping
from typing import Any

from simswap.comparison.run import Curve, SwapperRow
from simswap.errors import InputError
from simswap.metrics.figures import Interval, validated


def last_validation(where: str, curves: Mapping[str, Curve]) -> tuple[dict[str, Interval], tuple[SwapperRow, ...]]:
    """The last validation's figures, without intervals, and its controls. Raises InputError without a validation."""

    def last(prefix: str) -> dict[str, Interval]:
        names = {metric.replace("val/", prefix, 1): figure.name for metric, figure in validated().items()}
        return {
            name: Interval(curves[metric][1][-1], math.nan, math.nan)
            for metric, name in names.items()
            if metric in curves
        }

    figures = last("val/")
    if "id_retrieval" not in figures:
        raise InputError(f"{where} has no validation in its metrics: train at least until trainer.val_check_interval")
    controls = (SwapperRow(name, "control", last(f"val/{name}/")) for name in CONTROLS)
    return figures, tuple(control for control in controls if control.figures)


CONTROLS = ("do_nothing", "copy_source")


def control_columns() -> list[str]:
    """The controls' figures in metrics.csv."""
    return [metric.replace("val/", f"val/{name}/", 1) for name in CONTROLS for metric in validated()]


def validation_protocol(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's validation as a protocol, from its settings, with the keys of evaluation.json where they exist."""

    def settings(group: str) -> dict[str, Any]:
        return {key: value for key, value in config.items() if key.startswith(f"{group}.")}

    persons, images = config.get("validation.persons"), config.get("validation.images_per_person")
    return {
        "name": "validation during training",
        "pairs": config.get("validation.pairs"),
        "gallery_persons": persons,
        "gallery_images": None if persons is None or images is None else persons * images,
        # without a judge, the recognizer used in training judges
        "judge": settings("judge") if config.get("judge._target_") else settings("recognition"),
        "pose": settings("pose"),
        "image_size": config.get("data.size"),
        "data": config.get("data.root"),
        "split": "val",
    }
