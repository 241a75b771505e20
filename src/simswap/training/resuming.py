"""Resuming a run: its folder, its settings and the allowed changes, its newest complete checkpoint."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from simswap import checkpoint
from simswap.errors import InputError
from simswap.files import atomic_write, remove_leftovers
from simswap.launching import ranks
from simswap.settings.check import SWITCHES, check, fill
from simswap.settings.paths import escape_tree, is_path_of_entry, with_home
from simswap.settings.records import read_record
from simswap.settings.targets import TRANSFORMS
from simswap.training.checkpoint_files import NEWEST, NEWEST_FIRST
from simswap.training.values import check_training

HARMLESS = (
    # duration
    "trainer.max_steps", "trainer.max_time",
    # paths that moved; their content is compared with the checkpoint
    "data.root", "data.embeddings", "recognition.path", "judge.path", "pose.path", "pose.pack",
    # speed, and what is reported
    "data.workers", "data.prefetch", "data.cache_mb", "threads", "strategy.timeout_minutes", "strategy.subprocess",
    "strategy.gpu_pool", "logger", "profiler", "progress_every", "trainer.log_every_n_steps", "checkpoints.every",
    "samples.every", "sweep.metrics",
)  # fmt: skip
"""Keys, and groups of keys, that may change on resume: the networks become what they would have been."""

ASIDE = ("resume", "resume_overrides", "on_existing_run", "sweep", "launcher", "experiment", "ablation", "hydra")
ABSENT = "(none)"
ALGORITHM = "optimizer.algorithm._target_"

log = logging.getLogger(__name__)


def settings_of(run: Path, cfg: DictConfig) -> DictConfig:
    """The settings of the run; of a resumed run the recorded ones, with the changes that are asked for and allowed.

    Must be called inside a Hydra job.

    Raises:
        InputError: the folder has no run, or changes would make it another experiment; each is listed with old and new
            value, and ``resume_overrides=allow`` accepts them.
    """
    if cfg.resume_overrides not in ("stop", "allow"):
        raise InputError(f"resume_overrides={cfg.resume_overrides}: choose stop or allow")
    if not cfg.resume:
        return cfg
    if Path(cfg.resume).suffix == ".ckpt" and Path(cfg.resume).name not in NEWEST_FIRST:
        log.info(
            "the run resumes from the newest checkpoint, %s, not from %s; to use only the weights of that one, start "
            "a new run with start_from=",
            NEWEST,
            Path(cfg.resume).name,
        )
    stored, default = _recorded_settings(run)
    changed = _changes(stored, cfg, default)
    _check_changes(run, changed, cfg.resume_overrides)
    for key, (_, new) in changed.items():
        if new == ABSENT:
            parent, _, name = key.rpartition(".")
            node = OmegaConf.select(stored, parent)
            if node is not None and name in node:  # a mapping may have become null
                del node[name]
        else:
            OmegaConf.update(stored, key, escape_tree(new), force_add=True)
    if changed:
        log.info("the run resumes with changed settings: %s", _in_words(changed))
        write_record(run, stored)
    stored.resume, stored.resume_overrides = cfg.resume, cfg.resume_overrides
    return stored


def write_record(run: Path, settings: DictConfig) -> None:
    """Replace the settings that Hydra recorded; the first rank alone writes."""
    if ranks.is_first():
        with atomic_write(run / ".hydra" / "config.yaml") as part:
            OmegaConf.save(settings, part)


def _recorded_settings(run: Path) -> tuple[DictConfig, DictConfig]:
    """The recorded settings, complete and checked, and the default ones."""
    stored = _record(run)
    default = hydra.compose(HydraConfig.get().job.config_name)
    _fill_weights(stored, default)
    fill(stored, default)
    try:
        check(stored, default)
        check_training(stored)
    except InputError as error:
        raise InputError(f"{run / '.hydra' / 'config.yaml'}: {error}") from error
    with_home(stored)
    return stored, default


def _changes(stored: DictConfig, cfg: DictConfig, default: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Keys that the command line changes, with the recorded and the new value."""
    named = _named(HydraConfig.get().overrides.task)
    before, after, usual = _leaves(stored), _leaves(cfg), _leaves(default)
    changed = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, ABSENT), after.get(key, ABSENT)
        # A key given with its default value may still differ from the run's; an experiment names none of its keys.
        asked = _below(key, named) or new != usual.get(key, ABSENT)
        kept = key in SWITCHES and new == "auto"  # the run's record holds what it chose
        if asked and old != new and not kept and not _below(key, ASIDE):
            changed[key] = old, new
    return changed


