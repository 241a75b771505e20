"""A recognizer and its view of the crops: from crops of any template to identity embeddings."""

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.faces.warping import RecognizerView
from simswap.models.frozen import FrozenModule
from simswap.models.recognition import Recognizer


class Embedder(FrozenModule):
    """Crops of one template and size → identity embeddings; frozen, and gradient passes to the crops.

    Args:
        recognizer: The network that embeds.
        template: The crops' template, a name of `faces.alignment.TEMPLATES`.
        crop_size: Side of the crops in px.
        how: How crops reach the recognizer, one of `faces.warping.VIEWS`.

    Raises:
        InputError: The recognizer takes no ``arcface`` crops, and the crops are to be resized instead of warped.
    """

    def __init__(self, recognizer: Recognizer, template: str, crop_size: int, how: str = "warp") -> None:
        super().__init__()
        if how != "warp" and recognizer.crop != "arcface":
            raise InputError(f"recognizer_view={how}: {recognizer.name} takes its own crop; set recognizer_view=warp")
        self.recognizer = recognizer
        self.view = RecognizerView(template, crop_size, recognizer.input_size, how, recognizer.crop)
        self.freeze()

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        """Crops [B, 3, S, S] in unit range and their template views int64 [B] → unit-length embeddings [B, E]."""
        seen = self.view(images, view)
        # A training in double precision still brings crops in single precision, and its judge stays in single.
        own = next((value.dtype for value in self.recognizer.parameters()), torch.float32)
        return self.recognizer(seen.to(own) if torch.float64 in (own, seen.dtype) else seen)

    @torch.no_grad()
    def identity(self, images: Tensor, view: Tensor) -> Tensor:
        """As `forward`, without a graph: the source's embedding that the generator injects."""
        return self(images, view)
