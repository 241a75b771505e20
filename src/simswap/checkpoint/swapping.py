"""The checkpoint for swapping: the EMA generator and what it was trained with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simswap.checkpoint.description import FORMAT, GENERATOR_PREFIX, KEY, of_training
from simswap.checkpoint.reading import check_finite, check_shapes, read, weights_below
from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES
from simswap.faces.warping import VIEWS
from simswap.files import sha256_of
from simswap.models.generator import Generator
from simswap.models.recognition import Recognizer
from simswap.wandb_files import local_file

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


def load(path: str | Path) -> SwapCheckpoint:
    """Read a checkpoint for swapping: a file, or ``wandb:entity/project/name:alias``.

    Raises:
        InputError: the file is missing, cut off, foreign or damaged, or W&B does not give it.
    """
    path = local_file(path)
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
        generator = _described_generator(description["generator"], weights_below(GENERATOR_PREFIX, content))
        generator.check_size(description["image_size"])
        _ = description["recognizer"]["name"], description["recognizer"]["sha256"]
        description = of_training(content) | description  # a slim one describes this itself
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path} is a damaged checkpoint ({type(error).__name__}: {reason}); use another") from error
    sha256 = sha256_of(path)
    return SwapCheckpoint(path, sha256, description, generator.eval().requires_grad_(False))


def _described_generator(settings: dict[str, Any], weights: dict[str, torch.Tensor]) -> Generator:
    """The described network with these weights; sizes are compared before memory is allocated."""
    if settings.get("blocks", 0) > len(weights):
        raise RuntimeError(f"a network of {settings['blocks']} blocks has more weights than there are")
    if settings.get("stages", 0) > MOST_STAGES:
        raise RuntimeError(f"no picture is halved {settings['stages']} times")
    with torch.device("meta"):
        check_shapes(Generator(**settings).state_dict(), weights)
    generator = Generator(**settings)
    generator.load_state_dict(weights, strict=True)
    return generator
