"""``simswap-train``: train a swapper; the story of one run."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from simswap import ranks
from simswap.config import build, front_door, nearest
from simswap.errors import InputError
from simswap.models.embedder import Embedder
from simswap.naming import group_name, run_name
from simswap.sweeping.pruning import pruning_of
from simswap.tracking.logger import finish
from simswap.training.callbacks import NewestCheckpoint, OrderlyStop, Progress, SampleGrid
from simswap.training.diagnosis import Diagnosis, Limits
from simswap.training.distributed import Processes
from simswap.training.embedding_table import EmbeddingTable
from simswap.training.guards import SkippedSteps
from simswap.training.module import SimSwapModule
from simswap.training.reporting import StatusReport
from simswap.training.same_weights import SameWeights
from simswap.training.speed import check_precision, set_speed
from simswap.training.validation import Validation
from simswap.training.warm_start import start_from

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """Train by a checked config; returns the last values of ``sweep_metrics``, what sweeps optimise."""
    run = Path(HydraConfig.get().runtime.output_dir)
    if cfg.get("if_begun") == "resume" and any((run / "checkpoints").glob("*.ckpt")):
        cfg.resume = str(run)  # the same command once more: the settings are the run's own
    elif ranks.HANDOFF not in os.environ:  # else the process that started this one has settled them
        cfg = settings_of(run, cfg)
    newest = newest_checkpoint(run, bool(cfg.resume))
    processes = build(cfg.strategy) if "strategy" in cfg else Processes()  # a resumed run of before has no such key
    processes.check(cfg.trainer, cfg.objective.weights.gradient_penalty)
    if processes.must_start(cfg.trainer):
        return processes.run("simswap.train", cfg)
    with StatusReport(run) as report:
        return fit(cfg, run, newest, processes, report)


def fit(
    cfg: DictConfig, run: Path, newest: Path | None, processes: Processes, report: StatusReport
) -> float | tuple[float, ...] | None:
    """Build what the config names, and train it in the run folder, from the checkpoint on where there is one."""
    quieten()
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)

    data = build(cfg.data, seed=cfg.seed)
    data.unreadable.keep_list(run / "unreadable.csv")
    recogniser = build(cfg.recognition)
    judge = build(cfg.judge) if cfg.judge._target_ else None
    pose = build(cfg.pose)
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    module = SimSwapModule(
        generator=build(cfg.generator, identity_size=recogniser.embedding_size),
        discriminators=build(cfg.discriminator, image_size=data.size),
        embedder=Embedder(recogniser, data.manifest.template, data.size),
        objective=build(cfg.objective),
        optimizer=build(cfg.optimizer),
        validation=Validation(judge, pose, seed=cfg.seed, **cfg.validation),
        average_decay=cfg.average_decay,
        seed=cfg.seed,
        config=config,
    )
    if cfg.get("start_from") and newest is None:
        start_from(module, cfg.start_from)
    set_speed(module, cfg.channels_last, cfg.get("compile", False))  # a resumed run of before has no such key
    log.info("%s", summary(module, data, run))

    guards = cfg.get("guards", {})  # a resumed run of before has no such keys
    stop = OrderlyStop()
    trainer: L.Trainer = build(
        cfg.trainer,
        **processes.trainer_settings(cfg.trainer),
        logger=build(cfg.logger, run=run, name=run_name(), group=group_name(cfg.name), config=config),
        callbacks=[
            EmbeddingTable(),
            SkippedSteps(run, guards.get("max_skipped_in_a_row", 20)),
            Diagnosis(guards.get("warmup", 5000), Limits(**guards.get("limits", {}))),
            SampleGrid(run, cfg.samples.every, cfg.samples.faces, cfg.seed),
            ModelCheckpoint(
                run / "checkpoints", "best", monitor="val/id_retrieval", mode="max", enable_version_counter=False
            ),
            NewestCheckpoint(run, cfg.checkpoints.every),
            Progress(cfg.progress_every),
            report,
            SameWeights(run),
            *pruning_of(run, cfg.get("sweep"), cfg.get("sweep_metrics", [])),
            stop,
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        # an epoch has no end here: pairs are drawn by iteration, and validation comes every so many of them
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    check_precision(trainer, cfg.trainer.precision)
    finished = False
    try:
        trainer.fit(module, datamodule=data, ckpt_path=newest, weights_only=True)
        finished = not stop.interrupted
    finally:
        finish(trainer.loggers, failed=not finished)
    if stop.interrupted:
        raise KeyboardInterrupt(f"go on with simswap-train resume={run}")
    log.info("trained %d iterations: %s", trainer.global_step, run / "checkpoints" / "last.ckpt")
    return objectives(trainer.callback_metrics, cfg.get("sweep_metrics", []))


def objectives(metrics: Mapping[str, Any], names: Sequence[str]) -> float | tuple[float, ...] | None:
    """The named figures of a run: a number, several as a tuple, None where nothing was validated.

    Raises InputError for a name that no validation logs.
    """
    measured = {name for name in metrics if name.startswith("val/")}
    for name in names:
        if measured and name not in measured:
            raise InputError(f"sweep_metrics: validation logs no {name}{nearest(name, measured)}")
    if not names or not measured:
        return None
    values = tuple(float(metrics[name]) for name in names)
    return values if len(values) > 1 else values[0]


def quieten() -> None:
    """Lightning's hints and the warnings about what is meant so here (frozen networks in eval mode)."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="It is recommended to use .*sync_dist=True")  # they are over all ranks
    warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode at the start of training")
    warnings.filterwarnings("ignore", message="Detected call of .lr_scheduler.step")  # a first step may be left out
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


