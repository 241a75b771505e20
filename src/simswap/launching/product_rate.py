"""The rate of fp32 matrix products on this machine, to set training times of different machines side by side.

python -m simswap.launching.product_rate [--threads 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

SIDE = 1024
PRODUCTS = 5


def product_rate(clock: Callable[[], float] = time.perf_counter) -> float:
    """Floating-point operations per second of ``SIDE`` x ``SIDE`` fp32 products on torch's threads.

    A product counts ``2 * SIDE**3``, a multiplication and an addition each one. The first product warms up; the
    median of the next `PRODUCTS` counts. It takes less than a second on any usual CPU.

    Args:
        clock: Returns seconds; `time.process_time` leaves out other work on the machine, for one thread.
    """
    left, right = torch.randn(2, SIDE, SIDE)
    seconds = []
    for _ in range(PRODUCTS + 1):
        start = clock()
        torch.mm(left, right)
        seconds.append(clock() - start)
    return 2 * SIDE**3 / statistics.median(seconds[1:])


def main() -> None:
    """Print the rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="of torch; by default all cores")
    threads = parser.parse_args().threads
    if threads is not None and threads < 1:
        parser.error(f"--threads {threads}: it must be at least 1")
    if threads is not None:
        torch.set_num_threads(threads)
    print(
        f"This machine: {product_rate() / 1e9:.0f} GFLOP/s on {torch.get_num_threads()} CPU thread(s), for fp32 "
        f"products of {SIDE} x {SIDE} matrices. How far a fixed time of training gets depends on it."
    )


if __name__ == "__main__":
    main()
