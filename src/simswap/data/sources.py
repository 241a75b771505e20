"""Raw identity folders: which folders are persons, which files are their images, what each crop is called."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from simswap.data.listing import IMAGE_SUFFIXES, PassedOver, walk_images
from simswap.errors import InputError


@dataclass(frozen=True)
class PersonFolder:
    """One folder of images: ``folder`` relative to the raw root ("" for the root itself), the number of its
    images, and whether another folder bears the same person's name (then crops keep the whole path apart)."""

    folder: str
    images: int
    shares_name: bool

    @property
    def person(self) -> str:
        return self.folder.rpartition("/")[2]

    @property
    def identifier(self) -> str:
        """What stands before the slash in a NAME_ID, and below ``crops/``."""
        return self.folder if self.shares_name else self.person


def find_person_folders(raw: Path, leave_out: Path, passed: PassedOver | None = None) -> list[PersonFolder]:
    """Every folder below ``raw`` that holds images, in the order of their sources; ``leave_out`` is not entered.

    passed: counts what is passed over.
    Raises InputError where ``raw`` is no folder, holds no image, or holds loose images and no person's folder.
    """
    if not raw.is_dir():
        raise InputError(f"raw={raw} is no folder; give the folder that holds one folder of images a person")
    try:
        counts = {folder: len(images) for folder, images in walk_images(raw, leave_out, passed)}
    except OSError as error:
        raise InputError(f"{error.filename} cannot be listed: {error.strerror}; fix it or move it away") from error
    if not counts:
        raise InputError(
            f"raw={raw} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}){_passed_over(passed)}; give the folder "
            "that holds one folder of images a person"
        )
    if set(counts) == {""}:
        raise InputError(
            f"raw={raw} holds {counts['']} loose images and no person's folder; put each person's images into a "
            "folder of their own, or give the folder above"
        )
    names = Counter(folder.rpartition("/")[2] for folder in counts)
    # With the slash, folders sort as the paths of their files do ("a b/1" comes before "a/1").
    ordered = sorted(counts, key=lambda folder: f"{folder}/")
    return [PersonFolder(folder, counts[folder], names[folder.rpartition("/")[2]] > 1) for folder in ordered]


def _passed_over(passed: PassedOver | None) -> str:
    lines = passed.lines() if passed is not None else []
    return f", only {', '.join(lines)}" if lines else ""


def is_plain_name(name: str) -> bool:
    """Whether a path fits a line of UTF-8 CSV: no control characters, no bytes that are no UTF-8."""
    return name.isprintable()


def printable(name: str) -> str:
    """The name with whatever does not fit a line of UTF-8 CSV written as escapes."""
    return name if is_plain_name(name) else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def crop_names(images: list[str], given: dict[str, str], suffix: str) -> dict[str, str]:
    """A crop's file name for each image of one folder, no two alike (also where case does not count).

    ``0001.jpg`` becomes ``0001.png``; where another image already has that name (``0001.webp`` beside it) the
    crop keeps the whole name: ``0001.webp.png``. Names in ``given`` (from an earlier run) stay as they are.
    """
    taken = {name.lower() for name in given.values()}
    result = dict(given)
    for image in images:
        if image in given:
            continue
        name, number = f"{os.path.splitext(image)[0]}{suffix}", 1
        while name.lower() in taken:
            name = f"{image}{suffix}" if number == 1 else f"{image}~{number}{suffix}"
            number += 1
        taken.add(name.lower())
        result[image] = name
    return result
