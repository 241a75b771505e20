"""Several targets: the names of their results, and which an earlier start has finished.

A result is finished if its metadata names this very swap: the digest of checkpoint, sources, target and settings. Any
other file of that name is refused before the work starts.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.inference.writing import check_output

JOB = "Job"
"""The word of the provenance that holds the digest."""
_PNG_END = b"IEND\xaeB`\x82"


def job_digest(settings: Mapping[str, Any], target: Path) -> str:
    """Identifies a swap, ``sha256:…``; settings are plain values, with hashes in place of files."""
    told = json.dumps({**settings, "target": sha256_of(target)}, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()}"


def result_names(targets: Sequence[Path]) -> list[str]:
    """A name for each target's result; no two are equal, even if case does not count.

    ``a.jpg`` becomes ``a.png``; targets that differ only in extension keep it: ``a.jpg.png`` and ``a.png.png``; names
    from several folders that are still equal are numbered: ``a.jpg~2.png``.
    """
    stems = Counter(path.stem.lower() for path in targets)
    taken: set[str] = set()
    names = []
    for path in targets:
        name = f"{path.stem}.png" if stems[path.stem.lower()] == 1 else f"{path.name}.png"
        number = 1
        while name.lower() in taken:
            name = f"{path.name}.png" if number == 1 else f"{path.name}~{number}.png"
            number += 1
        taken.add(name.lower())
        names.append(name)
    return names


def still_to_do(results: Mapping[Path, Path], settings: Mapping[str, Any]) -> dict[Path, Path]:
    """The targets (→ paths of their results) without a result.

    Raises:
        InputError: another file has a result's name, or a result could not be written.
    """
    left = {}
    for target, result in results.items():
        if not os.path.lexists(result):
            check_output(result)
            left[target] = result
        elif not target.is_file() or _job_of(result) != job_digest(settings, target):
            raise InputError(
                f"out={result} already exists and was not made by this command (another checkpoint, "
                "source, target or setting); nothing is overwritten: choose another folder"
            )
    return left


def _job_of(result: Path) -> str | None:
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
