"""Each fault from made-up figures that speak of it and from ones that do not; once told, not told again."""

import logging
import math
from types import SimpleNamespace

import pytest

from simswap.training.callbacks.diagnosis import Diagnosis, Limits, diagnose

GOOD = {
    "val/id_similarity": 0.40, "val/do_nothing/id_similarity": 0.01, "val/copy_source/id_similarity": 1.0,
    "val/target_similarity": 0.35, "val/pose_error_deg": 5.0, "val/copy_source/pose_error_deg": 30.0,
    "val/self_reconstruction_l1": 0.06, "train/discriminator": 0.8, "train/adversarial": 1.2,
}  # fmt: skip
TARGET = "The result is just the target"
COPY = "The result does not follow the target"
WINS = "The discriminators win outright"


def titles(limits=None, scales=2, **changed):
    figures = GOOD | {name.replace("__", "/"): value for name, value in changed.items()}
    return [finding.title for finding in diagnose(figures, limits or Limits(), scales)]


def test_a_healthy_training_is_left_alone():
    assert titles() == []
    assert diagnose({}, Limits(), 2) == []  # nothing measured yet


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        # 10 % of the way from 0.01 to 1.0 is 0.109
        ({"val__id_similarity": 0.10, "val__target_similarity": 0.9}, [TARGET]),
        ({"val__id_similarity": 0.12, "val__target_similarity": 0.9}, []),
        ({"val__id_similarity": 0.10, "val__target_similarity": 0.6}, []),  # it is like neither: another fault
        ({"val__id_similarity": -0.2, "val__target_similarity": 0.9}, [TARGET]),
        # 60 % of 30 degrees are 18
        ({"val__pose_error_deg": 18.1}, [COPY]),
        ({"val__pose_error_deg": 17.9}, []),
        ({"val__pose_error_deg": math.nan}, []),  # no face was found anywhere
        # 5 % of the two scales' 2.0 is 0.1
        ({"train__discriminator": 0.09}, [WINS]),
        ({"train__discriminator": 0.11}, []),
        ({"train__discriminator": 0.01, "val__pose_error_deg": 29.0}, [COPY, WINS]),
    ],
)
def test_figures_on_both_sides_of_each_limit(changed, found):
    assert titles(**changed) == found


def test_limits_are_settings_and_zero_switches_off():
    faults = {"val__id_similarity": 0.02, "val__target_similarity": 0.9, "val__pose_error_deg": 29.0,
              "train__discriminator": 0.01}  # fmt: skip
    assert titles(**faults) == [TARGET, COPY, WINS]
    assert titles(Limits(identity=0, pose=0, discriminator=0), **faults) == []
    assert titles(Limits(pose=0.1), val__pose_error_deg=4.0) == [COPY]
    assert titles(scales=1, train__discriminator=0.09) == []


def test_the_words_hold_the_figures_and_what_to_try():
    (finding,) = diagnose(GOOD | {"val/id_similarity": 0.05, "val/target_similarity": 0.93}, Limits(), 2)
    assert "id_similarity 0.05 is 4% of the way from do_nothing's 0.01" in finding.text
    assert "the target to 0.93" in finding.text
    assert "objective.weights.identity" in finding.text


def after_validation(diagnosis, step, **changed):
    trainer = SimpleNamespace(
        sanity_checking=False,
        global_step=step,
        is_global_zero=True,
        loggers=[],
        callback_metrics=GOOD | {name.replace("__", "/"): value for name, value in changed.items()},
    )
    module = SimpleNamespace(discriminators=SimpleNamespace(scales=[0, 1]))
    diagnosis.on_validation_end(trainer, module)


def test_it_waits_for_the_warm_up_and_tells_a_fault_once(caplog):
    diagnosis = Diagnosis(1000, Limits())
    with caplog.at_level(logging.WARNING, "simswap.training.callbacks.diagnosis"):
        after_validation(diagnosis, 999, val__pose_error_deg=29.0)
        assert caplog.messages == []
        after_validation(diagnosis, 1000, val__pose_error_deg=29.0)
        after_validation(diagnosis, 2000, val__pose_error_deg=28.0)
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(f"iteration 1000: {COPY}: the generator ignores the target: ")
        resumed = Diagnosis(1000, Limits())
        resumed.load_state_dict(diagnosis.state_dict())
        after_validation(resumed, 3000, val__pose_error_deg=28.0)
        assert len(caplog.messages) == 1
        after_validation(resumed, 4000)  # it went away ...
        after_validation(resumed, 5000, val__pose_error_deg=27.0)  # ... and came again
        assert len(caplog.messages) == 2
