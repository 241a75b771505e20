"""Folders of images: natural order; files of operating systems are ignored, and everything ignored is counted.

Every walk over a folder of photos, crops, frames or videos uses this module, so that no thumbnail of a network drive is
ever taken for a face.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What counts as an image when a folder is searched (compared in lower case).
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"})
# And what counts as a video; a GIF is an image. A file that is given by its name may have any ending.
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
     ".ogv"}
)  # fmt: skip

# Made by operating systems, network drives and archives, compared without case. Names that begin with a dot (.DS_Store,
# ._photo.jpg, .AppleDouble, .Trashes, .snapshot, .zfs, .nfs0001, .@__thumb) count among them without being listed.
SYSTEM_NAMES = frozenset(
    {
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        "@sharebin",
        "@sharesnap",
        "#snapshot",
        "#recycle",
        "~snapshot",
        "__macosx",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
        "icon\r",
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "lost+found",
        "__pycache__",
    }
)
_SYSTEM_PATTERN = re.compile(r"found\.\d{3}|thumbs\.db:.*|synophoto_.*|synofile_.*|~\$.*", re.IGNORECASE | re.DOTALL)

SYSTEM_FOLDER, SYSTEM_FILE, OTHER = "system folder", "system file", "other file"
HEIC, AVIF, RAW, OTHER_PICTURE, VIDEO = "HEIC photo", "AVIF photo", "RAW photo", "picture of another type", "video"
_KINDS = {
    HEIC: (".heic", ".heif", ".hif", ".heics"),
    AVIF: (".avif", ".avifs"),
    RAW: (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef",
          ".srw", ".raw", ".rwl", ".3fr", ".erf", ".kdc", ".mrw", ".x3f", ".iiq"),
    OTHER_PICTURE: (".jxl", ".jp2", ".j2k", ".psd", ".svg", ".pdf", ".eps", ".tga", ".pgm", ".pbm", ".pnm", ".ico",
                    ".apng", ".jpe", ".dib", ".exr", ".hdr", ".dcm"),
    VIDEO: tuple(sorted(VIDEO_SUFFIXES)),
}  # fmt: skip
_KIND_OF = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes}
_HINTS = dict.fromkeys((HEIC, AVIF, RAW, OTHER_PICTURE), "save as JPEG or PNG to use")
_HINTS[VIDEO] = "extract frames to use"


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that puts 2 before 10: runs of digits compare as numbers; names with equal numbers, as text."""
    parts = re.split("([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], name


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to an operating system, and so is no user's photo."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES or _SYSTEM_PATTERN.fullmatch(name) is not None


def is_image_name(name: str) -> bool:
    """Whether a file counts as an image, by its suffix; system files do not."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not is_system_name(name)


def is_video_name(name: str) -> bool:
    """Whether a file counts as a video, by its suffix; system files do not."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not is_system_name(name)


@dataclass
class PassedOver:
    """Files and folders that were ignored, counted by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)  # of other files

    def add(self, name: str, is_folder: bool) -> None:
        """Count one file or folder."""
        suffix = os.path.splitext(name)[1].lower()
        if is_system_name(name):
            self.counts[SYSTEM_FOLDER if is_folder else SYSTEM_FILE] += 1
        else:
            kind = _KIND_OF.get(suffix, OTHER)
            self.counts[kind] += 1
            if kind == OTHER:
                self.endings[suffix or "no ending"] += 1

    def lines(self) -> list[str]:
        """One line per reason, the most frequent first, with a hint if the user can do something."""
        return [
            f"{count} {reason}{'s' * (count > 1)}{self._hint(reason)}"
            for reason, count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        ]

    def _hint(self, reason: str) -> str:
        shown = [*self.endings][:4] if reason == OTHER else []
        hint = ", ".join([*shown, "…"] if len(self.endings) > len(shown) > 0 else shown) or _HINTS.get(reason, "")
        return f" ({hint})" if hint else ""


def list_images(folder: Path, passed: PassedOver | None = None) -> list[str]:
    """The names of a folder's images in natural order.

    Args:
        folder: to list.
        passed: counts what else is there, except folders.

    Raises:
        OSError: the folder cannot be listed.
    """
    return _listed(folder, passed)[0]


def walk_images(
    root: Path,
    leave_out: Path | None = None,
    passed: PassedOver | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """(folder relative to ``root``, its images in natural order) for each folder with images; "" is ``root`` itself.

    Links are followed, each real folder once; ``leave_out`` is not entered.

    Raises:
        OSError: a folder cannot be listed.
    """
    hidden = None if leave_out is None else leave_out.resolve()
    pending, seen = [("", os.stat(root))], set()
    while pending:
        folder, stat = pending.pop()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        images, folders = _listed(root / folder, passed)
        for name in folders:
            path = root / folder / name
            if hidden is None or not path.resolve().is_relative_to(hidden):
                pending.append((f"{folder}/{name}" if folder else name, os.stat(path)))
        if images:
            yield folder, images


def _listed(folder: Path, passed: PassedOver | None) -> tuple[list[str], list[str]]:
    """Images and folders in one folder, each in natural order."""
    images, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir()
            if is_folder and not is_system_name(entry.name):
                folders.append(entry.name)
            elif not is_folder and is_image_name(entry.name):
                images.append(entry.name)
            elif passed is not None:
                passed.add(entry.name, is_folder)
    return sorted(images, key=natural_key), sorted(folders, key=natural_key)
