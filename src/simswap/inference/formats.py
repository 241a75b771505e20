"""A checkpoint's generator as ONNX and safetensors, for other programs, and back.

Both contain the checkpoint's description as JSON metadata. An ONNX file gets its name only after onnxruntime has
reproduced torch's output.
"""

import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from simswap.checkpoint import KEY, SwapCheckpoint
from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.models.generator import Generator
from simswap.stand_ins import refuse_stand_in

OPSET = 17
TOLERANCE = 1e-3  # of the output's largest value
PURPOSE = "synthetic face swap generator (SimSwap Lab)"


def write_onnx(out: Path, checkpoint: SwapCheckpoint) -> float:
    """Write ``target`` [B, 3, S, S] in the generator's range, ``identity`` [B, E] → ``result`` [B, 3, S, S]; any B.

    Returns:
        The largest difference from torch, as a share of the output's largest value, on batches of 1 and 3.

    Raises:
        InputError: it exceeds `TOLERANCE`; then there is no file.
    """
    generator, size = checkpoint.generator.cpu(), checkpoint.image_size
    identity_size = checkpoint.description["generator"]["identity_size"]
    example = (torch.rand(2, 3, size, size), nn.functional.normalize(torch.randn(2, identity_size)))
    names = ["target", "identity", "result"]
    with atomic_write(out) as part:
        torch.onnx.export(
            generator,
            example,
            part,
            input_names=names[:2],
            output_names=names[2:],
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
        model = onnx.load(part)
        onnx.helper.set_model_props(model, {"purpose": PURPOSE, KEY: json.dumps(checkpoint.description)})
        onnx.save(model, part)
        worst = _largest_difference(part, generator, size, identity_size)
        if not worst <= TOLERANCE:  # NaN too
            raise InputError(f"{out}: onnxruntime differs from torch by {worst:.1e}, over {TOLERANCE}; not written")
    return worst


@torch.no_grad()
def _largest_difference(path: Path, generator: Generator, size: int, identity_size: int) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    differences = []
    for batch in (1, 3):
        target = torch.rand(batch, 3, size, size, generator=random)
        identity = nn.functional.normalize(torch.randn(batch, identity_size, generator=random))
        wanted = generator(target, identity)
        got = torch.from_numpy(session.run(None, {"target": target.numpy(), "identity": identity.numpy()})[0])
        differences.append((got - wanted).abs().max() / wanted.abs().max())
    return float(torch.stack(differences).max())  # not Python's max, which passes a NaN over


def write_safetensors(out: Path, checkpoint: SwapCheckpoint) -> None:
    """Write the generator's weights under our own names."""
    weights = {name: value.contiguous() for name, value in checkpoint.generator.cpu().state_dict().items()}
    with atomic_write(out) as part:
        save_file(weights, part, metadata={"purpose": PURPOSE, KEY: json.dumps(checkpoint.description)})


def read_safetensors(path: Path) -> tuple[Generator, dict[str, Any]]:
    """Generator and description from a file of `write_safetensors`.

    Raises:
        InputError: any other file.
    """
    refuse_stand_in(path, "a generator exported by this project", "safetensors")
    try:
        with safe_open(path, framework="pt") as stream:
            description = json.loads((stream.metadata() or {})[KEY])
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 it is no dict
        generator = Generator(**description["generator"])
        generator.load_state_dict(weights, strict=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        kind = type(error).__name__
        raise InputError(f"{path} is no generator exported by this project ({kind}: {reason})") from error
    return generator.eval(), description
