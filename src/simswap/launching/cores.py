"""A job's share of this machine's cores, where a sweep runs several jobs side by side."""

import logging
import os

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from simswap.launching.system import usable_cores

SHARE = "SIMSWAP_CORES"
"""In the environment of a job's processes: the cores of each."""

log = logging.getLogger(__name__)


def jobs_at_a_time() -> int:
    """How many jobs the launcher runs side by side on this machine; 1 for a single run, or jobs on other machines."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return 1
    launcher = HydraConfig.get().launcher
    if "joblib" not in str(launcher.get("_target_")):
        return 1
    from joblib import effective_n_jobs  # only where it launches

    return int(effective_n_jobs(launcher.get("n_jobs", 1)))


def share_of_cores(processes: int = 1) -> int | None:
    """Cores for each of so many processes of this job, 1 at least; None where it has the machine to itself."""
    if SHARE in os.environ:
        return int(os.environ[SHARE])
    jobs = jobs_at_a_time()
    return max(1, usable_cores() // (jobs * processes)) if jobs > 1 else None


def keep_to_share(threads: int | None, workers: int) -> int:
    """Set torch's threads (None: as many as there are cores) and give the loader's workers, both within the share."""
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
