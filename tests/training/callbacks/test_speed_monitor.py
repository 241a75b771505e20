"""What is told of a run's speed."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import Timer

from simswap.training.callbacks.speed_monitor import remaining_seconds


class Stopped(Timer):
    """A timer of one minute of which 50 s are gone."""

    def time_elapsed(self, stage="train"):
        return 50.0


@pytest.mark.parametrize(
    ("max_steps", "timed", "expected"),
    [(100, False, 40.0), (100, True, 10.0), (84, True, 8.0), (-1, True, 10.0), (-1, False, None), (60, False, 0.0)],
)
def test_what_is_left_is_what_ends_first(max_steps, timed, expected):
    callbacks = [Stopped(duration=timedelta(minutes=1))] if timed else []
    trainer = SimpleNamespace(max_steps=max_steps, global_step=80, callbacks=callbacks)
    assert remaining_seconds(trainer, 2.0) == expected
