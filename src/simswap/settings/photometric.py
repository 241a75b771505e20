"""The one place that imports albumentations, and the list of its transforms that may augment a training pair."""

import inspect
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from simswap.errors import InputError

PACKAGE = "albumentations"
MOVING: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "ChromaticAberration": ("it shifts the red and the blue channel", lambda settings: True),
    "GlassBlur": ("it exchanges neighboring pixels", lambda settings: True),
    "ZoomBlur": ("it moves pixels away from the center", lambda settings: True),
    "MotionBlur": (
        "its lopsided kernels move the face; add allow_shifted: false and direction_range: [0, 0]",
        lambda settings: settings.get("allow_shifted", True) or list(settings.get("direction_range", ())) != [0, 0],
    ),
    "Downscale": (
        "with nearest-neighbor interpolation it moves the face by up to half a large pixel; add "
        "interpolation_pair: {downscale: 3, upscale: 1}",
        lambda settings: 0 in (settings.get("interpolation_pair") or {"downscale": 0}).values(),
    ),
}
"""Transforms that albumentations counts among those of values alone, and that move pixels: reason, and when."""

REMOVING = {
    "ChannelDropout": "it removes a color channel of the face",
    "TextImage": "it writes text on the face",
    "FDA": "it needs other pictures",
    "HistogramMatching": "it needs other pictures",
    "PixelDistributionAdaptation": "it needs other pictures",
}
"""Further transforms that are refused, with the reason."""


def silence_version_check() -> None:
    """Keep albumentations from asking the package index for a newer version when somebody imports it.

    The request would delay a run, or fail it where there is no network.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def albumentations() -> ModuleType:
    """The library, imported when first needed: the import takes seconds."""
    silence_version_check()
    import albumentations

    return albumentations


def photometric(target: Any, where: str) -> type:
    """The class of a photometric transform, one that changes the values of pixels and leaves them in place.

    Args:
        target: ``albumentations.<Name>``, a subclass of its ``ImageOnlyTransform`` under its public name.
        where: the node, named in the error.

    Raises:
        InputError: another name; a transform that moves pixels, removes parts of the face or needs other pictures.
    """
    package, _, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
    library = albumentations() if package == PACKAGE else None
    found = getattr(library, name, None)
    if library is None or not inspect.isclass(found) or not issubclass(found, library.BasicTransform):
        raise InputError(
            f"{where}._target_ is {target!r}: it is not on the list of what may be called there; give a photometric "
            f"transform of albumentations, as in {PACKAGE}.GaussNoise"
        )
    if not issubclass(found, library.ImageOnlyTransform) or found is library.ImageOnlyTransform:
        raise InputError(
            f"{where}: {target} may move or remove pixels, and the views, landmarks and the reconstruction of "
            "same-person pairs rely on faces staying where they are; give transforms of pixel values alone "
            "(albumentations' image-only transforms), and data.augmentation.flip for mirrored faces"
        )
    if name in REMOVING:
        raise InputError(f"{where}: {target} is refused: {REMOVING[name]}")
    return found


def build_transform(settings: Any, where: str) -> Any:
    """The transform that a node of the configuration describes.

    Args:
        settings: ``_target_`` and the arguments of that class.
        where: the node, named in the error.

    Raises:
        InputError: no such node or transform, an unknown or wrong argument, a setting with which it moves pixels, or
            a result that is no uint8 picture of the same shape.
    """
    import numpy as np

    if not isinstance(settings, dict) or "_target_" not in settings:
        raise InputError(f"{where} is {settings!r}: a transform is a mapping with _target_ and its arguments")
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    kind = photometric(settings["_target_"], where)
    reason, moves = MOVING.get(kind.__name__, ("", lambda settings: False))
    if moves(arguments):
        raise InputError(f"{where}: {settings['_target_']} moves pixels: {reason}")
    unknown = arguments.keys() - inspect.signature(kind).parameters.keys()
    if unknown:
        known = ", ".join(inspect.signature(kind).parameters)
        raise InputError(f"{where}.{min(unknown)}: unknown; {settings['_target_']} has {known}")
    try:
        # Tried once on a small gray picture: albumentations checks some settings only then.
        tried = kind(**(arguments | {"p": 1.0}))(image=np.full((64, 64, 3), 128, np.uint8))["image"]
        transform = kind(**arguments)
    except Exception as error:  # of albumentations, pydantic, OpenCV or numpy
        reason = " ".join(str(error).split()).split(" For further information")[0]
        raise InputError(f"{where}: {settings['_target_']}: {reason}") from error
    if tried.dtype != np.uint8 or tried.shape != (64, 64, 3):
        raise InputError(
            f"{where}: {settings['_target_']} makes {tried.dtype} {list(tried.shape)} of a uint8 [H, W, 3] picture; "
            "training pairs stay uint8 RGB of their size"
        )
    return transform
