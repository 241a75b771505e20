"""A recogniser together with its view of the crops: from aligned pictures of any template to identity embeddings."""

import torch
from torch import Tensor, nn

from simswap.faces.warping import RecogniserView
from simswap.models.recognition import Recogniser


class Embedder(nn.Module):
    """Crops of one template and size → embeddings; frozen, and gradient passes to the pictures.

    how: the way of `RecogniserView`.
    """

    def __init__(self, recogniser: Recogniser, template: str, crop_size: int, how: str = "warp") -> None:
        super().__init__()
        self.recogniser = recogniser
        self.view = RecogniserView(template, crop_size, recogniser.input_size, how)

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        """images: [B, 3, S, S] in unit range; view: int64 [B]. Returns [B, E], L2-normalised."""
        return self.recogniser(self.view(images, view))

    @torch.no_grad()
    def identity(self, images: Tensor, view: Tensor) -> Tensor:
        """The embeddings without a graph: what a source gives to the generator."""
        return self(images, view)
