"""insightface's mean head of 68 points in 3-D, in iBUG's order, which the installed package brings."""

import hashlib
import io
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.packages import package_folder
from simswap.pickled_arrays import ArraysOnly

POINTS = 68
MEAN_SHAPE = "data/objects/meanshape_68.pkl"
LEFT_EYE, RIGHT_EYE, MOUTH = slice(36, 42), slice(42, 48), slice(48, 68)
STEADY = slice(27, 48)
"""Nose and eyes: the points that hardly move with mouth, brows and jaw."""


@lru_cache(maxsize=1)
def mean_head() -> npt.NDArray[np.float64]:
    """The mean shape in eye distances around the mean of its `STEADY` points.

    Returns:
        float64 [68, 3], read-only: x to the image's right, y down, z towards the camera.

    Raises:
        InputError: As `mean_shape_file` and `read_mean_shape`.
    """
    shape = read_mean_shape(mean_shape_file())
    head = shape / np.linalg.norm(shape[LEFT_EYE].mean(0) - shape[RIGHT_EYE].mean(0))
    head -= head[STEADY].mean(0)
    head.setflags(write=False)
    return head


def mean_head_sha256() -> str:
    """Of the values of `mean_head`; raises as it does."""
    return hashlib.sha256(np.ascontiguousarray(mean_head(), "<f8").tobytes()).hexdigest()


def mean_shape_file() -> Path:
    """The mean shape's file in the installed insightface, which is not imported; InputError if it is not installed."""
    folder = package_folder("insightface")
    if folder is None:
        raise InputError("insightface is not installed, but its mean shape is needed; install the package again")
    return folder / MEAN_SHAPE


def read_mean_shape(file: Path) -> npt.NDArray[np.float64]:
    """The mean shape [68, 3] float64 from a pickled array; only numpy arrays are unpickled.

    Raises InputError where the file is missing, names anything else, or holds another shape.
    """
    try:
        shape = ArraysOnly(io.BytesIO(file.read_bytes())).load()
    except (
        OSError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: insightface's mean shape cannot be read ({reason}); install it again") from error
    if not isinstance(shape, np.ndarray) or shape.shape != (POINTS, 3) or shape.dtype.kind != "f":
        raise InputError(f"{file}: holds no array of {POINTS} 3-D points; install insightface again")
    return shape.astype(np.float64)
