"""Raw folders of persons: which folders are persons, which files are their images, and the names of the crops."""

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from simswap.data.listing import IMAGE_SUFFIXES, PassedOver, walk_images
from simswap.errors import InputError

# Of a name on nearly every disk, in bytes.
LONGEST_NAME = 255


@dataclass(frozen=True)
class PersonFolder:
    """One folder of images.

    Attributes:
        folder: relative to the raw root ("" for the root itself).
        images: their number.
        identifier: what precedes the slash in a NAME_ID: the person, or the full path if another folder has the same
            person's name.
        crops: the folder below ``crops/``, unique even if case does not count.
        twins: earlier folders whose path is the same in another Unicode form.
    """

    folder: str
    images: int
    identifier: str
    crops: str
    twins: tuple[str, ...] = ()

    @property
    def person(self) -> str:
        """Name of the person: the folder's own name."""
        return nfc(self.folder.rpartition("/")[2])


def nfc(name: str) -> str:
    """A name in Unicode's NFC form, used to compare and write names (macOS disks give the other form, NFD)."""
    return unicodedata.normalize("NFC", name)


def find_person_folders(raw: Path, leave_out: Path, passed: PassedOver | None = None) -> list[PersonFolder]:
    """Every folder below ``raw`` that contains images, in the order of their sources.

    Args:
        raw: root of the folders.
        leave_out: a folder that is not entered.
        passed: counts ignored files.

    Raises:
        InputError: ``raw`` is no folder, contains no image, or contains loose images and no person's folder.
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
    # With the slash, folders sort as the paths of their files do ("a b/1" comes before "a/1").
    return _named(sorted(counts, key=lambda folder: f"{folder}/"), counts)


def _named(ordered: list[str], counts: dict[str, int]) -> list[PersonFolder]:
    same_path: dict[str, list[str]] = {}
    for folder in ordered:
        same_path.setdefault(nfc(folder), []).append(folder)
    bearers = Counter(path.rpartition("/")[2] for path in same_path)
    crops: dict[str, str] = {}
    taken: set[str] = set()
    found = []
    for folder in ordered:
        path = nfc(folder)
        person = path.rpartition("/")[2]
        identifier = path if bearers[person] > 1 else person
        if path not in crops:
            name, number = identifier, 1
            while name.lower() in taken:
                number += 1
                name = f"{identifier}~{number}"
            taken.add(name.lower())
            crops[path] = name
        before = same_path[path][: same_path[path].index(folder)]
        found.append(PersonFolder(folder, counts[folder], identifier, crops[path], tuple(before)))
    return found


def _passed_over(passed: PassedOver | None) -> str:
    lines = passed.lines() if passed is not None else []
    return f", only {', '.join(lines)}" if lines else ""


def is_plain_name(name: str) -> bool:
    """Whether a path fits into a line of UTF-8 CSV: no control characters, no bytes that are not UTF-8.

    Any script, any kind of blank, joiners, marks of direction and emoji do.
    """
    if name.isascii():
        return name.isprintable()
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)


def printable(name: str) -> str:
    """The name with escapes for whatever does not fit into a line of UTF-8 CSV."""
    return name if is_plain_name(name) else "".join(c if is_plain_name(c) else ascii(c)[1:-1] for c in name)


def repeated_names(images: list[str], of_twins: list[str]) -> dict[str, str]:
    """Images with the same name as an earlier one in another Unicode form → that one.

    Names of images of twins (see `PersonFolder`) are compared without extension, since their crops share a folder.
    """
    stems = {nfc(os.path.splitext(image)[0]): image for image in of_twins}
    names: dict[str, str] = {}
    repeated = {}
    for image in images:
        earlier = stems.get(nfc(os.path.splitext(image)[0])) or names.setdefault(nfc(image), image)
        if earlier is not image:
            repeated[image] = earlier
    return repeated


def crop_names(images: list[str], given: dict[str, str], suffix: str) -> dict[str, str]:
    """A crop's file name for each image of one folder; no two are equal, even if case does not count.

    ``0001.jpg`` becomes ``0001.png``; if another image already has that name (``0001.webp`` next to it), the crop keeps
    the full name: ``0001.webp.png``. A name that is too long for a disk is shortened, with a few digits that keep it
    unique. Names in ``given`` (from an earlier run) do not change.
    """
    taken = {name.lower() for name in given.values()}
    result = dict(given)
    for image in images:
        if image in given:
            continue
        name, number = _fitting(nfc(os.path.splitext(image)[0]), suffix), 1
        while name.lower() in taken:
            name = _fitting(nfc(image) if number == 1 else f"{nfc(image)}~{number}", suffix)
            number += 1
        taken.add(name.lower())
        result[image] = name
    return result


def _fitting(stem: str, suffix: str) -> str:
    """The name, shortened if it is longer than disks allow."""
    data = os.fsencode(stem)
    if len(data) + len(suffix) <= LONGEST_NAME:
        return stem + suffix
    digits = f"~{hashlib.blake2b(data, digest_size=4).hexdigest()}"
    kept = data[: LONGEST_NAME - len(suffix) - len(digits)].decode("utf-8", "ignore")
    return f"{kept}{digits}{suffix}"
