"""A job's share of this machine's cores when a sweep runs several jobs at a time."""

import logging
import os

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from simswap.launching.system import usable_cores

SHARE = "SIMSWAP_CORES"
"""Environment variable with the number of cores for each of a job's processes."""

log = logging.getLogger(__name__)


def jobs_at_a_time() -> int:
    """How many jobs the launcher runs at a time on this machine; 1 for a single run, or jobs on other machines."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return 1
    launcher = HydraConfig.get().launcher
    if "joblib" not in str(launcher.get("_target_")):
        return 1
    from joblib import effective_n_jobs  # only with that launcher

    return int(effective_n_jobs(launcher.get("n_jobs", 1)))


def share_of_cores(processes: int = 1) -> int | None:
    """Cores for each of the job's ``processes``, at least 1; None if the job has the machine to itself."""
    if SHARE in os.environ:
        return int(os.environ[SHARE])
    jobs = jobs_at_a_time()
    return max(1, usable_cores() // (jobs * processes)) if jobs > 1 else None


def keep_to_share(threads: int | None, workers: int) -> int:
    """Limit torch's threads and the data loader's workers to the job's share of cores.

    Args:
        threads: Threads of torch that the configuration asks for; None for one per core.
        workers: Worker processes that the configuration asks for.

    Returns:
        The number of workers within the share.
    """
    share = share_of_cores()
    if share is None:
        if threads:
            torch.set_num_threads(threads)
        return workers
    torch.set_num_threads(min(threads or share, share))
    log.info(
        "%d of %d cores, beside other jobs: %d thread(s), %d worker(s)",
        share,
        usable_cores(),
        torch.get_num_threads(),
        min(workers, share),
    )
    return min(workers, share)
