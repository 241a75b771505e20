"""``simswap-evaluate``: measure a checkpoint or precomputed swaps by a protocol, beside the controls."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from simswap import checkpoint
from simswap.config import OF_TRAINING, build, build_optional, refuse_of_training
from simswap.errors import InputError
from simswap.evaluation.judges import further_judges
from simswap.evaluation.pairs_file import write_pairs
from simswap.evaluation.pairs_table import chosen_pairs, pairs_table
from simswap.evaluation.protocol_data import EvaluationProtocol, ProtocolData, Setting
from simswap.evaluation.report import keep_earlier, print_table, write_evaluation, write_skipped
from simswap.evaluation.runner import Evaluated, baselines, checkpoint_swappers, describe_protocol, run_protocol
from simswap.evaluation.slice_tables import slice_text
from simswap.evaluation.swap_precision import described_precision, swap_dtype
from simswap.evaluation.trained_by import loss_recognizers
from simswap.evaluation.worst import Values, add_worst, write_worst
from simswap.faces.paste import PasteSettings
from simswap.launching.claims import claimed
from simswap.launching.devices import choose_device
from simswap.launching.evaluation_ranks import EvaluationRanks
from simswap.launching.front_door import front_door
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.instruments import instruments_for
from simswap.measuring.sampling import grid_of, grid_rows
from simswap.measuring.slices import check_slices, measured_slices
from simswap.measuring.swappers import PrecomputedSwaps, Swapper
from simswap.measuring.window import PHOTO, WINDOWS, Window
from simswap.models.embedder import Embedder
from simswap.models.recorded import judge_of, pose_of, recognizer_of
from simswap.pictures import provenance, write_png
from simswap.tracking.evaluation_names import check_name, stem_of
from simswap.tracking.wandb_evaluation import EvaluationFiles, log_evaluation, takes_evaluations
from simswap.tracking.wandb_summary import put_evaluation
from simswap.wandb_files import is_reference


def evaluate(cfg: DictConfig) -> None:
    """Evaluate by a checked config: the table, evaluation.json, every pair's figures and grids of swaps."""
    out, ranks = Path(HydraConfig.get().runtime.output_dir), EvaluationRanks.from_environment()
    ranks.meet()
    if cfg.checkpoint and not Path(cfg.checkpoint).is_file():
        checkpoint.load(cfg.checkpoint)  # reports what is wrong before anything is written to a wrong place
    with nullcontext() if ranks.rank else claimed(out, "evaluation"):
        evaluate_into(out, cfg, ranks)


def evaluate_into(out: Path, cfg: DictConfig, ranks: EvaluationRanks) -> None:
    """Measure all swappers and write the results to a folder that this process has claimed."""
    device = choose_device(cfg.device)
    dtype = swap_dtype(cfg.precision, device)
    ranks.wait()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    paths = {"trained": cfg.checkpoint, "shipped": cfg.shipped}
    networks = [(kind, checkpoint.load(path)) for kind, path in paths.items() if path]
    first = networks[0][1] if networks else None
    config = first.description["config"] if first else {}

    # Built before the long work, so that a wrong setting shows at once.
    recognizer = recognizer_of(config, cfg.recognition.path) if first else None
    judge = judge_of(config) if cfg.judge == OF_TRAINING else build_optional(cfg.judge)
    judges = further_judges(cfg.judges, config)
    pose = pose_of(config) if cfg.pose == OF_TRAINING else build(cfg.pose)
    gaze, features, lpips = (build_optional(node) for node in (cfg.gaze, cfg.fid, cfg.lpips))

    window = measuring_window(cfg, first)
    stem = stem_of(out, cfg.name)
    data = protocol_data(cfg, networks, out, ranks, window)
    template, size = data.faces.template, data.faces.size
    instruments = instruments_for(first, recognizer, judge, pose, gaze, features, template, size, judges)
    if window is not None and recognizer is not None:  # it sees a window by the warp, whatever it saw of the crops
        instruments = replace(instruments, trained=Embedder(recognizer, template, size))
    instruments = replace(instruments, lpips=lpips)
    ours = checkpoint_swappers(networks, recognizer, data.faces, device, dtype, window)
    work = data.work(instruments)
    evaluator = Evaluator(data.faces, data.pairs, instruments, data.batch_size, device, work, data.jitter, cfg.workers)
    swappers: list[Swapper | PrecomputedSwaps] = [*ours, *data.finished, *baselines(cfg.baselines, window)]
    slices = measured_slices(evaluator.gallery, data.pairs, cfg.slices.by, cfg.slices.yaw_edges, cfg.slices.min_pairs)
    evaluated = run_protocol(evaluator, swappers, data, slices.masks, window)
    ranks.leave()
    if ranks.rank:
        return
    for kind, content in networks:
        path = paths[kind] if is_reference(paths[kind]) else content.path
        facts = {"checkpoint": str(path), "sha256": content.sha256, "iteration": content.iteration}
        evaluated.results[kind].update(facts)
    values = add_worst(evaluated, data.names, cfg.worst_pairs)
    loss, precision = loss_recognizers([content for _, content in networks]), described_precision(dtype)
    description = describe_protocol(data, instruments, recognizer, evaluated, precision, slices.facts, window, loss)
    write_results(stem, data, description, evaluated)
    sha256 = {kind: content.sha256 for kind, content in networks}
    grids = write_grids(stem, data, ours, sha256, cfg.grid_faces, device)
    worst = write_worst(stem, data, ours, values, sha256, cfg.worst_pairs, device)
    print(f"figures: {stem}.json")
    if takes_evaluations(out, cfg.wandb):
        to_wandb(out, stem, cfg, data, evaluated, ours, values, grids, worst, description, device)


