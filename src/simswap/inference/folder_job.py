"""Several targets: the names of their results, and which an earlier start has finished.

A result is finished if its metadata names this very swap: the digest of checkpoint, sources, target and settings. Any
other file of that name is refused before the work starts.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from simswap.data.listing import list_images
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.inference.writing import check_output

JOB = "Job"
"""The word of the provenance that holds the digest."""
_PNG_END = b"IEND\xaeB`\x82"


def job_digest(settings: Mapping[str, Any], target: Path) -> str:
    """Identifies a swap, ``sha256:…``; settings are plain values, with hashes in place of files."""
    told = json.dumps({**settings, "target": _content_of(target)}, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _content_of(target: Path) -> str | list[tuple[str, str]]:
    """The hash of a file; of a folder of frames, the name and hash of each.

    Raises:
        InputError: there is no such file, or it is a pipe or device, which has no end.
    """
    if not target.is_dir() and not target.is_file():
        raise InputError(f"{target}: no such file")
    if not target.is_dir():
        return sha256_of(target)
    return [(name, sha256_of(target / name)) for name in list_images(target)]


def result_names(targets: Sequence[Path], ending: Callable[[Path], str] = lambda _: ".png") -> list[str]:
    """A name for each target's result; no two are equal, even if case does not count.

    ``a.jpg`` becomes ``a.png``; targets that differ only in extension keep it: ``a.jpg.png`` and ``a.png.png``; names
    from several folders that are still equal are numbered: ``a.jpg~2.png``.

    Args:
        targets: the targets.
        ending: of the result of a target.
    """
    stems = Counter(path.stem.lower() for path in targets)
    taken: set[str] = set()
    names = []
    for path in targets:
        suffix = ending(path)
        name = f"{path.stem}{suffix}" if stems[path.stem.lower()] == 1 else f"{path.name}{suffix}"
        number = 1
        while name.lower() in taken:
            name = f"{path.name}{suffix}" if number == 1 else f"{path.name}~{number}{suffix}"
            number += 1
        taken.add(name.lower())
        names.append(name)
    return names


def still_to_do(
    results: Mapping[Path, Path],
    settings: Mapping[str, Any],
    check: Callable[[Path], None] = check_output,
    job_of: Callable[[Path], str | None] | None = None,
) -> dict[Path, Path]:
    """The targets (→ paths of their results) without a result.

    Args:
        results: target → path of its result.
        settings: see `job_digest`.
        check: raises InputError for a path that cannot be written.
        job_of: the digest that a finished result names; by default that of a PNG.

    Raises:
        InputError: another file has a result's name, or a result could not be written.
    """
    left = {}
    for target, result in results.items():
        if not os.path.lexists(result):
            check(result)
            left[target] = result
        elif not target.exists() or (job_of or job_of_png)(result) != job_digest(settings, target):
            raise InputError(
                f"out={result} already exists and was not made by this command (another checkpoint, "
                "source, target or setting); nothing is overwritten: choose another folder"
            )
    return left


def job_of_png(result: Path) -> str | None:
    """The digest in a complete PNG of ours; None for any other file."""
    try:
        with result.open("rb") as stream:
            stream.seek(-len(_PNG_END), os.SEEK_END)
            if stream.read() != _PNG_END:
                return None
        with Image.open(result) as image:
            return getattr(image, "text", {}).get(JOB)
    except Exception:  # whatever it is, it is no result
        return None
