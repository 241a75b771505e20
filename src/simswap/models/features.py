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
    """A network that turns images into features for FID; frozen, no gradient.

    Images are resized to the file's input size (bilinear, antialiased). Published FID values are only comparable with
    the Inception pool features of torchmetrics and pytorch-fid (2,048 values, input 299 px, ``symmetric``).

    Args:
        path: The ONNX file, with one image input and one output, which is flattened.
        pixel_range: The network's input range, a name of `simswap.pixels.RANGES`.
        size: Side of its input in px, for a file that leaves it open.

    Raises:
        InputError: The file is missing or of another form, or neither the file nor ``size`` gives the input size.
    """

    def __init__(self, path: str, pixel_range: str = "symmetric", size: int | None = None) -> None:
        super().__init__()
        file = Path(path).expanduser()
        self.network = OnnxGraph(file)
        shape = self.network.input_shape
        if len(shape) != 4 or shape[1] not in (None, 3) or not (size or shape[2]):
            raise InputError(
                f"{file}: takes {shape}, not images [B, 3, S, S] of a known size; set fid.size=299 "
                "if the file leaves it open"
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
            raise InputError(f"{file}: does not run on two images of {self.size} px ({reason})") from error
        if found[0] != 2:
            raise InputError(f"{file}: returns {found} for two images; a feature network must return [2, F]")

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in unit range → features [B, F]."""
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return self.network(pixels.to_range(images, self.pixel_range)).flatten(1)
