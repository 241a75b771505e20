"""The self-describing checkpoint: written, read and checked only here.

A training checkpoint is Lightning's, with a description under ``simswap``; validation and swaps use the EMA generator,
under ``ema.`` in the state dict. A *slim* checkpoint holds only these two, and is read the same way. Checkpoints of
others are read as data (`simswap.models.torch_files`): nothing that they name is instantiated.
"""

import argparse
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES
from simswap.faces.warping import VIEWS
from simswap.files import NOT_A_PICKLE, atomic_write, sha256_of
from simswap.models.generator import Generator
from simswap.models.recognition import Recognizer
from simswap.models.torch_files import load_data
from simswap.settings.recorded_names import described, with_current_names
from simswap.stand_ins import refuse_stand_in
from simswap.version import __version__

FORMAT = 1
KEY = "simswap"
GENERATOR_PREFIX = "ema."
MOST_STAGES = 16


@dataclass(frozen=True)
class SwapCheckpoint:
    """A checkpoint for swapping: the EMA generator in eval mode and its description."""

    path: Path
    sha256: str
    description: dict[str, Any]
    generator: Generator

    @property
    def iteration(self) -> int | None:
        """The iteration at which it was saved; None if the file has none (imported weights)."""
        return self.description.get("iterations")

    @property
    def image_size(self) -> int:
        """Side of the crops, px."""
        return self.description["image_size"]

    @property
    def template(self) -> str:
        """Name of the crops' alignment template."""
        return self.description["template"]

    @property
    def recognizer_view(self) -> str:
        """How the recognizer sees crops: a name of `faces.warping.VIEWS`; earlier files have none."""
        return self.description.get("recognizer_view", "warp")

    def check_finite(self) -> None:
        """Check the weights.

        Raises:
            InputError: one is not finite; such a network gives no images.
        """
        check_finite(self.generator.state_dict(), str(self.path))

    def check_recognizer(self, recognizer: Recognizer) -> None:
        """Check the recognizer.

        Raises:
            InputError: the generator was trained with another one.
        """
        trained_with = self.description["recognizer"]
        if recognizer.sha256 != trained_with["sha256"]:
            raise InputError(
                f"{self.path} was trained with the recognizer {trained_with['name']} (SHA-256 "
                f"{trained_with['sha256'][:12]}…), but {recognizer.name} ({recognizer.sha256[:12]}…) is given; set "
                "recognition to the one it was trained with"
            )

    def check_crops(self, template: str, size: int) -> None:
        """Check the crops.

        Raises:
            InputError: they have another template or size.
        """
        if (template, size) != (self.template, self.image_size):
            raise InputError(
                f"{self.path} takes {self.template} crops of {self.image_size} px, but the data holds {template} "
                f"crops of {size} px; prepare the images with template={self.template} size={self.image_size}"
            )


def describe(
    generator: Generator,
    template: str,
    image_size: int,
    recognizer: Recognizer,
    config: dict[str, Any],
    recognizer_view: str = "warp",
) -> dict[str, Any]:
    """The description that is stored with the weights; plain values only, so that it loads with weights_only."""
    return {
        "format": FORMAT,
        "package_version": __version__,
        "git_commit": git_commit(),
        "image_size": image_size,
        "pixel_range": generator.pixel_range,
        "template": template,
        "generator": dict(generator.settings),
        "recognizer": {"name": recognizer.name, "sha256": recognizer.sha256},
        "recognizer_view": recognizer_view,
        "config": config,
    }


def check_finite(weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Check a network's weights.

    Raises:
        InputError: some are NaN or infinite; the first is named.
    """
    bad = {
        name: count
        for name, value in weights.items()
        if value.is_floating_point() and (count := int((~value.isfinite()).sum()))
    }
    if bad:
        raise InputError(
            f"{where}: {sum(bad.values()):,} of its weights are no finite numbers, the first in "
            f"{next(iter(bad))}: training diverged, or the file is damaged; use another"
        )


def git_commit() -> str:
    """The commit of the package's checkout, with ``-dirty`` if files differ; ``unknown`` without a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


def load(path: str | Path) -> SwapCheckpoint:
    """Read a checkpoint for swapping.

    Raises:
        InputError: the file is missing, cut off, foreign or damaged.
    """
    path = Path(path)
    content = read(path)
    description = content[KEY]
    try:
        if description["format"] > FORMAT:
            raise InputError(
                f"{path} has checkpoint format {description['format']}, written by a newer version "
                f"({description['package_version']}); this one reads up to {FORMAT}: update the package"
            )
        if description.get("recognizer_view", "warp") not in VIEWS:
            raise InputError(f"{path} names the recognizer view {description['recognizer_view']!r}, which is not known")
        if description["template"] not in TEMPLATES:
            raise InputError(f"{path} names the alignment template {description['template']!r}, which is not known")
        weights = {
            name.removeprefix(GENERATOR_PREFIX): value.float() if value.is_floating_point() else value
            for name, value in content["state_dict"].items()
            if name.startswith(GENERATOR_PREFIX)
        }
        generator = _described_generator(description["generator"], weights)
        generator.check_size(description["image_size"])
        _ = description["recognizer"]["name"], description["recognizer"]["sha256"]
        description = _of_training(content) | description  # a slim one describes this itself
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path} is a damaged checkpoint ({type(error).__name__}: {reason}); use another") from error
    sha256 = sha256_of(path)
    return SwapCheckpoint(path, sha256, description, generator.eval().requires_grad_(False))


