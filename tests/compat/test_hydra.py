"""The private interfaces of hydra that `simswap.compat.hydra` depends on still do what it needs.

Where a test fails after an upgrade, the library has changed: adapt the function of `simswap.compat` that it names.
"""

import importlib
import inspect
import sys
from argparse import Namespace

import pytest
from hydra.core.utils import JobReturn, JobStatus

from simswap.compat import hydra as of_hydra


def test_the_command_line_is_parsed_as_hydra_parses_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["simswap-train", "-m", "--config-dir", "mine", "seed=1,2", "--cfg", "job"])
    parsed = of_hydra.parsed_command_line()
    assert isinstance(parsed, Namespace)
    wanted = {"multirun": True, "config_dir": "mine", "config_path": None, "config_name": None, "cfg": "job",
              "help": False, "hydra_help": False, "info": None, "shell_completion": False}  # fmt: skip
    found = {name: getattr(parsed, name, "gone") for name in wanted}
    assert found == wanted, "compat.hydra.parsed_command_line: Hydra's flags have changed"
    assert parsed.overrides == ["seed=1,2"]


def test_hydras_own_launcher_and_sweeper_have_the_names_that_configs_give_them():
    for target in of_hydra.BASIC_TARGETS:
        module, _, name = target.rpartition(".")
        found = getattr(importlib.import_module(module), name, None)
        assert inspect.isclass(found), f"compat.hydra.BASIC_TARGETS: {target} is gone; recorded configs name it"
    for name in ("split_arguments", "split_overrides_to_chunks"):
        assert callable(getattr(found, name, None)), f"simswap_layer_ranges.py: BasicSweeper.{name} is gone"


def test_a_failed_jobs_error_can_be_read_without_being_raised():
    failed = JobReturn()
    failed.status, failed.return_value = JobStatus.FAILED, ValueError("lost")
    assert str(of_hydra.value_or_error(failed)) == "lost", "compat.hydra.value_or_error: JobReturn has changed"
    with pytest.raises(ValueError, match="lost"):
        _ = failed.return_value
