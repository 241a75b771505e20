"""``simswap-export``: a checkpoint's generator as ONNX or safetensors, and from safetensors back."""

from pathlib import Path

from omegaconf import DictConfig

from simswap import checkpoint
from simswap.errors import InputError
from simswap.inference.formats import read_safetensors, write_onnx, write_safetensors
from simswap.launching.front_door import front_door


def export(cfg: DictConfig) -> None:
    """Export with a checked config.

    Raises:
        InputError: bad input.
    """
    source, out = Path(cfg.checkpoint), Path(cfg.out)
    if out.exists():
        raise InputError(f"out={out} already exists, and nothing is overwritten: choose another name")
    kinds = source.suffix.lower(), out.suffix.lower()
    if kinds == (".safetensors", ".ckpt"):
        generator, description = read_safetensors(source)
        checkpoint.check_finite(generator.state_dict(), str(source))
        checkpoint.write_generator(out, generator, description)
        print(f"{out}: checkpoint of {description['image_size']} px")
    elif kinds[1] == ".onnx":
        worst = write_onnx(out, _whole(source))
        print(f"{out}: onnxruntime gives what torch gives within {worst:.1e} of the largest value")
    elif kinds[1] == ".safetensors":
        write_safetensors(out, _whole(source))
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    else:
        raise InputError(f"out={out}: write .onnx or .safetensors, or .ckpt from a .safetensors")


def _whole(source: Path) -> checkpoint.SwapCheckpoint:
    loaded = checkpoint.load(source)
    loaded.check_finite()
    return loaded


def main() -> None:
    """The entry point of ``simswap-export``."""
    front_door(export, "export")


if __name__ == "__main__":
    main()
