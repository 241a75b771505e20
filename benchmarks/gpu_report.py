"""The report for the day a GPU is there: the ``gpu`` tests, and training beside the public trainer's iteration.

    make gpu
    PYTHONPATH=src python benchmarks/gpu_report.py [--minutes 8] [--skip-tests] [--out outputs/gpu_report.md]

``published`` is the public trainer's iteration, written from its description (`against_published.py`), in the row's
precision; ``ours`` is `SimSwapModule` in a Lightning trainer. Both have the paper's networks, a ResNet-50 with random
weights as the recognizer, and made-up batches in pinned memory. They run by turns, in bursts without a wait in between;
CUDA events give each iteration's time. The most informative rows come first; each row is written to the report at once,
so that a run that is killed, or whose minutes are over, leaves the rows that it has made. With two GPUs or more, the
report ends with training on all of them.

Without a GPU it ends with one line and exit code 2. ``--device cpu`` runs the same on tiny networks, to test it.
"""

import argparse
import logging
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from gpu_cases import MODES, Case, Result, Sides, measure
from gpu_measures import copy_rate, product_rate
from gpu_page import Page, machine, notes_of, parts_of, row_of, shipped, slowest_kernels
from gpu_ranks import scaling
from gpu_tests import run_tests

from simswap.precision import products_of_training

COMPILE_SECONDS = 100.0
"""Left of the budget, or nothing is compiled."""
FULL = [
    *(Case(224, 16, mode) for mode in ("bf16", "TF32")),
    *(Case(224, pairs, "bf16") for pairs in (32, 8)),
    Case(512, 8, "bf16"),
    Case(224, 16, "bf16-no-penalty"),
    Case(224, 16, "bf16-compiled"),
    Case(224, 16, "fp32"),
    Case(224, 4, "bf16"),
    *(Case(512, pairs, "bf16") for pairs in (16, 4, 32)),
    *(Case(512, 8, mode) for mode in ("TF32", "fp32")),
    *(Case(224, pairs, "TF32") for pairs in (4, 8, 32)),
    *(Case(224, pairs, "fp32") for pairs in (4, 8, 32)),
    *(Case(512, pairs, "TF32") for pairs in (4, 16, 32)),
]
"""The most informative first. On an H200 a row takes about half a minute, in which cuDNN tries its algorithms."""
TINY = [Case(32, 2, "bf16"), Case(32, 2, "TF32")]


def rates(device: torch.device, page: Page) -> float:
    """Write the machine's own rates; returns its bf16 products, in operations a second."""
    side, count = (8192, 2**30) if device.type == "cuda" else (256, 2**20)
    with products_of_training(False):
        fp32 = product_rate(device, side, torch.float32)
    with products_of_training(True):
        tf32, bf16 = (product_rate(device, side, dtype) for dtype in (torch.float32, torch.bfloat16))
    page.put(
        "Rates of this machine",
        [
            f"Products of {side} × {side} matrices: bf16 {bf16 / 1e12:.3g} TFLOP/s, TF32 {tf32 / 1e12:.3g}, fp32 "
            f"{fp32 / 1e12:.3g}. Copy in the device's memory: {copy_rate(device, count) / 1e12:.3g} TB/s read and "
            "written.",
        ],
    )
    return bf16


def report(device: torch.device, options: argparse.Namespace, page: Page, until: float) -> list[str]:
    """Measure case after case until the time is over; returns what failed."""
    tiny = device.type == "cpu"
    bf16 = rates(device, page)
    sides = Sides(device, "debug" if tiny else "vggface2_224")
    done: list[Result] = []
    failures: list[str] = []
    left_out: list[str] = []
    longest = 0.0
    for case in options.rows or (TINY if tiny else FULL):
        start = time.monotonic()
        needed = COMPILE_SECONDS if MODES[case.mode].compiled else longest
        if start + needed > until:
            left_out.append(str(case))
            continue
        fault = ""
        try:
            done.append(measure(case, sides, options.seconds, options.burst))
        except Exception as error:  # one row must not cost the others
            traceback.print_exc()
            fault = f"{case}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if fault:
            failures.append(fault)
            sides.end()  # here, where the error no longer holds what was on the device
        if not MODES[case.mode].compiled:
            longest = max(longest, time.monotonic() - start)
        page.table(done, [row_of(one, bf16) for one in done])
        page.put("In words", [*shipped(done), *notes_of(done)])
        page.put("Where our time goes", parts_of(done))
        page.put("Slowest kernels", slowest_kernels(done))
        page.put("Failures", [f"- {line}" for line in failures])
        page.put("Left out, for lack of time", [f"- {line}" for line in left_out])
        print(f"{case}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    page.put("Left out, for lack of time", [f"- {line}" for line in left_out])
    sides.end()
    return failures


def _case(words: str) -> Case:
    size, pairs, mode = words.split(":")
    if mode not in MODES:
        raise ValueError(mode)
    return Case(int(size), int(pairs), mode)


def main() -> int:
    """Parse the arguments, write and print the report; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything; no row begins after them")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row's bursts")
    parser.add_argument("--burst", type=int, default=4, help="iterations of a side in its turn")
    parser.add_argument("--rows", type=_case, nargs="+", help="instead of all: size:pairs:precision, as 224:16:bf16")
    parser.add_argument("--algorithms", type=int, default=10, help="that cuDNN tries for each shape; 0: all")
    parser.add_argument("--skip-tests", action="store_true", help="do not run the tests marked gpu")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu_report.md"))
    options = parser.parse_args()
    start = time.monotonic()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: make gpu needs an NVIDIA GPU, and torch sees none; --device cpu tries it", file=sys.stderr)
        return 2
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    device = torch.device(options.device, 0) if options.device == "cuda" else torch.device("cpu")
    # Both sides choose among cuDNN's algorithms; the shapes of a row do not change.
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = options.algorithms
    until = start + 60 * options.minutes
    page = Page(options.out, machine(device, sys.argv))
    failures = [] if options.skip_tests else run_tests(page, until)
    failures += report(device, options, page, until)
    failures += scaling(device, page, until)
    page.put("Time", [f"{(time.monotonic() - start) / 60:.1f} minutes in all."])
    print(page.text())
    return 1 if failures else 0


if __name__ == "__main__":
    code: Any = main()
    sys.stdout.flush()
    sys.exit(code)
