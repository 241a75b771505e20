"""The parts of a command line that are read before the job's settings: search folders, Hydra's folders, gaps."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from simswap.errors import InputError
from simswap.settings.words import hydra_quoted

SEARCH = "hydra.searchpath"
OF_HYDRA = ("hydra.run.dir", "hydra.sweep.dir")


def search_folders(overrides: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Separate ``hydra.searchpath=`` from a command line.

    Returns:
        The folders that it names, and the other overrides.

    Raises:
        InputError: The value cannot be parsed, or names something other than a folder on disk, such as ``pkg://…``.
    """
    given = [text for text in overrides if text.lstrip("+").startswith(f"{SEARCH}=")]
    folders: list[Path] = []
    for text in given:
        try:
            value = OverridesParser.create().parse_overrides([text])[0].value()
        except HydraException as error:
            raise InputError(f"{text}: this cannot be parsed; write {SEARCH}=['folder']") from error
        for one in value if isinstance(value, list) else [value]:
            name = str(one).removeprefix("file://")
            if value is None or "://" in name or "${" in name:
                raise InputError(f"{SEARCH}={one}: give a folder of YAML files, as in {SEARCH}=['mine']")
            folders.append(Path(name).expanduser())
    return folders, [text for text in overrides if text not in given]


def search_override(folders: Sequence[Path]) -> list[str]:
    """``hydra.searchpath=[…]`` for these folders; an empty list without folders."""
    listed = ",".join(hydra_quoted(f"file://{folder.resolve()}") for folder in folders)
    return [f"{SEARCH}=[{listed}]"] if folders else []


def home_of_folders(cfg: DictConfig) -> list[str]:
    """Overrides for each of Hydra's folders that starts with ``~`` in a YAML file."""
    changed = []
    for key in OF_HYDRA:
        _, part, name = key.split(".")
        raw = OmegaConf.to_container(cfg.hydra[part], resolve=False)[name]  # type: ignore[call-overload, index]
        if isinstance(raw, str) and raw.startswith("~"):
            changed.append(f"{key}={hydra_quoted(os.path.expanduser(raw))}")
    return changed


def refuse_gaps(cfg: DictConfig, swept: Collection[str] = ()) -> None:
    """Check that every required key has a value.

    Args:
        cfg: The composed configuration, with Hydra's node.
        swept: Keys, or groups of keys, that a sweep sets.

    Raises:
        InputError: A required key has no value. The line names all of them, with an example from the command's help.
    """
    gaps = [
        key
        for key in OmegaConf.missing_keys(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))
        if not any(key == one or key.startswith(f"{one}.") for one in swept)
    ]
    if not gaps:
        return
    gaps.sort(key=lambda key: ("." in key, list(cfg).index(key.split(".")[0])))
    words = gaps[0] if len(gaps) == 1 else f"{', '.join(gaps[:-1])} and {gaps[-1]}"
    line = f"{words} {'has' if len(gaps) == 1 else 'have'} no value: give {' '.join(f'{key}=…' for key in gaps)}"
    header = OmegaConf.to_container(cfg.hydra, resolve=False)["help"]["header"]  # type: ignore[call-overload, index]
    lines = [text.strip() for text in header.splitlines() if text.strip().startswith("simswap-")][1:]
    examples = [text.split("   ")[0] for text in lines if all(f" {key}=" in text for key in gaps)]
    raise InputError(line + (f", as in: {examples[0]}" if examples else ""))
