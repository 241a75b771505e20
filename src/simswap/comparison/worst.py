"""The pictures of every variant's worst pairs, made by simswap-evaluate."""

import struct
from dataclasses import dataclass

from PIL import Image

from simswap.comparison.comparison import Comparison


@dataclass(frozen=True)
class Picture:
    """A finished PNG file, which states its origin itself.

    Attributes:
        name: Of its file, without the suffix.
        title: What it shows.
        png: Its content.
    """

    name: str
    title: str
    png: bytes


def worst_pictures(comparison: Comparison, most: int) -> tuple[list[Picture], list[str]]:
    """The pictures of up to ``most`` variants, each by its run with the smallest seed that has one.

    Returns:
        The pictures, and notes on files that cannot be used and on variants beyond ``most``.
    """
    found: list[Picture] = []
    notes: list[str] = []
    beyond: list[str] = []
    for variant in comparison.variants if most else ():
        for run in sorted(variant.runs, key=lambda run: run.seed):
            if run.worst is None:
                continue
            if len(found) == most:
                beyond.append(variant.label)
                break
            try:
                with Image.open(run.worst) as picture:
                    picture.load()
                    if picture.format != "PNG":
                        raise ValueError(f"it is {picture.format}")
                png = run.worst.read_bytes()
            except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
                notes.append(f"Left out: {run.worst} is not a readable PNG picture ({error}).")
                continue
            found.append(Picture(f"worst-{len(found) + 1}", f"{variant.label}, seed {run.seed}", png))
            break
    if beyond:
        notes.append(f"In the run folders, but not here: {', '.join(beyond)} (worst= shows more).")
    return found, notes
