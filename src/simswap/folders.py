"""Where runs, sweeps and evaluations go, and on which GPUs: what the YAML files ask by ``${run_folder:…}`` etc."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

from simswap import ranks


def register_resolvers() -> None:
    """Make the folders known to OmegaConf; in each process that composes a config."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("run_record", run_record, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
    OmegaConf.register_new_resolver("evaluation_folder", evaluation_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("visible_gpus", visible_gpus, replace=True)
    OmegaConf.register_new_resolver("jobs_on_gpus", jobs_on_gpus, replace=True)


def run_folder(resume: str | None, name: str) -> str:
    """The folder of a run: the resumed one, or a new one ``outputs/<name>/<time>``; the same on all ranks."""
    if resume:
        return resume
    folder = Path("outputs") / name
    return str(folder / ranks.agree_on_name(_new(folder / time.strftime("%Y-%m-%d_%H-%M-%S")).name))


def sweep_folder(resume: str | None, name: str, now: str) -> str:
    """The folder of a sweep: the resumed one, or ``outputs/<name>/<now>``.

    ``now`` is the sweep's start in each of its jobs' processes: Hydra hands the resolved value on.
    """
    return resume or str(Path("outputs") / name / now)


def run_record(resume: str | None) -> str | None:
    """The folder of Hydra's record in the run's folder: written once, when a run begins, by its first process."""
    return None if resume or not ranks.is_first() else ".hydra"


def _new(folder: Path) -> Path:
    number, started = 1, folder
    while folder.exists():  # two in one second: neither may write over the other
        number += 1
        folder = started.with_name(f"{started.name}_{number}")
    return folder


def evaluation_folder(checkpoint: str | None, out: str | None) -> str:
    """Where an evaluation goes: ``out``, else the run folder of the checkpoint, else the checkpoint's own folder;
    without a checkpoint a new folder ``outputs/evaluation/<time>``."""
    if checkpoint is None:
        return out or run_folder(None, "evaluation")
    folder = Path(checkpoint).parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    return out or str(folder if folder.is_dir() else Path.cwd())  # Hydra would make the folder of a mistyped path


def visible_gpus() -> ListConfig:
    """Ids of the GPUs that this process may use, as text: CUDA_VISIBLE_DEVICES where it is set, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return ListConfig([name.strip() for name in named.split(",") if name.strip()])
    import torch

    return ListConfig([str(number) for number in range(torch.cuda.device_count())])


def jobs_on_gpus(pool: Sequence[Any] | None, devices: Any) -> int:
    """How many jobs of ``devices`` GPUs each a pool can hold at a time; at least 1, which then says what is wrong."""
    return max(1, len(pool or ()) // devices) if isinstance(devices, int) and devices > 0 else 1
