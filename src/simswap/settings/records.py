"""YAML files of users and of earlier runs, read as data: reading one calls nothing and looks nothing up."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap.errors import InputError
from simswap.settings.recorded_names import with_current_names, with_current_targets
from simswap.settings.targets import check_any_targets, check_targets
from simswap.settings.trusted import KEY, ONLY_HERE
from simswap.stand_ins import refuse_stand_in

OF_RECORDS = ("visible_gpus", "jobs_on_gpus")
"""Resolvers that a recorded configuration may use: those in conf/ whose value depends on the machine."""

OF_FILES = (*OF_RECORDS, "run_folder", "run_record", "sweep_folder", "evaluation_folder",
            "hydra", "now", "python_version", "oc.env", "oc.select")  # fmt: skip
"""Resolvers that a user's own YAML files may use. Those that build nodes out of text are excluded."""

MOST_BYTES, MOST_DEPTH = 500_000, 40
_INNERMOST = re.compile(r"\$\{([^{}$]*)\}")
_RESOLVED = "\0"


def read_record(file: Path) -> DictConfig:
    """Read the configuration that a run recorded; its references to other keys stay unresolved.

    Raises:
        InputError: The file cannot be read, is not a mapping, or uses a ``_target_`` or resolver that is not allowed.
    """
    content = _plain(file, OF_RECORDS)
    if not content:
        raise InputError(f"{file} is empty: restore the file from a copy of the run")
    return OmegaConf.create(content)


def read_plain(file: Path) -> dict[str, Any]:
    """Read a YAML file as plain values, without checking targets or resolvers.

    Raises:
        InputError: The file cannot be read or is not a mapping.
    """
    return _plain(file, None)


def check_folder(folder: Path) -> None:
    """Check the YAML files in and below a user's own folder of configurations.

    Raises:
        InputError: The folder is missing, or a file in it uses a ``_target_``, resolver or key that is not allowed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of YAML files")
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file()):
        hydra = _plain(file, OF_FILES, of_group=True).get("hydra")
        if isinstance(hydra, dict) and "searchpath" in hydra:
            raise InputError(
                f"{file} sets hydra.searchpath; give search folders on the command line, as in "
                "hydra.searchpath=['mine']"
            )


def _plain(file: Path, resolvers: tuple[str, ...] | None, of_group: bool = False) -> dict[str, Any]:
    refuse_stand_in(file, "a file of settings (YAML)", "yaml")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"{file} is larger than {MOST_BYTES} bytes: this is not a file of settings")
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_NoAliases)
    except InputError:
        raise
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({' '.join(str(error).split())})") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise InputError(f"{file} contains no keys")
    try:
        if resolvers is None:
            return with_current_names(content)
        if KEY in content:
            raise InputError(ONLY_HERE)
        _check_texts(content, "", resolvers, 0)
        content = with_current_targets(content) if of_group else with_current_names(content)
        if of_group:
            check_any_targets(content)
        else:
            check_targets(content)
        OmegaConf.create(content)
    except (InputError, OmegaConfBaseException) as error:
        raise InputError(f"{file}: {' '.join(str(error).split())}") from error
    return content


class _NoAliases(yaml.SafeLoader):
    """Loads plain values only. Aliases are refused: aliases of aliases can grow exponentially."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it contains an alias (*name); write the value out")
        return super().compose_node(parent, index)


# Numbers are parsed as OmegaConf does (1e-4 is a number), but never in base 60: 10:00:00:00 stays a text.
_DATES_AND_NUMBERS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_NoAliases.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in patterns if tag not in _DATES_AND_NUMBERS]
    for first, patterns in _NoAliases.yaml_implicit_resolvers.items()
}
_NoAliases.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]{1,40}$"), list("-+0123456789"))
_NoAliases.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*"
        r"(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def _check_texts(node: Any, path: str, resolvers: tuple[str, ...], depth: int) -> None:
    if depth > MOST_DEPTH:
        raise InputError(f"{path.split('.')[0]} is nested more than {MOST_DEPTH} levels deep")
    if isinstance(node, dict):
        for key, value in node.items():
            _check_texts(key, f"{path}.{key}".lstrip("."), resolvers, depth + 1)
            _check_texts(value, f"{path}.{key}".lstrip("."), resolvers, depth + 1)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            _check_texts(value, f"{path}[{place}]", resolvers, depth + 1)
    elif isinstance(node, str):
        check_resolvers(node, path, resolvers)


def check_resolvers(text: str, where: str, allowed: tuple[str, ...]) -> None:
    """Raise InputError if a text uses a resolver (``${name:…}``) that is not ``allowed``; references to keys pass."""
    while "${" in text:
        inner = _INNERMOST.search(text)
        if inner is None:
            raise InputError(f"{where} contains a '${{' that is never closed")
        name, colon, _ = inner[1].partition(":")
        if colon and name.strip() not in allowed:
            raise InputError(f"{where} uses ${{{inner[1]}}}, which is not allowed in a file; write the value itself")
        text = text[: inner.start()] + _RESOLVED + text[inner.end() :]
