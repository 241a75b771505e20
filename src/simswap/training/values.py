"""Checks of training settings beyond types and ranges, before anything is built from them."""

import datetime
import re
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from simswap.config import build, refuse_of_training
from simswap.errors import InputError
from simswap.launching.distributed import local_devices
from simswap.settings.words import nearest
from simswap.training.loss_recognition import check_loss_recognition
from simswap.training.validation import logged_names

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")
OLDER_PRECISIONS = ("32", "16", "bf16")  # Lightning's short names of the first, the last and the third
_TIME = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")
_UNITS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")


def check_training(cfg: DictConfig) -> None:
    """Check a config of ``simswap-train``.

    Raises:
        InputError: a setting with which training cannot do what it says.
    """
    refuse_of_training(cfg, None)
    trainer = cfg.trainer
    check_accelerator(str(trainer.accelerator))
    local_devices(trainer)
    if str(trainer.precision) not in (*PRECISIONS, *OLDER_PRECISIONS):
        raise InputError(f"trainer.precision={trainer.precision}: choose one of {', '.join(PRECISIONS)}")
    max_time(trainer.max_time)
    shares = OmegaConf.to_container(cfg.data.fractions, resolve=True)
    if isinstance(shares, dict) and abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"data.fractions: {shares} must be shares from 0 to 1 that sum to 1")
    check_loss_recognition(cfg.loss_recognition)
    build(cfg.objective)  # it knows its terms and their settings
    valid = logged_names()
    for name in cfg.sweep.metrics:
        if name not in valid:
            raise InputError(f"sweep.metrics: validation logs no {name}{nearest(str(name), valid)}")


def check_accelerator(name: str) -> None:
    """Check the device.

    Raises:
        InputError: it is not available, or this training does not support it.
    """
    if name not in ACCELERATORS:
        raise InputError(f"trainer.accelerator={name}: choose one of {', '.join(ACCELERATORS)}")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if not {"gpu": cuda or mps, "cuda": cuda, "mps": mps}.get(name, True):
        raise InputError(f"trainer.accelerator={name}: this machine has none that torch can use; take cpu or auto")


def max_time(given: Any) -> datetime.timedelta | None:
    """Lightning's ``max_time`` as a duration: null, ``DD:HH:MM:SS``, or a mapping such as ``{minutes: 5}``.

    Raises:
        InputError: anything else, or a time that is not above 0.
    """
    if given is None:
        return None
    text = f"trainer.max_time={given}"
    if isinstance(given, str):
        found = _TIME.fullmatch(given.strip())
        if found is None:
            raise InputError(f'{text}: give days, hours, minutes and seconds as in "00:01:30:00", or {{minutes: 90}}')
        given = dict(zip(("days", "hours", "minutes", "seconds"), map(int, found.groups()), strict=True))
    elif isinstance(given, DictConfig):
        given = OmegaConf.to_container(given, resolve=True)
    if not isinstance(given, dict):
        raise InputError(f'{text}: write it in quotes, as in "00:01:30:00", or as {{minutes: 90}}')
    for unit, value in given.items():
        if unit not in _UNITS:
            raise InputError(f"{text}: there is no unit {unit}{nearest(str(unit), _UNITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{text}: {unit} is no number")
    try:
        duration = datetime.timedelta(**given)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text}: that is no time ({error})") from error
    if duration <= datetime.timedelta(0):
        raise InputError(f"{text}: give a time above 0")
    return duration


def trainer_values(trainer: DictConfig) -> dict[str, Any]:
    """The trainer's values as Lightning's Trainer takes them, where it does not take them unchanged."""
    interval = trainer.val_check_interval
    if isinstance(interval, float):  # 1.0, the end of Lightning's epoch; here there is none but the run's
        interval = trainer.max_steps if trainer.max_steps > 0 else NEVER
    return {"max_time": max_time(trainer.max_time), "val_check_interval": interval}


NEVER = 2**62  # more iterations than any run has
