"""``simswap-train``: train a swapper; the story of one run."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from simswap.config import build, build_optional
from simswap.data.workers import fault_of
from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.cores import keep_to_share
from simswap.launching.distributed import Processes, on_gpu
from simswap.launching.folders import has_begun, run_claimed
from simswap.launching.front_door import front_door
from simswap.launching.naming import group_name, run_name
from simswap.models.embedder import Embedder
from simswap.settings.ranges import short_seed
from simswap.settings.words import nearest
from simswap.sweeping.pruning import pruning_of
from simswap.tracking.logger import finish
from simswap.training.callbacks.diagnosis import Diagnosis, Limits
from simswap.training.callbacks.gradient_histograms import GradientHistograms
from simswap.training.callbacks.guards import SkippedSteps
from simswap.training.callbacks.logged_use import LoggedUse
from simswap.training.callbacks.rank_consistency import RankConsistency
from simswap.training.callbacks.reporting import StatusReport
from simswap.training.callbacks.run_fingerprint import RunFingerprint
from simswap.training.callbacks.same_statistics import SameStatistics
from simswap.training.callbacks.sample_grid import Progress, SampleGrid
from simswap.training.callbacks.saving import BestCheckpoint, NewestCheckpoint
from simswap.training.callbacks.speed_monitor import SpeedMonitor
from simswap.training.callbacks.stopping import GracefulStop
from simswap.training.checkpoint_files import NEWEST, CheckpointWriter, WholeFiles
from simswap.training.loss_recognition import LossRecognizer, build_loss_recognizers
from simswap.training.module import SimSwapModule
from simswap.training.resuming import newest_checkpoint, settings_of, write_record
from simswap.training.speed import check_precision, cuda_settings, layout, set_speed
from simswap.training.validation import Validation
from simswap.training.values import check_training, trainer_values
from simswap.training.warm_start import start_from

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """Train with a checked config; returns the last values of ``sweep.metrics``, which sweeps optimize."""
    run = Path(HydraConfig.get().runtime.output_dir)
    with run_claimed(run):
        return start(cfg, run)


def start(cfg: DictConfig, run: Path) -> float | tuple[float, ...] | None:
    """Decide what to train and where to resume; train here, or in processes of its own."""
    if cfg.on_existing_run == "resume" and has_begun(run):
        cfg.resume = str(run)  # the same command again: use the run's own settings
    elif ranks.HANDOFF not in os.environ:  # else the process that started this one has decided
        cfg = settings_of(run, cfg)
    newest = newest_checkpoint(run, bool(cfg.resume))
    processes: Processes = build(cfg.strategy)
    processes.check(cfg.trainer, build(cfg.objective).second_derivatives())
    if processes.must_start(cfg.trainer):
        try:
            with StatusReport(run):
                return processes.run("simswap.train", cfg)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(str(interrupt) or f"resume with simswap-train resume={run}") from None
    with GracefulStop(run) as stop, StatusReport(run) as report:
        return fit(cfg, run, newest, processes, stop, report)


def fit(
    cfg: DictConfig, run: Path, newest: Path | None, processes: Processes, stop: GracefulStop, report: StatusReport
) -> float | tuple[float, ...] | None:
    """Build what the config names, and train in the run's folder, from the checkpoint if there is one."""
    quieten()
    L.seed_everything(short_seed(cfg.seed), workers=True, verbose=False)
    workers = keep_to_share(cfg.threads, cfg.data.workers)
    data = build(cfg.data, seed=cfg.seed, workers=workers, unreadable_list=run / "unreadable.csv")
    frozen, loss_recognizers = build_frozen(cfg), build_loss_recognizers(cfg.loss_recognition)
    keep_layout(cfg, run, data.size)
    settings = plain(cfg)
    module = build_module(cfg, data, *frozen, settings, loss_recognizers)
    if cfg.start_from and newest is None:
        start_from(module, cfg.start_from)
    if cfg.trainer.precision == "64-true":
        module.embedder.double()  # it is frozen, so the trainer does not convert it
        module.loss_recognition.double()
    set_speed(module, cfg.channels_last, cfg.compile, "cuda" if on_gpu(cfg.trainer) else "cpu")
    log.info("%s", summary(module, data, run))

    around = [report, RankConsistency(run), *pruning_of(run, cfg.sweep, cfg.sweep.metrics), stop]
    writer = CheckpointWriter(run)
    trainer: L.Trainer = build(
        cfg.trainer,
        **trainer_values(cfg.trainer),
        **processes.trainer_settings(cfg.trainer, [WholeFiles()]),
        logger=build(cfg.logger, run=run, name=run_name(), group=group_name(cfg.name), config=settings),
        profiler=build_optional(cfg.profiler),
        callbacks=[
            *build_callbacks(cfg, run, data, frozen, loss_recognizers, stop, writer),
            *extra_callbacks(cfg),
            *around,
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        # an epoch has no end: pairs are drawn by iteration, and validation runs every so many iterations
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,  # our own callbacks save checkpoints
    )
    check_precision(trainer, cfg.trainer.precision)
    chosen = cfg.trainer.get("benchmark") is not None or cfg.trainer.get("deterministic")
    with writer, cuda_settings(trainer, cfg.tf32, benchmark=not chosen):
        run_trainer(trainer, module, data, newest, stop)
    log.info("trained %d iterations: %s", trainer.global_step, run / "checkpoints" / NEWEST)
    return objectives(trainer.callback_metrics, cfg.sweep.metrics)


def keep_layout(cfg: DictConfig, run: Path, crop_size: int) -> None:
    """Replace ``channels_last=auto`` by its choice, here and in the run's record: a resume elsewhere keeps it."""
    if isinstance(cfg.channels_last, bool):
        return
    cfg.channels_last = layout(cfg.channels_last, "cuda" if on_gpu(cfg.trainer) else "cpu", crop_size)
    file = run / ".hydra" / "config.yaml"
    if file.is_file():
        record = OmegaConf.load(file)
        record.channels_last = cfg.channels_last
        write_record(run, record)  # type: ignore[arg-type]


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config as plain containers."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def build_frozen(cfg: DictConfig) -> tuple[Any, Any, Any]:
    """The networks that do not train: recognizer, judge (None without one), pose estimator."""
    return build(cfg.recognition), build_optional(cfg.judge), build(cfg.pose)


def build_module(
    cfg: DictConfig,
    data: Any,
    recognizer: Any,
    judge: Any,
    pose: Any,
    settings: dict[str, Any],
    loss_recognizers: Mapping[str, LossRecognizer],
) -> SimSwapModule:
    """The module that trains, with its networks, objective and validation."""
    return SimSwapModule(
        generator=build(cfg.generator, identity_size=recognizer.embedding_size),
        discriminators=build(cfg.discriminator, image_size=data.size),
        embedder=Embedder(recognizer, data.manifest.template, data.size),
        objective=build(cfg.objective),
        optimizer=build(cfg.optimizer),
        validation=Validation(judge, pose, seed=cfg.seed, **cfg.validation),
        ema_decay=cfg.ema_decay,
        seed=cfg.seed,
        config=settings,
        loss_recognizers=loss_recognizers,
    )


def build_callbacks(
    cfg: DictConfig,
    run: Path,
    data: Any,
    frozen: tuple[Any, Any, Any],
    loss_recognizers: Mapping[str, LossRecognizer],
    stop: GracefulStop,
    writer: CheckpointWriter,
) -> list[L.Callback]:
    """The run's own callbacks, in this order; those that report, compare ranks, prune and stop come after."""
    watch = SpeedMonitor(run, data.batch_size)
    return [
        SameStatistics(),
        SkippedSteps(run, cfg.guards.max_skipped_in_a_row),
        Diagnosis(cfg.guards.start_iteration, Limits(**cfg.guards.limits)),
        SampleGrid(run, cfg.samples.every, cfg.samples.faces, cfg.seed, stop),
        BestCheckpoint(writer, "val/id_retrieval"),
        NewestCheckpoint(run, cfg.checkpoints.every, writer),
        RunFingerprint(data, *frozen, cfg.resume_overrides == "allow", loss_recognizers),
        LoggedUse(data),
        watch,
        Progress(cfg.progress_every, watch),
        GradientHistograms(),
    ]


def extra_callbacks(cfg: DictConfig) -> list[L.Callback]:
    """The entries of the group ``callbacks``, in the order of the configuration."""
    return [build(node) for node in cfg.callbacks.values() if node is not None]


def run_trainer(trainer: L.Trainer, module: SimSwapModule, data: Any, newest: Path | None, stop: GracefulStop) -> None:
    """Train; the loggers are closed however it ends.

    Raises:
        KeyboardInterrupt: The run was stopped.
        InputError: A data worker failed, or Lightning refuses a callback, profiler or logger of the configuration.
    """
    finished = False
    try:
        trainer.fit(module, datamodule=data, ckpt_path=newest, weights_only=True)
        finished = not stop.signal
    except MisconfigurationException as error:
        raise InputError(f"Lightning refuses this configuration: {' '.join(str(error).split())}") from error
    except (RuntimeError, OSError) as error:
        fault = fault_of(error)  # a dead worker may raise anywhere in the run
        if fault is None:
            raise
        raise fault from error
    finally:
        finish(trainer.loggers, failed=not finished)
    if stop.signal:
        raise KeyboardInterrupt(stop.how_to_resume)


def objectives(metrics: Mapping[str, Any], names: Sequence[str]) -> float | tuple[float, ...] | None:
    """The named figures of a run: a number, several as a tuple, None without a validation.

    Raises:
        InputError: validation logs no figure of that name.
    """
    measured = {name for name in metrics if name.startswith("val/")}
    for name in names:
        if measured and name not in measured:
            raise InputError(f"sweep.metrics: validation logs no {name}{nearest(name, measured)}")
    if not names or not measured:
        return None
    values = tuple(float(metrics[name]) for name in names)
    return values if len(values) > 1 else values[0]


def quieten() -> None:
    """Silence Lightning's hints, and warnings about what is intended here (frozen networks in eval mode)."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="It is recommended to use .*sync_dist=True")  # they are over all ranks
    warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode at the start of training")
    warnings.filterwarnings("ignore", message="Detected call of .lr_scheduler.step")  # a first step may be left out
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers")


def summary(module: SimSwapModule, data: Any, run: Path) -> str:
    """The choices that a reader of the log should know."""
    layers = module.discriminators.layer_count
    note = "" if layers == 5 else f" (the paper's five need 95 px; layer numbers 0..{layers - 1} are not the paper's)"
    count = sum(p.numel() for p in module.generator.parameters()) / 1e6
    return (
        f"run folder {run}; {len(data.rows('train'))} crops of {len(data.persons('train'))} persons to train on, "
        f"{data.manifest.template} {data.size} px; generator {count:.2f} M parameters, range "
        f"{module.generator.pixel_range}; discriminators with {layers} layers{note}; recognizer "
        f"{module.embedder.recognizer.name}{module.loss_recognition.words(module.validation.judge)}"
    )


def main() -> None:
    """The entry point of ``simswap-train``."""
    front_door(train, "train", check_training)


if __name__ == "__main__":
    main()
