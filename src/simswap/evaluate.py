"""``simswap-evaluate``: measure a checkpoint on persons that training never saw."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from simswap import checkpoint
from simswap.config import build, front_door
from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.evaluation.instruments import choose_device, judge_of, pose_of, recogniser_of
from simswap.evaluation.pairs_file import PAIRS_FILE, write_pairs
from simswap.evaluation.report import print_table, write_evaluation
from simswap.evaluation.runner import checkpoint_swapper, describe_protocol, named_pairs, run_protocol
from simswap.measuring import Ruler, Swapper, choose_pairs
from simswap.models.embedder import Embedder
from simswap.pictures import provenance, write_png
from simswap.sampling import unseen_grid


def evaluate(cfg: DictConfig) -> None:
    """Evaluate by a checked config: table, evaluation.json and grid pictures."""
    out = Path(HydraConfig.get().runtime.output_dir)
    device = choose_device(cfg.device)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    trained = checkpoint.load(cfg.checkpoint)
    config = trained.description["config"]
    recogniser = recogniser_of(config, cfg.recogniser_path)
    judge = build(cfg.judge) if cfg.judge._target_ else judge_of(config) if cfg.judge.get("of_training") else None
    pose = build(cfg.pose) if cfg.pose._target_ else pose_of(config)

    data = held_out(config, cfg.data_root)
    rows = [("trained", trained)]
    if cfg.shipped:
        rows.append(("shipped", checkpoint.load(cfg.shipped)))
    swappers = []
    for kind, content in rows:
        content.check_recogniser(recogniser)
        content.check_crops(data.manifest.template, data.size)
        shown = Embedder(recogniser, data.manifest.template, data.size, content.recogniser_view)
        swappers.append(checkpoint_swapper(content, shown, kind, kind, device))

    protocol = OmegaConf.to_container(cfg.protocol)
    pairs = choose_pairs(
        data, cfg.protocol.split, cfg.protocol.persons, cfg.protocol.images_per_person, cfg.protocol.pairs,
        cfg.protocol.seed,
    )
    judging = Embedder(recogniser if judge is None else judge, data.manifest.template, data.size)
    identity = Embedder(recogniser, data.manifest.template, data.size, trained.recogniser_view)
    ruler = Ruler(data, pairs, judging, pose, cfg.protocol.batch_size, device, progress, identity)
    results, samples, chance = run_protocol(ruler, swappers, cfg.protocol.seed, cfg.protocol.slices)
    for kind, content in rows:
        results[kind] |= {"checkpoint": str(content.path), "sha256": content.sha256}

    description = describe_protocol(ruler, protocol, data, recogniser, chance)  # type: ignore[arg-type]
    kinds = {name: result["kind"] for name, result in results.items()}
    for name in ("evaluation.json", PAIRS_FILE):
        keep_earlier(out / name)
    write_pairs(out / PAIRS_FILE, named_pairs(ruler), kinds, samples)
    write_evaluation(out / "evaluation.json", description, results)
    print_table(description, results)
    for kind, content in rows:
        picture = out / ("evaluation.png" if kind == "trained" else f"evaluation_{kind}.png")
        write_grid(picture, data, cfg, next(s for s in swappers if s.name == kind), content, device)
        print(f"grid ({kind}): {picture}")
    print(f"figures: {out / 'evaluation.json'}")


def held_out(config: dict, root: str | None) -> SwapDataModule:
    """The data with the same split as in training, so that its test persons are unseen."""
    settings = config.get("data") or {}
    if not (root or settings.get("root")):
        raise InputError("the checkpoint names no data, as imported ones do: give prepared crops as data_root=…")
    return SwapDataModule(
        root or settings["root"], batch_size=1, size=settings.get("size"),
        **({"fractions": settings["fractions"]} if settings.get("fractions") else {}),
    )


def write_grid(
    path: Path, data: SwapDataModule, cfg: DictConfig, swapper: Swapper, content: checkpoint.SwapCheckpoint,
    device: torch.device,
) -> None:
    grid = unseen_grid(data, cfg.protocol.split, cfg.grid_faces, cfg.protocol.seed, swapper.swap, device)
    write_png(path, grid, provenance(f"sha256:{content.sha256}"))


def keep_earlier(path: Path) -> None:
    """An earlier evaluation is set aside under its time, not written over."""
    if path.is_file():
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(path.stat().st_mtime))
        path.rename(path.with_name(f"{path.stem}_{stamp}{path.suffix}"))


def progress(steps: Iterator) -> Iterator:
    chunks = list(steps)
    return iter(tqdm(chunks, desc="measuring", unit="batch", disable=None, leave=False))


def main() -> None:
    front_door(evaluate, "evaluate")


if __name__ == "__main__":
    main()
