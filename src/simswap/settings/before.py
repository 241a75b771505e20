"""What a command line says beside the job's settings: folders to search for YAML files, folders of Hydra's, gaps."""

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
    """The folders that ``hydra.searchpath=`` names, and the overrides without it.

    Raises InputError for one that is no folder of the disk, as ``pkg://…``, and where it cannot be read.
    """
    given = [text for text in overrides if text.lstrip("+").startswith(f"{SEARCH}=")]
    folders: list[Path] = []
    for text in given:
        try:
            value = OverridesParser.create().parse_overrides([text])[0].value()
        except HydraException as error:
            raise InputError(f"{text}: this cannot be read; write {SEARCH}=['folder']") from error
        for one in value if isinstance(value, list) else [value]:
            name = str(one).removeprefix("file://")
            if value is None or "://" in name or "${" in name:
                raise InputError(f"{SEARCH}={one}: give a folder of YAML files, as in {SEARCH}=['mine']")
            folders.append(Path(name).expanduser())
    return folders, [text for text in overrides if text not in given]


def search_override(folders: Sequence[Path]) -> list[str]:
    """``hydra.searchpath=[…]`` for these folders; nothing for none."""
    listed = ",".join(hydra_quoted(f"file://{folder.resolve()}") for folder in folders)
    return [f"{SEARCH}=[{listed}]"] if folders else []


def home_of_folders(cfg: DictConfig) -> list[str]:
    """Overrides for those folders of Hydra's that a YAML file begins with ``~``."""
    changed = []
    for key in OF_HYDRA:
        _, part, name = key.split(".")
        raw = OmegaConf.to_container(cfg.hydra[part], resolve=False)[name]  # type: ignore[call-overload, index]
        if isinstance(raw, str) and raw.startswith("~"):
            changed.append(f"{key}={hydra_quoted(os.path.expanduser(raw))}")
    return changed


def refuse_gaps(cfg: DictConfig, swept: Collection[str] = ()) -> None:
    """Raise InputError where keys that must be given have no value: names them, with an example of the command's help.

    swept: keys, or their groups, that a sweep gives.
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
