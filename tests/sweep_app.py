"""Stands in for simswap-train in tests of sweeps: the real configuration, sweeper and launchers, and no training.

``STUB_KILL`` names a folder: the process is killed by the system, once for each file there, at the job so named.
"""

import json
import os
import signal
from pathlib import Path
from unittest import mock

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from simswap.errors import InputError
from simswap.launching import front_door


def job(cfg: DictConfig) -> float | tuple[float, float] | None:
    run = Path(HydraConfig.get().runtime.output_dir)
    kill = Path(os.environ.get("STUB_KILL", "nowhere")) / run.name
    if kill.is_file():
        kill.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    identity, seed = cfg.objective.weights.identity, cfg.seed
    (run / "point.json").write_text(json.dumps([identity, cfg.generator.blocks, seed]))
    if seed == 13:
        raise InputError("seed 13 brings bad luck")
    if seed == 14:
        raise ZeroDivisionError("seed 14 divides by nothing")
    values = (1.0 - abs(identity - 20.0) / 100.0, float(cfg.generator.blocks))
    return values if len(cfg.sweep.metrics) > 1 else values[0]


def main() -> None:
    """What a config may hold is tested elsewhere, and asks for torch: no check here. Nor do the trials go to W&B."""
    with mock.patch.object(front_door, "check"), mock.patch.dict(os.environ, WANDB_MODE="disabled"):
        front_door.front_door(job, "train")


if __name__ == "__main__":
    main()
