"""A run's whole life on a real device and in every precision, through the front doors.

The cases marked ``gpu`` need one; the case on the CPU shows that the story itself holds. `test_on_a_device` tells it on
a stand-in for a GPU, to the bit.
"""

import csv
import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from simswap import evaluate, swap, train
from simswap.rendered.dataset import write_dataset
from tests.training.runs import SMALL

TABLE = ("data.cache_embeddings=true", "data.augmentation.sources=false")
CASES = [
    pytest.param("cpu", "bf16-mixed", (), id="cpu-bf16"),
    pytest.param("gpu", "32-true", ("data.workers=2",), id="gpu-fp32", marks=pytest.mark.gpu),
    pytest.param("gpu", "16-mixed", TABLE, id="gpu-fp16", marks=pytest.mark.gpu),
    pytest.param("gpu", "bf16-mixed", ("optimizer.micro_batches=2",), id="gpu-bf16", marks=pytest.mark.gpu),
]
RESUMED = {"32-true": 1e-3, "16-mixed": 2e-2, "bf16-mixed": 2e-2}
"""How far the loss terms of the first resumed iteration may lie from those of the run that went on, as a share. Both
start from one checkpoint and draw the same pairs. On a CPU the difference is 0. A GPU may choose other algorithms and
adds up some gradients in any order; later iterations grow further apart, since Adam turns a rounding error in a
gradient near 0 into a step of another size."""
TERMS = ("train/discriminator", "train/identity", "train/reconstruction", "train/feature_matching", "train/adversarial")


@pytest.fixture
def done(door):
    """Run a front door, which must succeed."""

    def run(main, *arguments: str) -> None:
        code, _, errors = door(main, *arguments)
        assert code == 0, errors

    return run


def weights(run: Path) -> torch.Tensor:
    """All trained floating-point weights of a run's last checkpoint, one after the other."""
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")["state_dict"]
    trained = [value for name, value in sorted(state.items()) if not name.startswith("ema.")]
    return torch.cat([value.float().flatten() for value in trained if value.is_floating_point()])


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def losses(run: Path, step: str) -> list[float]:
    """The loss terms that a run logged for an iteration."""
    (row,) = [row for row in rows(run) if row["step"] == step and row[TERMS[0]]]
    return [float(row[name]) for name in TERMS]


@pytest.mark.parametrize(("accelerator", "precision", "more"), CASES)
def test_a_run_lives_its_whole_life(crops, tmp_path, done, accelerator, precision, more):
    given = [*SMALL, f"data.root={crops}", f"data.embeddings={tmp_path}/tables", f"trainer.accelerator={accelerator}",
             f"trainer.precision={precision}", *more]  # fmt: skip
    whole, halved, other = tmp_path / "whole", tmp_path / "halved", tmp_path / "other"
    done(train.main, *given, "trainer.max_steps=6", "checkpoints.every=4", f"hydra.run.dir={whole}")
    shutil.copytree(whole, halved)
    last = halved / "checkpoints" / "last.ckpt"
    (halved / "checkpoints" / "previous.ckpt").replace(last)  # as if the run had ended after four iterations
    done(train.main, *given, f"start_from={last}", "trainer.max_steps=2", f"hydra.run.dir={other}")
    done(train.main, f"resume={halved}")

    went_on, resumed, anew = (losses(run, step) for run, step in ((whole, "4"), (halved, "4"), (other, "0")))
    tolerance = 0 if accelerator == "cpu" else RESUMED[precision]
    assert resumed == pytest.approx(went_on, rel=tolerance, abs=tolerance / 10)
    assert anew != pytest.approx(went_on, rel=2 * tolerance, abs=tolerance / 5)  # the bound tells other pairs apart
    if accelerator == "cpu":
        assert torch.equal(weights(whole), weights(halved))
    assert torch.isfinite(weights(halved)).all()

    assert sorted(p.name for p in (whole / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    validated = [row for row in rows(whole) if row["val/id_retrieval"]]
    assert [row["step"] for row in validated] == ["2", "5"]
    assert all(math.isfinite(float(row["val/pose_error_deg"])) for row in validated)
    assert [row["train/skipped_steps"] for row in rows(halved) if row["train/skipped_steps"]][-1] == "0.0"

    devices = ["cpu"] if accelerator == "cpu" else ["cuda", "cpu"]
    compare_evaluations(last, tmp_path, done, devices)
    compare_swaps(last, tmp_path, done, devices)


def compare_evaluations(checkpoint: Path, folder: Path, done, devices: list[str]) -> None:
    """Every device measures the same values of a checkpoint: instruments and swaps are in full fp32."""
    protocol = ["protocol.persons=6", "protocol.images_per_person=3", "protocol.pairs=12", "protocol.batch_size=5"]
    found = []
    for device in devices:
        out = folder / f"evaluated-{device}"
        done(evaluate.main, f"checkpoint={checkpoint}", "gaze=builtin", *protocol, f"device={device}", f"out={out}")
        found.append(numbers(json.loads((out / "evaluation.json").read_text())["results"]))
    assert any("trained" in name and "pose_error" in name for name in found[0])
    for name, value in found[-1].items():
        assert found[0][name] == pytest.approx(value, rel=2e-3, abs=1e-3, nan_ok=True), name


def compare_swaps(checkpoint: Path, folder: Path, done, devices: list[str]) -> None:
    """Every device gives the same picture, but for rounding to 8 bits."""
    write_dataset(str(folder / "faces"), persons=2, images=2, size=96, seed=8)
    photos = sorted((folder / "faces").rglob("*.jpg"))
    given = [f"checkpoint={checkpoint}", f"landmarks={folder}/faces/loose_landmark.csv", f"only={photos[3]}",
             f"source={photos[0]}", f"target={photos[2]}", "threshold=-1"]  # fmt: skip
    pictures = []
    for device in devices:
        done(swap.main, *given, f"device={device}", f"out={folder}/{device}.png")
        pictures.append(cv2.imread(f"{folder}/{device}.png").astype(np.int64))
    target = cv2.imread(str(photos[2])).astype(np.int64)
    assert pictures[0].shape == target.shape
    assert np.abs(pictures[0] - target).max() > 2  # a face was put in
    difference = np.abs(pictures[0] - pictures[-1])
    assert difference.max() <= 2
    assert difference.mean() <= 0.05


def numbers(node: object, path: str = "") -> dict[str, float]:
    """The numbers of nested dicts and lists by their path."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {name: value for key, each in items for name, value in numbers(each, f"{path}.{key}").items()}
    return {path: float(node)} if isinstance(node, int | float) else {}
