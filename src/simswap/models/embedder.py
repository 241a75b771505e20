"""A recognizer together with its view of the crops: from aligned pictures of any template to identity embeddings."""

import torch
from torch import Tensor

from simswap.faces.warping import RecognizerView
from simswap.models.frozen import FrozenModule
from simswap.models.recognition import Recognizer


class Embedder(FrozenModule):
    """Crops of one template and size → embeddings; frozen, and gradient passes to the pictures.

    how: the way of `RecognizerView`.
    """

    def __init__(self, recognizer: Recognizer, template: str, crop_size: int, how: str = "warp") -> None:
        super().__init__()
        self.recognizer = recognizer
        self.view = RecognizerView(template, crop_size, recognizer.input_size, how)
        self.freeze()

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        """images: [B, 3, S, S] in unit range; view: int64 [B]. Returns [B, E], L2-normalized."""
        seen = self.view(images, view)
        # In a training in double precision crops come in single, and a judge stays so.
        own = next((value.dtype for value in self.recognizer.parameters()), torch.float32)
        return self.recognizer(seen.to(own) if torch.float64 in (own, seen.dtype) else seen)

    @torch.no_grad()
    def identity(self, images: Tensor, view: Tensor) -> Tensor:
        """The embeddings without a graph: what a source gives to the generator."""
        return self(images, view)
