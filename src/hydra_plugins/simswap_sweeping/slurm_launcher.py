"""Submitit's Slurm launcher, changed to wait for the other jobs of a batch when one fails."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import OmegaConf

log = logging.getLogger(__name__)


class PatientSlurmLauncher(SlurmLauncher):
    """A job that failed, or that Slurm killed, is returned as failed, and the others continue.

    Submitit requeues jobs: at its signal (before the time limit, or at preemption) training saves and stops, and
    submitit queues the same job again, which resumes its run folder (``on_existing_run: resume``).
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit a batch as one job array, and wait for all of its jobs."""
        assert self.config is not None
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        executor = self.executor()
        calls = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            calls.append((list(overrides), "hydra.sweep.dir", number, f"job_{number}", Singleton.get_state()))
        jobs = executor.map_array(self, *zip(*calls, strict=True))
        return [returned(job) for job in jobs]

    def executor(self) -> Any:
        """Submitit's executor with this launcher's parameters; those of Slurm alone have the prefix ``slurm_``."""
        import submitit

        plain = set(OmegaConf.structured(BaseQueueConf).keys())
        parameters = dict(self.params)
        folder, timeouts = parameters.pop("submitit_folder"), parameters.pop("max_num_timeout")
        srun = (parameters.get("additional_parameters") or {}).copy()
        srun_args = srun.pop("srun_args", None)
        parameters["additional_parameters"] = srun
        if srun_args:
            parameters["srun_args"] = srun_args
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts)
        named = {name if name in plain else f"slurm_{name}": value for name, value in parameters.items()}
        executor.update_parameters(**{name: value for name, value in named.items() if value is not None})
        return executor


def returned(job: Any) -> JobReturn:
    """The return of a submitit job's rank 0; a failed one if the job did not finish."""
    try:
        return job.results()[0]
    except Exception as error:  # submitit's own errors, and those of the job
        failed = JobReturn()
        failed.status = JobStatus.FAILED
        failed.return_value = error
        return failed
