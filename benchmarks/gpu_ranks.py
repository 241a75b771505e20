"""Training on one device and on several, for the GPU report: the milliseconds of rank 0's iterations.

    python -m torch.distributed.run --standalone --nproc-per-node 2 benchmarks/gpu_ranks.py --device cuda --pairs 16

Each rank has the same number of pairs, so that linear scaling is the same time. The gradients are exchanged as in a run
(`simswap.launching.distributed`): by NCCL on GPUs, by gloo on a CPU. Rank 0 prints a line of JSON.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from gpu_cases import MODES, WARM_UP, Sides
from gpu_measures import Clock
from gpu_page import Page, markdown
from gpu_sides import MadeUpBatches
from omegaconf import OmegaConf
from timing import bare_trainer
from torch.utils.data import DataLoader

from simswap.launching.distributed import Processes

REPOSITORY = Path(__file__).resolve().parents[1]
MARK = "milliseconds of rank 0:"


class Marks(L.Callback):
    """Marks the end of each iteration in the device's stream of work."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.marks = clock, [clock.mark()]

    def on_train_batch_end(self, *_: Any) -> None:
        self.marks.append(self.clock.mark())


def iterations(device_type: str, experiment: str, size: int, pairs: int, mode: str, count: int) -> list[float]:
    """Milliseconds of so many iterations of this rank."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    node = OmegaConf.create({"accelerator": "gpu" if device_type == "cuda" else "cpu", "devices": world})
    device = torch.device(device_type, int(os.environ.get("LOCAL_RANK", "0"))) if device_type == "cuda" else "cpu"
    if device_type == "cuda":
        torch.cuda.set_device(device)
    batches = MadeUpBatches(size, torch.device(device))
    batches.pairs = pairs
    marks = Marks(Clock(torch.device(device)))
    settings: dict[str, Any] = {"accelerator": node.accelerator, "devices": world, "max_steps": WARM_UP + count}
    settings |= Processes().trainer_settings(node) | {"precision": MODES[mode].precision}
    module = Sides(torch.device(device), experiment).module(size)
    bare_trainer(marks, **settings).fit(module, DataLoader(batches, batch_size=None))
    return marks.clock.milliseconds(marks.marks[1:])[WARM_UP - 1 :]


def scaling(device: torch.device, page: Page, until: float, size: int = 224, pairs: int = 16) -> list[str]:
    """One device beside all of them, in processes of their own; writes the section and returns what failed."""
    devices = torch.cuda.device_count() if device.type == "cuda" else 1
    if devices < 2:
        page.put("Several GPUs", ["Not measured: this takes two."])
        return []
    medians: dict[int, float] = {}
    for count in (1, devices):
        if time.monotonic() > until - 30:
            page.put("Several GPUs", ["Left out, for lack of time."])
            return []
        try:
            medians[count] = statistics.median(in_processes(count, ["--size", str(size), "--pairs", str(pairs)], 120))
        except (subprocess.SubprocessError, ValueError) as error:
            return [f"training on {count} GPU(s): {' '.join(str(error).split())[-300:]}"]
    page.put("Several GPUs", scaling_lines(medians, size, pairs))
    return []


def scaling_lines(medians: dict[int, float], size: int, pairs: int) -> list[str]:
    """The section's lines; ``medians``: number of devices → milliseconds of an iteration."""
    alone = medians[1]
    rows = [
        [str(count), f"{ms:.1f}", f"{count * pairs * 1e3 / ms:.0f}", f"{alone / ms:.0%}"]
        for count, ms in medians.items()
    ]
    head = ("GPUs", "iteration ms", "images/s", "of linear")
    return [f"bf16, {size} px, {pairs} pairs on each GPU.", "", *markdown(head, rows)]


def in_processes(count: int, arguments: list[str], seconds: float) -> list[float]:
    """`iterations` in ``count`` ranks started by torchrun; rank 0's milliseconds."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), __file__]
    source = f"{REPOSITORY / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    with tempfile.TemporaryDirectory() as folder:  # torchrun leaves its logs
        made = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            env=os.environ | {"PYTHONPATH": source, "TMPDIR": folder},
        )
    line = next((line for line in made.stdout.splitlines() if line.startswith(MARK)), None)
    if made.returncode or line is None:
        raise ValueError(f"exit code {made.returncode}: {made.stderr[-2000:]}")
    return json.loads(line.removeprefix(MARK))


def main() -> None:
    """One rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--experiment", default="vggface2_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--mode", choices=list(MODES), default="bf16")
    parser.add_argument("--count", type=int, default=12)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.backends.cudnn.benchmark = True
    each = iterations(options.device, options.experiment, options.size, options.pairs, options.mode, options.count)
    if int(os.environ.get("RANK", "0")) == 0:
        print(MARK, json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
