"""Submitit's Slurm launcher, which gives up the whole batch when one job fails, made to wait for the others."""

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
    """A job that Slurm killed, or that failed, is handed back as failed; the others are waited for.

    Requeuing is submitit's: at its signal (ahead of the time limit, or at pre-emption) training saves and stops, then
    submitit puts the same job into the queue again, which finds its run folder and resumes it
    (``on_existing_run: resume``).
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
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
        """Submitit's executor with this launcher's parameters: those of every cluster plain, Slurm's own prefixed."""
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
    """Rank 0's return of a submitit job; a failed one where the job did not come to its end."""
    try:
        return job.results()[0]
    except Exception as error:  # submitit's own kinds, and whatever the job raised
        failed = JobReturn()
        failed.status = JobStatus.FAILED
        failed.return_value = error
        return failed
