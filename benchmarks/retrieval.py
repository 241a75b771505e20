"""Retrieval of 10,000 swaps among 10,000 gallery images, embeddings given: wall time, CPU time and memory.

The aim is 2 s and 1 GB on two idle cores. CPU time tells more than wall time where other jobs share the cores.
"""

import argparse
import resource
import time

import torch

from simswap.metrics.retrieval import IdentityRetrieval


def measure(videos: int = 1000, frames: int = 10, noise: float = 1.5) -> dict[str, float]:
    """Seconds, CPU seconds, and the peak of MiB above what the process held before; and the retrieval found."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(videos, 512, generator=generator)
    gallery = (centers[:, None] + torch.randn(videos, frames, 512, generator=generator)).reshape(-1, 512)
    person, index = torch.arange(len(gallery)) // frames, torch.arange(len(gallery))
    queries = centers.repeat_interleave(frames, 0) + noise * torch.randn(len(gallery), 512, generator=generator)
    metric = IdentityRetrieval()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, busy = time.perf_counter(), time.process_time()
    metric.set_gallery(gallery, person, index)
    metric.update(queries, person, index)
    top1 = float(metric.compute()["top1"])
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - busy,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
        "top1": top1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the retrieval metric at the size of FaceForensics++.")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for noise, what in ((1.5, "easy"), (6.0, "half found")):
        found = measure(noise=noise)
        print(
            f"10,000 x 10,000, 512-d, {what} (top-1 {100 * found['top1']:.1f} %): {found['seconds']:.2f} s, "
            f"{found['cpu_seconds']:.2f} s of CPU, {found['mib']:.0f} MiB more, {arguments.threads} threads"
        )


if __name__ == "__main__":
    main()
