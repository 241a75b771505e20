"""Made-up run folders with known figures."""

import hashlib
import json
import os
import socket
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from simswap.metrics.figures import judge_of, of_judge
from simswap.pictures import GAP, provenance, write_png
from simswap.tracking.evaluation_format import FORMAT

BASE = {
    "name": "made", "variant": None, "start_from": None,
    "objective": {
        "weights": {"identity": 10.0, "feature_matching": 10.0},
        "feature_matching": {"first_layer": 2, "last_layer": 4, "layer_reduction": "sum"},
    },
    "data": {"root": "crops"}, "validation": {"persons": 6, "images_per_person": 2, "pairs": 8},
    "logger": {"mode": "disabled"},
}  # fmt: skip
FIGURES = {
    "id_retrieval": 0.5, "id_similarity": 0.4, "target_similarity": 0.3, "identity_loss": 0.6, "pose_error_deg": 3.0,
    "self_reconstruction_l1": 0.05,
}  # fmt: skip
PAIRS = 12
SIZE = 16


def made_run(
    folder: Path,
    changes: dict | None = None,
    seed: int = 0,
    figures: dict | None = None,
    *,
    protocol: dict | None = None,
    state: str | None = "finished",
    evaluated: bool = True,
    grid: bool = True,
    steps: int = 4,
    faces: int = 0,
) -> Path:
    """Write a run: its config with dotted ``changes``, evaluation with ``figures``, pairs, curves and grid picture."""
    figures = FIGURES | (figures or {})
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config_of(changes or {}, seed)))
    if state:
        status = {
            "state": state,
            "iteration": 40,
            "message": "loss is NaN" if state == "diverged" else "",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "package_version": "0.1",
            "updated": datetime.now(timezone.utc).isoformat(),
        }
        (folder / "status.json").write_text(json.dumps(status))
    write_metrics(folder, figures, steps)
    if evaluated:
        write_evaluation(folder, figures, protocol or {})
    if grid:
        write_grid(folder / "evaluation.png", figures["id_retrieval"], faces)
    return folder


def config_of(changes: dict, seed: int) -> dict:
    config = json.loads(json.dumps(BASE)) | {"seed": seed}
    for key, value in changes.items():
        node = config
        *path, last = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return config


def write_metrics(folder: Path, figures: dict, steps: int) -> None:
    lines = ["step,train/identity,val/id_retrieval,val/pose_error_deg,val/id_similarity,val/do_nothing/id_retrieval"]
    for k in range(1, steps + 1):
        share = k / steps
        lines.append(
            f"{10 * k},{1 - share / 2},{figures['id_retrieval'] * share},"
            f"{figures['pose_error_deg'] * (2 - share)},{0.1 * share},0.0"
        )
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_evaluation(folder: Path, figures: dict, protocol: dict, name: str = "trained", kind: str = "trained") -> None:
    """evaluation.json, and a file of pairs in which every pair of a swapper has its figure."""
    words = {
        "name": "persons",
        "pairs": PAIRS,
        "gallery_images": 20,
        "gallery_persons": 5,
        "gallery_rule": "all",
        "chance": 0.2,
        "judge": {"name": "judge", "sha256": "a" * 64, "same_network": False},
        "recognizer": {"name": "recognizer", "sha256": "b" * 64},
        "pose": {"name": "pose", "sha256": "c" * 64, "noise_floor_deg": 2.6},
        "data": "crops",
        "split": "test",
        "seed": 0,
        "image_size": SIZE,
        "template": "arcface",
        "pairs_sha256": hashlib.sha256(b"pairs").hexdigest(),
    } | protocol
    swappers = {
        name: (kind, figures),
        "do_nothing": ("control", FIGURES | {"id_retrieval": 0.0, "pose_error_deg": 0.0}),
        "copy_source": ("control", FIGURES | {"id_retrieval": 1.0, "pose_error_deg": 25.0}),
    }
    for one in words.get("judges", ()):  # controls by a further judge
        for key, value in (("do_nothing", 0.0), ("copy_source", 1.0)):
            swappers[key][1][of_judge(one["key"], "identity_share")] = value
    results = {key: {"kind": what, **entry_of(values)} for key, (what, values) in swappers.items()}
    (folder / "evaluation.json").write_text(json.dumps({"format": FORMAT, "protocol": words, "results": results}))
    if not words["pairs_sha256"]:
        return
    tables = [
        pa.table(
            {
                "swapper": [key] * PAIRS,
                "kind": [what] * PAIRS,
                "pair": list(range(PAIRS)),
                "target": [f"t{k}" for k in range(PAIRS)],
                "source": ["s"] * PAIRS,
                "source_person": [f"person {k % 5}" for k in range(PAIRS)],
                "target_person": [f"person {(k + 1 + k // 5) % 5}" for k in range(PAIRS)],
                # the figure itself, with a part that depends on the pair alone and falls out of differences
                **{f: v + np.sin(np.arange(PAIRS)) / 10 for f, v in values.items()},
            }
        )
        for key, (what, values) in swappers.items()
    ]
    pq.write_table(pa.concat_tables(tables, promote_options="default"), folder / "evaluation_pairs.parquet")


def entry_of(values: dict) -> dict:
    """Figures as in evaluation.json, those of a further judge below ``judges``; all intervals are ± 0.01."""
    entry: dict = {}
    for name, v in values.items():
        judge, figure = judge_of(name)
        place = entry.setdefault("judges", {}).setdefault(judge, {}) if judge else entry
        place[figure] = {"value": v, "low": v - 0.01, "high": v + 0.01}
    return entry


def write_grid(path: Path, shade: float, faces: int = 0, across: int = 2) -> None:
    """A grid of flat colors: targets red, sources green (brighter by place and ``faces``), swaps blue by ``shade``."""
    step = SIZE + GAP
    pixels = np.full((3 * step - GAP, (across + 1) * step - GAP, 3), 255, dtype=np.uint8)
    for r in range(3):
        for c in range(across + 1):
            color = {
                (True, False): (0, 60 + 40 * c + faces, 0),
                (False, True): (60 + 40 * r + faces, 0, 0),
                (False, False): (r, c, int(255 * min(shade, 1))),
            }.get((r == 0, c == 0))
            if color:
                pixels[r * step : r * step + SIZE, c * step : c * step + SIZE] = color
    write_png(path, pixels, provenance(f"sha256:{int(1000 * shade):064d}"))
