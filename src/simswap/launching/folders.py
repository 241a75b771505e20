"""The folders of runs, sweeps and evaluations, and the resolvers (``${run_folder:…}`` …) that YAML files use."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.claims import claimed
from simswap.wandb_files import is_reference

TIME = "%Y-%m-%d_%H-%M-%S"
TRAINING = "training"


def register_resolvers() -> None:
    """Register the resolvers with OmegaConf; needed in each process that composes a configuration."""
    OmegaConf.register_new_resolver("run_folder", _made_once("run_folder", run_folder), replace=True)
    OmegaConf.register_new_resolver("run_record", run_record, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
    evaluation = _made_once("evaluation_folder", evaluation_folder)
    OmegaConf.register_new_resolver("evaluation_folder", evaluation, replace=True)
    OmegaConf.register_new_resolver("visible_gpus", visible_gpus, replace=True)
    OmegaConf.register_new_resolver("jobs_on_gpus", jobs_on_gpus, replace=True)


def _made_once(name: str, make: Callable[..., str]) -> Callable[..., str]:
    """Turn ``make`` into a resolver that creates a configuration's folder once, after Hydra has composed it.

    Merging a YAML file or an override that sets ``hydra.run.dir`` also resolves the value that it replaces. No folder
    may be created for that, and the result is not used.
    """

    def resolve(*given: Any, _root_: Any) -> str:
        known, key = OmegaConf.get_cache(_root_)[name], str(given)
        if key not in known:
            if not _is_composed(_root_):
                return "outputs"
            known[key] = make(*given)
        return known[key]

    return resolve


def _is_composed(root: Any) -> bool:
    """Whether Hydra has finished composing: it fills in its own version last."""
    return OmegaConf.select(root, "hydra.runtime.version", throw_on_missing=False) is not None


def run_folder(resume: str | None, name: str) -> str:
    """The folder of a run: the resumed one, or a new ``outputs/<name>/<time>``. It is the same on all ranks.

    Raises:
        InputError: There is no run to resume.
    """
    if resume:
        return str(run_of(resume))
    folder = Path("outputs") / name
    return str(folder / ranks.agree_on_name(lambda: new_folder(folder / time.strftime(TIME)).name))


def run_of(resume: str) -> Path:
    """The run folder for ``resume``, given as the folder itself, its checkpoints folder, or one of its checkpoints.

    Raises:
        InputError: The path does not exist, or is a file other than a checkpoint in a run's folder.
    """
    given = Path(resume).expanduser()
    if not given.exists():
        raise InputError(f"resume={resume}: there is no such folder; give a run's folder, as in outputs/demo/<time>")
    if given.is_dir() and (given / ".hydra").is_dir():
        return given
    path = given.resolve()  # a link may lead into a run's folder
    folder = path.parent if path.is_file() else path
    if folder.name == "checkpoints" and (path.is_dir() or path.suffix == ".ckpt"):
        return folder.parent
    if path.is_file():
        raise InputError(
            f"resume={resume}: this is no checkpoint in a run's folder; give the run's folder, as in "
            "outputs/demo/<time>, or start a new run from a checkpoint's weights with start_from="
        )
    return given


def sweep_folder(resume: str | None, name: str, now: str, *, _root_: Any) -> str:
    """The folder of a sweep: the resumed one, or a new ``outputs/<name>/<now>``.

    ``now`` is the sweep's start in the processes of all of its jobs, because Hydra passes on the resolved values.
    """
    if resume:
        return str(Path(resume).expanduser())
    folder = Path("outputs") / name / now
    known = OmegaConf.get_cache(_root_)["sweep_folder"]  # without the name, which the sweep may change
    if now not in known:
        if not _is_composed(_root_):  # as `_made_once` says
            return str(folder)
        known[now] = new_folder(folder).name
    return str(folder.with_name(known[now]))


def run_record(resume: str | None, *, _root_: Any) -> str | None:
    """The folder of Hydra's record in the run folder, written once by the first process of a new run.

    Claims the run folder for this process until `run_claimed` or `let_go`, because Hydra is about to write into it.
    Returns None, so that nothing is written, if another process has the claim or the folder already contains a run;
    training then reports the reason.
    """
    run = OmegaConf.select(_root_, "hydra.runtime.output_dir", throw_on_missing=False)
    if resume or not ranks.is_first() or run is None:
        return None
    try:
        hold(Path(run), TRAINING)
    except InputError:
        return None
    return None if has_begun(Path(run)) else ".hydra"


def has_begun(run: Path) -> bool:
    """Whether the folder contains a run's checkpoints."""
    return any((run / "checkpoints").glob("*.ckpt"))


_held: dict[tuple[Path, str], ExitStack] = {}


def hold(folder: Path, work: str) -> None:
    """Claim a folder until `let_go`, ahead of the code that works in it. Raises InputError as `claimed` does."""
    if (folder, work) not in _held:
        with ExitStack() as taken:
            taken.enter_context(claimed(folder, work))
            _held[folder, work] = taken.pop_all()


def let_go(work: str | None = None) -> None:
    """Release the folders that are held for this kind of work, or for any."""
    for key in [key for key in _held if work in (None, key[1])]:
        _held.pop(key).close()


@contextmanager
def run_claimed(run: Path) -> Iterator[None]:
    """Hold a run folder for training until the block ends. Raises InputError if another process holds it."""
    with _held.pop((run, TRAINING), None) or claimed(run, TRAINING):
        yield


def new_folder(folder: Path) -> Path:
    """Create a new folder, with ``_2``, ``_3``, … appended to its name if it exists.

    Raises:
        InputError: The folder cannot be created.
    """
    number, started = 1, folder
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except OSError as error:
            if not os.path.lexists(folder):  # otherwise another process has this name
                raise InputError(
                    f"{folder} cannot be made ({error.strerror or error}): choose another output folder"
                ) from error
            number += 1
            folder = started.with_name(f"{started.name}_{number}")


def evaluation_folder(checkpoint: str | None, out: str | None) -> str:
    """The folder of an evaluation.

    It is ``out`` if given, else the checkpoint's run folder, else the checkpoint's own folder; without a checkpoint, or
    for one in W&B, a new folder ``outputs/evaluation/<time>``.
    """
    out = os.path.expanduser(out) if out else out
    if checkpoint is None or is_reference(checkpoint):
        return out or run_folder(None, "evaluation")
    folder = Path(checkpoint).expanduser().parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    return out or str(folder if folder.is_dir() else Path.cwd())  # Hydra would create a mistyped path


def visible_gpus() -> ListConfig:
    """Ids of the GPUs that this process may use, as text: those in CUDA_VISIBLE_DEVICES if set, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return ListConfig([name.strip() for name in named.split(",") if name.strip()])
    import torch

    return ListConfig([str(number) for number in range(torch.cuda.device_count())])


def jobs_on_gpus(pool: Sequence[Any] | None, devices: Any) -> int:
    """How many jobs with ``devices`` GPUs each fit into a pool; at least 1, and that job then reports the error."""
    return max(1, len(pool or ()) // devices) if isinstance(devices, int) and devices > 0 else 1
