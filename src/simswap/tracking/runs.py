"""A run folder read back: its config, its metrics and its evaluation."""

import json
import math
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from simswap.errors import InputError
from simswap.tracking.metrics_csv import STEP, read_rows


def read_config(run: Path) -> dict[str, Any]:
    """The run's resolved config. Raises InputError where there is none or it cannot be read."""
    path = run / ".hydra" / "config.yaml"
    if not path.is_file():
        raise InputError(f"{path} is not there: give the folder of a run, as in outputs/demo/<time>")
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no config of a run: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is no config of a run: it holds no keys")
    return config  # type: ignore[return-value]


def read_metrics(run: Path) -> dict[str, list[float]]:
    """metrics.csv as columns of one length: ``step`` and every metric, NaN where it was not logged at a step.

    Raises InputError where there is no such file or a cell is no number.
    """
    path = run / "metrics.csv"
    if not path.is_file():
        raise InputError(f"{path} is not there: the run logged nothing yet, or this is no run folder")
    rows = read_rows(path)
    names = list(rows[0]) if rows else [STEP]
    try:
        return {name: [float(row[name]) if row[name] else math.nan for row in rows] for name in names}
    except ValueError as error:
        raise InputError(f"{path} holds a cell that is no number: {error}") from error


def read_evaluation(run: Path) -> dict[str, Any]:
    """evaluation.json: ``protocol`` and ``results``. Raises InputError where it is missing or no such file."""
    path = run / "evaluation.json"
    if not path.is_file():
        raise InputError(f"{path} is not there: run simswap-evaluate on the run's checkpoint")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}") from error
    if not isinstance(content, dict) or not {"protocol", "results"} <= set(content):
        raise InputError(f"{path} has no protocol and results, so it is no evaluation: run simswap-evaluate again")
    return content
