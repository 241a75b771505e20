"""A feature network for FID, as an ONNX file: Inception exported by the user, or any other."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from simswap import pixels
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.models.frozen import FrozenModule
from simswap.models.onnx_reader.graph import OnnxGraph


class FeatureNetwork(FrozenModule):
    """Pictures in unit range [B, 3, S, S] → features [B, F]; frozen, no gradient.

    Pictures are resized to the file's input size (bilinear, antialiased). What is comparable with published FID is
    torchmetrics' and pytorch-fid's Inception pool features alone (2,048 of them, input 299 px, ``symmetric``).

    Args:
        path: the ONNX file; one image input, one output, flattened.
        pixel_range: what the network takes, a name of `simswap.pixels.RANGES`.
        size: side of its input in px, for files that leave it open.

    Raises InputError for a missing or other file, and for a size that is known neither way.
    """

    def __init__(self, path: str, pixel_range: str = "symmetric", size: int | None = None) -> None:
        super().__init__()
        file = Path(path).expanduser()
        self.network = OnnxGraph(file)
        shape = self.network.input_shape
        if len(shape) != 4 or shape[1] not in (None, 3) or not (size or shape[2]):
            raise InputError(
                f"{file}: takes {shape}, not pictures [B, 3, S, S] of a known size; give fid.size=299 "
                "where the file leaves it open"
            )
        self.size = int(size or shape[2] or 0)
        self.name, self.sha256 = f"{file.stem}, {self.size} px", sha256_of(file)
        pixels.get_range(pixel_range)
        self.pixel_range = pixel_range
        self.settings = {"kind": "features", "size": self.size, "pixel_range": pixel_range}
        self.freeze()
        try:
            found = list(self(torch.zeros(2, 3, 32, 32)).shape)
        except (RuntimeError, IndexError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{file}: does not run on two pictures of {self.size} px ({reason})") from error
        if found[0] != 2:
            raise InputError(f"{file}: gives {found} for two pictures; a feature network must give [2, F]")

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return self.network(pixels.to_range(images, self.pixel_range)).flatten(1)
