"""Frozen face recognizers behind one interface: for the source's embedding, the identity loss and the judge."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap import pixels
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.models.frozen import FrozenModule
from simswap.models.onnx_reader.graph import OnnxGraph, image_input, read_onnx
from simswap.models.packs import file_of_pack

# What every insightface recognizer takes: the arcface template is defined at this size.
ONNX_INPUT_SIZE = 112


class Recognizer(FrozenModule):
    """A frozen network that turns an aligned face into a unit-length identity embedding.

    Gradient passes to the images.

    Args:
        network: Images [B, 3, S, S] in ``pixel_range`` → [B, E] of any length.
        name: Its name in tables and checkpoints.
        sha256: Of the file with its weights; a checkpoint refuses a recognizer with another hash.
        input_size: S, the side of its crops in px.
        embedding_size: E.
        pixel_range: Its input range, a name of `simswap.pixels.RANGES`.
        crop: Which crop it takes, a name of `simswap.faces.alignment.RECOGNIZER_CROPS`.
        weights_sha256: Of the weights alone, where ``sha256`` covers more; None if they are the same. Two recognizers
            with the same weights are the same network, whatever is done with its vectors.

    Raises:
        InputError: The pixel range is unknown.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        sha256: str,
        input_size: int,
        embedding_size: int,
        pixel_range: str,
        crop: str = "arcface",
        weights_sha256: str | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.sha256 = sha256
        self.input_size = input_size
        self.embedding_size = embedding_size
        self.pixel_range = pixel_range
        self.crop = crop
        self.weights_sha256 = weights_sha256 or sha256
        self.settings = {"kind": "recognizer", "input_size": input_size, "pixel_range": pixel_range}
        pixels.get_range(pixel_range)
        self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        """Embed faces.

        Args:
            images: Crops as it takes them, float RGB [B, 3, S, S] in unit range.

        Returns:
            Unit-length embeddings [B, E], at least fp32.

        Raises:
            ValueError: The shape is another.
        """
        if images.dim() != 4 or images.shape[1:] != (3, self.input_size, self.input_size):
            raise ValueError(
                f"recognizer {self.name} takes [B, 3, {self.input_size}, {self.input_size}], got {list(images.shape)}"
            )
        vectors = self.network(pixels.to_range(images, self.pixel_range))  # [B, E]
        # Under autocast the vectors are in half precision, too coarse for unit vectors and their cosines.
        return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)


def onnx_recognizer(path: str) -> Recognizer:
    """A recognizer in insightface's form.

    Its input is (x - 127.5) / 127.5 of 8-bit RGB `arcface` crops of 112 px, which is the symmetric range.

    Args:
        path: An ONNX file, or the folder of a model pack with one recognizer.

    Returns:
        The recognizer, frozen.

    Raises:
        InputError: The path does not exist; the folder holds no recognizer or several; the input has another size or
            layout; an operator is not supported; the file scales its input itself; or the images of a batch influence
            each other.
    """
    file = _recognizer_file(Path(path).expanduser())
    network = OnnxGraph(file)
    _check_input(file, network.input_shape)
    _check_scaling(file)
    size = _embedding_size(file, network)
    digest = sha256_of(file)
    return Recognizer(network, file.stem, digest, ONNX_INPUT_SIZE, size, "symmetric")


def _recognizer_file(path: Path) -> Path:
    """The file itself, or the pack's only file with an image input of 112x112 and vectors as output."""
    return file_of_pack(
        path,
        _looks_like_recognizer,
        missing="no such file or folder; give a recognizer's ONNX file or the folder of a model pack",
        several="several recognizers",
        none="no recognizer (input 3x112x112, one output of vectors)",
    )


def _looks_like_recognizer(file: Path) -> bool:
    model = read_onnx(file, weights=False)
    found = image_input(model)
    outputs = model.graph.output
    return (
        found is not None
        and found[2][1:] == [3, ONNX_INPUT_SIZE, ONNX_INPUT_SIZE]
        and len(outputs) == 1
        and len(outputs[0].type.tensor_type.shape.dim) == 2
    )


def _check_input(file: Path, shape: list[int | None]) -> None:
    """Refuse any input but [any batch, 3, 112, 112]; sizes that the file leaves open are assumed to be these."""
    wanted = (3, ONNX_INPUT_SIZE, ONNX_INPUT_SIZE)
    if len(shape) != 4 or any(size not in (None, want) for size, want in zip(shape[1:], wanted, strict=True)):
        sizes = "x".join("?" if size is None else str(size) for size in shape)
        raise InputError(f"{file}: takes input {sizes}; a recognizer must take batches of 3x112x112 (arcface crops)")


def _check_scaling(file: Path) -> None:
    """Refuse files that scale 8-bit input themselves (old MXNet exports): it would be scaled twice."""
    model = read_onnx(file, weights=False)
    found = image_input(model)
    for node in model.graph.node:
        if found is not None and found[0] in node.input and node.op_type in ("Sub", "Mul", "Div"):
            raise InputError(
                f"{file}: scales its input itself (operator {node.op_type} of node {node.name!r} on the image); "
                "export it for input in [-1, 1]"
            )


@torch.no_grad()
def _embedding_size(file: Path, network: OnnxGraph) -> int:
    """E, after a check that images do not influence each other: an export for a batch of one may mix them."""
    images = torch.rand(2, 3, ONNX_INPUT_SIZE, ONNX_INPUT_SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    try:
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    except (RuntimeError, IndexError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: does not run on two images of 3x112x112 ({reason})") from error
    if together.dim() != 2 or together.shape[0] != 2:
        raise InputError(f"{file}: returns {list(together.shape)} for two images; a recognizer must return [2, E]")
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max())):
        raise InputError(
            f"{file}: returns other vectors for a batch than for single images; export it with a dynamic batch"
        )
    return int(together.shape[1])
