"""A front door without networks, for tests of how processes are started and watched."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from simswap.errors import InputError
from simswap.launching.front_door import front_door
from simswap.launching.processes import run_in_processes
from tests.waiting import written


def be_job_7_in(folder: Path) -> None:
    """As Hydra has it inside of a sweep's job."""
    hydra = OmegaConf.structured(HydraConf)
    with open_dict(hydra):
        hydra.overrides.task = ["a=1"]
        hydra.runtime.output_dir = str(folder)
        hydra.job.num = 7
        hydra.job.name = "stub"
        hydra.job_logging, hydra.verbose, hydra.mode = {"version": 1, "root": {"level": "INFO"}}, False, "MULTIRUN"
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": hydra})


def start(*actions: str) -> Any:
    """A process for each action."""
    cfg = OmegaConf.create({"actions": list(actions), "number": "${half}", "half": 0.5})
    return run_in_processes("tests.stub_door", cfg, [{"LOCAL_RANK": str(rank)} for rank in range(len(actions))])


def job(cfg: DictConfig) -> tuple[float, float] | None:
    rank = int(os.environ["RANK"])
    run = Path(HydraConfig.get().runtime.output_dir)
    written(run / f"started_{rank}", f"{os.getpid()}")
    action = cfg.actions[rank]
    if action == "wait":
        while not (run / "go").exists():
            time.sleep(0.02)
    elif action == "input":
        raise InputError("the data is not there")
    elif action == "fault":
        raise ZeroDivisionError("nothing to divide by\nsecond line")
    elif action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "interrupt":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            written(run / f"ready_{rank}", "")
            time.sleep(3600)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("go on with resume=here") from None
    return cfg.number, HydraConfig.get().job.num


if __name__ == "__main__":
    if sys.argv[1:]:
        be_job_7_in(Path(sys.argv[1]))
        start("wait", "wait")
    front_door(job, "train")
