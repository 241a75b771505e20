"""``simswap-evaluate``: measure a checkpoint, or anybody's finished swaps, by a protocol, beside the controls."""

from contextlib import nullcontext
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from simswap import checkpoint
from simswap.config import build
from simswap.evaluation.pairs_file import write_pairs
from simswap.evaluation.protocol_data import EvaluationProtocol, Setting
from simswap.evaluation.report import keep_earlier, print_table, write_evaluation, write_skipped
from simswap.evaluation.runner import baselines, checkpoint_swappers, describe_protocol, run_protocol
from simswap.launching.claims import claimed
from simswap.launching.devices import choose_device
from simswap.launching.evaluation_ranks import EvaluationRanks
from simswap.launching.front_door import front_door
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.instruments import instruments_for
from simswap.measuring.sampling import grid_of, grid_rows
from simswap.measuring.swappers import PrecomputedSwaps, Swapper
from simswap.models.recorded import judge_of, pose_of, recognizer_of
from simswap.pictures import provenance, write_png
from simswap.tracking.runs import EVALUATION, PAIRS
from simswap.tracking.wandb_summary import put_evaluation


def evaluate(cfg: DictConfig) -> None:
    """Evaluate by a checked config: table, evaluation.json, every pair's figures and grid pictures."""
    out, ranks = Path(HydraConfig.get().runtime.output_dir), EvaluationRanks.from_environment()
    ranks.meet()
    if cfg.checkpoint and not Path(cfg.checkpoint).is_file():
        checkpoint.load(cfg.checkpoint)  # says what is wrong, before anything is written where it may not belong
    with nullcontext() if ranks.rank else claimed(out, "evaluation"):
        evaluate_into(out, cfg, ranks)


def evaluate_into(out: Path, cfg: DictConfig, ranks: EvaluationRanks) -> None:
    """The evaluation in a folder that is this one's own for the time."""
    device = choose_device(cfg.device)
    ranks.wait()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)

    # What is measured: networks of ours, or none.
    paths = {"trained": cfg.checkpoint, "shipped": cfg.shipped}
    rows = [(kind, checkpoint.load(path)) for kind, path in paths.items() if path]
    first = rows[0][1] if rows else None
    config = first.description["config"] if first else {}

    # With which instruments (built first: what is wrong with them shows before long work).
    recognizer = recognizer_of(config, cfg.recognition.path) if first else None
    judge = build(cfg.judge) if cfg.judge._target_ else judge_of(config) if cfg.judge.get("of_training") else None
    pose = build(cfg.pose) if cfg.pose._target_ else pose_of(config)
    gaze, features = (build(node) if node._target_ else None for node in (cfg.gaze, cfg.fid))

    # By which protocol: faces and pairs.
    protocol: EvaluationProtocol = build(cfg.protocol)
    detector = build(cfg.detector) if cfg.detector._target_ else None
    crops = (first.template, first.image_size) if first else (None, None)
    material = protocol.prepare(Setting(config, crops[0], crops[1], cfg.data.root, detector, out, ranks))
    instruments = instruments_for(
        first, recognizer, judge, pose, gaze, features, material.faces.template, material.faces.size
    )

    ours = checkpoint_swappers(rows, recognizer, material.faces, device)
    ruler = Evaluator(
        material.faces,
        material.pairs,
        instruments,
        material.batch_size,
        device,
        material.work(instruments),
        material.jitter,
    )
    swappers: list[Swapper | PrecomputedSwaps] = [*ours, *material.finished, *baselines(cfg.baselines)]
    results, samples, chance = run_protocol(ruler, swappers, material)
    ranks.leave()
    if ranks.rank:
        return
    for kind, content in rows:
        results[kind] |= {"checkpoint": str(content.path), "sha256": content.sha256, "iteration": content.iteration}

    description = describe_protocol(material, instruments, recognizer, chance)
    keep_earlier([out / EVALUATION, out / PAIRS])
    write_skipped(out / "evaluation_skipped.csv", material.skipped)
    write_pairs(out / PAIRS, material.names, {name: entry["kind"] for name, entry in results.items()}, samples)
    write_evaluation(out / EVALUATION, description, results)
    print_table(description, results)
    pictures = {}
    shown = grid_rows(material.faces, material.pairs, cfg.grid_faces)
    for (kind, content), swapper in zip(rows if len(shown[0]) else [], ours, strict=False):
        pictures[kind] = picture = out / ("evaluation.png" if kind == "trained" else f"evaluation_{kind}.png")
        grid = grid_of(material.faces, *shown, swapper.swap, device)
        write_png(picture, grid, provenance(f"sha256:{content.sha256}"))
        print(f"grid ({kind}): {picture}")
    print(f"figures: {out / EVALUATION}")
    put_evaluation(out, description, results, pictures.get("trained"), cfg.wandb)


def main() -> None:
    front_door(evaluate, "evaluate")


if __name__ == "__main__":
    main()