def _of_training(content: Mapping[str, Any]) -> dict[str, Any]:
    """What only the callbacks and the trainer of a training checkpoint record, for the description."""
    hashes = content.get("callbacks", {}).get("RunFingerprint", {}).get("hashes", {})
    return {"iterations": content.get("global_step"), "data_rows_sha256": hashes.get("data")}


def _described_generator(settings: dict[str, Any], weights: dict[str, torch.Tensor]) -> Generator:
    """The described network with these weights; sizes are compared before memory is allocated."""
    if settings.get("blocks", 0) > len(weights):
        raise RuntimeError(f"a network of {settings['blocks']} blocks has more weights than there are")
    if settings.get("stages", 0) > MOST_STAGES:
        raise RuntimeError(f"no picture is halved {settings['stages']} times")
    with torch.device("meta"):
        described = Generator(**settings).state_dict()
    for name, value in described.items():
        if name in weights and weights[name].shape != value.shape:
            raise RuntimeError(f"{name} has the shape {list(weights[name].shape)}, described is {list(value.shape)}")
    if described.keys() != weights.keys():
        raise RuntimeError(f"{min(described.keys() ^ weights.keys())} is there, or described, but not both")
    generator = Generator(**settings)
    generator.load_state_dict(weights, strict=True)
    return generator


def read(path: Path) -> dict[str, Any]:
    """The file's complete content as data, with our description.

    Raises:
        InputError: it is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; give a run's .ckpt file, as in outputs/…/checkpoints/last.ckpt")
    refuse_stand_in(path, "a checkpoint", "torch")
    try:
        content = load_data(path)
    except NOT_A_PICKLE as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} is no checkpoint, or is cut off ({reason}); copy it again or use another") from error
    if not isinstance(content, dict) or not isinstance(content.get(KEY), dict):
        raise InputError(f"{path} is not a checkpoint of this project: it does not describe itself; use another")
    content[KEY] = described(content[KEY])
    if isinstance(content[KEY].get("config"), dict):
        content[KEY]["config"] = with_current_names(content[KEY]["config"])
    return content


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A plain file of weights, as data.

    Raises:
        InputError: it contains, or asks for, anything but tensors by name.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    refuse_stand_in(path, "a file of weights", "torch")
    try:
        content = load_data(path)
    except Exception as error:  # hostile and broken files make torch raise nearly anything
        raise InputError(f"{path} is no plain file of weights, or is cut off; nothing in it was run") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise InputError(f"{path} holds something else than tensors by name; give the generator's state dict")
    return content


def write_generator(out: Path, generator: Generator, description: dict[str, Any]) -> None:
    """Write a generator as a slim checkpoint, in its own precision."""
    weights = {f"{GENERATOR_PREFIX}{name}": value for name, value in generator.state_dict().items()}
    with atomic_write(out) as part:
        torch.save({KEY: description, "state_dict": weights}, part)


def write_slim(source: Path, out: Path, notes: dict[str, str] | None = None) -> None:
    """Write only the description and the EMA generator, in half precision.

    A slim checkpoint is to be shared, so absolute paths in its description lose their folders: they name places on one
    machine and may hold a user's name.
    """
    content = read(source)
    content[KEY] = _without_folders(content[KEY])
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in content["state_dict"].items()
        if name.startswith(GENERATOR_PREFIX)
    }
    check_finite(weights, f"{source} in half precision")
    slim = {KEY: _of_training(content) | content[KEY] | {"notes": notes or {}}, "state_dict": weights}
    with atomic_write(out) as part:
        torch.save(slim, part)


def _without_folders(value: Any) -> Any:
    """Plain values with every absolute path cut to its last name."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def main() -> None:
    """``python -m simswap.checkpoint SOURCE OUT``: make a slim checkpoint to share."""
    parser = argparse.ArgumentParser(description="Write the averaged generator of a checkpoint alone, in fp16.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--note", action="append", default=[], metavar="NAME=TEXT", help="kept in the description")
    arguments = parser.parse_args()
    try:
        write_slim(arguments.source, arguments.out, dict(note.split("=", 1) for note in arguments.note))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