def to_wandb(
    out: Path,
    stem: Path,
    cfg: DictConfig,
    data: ProtocolData,
    evaluated: Evaluated,
    networks: Sequence[Swapper],
    values: Mapping[str, Values],
    grids: Mapping[str, Path],
    worst: Mapping[str, Path],
    description: Mapping[str, Any],
    device: torch.device,
) -> None:
    """Add the evaluation to the run in W&B: figures, grids and pairs to its summary, the files as an artifact."""
    name = None if cfg.name is None else str(cfg.name)
    trained = next((one for one in networks if one.name == "trained"), None)
    with tempfile.TemporaryDirectory() as pictures:
        pairs = None
        if trained is not None and (cfg.upload.pairs or cfg.upload.worst):
            samples, sha256 = evaluated.samples["trained"], evaluated.results["trained"]["sha256"]
            own = values.get("trained") or Values.of(samples, evaluated.samples["do_nothing"])
            chosen = chosen_pairs(own, cfg.upload.pairs, cfg.upload.worst)
            pairs = pairs_table(Path(pictures), data, trained, samples, own, chosen, sha256, device)
        if trained is not None and cfg.upload.artifact:
            files = {"evaluation.json": Path(f"{stem}.json"), "pairs.parquet": Path(f"{stem}_pairs.parquet")}
            facts = {key: evaluated.results["trained"][key] for key in ("sha256", "iteration")}
            if not log_evaluation(out, cfg.wandb, EvaluationFiles(files, facts), name):
                return
        put_evaluation(out, description, evaluated.results, grids.get("trained"), cfg.wandb, worst, name, pairs)


def protocol_data(
    cfg: DictConfig,
    networks: Sequence[tuple[str, checkpoint.SwapCheckpoint]],
    out: Path,
    ranks: EvaluationRanks,
    window: Window | None = None,
) -> ProtocolData:
    """The protocol's faces and pairs. networks: the checkpoints; crops and data of the first are the defaults."""
    protocol: EvaluationProtocol = build(cfg.protocol)
    detector = build_optional(cfg.detector)
    first = networks[0][1] if networks else None
    config, template, size = (
        (first.description["config"], first.template, first.image_size) if first else ({}, None, None)
    )
    root, raw = cfg.data.root, cfg.measure.raw
    return protocol.prepare(
        Setting(config, template, size, root, detector, out, ranks, cfg.workers, window, raw, networks)
    )


def measuring_window(cfg: DictConfig, first: checkpoint.SwapCheckpoint | None) -> Window | None:
    """What ``measure`` asks for; None to measure the generator's own crops.

    Args:
        cfg: The checked config.
        first: The checkpoint whose crops the baselines take; None without one.

    Raises:
        InputError: For an unknown window or template, or a setting of the paste out of range.
    """
    template, size = cfg.measure.template, cfg.measure.size
    if cfg.measure.window not in WINDOWS:
        raise InputError(f"measure.window={cfg.measure.window}: it takes {' or '.join(WINDOWS)}")
    if cfg.measure.window != PHOTO:
        return None
    crops = (first.template, first.image_size) if first else (template, size)
    return Window(template, size, PasteSettings(**cfg.paste), crops)


def write_results(stem: Path, data: ProtocolData, description: Mapping[str, Any], evaluated: Evaluated) -> None:
    """Write every file of figures and print the table; an earlier evaluation is kept under its time."""
    results, file, pairs = evaluated.results, Path(f"{stem}.json"), Path(f"{stem}_pairs.parquet")
    keep_earlier([file, pairs])
    write_skipped(Path(f"{stem}_skipped.csv"), data.skipped)
    write_pairs(pairs, data.names, {name: entry["kind"] for name, entry in results.items()}, evaluated.samples)
    write_evaluation(file, description, results)
    print_table(description, results, stem=stem.name)
    if text := slice_text(description, results):
        print(f"\n{text}")


def write_grids(
    stem: Path,
    data: ProtocolData,
    swappers: Sequence[Swapper],
    sha256: Mapping[str, str],
    faces: int,
    device: torch.device,
) -> dict[str, Path]:
    """Write a grid of swaps for each network; nothing if the data has no faces to show.

    Args:
        stem: How the files' names begin, `stem_of`.
        data: The protocol's faces and pairs.
        swappers: The networks.
        sha256: The hash of each network's checkpoint, by the swapper's name.
        faces: Targets and sources per grid.
        device: Where to swap.

    Returns:
        The files, by the swapper's name.
    """
    files = {}
    shown = grid_rows(data.faces, data.pairs, faces)
    for swapper in swappers if len(shown[0]) else []:
        kind = swapper.name
        files[kind] = file = Path(f"{stem}.png" if kind == "trained" else f"{stem}_{kind}.png")
        grid = grid_of(data.faces, *shown, swapper.swap, device, swapper.landmarks)
        write_png(file, grid, provenance(f"sha256:{sha256[kind]}"))
        print(f"grid ({kind}): {file}")
    return files


def check_evaluation(cfg: DictConfig) -> None:
    """Check what no type and no range can tell.

    Raises:
        InputError: A network is to come from a checkpoint, and there is none; or slices are not defined.
    """
    if not OmegaConf.is_missing(cfg, "checkpoint"):
        refuse_of_training(cfg, cfg.checkpoint)
    check_slices(cfg.slices.by, cfg.slices.yaw_edges)
    if cfg.name is not None:
        check_name(str(cfg.name))


def main() -> None:
    """The entry point of ``simswap-evaluate``."""
    front_door(evaluate, "evaluate", check_evaluation)


if __name__ == "__main__":
    main()