def settings_of(run: Path, cfg: DictConfig) -> DictConfig:
    """The run's own config: of a resumed run the stored one, in which only trainer.* may be changed."""
    if not cfg.resume:
        return cfg
    stored_file = run / ".hydra" / "config.yaml"
    if not stored_file.is_file():
        raise InputError(f"resume={run}: there is no {stored_file}; give a run's folder, as in outputs/demo/<time>")
    changes = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    other = [o for o in changes if not o.startswith("trainer.")]
    if other:
        raise InputError(f"{other[0]}: a resumed run keeps its own settings; only trainer.* may be changed with resume")
    stored = OmegaConf.merge(OmegaConf.load(stored_file), OmegaConf.from_dotlist(changes))
    stored.resume = cfg.resume
    return stored  # type: ignore[return-value]


def newest_checkpoint(run: Path, resuming: bool) -> Path | None:
    """The checkpoint to go on from; a folder that holds another run's work is not written over."""
    newest = run / "checkpoints" / "last.ckpt"
    if resuming and not newest.is_file():
        raise InputError(f"resume={run}: there is no {newest}; start the run again without resume")
    if not resuming and newest.is_file():
        raise InputError(f"{run} holds another run's work; choose another hydra.run.dir, or go on with resume={run}")
    return newest if resuming else None


def summary(module: SimSwapModule, data: Any, run: Path) -> str:
    """The choices that a reader of the log must know."""
    layers = module.discriminators.layer_count
    note = "" if layers == 5 else f" (the paper's five need 95 px; layer numbers 0..{layers - 1} are not the paper's)"
    count = sum(p.numel() for p in module.generator.parameters()) / 1e6
    return (
        f"run folder {run}; {len(data.rows('train'))} crops of {len(data.persons('train'))} persons to train on, "
        f"{data.manifest.template} {data.size} px; generator {count:.2f} M parameters, range "
        f"{module.generator.pixel_range}; discriminators with {layers} layers{note}; recogniser "
        f"{module.embedder.recogniser.name}"
    )


def main() -> None:
    front_door(train, "train")


if __name__ == "__main__":
    main()