def _check_changes(run: Path, changed: dict[str, tuple[Any, Any]], overrides: str) -> None:
    """Raise InputError for changes that make another experiment, unless ``overrides`` is ``allow``."""
    if ALGORITHM in changed:
        raise InputError(
            f"resume={run}: {_in_words({ALGORITHM: changed[ALGORITHM]})}: a resumed run needs the optimizer whose "
            "state its checkpoint has; for another one, start a new run from the weights with start_from="
        )
    refused = {key: values for key, values in changed.items() if not (_below(key, HARMLESS) or is_path_of_entry(key))}
    if refused and overrides != "allow":
        raise InputError(
            f"resume={run}: the run was started with other settings ({_in_words(refused)}); leave them out to resume "
            "with its own, or say resume_overrides=allow"
        )


def _in_words(changed: dict[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{key}: {old} → {new}" for key, (old, new) in changed.items())


def _fill_weights(stored: DictConfig, default: DictConfig) -> None:
    """Weight 0 for loss terms that a recorded config lacks, whatever the default: they did not train."""
    weights = OmegaConf.select(stored, "objective.weights")
    for name in default.objective.weights if isinstance(weights, DictConfig) else ():
        if name not in weights:
            OmegaConf.update(stored, f"objective.weights.{name}", 0.0, force_add=True)


def newest_checkpoint(run: Path, resuming: bool) -> Path | None:
    """The newest complete checkpoint, from which the run resumes; None starts at iteration 0.

    Damaged ones are named in the log and ignored.

    Raises:
        InputError: all are damaged, or a new run would overwrite another's work.
    """
    folder = run / "checkpoints"
    found = [folder / name for name in NEWEST_FIRST if (folder / name).is_file()]
    if not resuming:
        if found:
            raise InputError(
                f"{run} holds another run's work; choose another hydra.run.dir, or resume it with resume={run}"
            )
        return None
    remove_leftovers(folder)
    for path in found:
        try:
            _check_whole(path)
            return path
        except InputError as error:
            log.warning("passed over: %s", error)
    if found:
        raise InputError(
            f"resume={run}: none of its checkpoints is intact; start it again without resume, in a new folder"
        )
    log.info("the run has no checkpoint yet: it starts at iteration 0")
    return None


def _check_whole(path: Path) -> None:
    """Raise InputError for a checkpoint that is cut off or has changed bytes."""
    checkpoint.read(path)
    with zipfile.ZipFile(path) as file:  # torch writes checksums, but does not check them
        damaged = file.testzip()
    if damaged is not None:
        raise InputError(f"{path} is damaged: the checksum of its part {damaged} does not match")


def _record(run: Path) -> DictConfig:
    """The settings that Hydra recorded when the run started."""
    folder = run / ".hydra"
    if not (folder / "overrides.yaml").is_file():  # written last: the record is complete
        raise InputError(
            f"resume={run}: there is no complete {folder / 'config.yaml'}; give a run's folder, as in "
            "outputs/demo/<time>, or start the run again without resume"
        )
    return read_record(folder / "config.yaml")


def _named(overrides: list[str]) -> tuple[str, ...]:
    """Keys and groups on the command line, as dotted keys."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    names = (override.key_or_group.replace("/", ".") for override in parsed)
    return tuple(TRANSFORMS if name == "augmentation" else name for name in names)  # its group is not the key's name


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Values by dotted key; lists and empty mappings are values."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if not isinstance(node, dict) or (path and not node):
        return {path: node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= _leaves(value, f"{path}.{key}" if path else str(key))
    return leaves


def _below(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
