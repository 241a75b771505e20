"""Files of W&B's artifacts, ``wandb:entity/project/name:alias``: downloaded once, and checked by their hash."""

import io
import re
import shutil
from contextlib import redirect_stderr
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from simswap.compat.wandb import cache_folder, has_digest
from simswap.errors import InputError
from simswap.files import atomic_write, sha256_of
from simswap.settings.wandb_environment import is_silent, no_terminal, say, settled_mode, tidied

SCHEME = "wandb:"
FORM = f"{SCHEME}<entity>/<project>/<name>:<alias>"
TIMEOUT = 20
"""Seconds for one answer of the server."""


class Reference(NamedTuple):
    """The parts of a reference; alias is a name such as ``best``, or a version such as ``v3``."""

    entity: str
    project: str
    name: str
    alias: str

    @property
    def address(self) -> str:
        """As W&B's API takes it."""
        return f"{self.entity}/{self.project}/{self.name}:{self.alias}"


def is_reference(path: str | Path) -> bool:
    """Whether a path names an artifact in W&B."""
    return str(path).startswith(SCHEME)


def parsed(reference: str) -> Reference:
    """The parts of a reference.

    Raises:
        InputError: it is not of the form ``wandb:<entity>/<project>/<name>:<alias>``.
    """
    found = re.fullmatch(rf"{SCHEME}([^/:]+)/([^/:]+)/([^/:]+):([^/:]+)", reference)
    if found is None:
        raise InputError(f"{reference}: name an artifact in W&B as {FORM}, by an alias (best, last) or a version (v3)")
    return Reference(*found.groups())


def local_file(path: str | Path) -> Path:
    """The file itself, or that of an artifact in W&B, from the cache or downloaded.

    Raises:
        InputError: see `fetched`.
    """
    return fetched(str(path)) if is_reference(path) else Path(path)


@lru_cache
def fetched(reference: str) -> Path:
    """The checkpoint of an artifact in W&B's cache folder; in one process an alias always means the same version.

    Raises:
        InputError: W&B is offline or disabled, there is no such artifact, it has no checkpoint or several, the server
            does not answer, or the file does not have the hash that the artifact states.
    """
    address = parsed(reference).address
    if (mode := settled_mode("auto")) != "online":
        raise InputError(f"{reference} needs W&B's server, but its variables in the environment say {mode}: unset them")
    import requests
    import wandb

    try:
        with tidied(), no_terminal():
            artifact = wandb.Api(timeout=TIMEOUT).artifact(address)
            return _downloaded(artifact, reference)
    except (wandb.Error, ValueError, OSError, RuntimeError, requests.RequestException) as error:
        if isinstance(error, InputError):
            raise
        reason = (" ".join(str(error).split()) or repr(error)).rstrip(".")
        raise InputError(f"{reference}: {reason}; check the name, the login (wandb login) and the server") from error


def _downloaded(artifact: Any, reference: str) -> Path:
    names = [name for name in artifact.manifest.entries if name.endswith(".ckpt")]
    if len(names) != 1 or ".." in Path(names[0]).parts:
        has = ", ".join(sorted(artifact.manifest.entries)[:5]) or "no files"
        raise InputError(f"{reference} is no artifact with one checkpoint: it has {has}; give a run's checkpoint-<id>")
    (name,) = names
    folder = (
        cache_folder()
        / "simswap"
        / re.sub(r"[^\w-]", "-", f"{parsed(reference).name}-{artifact.version}-{artifact.digest}")
    )
    file, there = folder / name, (folder / name).is_file()
    if not there:
        with atomic_write(file) as part:  # two processes may do this at a time
            root = part.with_name(f"{part.name}.d")
            with redirect_stderr(io.StringIO()):  # progress in lines that do not end
                artifact.download(root=str(root), skip_cache=True, path_prefix=name)
            (root / name).rename(part)
            shutil.rmtree(root)
    stated = artifact.metadata.get("sha256")
    if not has_digest(artifact.manifest.entries[name], file) or stated not in (None, sha256_of(file)):
        file.unlink()
        what = "the cached file was changed" if there else "the file does not have the stated hash"
        raise InputError(f"{reference}: {what}, and is deleted; run the command again")
    if not is_silent():
        how = "cached" if there else f"downloaded, {file.stat().st_size / 1e6:.1f} MB"
        say(f"{reference} is {artifact.version} ({how}): {file}")
    return file
