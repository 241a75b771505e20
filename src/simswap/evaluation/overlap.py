"""Whether a checkpoint was trained on persons of the data that measures it, for ``protocol.split=all``.

A checkpoint records the folder of its training data and a hash of that data's rows, but no names. Names are compared
with the manifest in that folder, if it is still there.
"""

import logging
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simswap.checkpoint import SwapCheckpoint, load
from simswap.data.datamodule import FRACTIONS, SwapDataModule
from simswap.data.manifest import Manifest
from simswap.errors import InputError

log = logging.getLogger(__name__)

ALL = "all"
"""The ``protocol.split`` that takes every person."""
TRAIN = "train"
NAMES, NOT_CHECKED = "names", "no"
"""How overlap was checked."""


def check_overlap(
    manifest: Manifest, checkpoints: Sequence[tuple[str, SwapCheckpoint]], namesakes: bool
) -> list[dict[str, Any]]:
    """Refuse data of whose persons one was trained on; log where that cannot be checked.

    Args:
        manifest: Of the data.
        checkpoints: With their names in the table; those that they started from count too.
        namesakes: Persons with the same name are other people.

    Returns:
        An entry per training for evaluation.json: ``checkpoint``, ``data`` (its folder, or None), ``checked``
        (``names`` or ``no``), ``shared_names`` (None if not checked), ``reason`` (None if checked in full).

    Raises:
        InputError: The data is a checkpoint's training data or a copy, or has names of persons trained on.
    """
    found = []
    for name, path, description in _trainings(checkpoints):
        if description is None:
            entry = _entry(None, f"{path}, from which training started, cannot be read")
        else:
            entry = _compare(manifest, path, description, namesakes)
        found.append({"checkpoint": name, **entry})
        if entry["reason"]:
            log.warning("protocol.split=%s: %s: %s", ALL, name, entry["reason"])
    return found


def unchecked(protocol: Mapping[str, Any]) -> list[str]:
    """The table's rows whose checkpoints may have been trained on persons of the data, for all that is known."""
    return list(dict.fromkeys(one["checkpoint"] for one in protocol.get("overlap", ()) if one["reason"]))


def _trainings(checkpoints: Sequence[tuple[str, SwapCheckpoint]]) -> Iterator[tuple[str, Path, dict[str, Any] | None]]:
    """(row of the table, file, description) of the checkpoints and what they started from; None if unreadable."""
    for name, checkpoint in checkpoints:
        path, description = checkpoint.path, checkpoint.description
        seen = {path.resolve()}
        yield name, path, description
        while origin := description.get("started_from"):
            path = Path(origin["path"])
            if path.resolve() in seen:
                break
            seen.add(path.resolve())
            try:
                description = load(path).description
            except InputError:
                yield name, path, None
                break
            yield name, path, description


def _compare(manifest: Manifest, path: Path, description: Mapping[str, Any], namesakes: bool) -> dict[str, Any]:
    settings = (description.get("config") or {}).get("data") or {}
    if not settings.get("root"):
        return _entry(None, f"{path} does not say what it was trained on, so shared persons cannot be found")
    root, recorded = Path(settings["root"]), description.get("data_rows_sha256")
    what = f"protocol.split={ALL}: {manifest.root}"
    instead = "measure persons that training left out (protocol.split=test), or give other data as data.root=<folder>"
    if root.resolve() == manifest.root.resolve():
        raise InputError(f"{what} is the data that {path} was trained on; {instead}")
    try:
        data = SwapDataModule(root, batch_size=1, fractions=settings.get("fractions") or FRACTIONS)
        training, trained = data.manifest, data.persons(TRAIN)
    except (InputError, OSError):
        if recorded == manifest.rows_sha256() and not namesakes:
            raise InputError(
                f"{what} has the same persons, with as many images each, as the data that {path} was trained on; "
                f"{instead}, or set protocol.namesakes=true if they are other people"
            ) from None
        return _entry(root, f"the training data {root} cannot be read, so shared persons cannot be found")
    if training.fingerprint() == manifest.fingerprint():
        raise InputError(f"{what} is a copy of the data that {path} was trained on, {root}; {instead}")
    known = {_normal(training.person_names[person]) for person in trained}
    shared = sorted(name for name in manifest.person_names if _normal(name) in known)
    if shared and not namesakes:
        raise InputError(
            f"{what} has {len(shared)} of {len(manifest.person_names)} persons with names that {path} was trained on, "
            f"the first is {shared[0]}; {instead}, or set protocol.namesakes=true if they are other people"
        )
    changed = recorded is not None and recorded != training.rows_sha256()
    reason = f"the training data {root} has changed since, and only its present names were compared"
    return _entry(root, reason if changed else None, len(shared))


def _entry(root: Path | None, reason: str | None, shared: int | None = None) -> dict[str, Any]:
    return {
        "data": None if root is None else str(root),
        "checked": NOT_CHECKED if shared is None else NAMES,
        "shared_names": shared,
        "reason": reason,
    }


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # as the split of persons compares them
