"""Where runs, sweeps and evaluations go: what the YAML files ask by ``${run_folder:…}`` and its like."""

import time
from pathlib import Path

from omegaconf import OmegaConf

from simswap import ranks


def register_resolvers() -> None:
    """Make the folders known to OmegaConf; in each process that composes a config."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("run_record", run_record, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("evaluation_folder", evaluation_folder, replace=True, use_cache=True)


def run_folder(resume: str | None, name: str) -> str:
    """The folder of a run: the resumed one, or a new one ``outputs/<name>/<time>``; the same on all ranks."""
    if resume:
        return resume
    folder = Path("outputs") / name
    return str(folder / ranks.agree_on_name(_new(folder / time.strftime("%Y-%m-%d_%H-%M-%S")).name))


def sweep_folder(resume: str | None, name: str) -> str:
    """The folder of a sweep: the resumed one, or a new one ``outputs/<name>/sweep_<time>``."""
    return resume or str(_new(Path("outputs") / name / time.strftime("sweep_%Y-%m-%d_%H-%M-%S")))


def run_record(resume: str | None) -> str | None:
    """The folder of Hydra's record in the run's folder: written once, when a run begins, by its first process."""
    return None if resume or not ranks.is_first() else ".hydra"


def _new(folder: Path) -> Path:
    number, started = 1, folder
    while folder.exists():  # two in one second: neither may write over the other
        number += 1
        folder = started.with_name(f"{started.name}_{number}")
    return folder


def evaluation_folder(checkpoint: str, out: str | None) -> str:
    """Where an evaluation goes: ``out``, else the run folder of the checkpoint, else the checkpoint's own folder."""
    folder = Path(checkpoint).parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    return out or str(folder if folder.is_dir() else Path.cwd())  # Hydra would make the folder of a mistyped path
