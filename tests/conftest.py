"""Fixtures for the whole suite."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
# Where other processes take the cores, OpenMP's threads wait for each other: one is quicker for small networks. This is
# for processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `nohup make test` leaves SIGHUP ignored in every process, and tests of it would wait forever.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest
import torch

from tests.leftovers import Leftovers
from tests.skips import NO_GPU, NO_SHARED, AllThere

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-there",
        action="store_true",
        help="fail where a test is skipped for another reason than no GPU, shared files or browser",
    )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # one of pytest-xdist's workers: the process that started it sees to both
    if config.getoption("--all-there"):
        config.pluginmanager.register(AllThere())
    leftovers = Leftovers()
    leftovers.begin()
    config.pluginmanager.register(leftovers)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mark `gpu` alone says that a test needs one: no test writes a condition or a reason of its own."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=f"{NO_GPU}: needs a CUDA device"))


@pytest.fixture(autouse=True)
def _as_it_was():
    """Each test begins with one thread and a log that speaks, and leaves it as it was: a job sets both."""
    torch.set_num_threads(1)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.setLevel(logging.WARNING)
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "simswap"]:
        logging.getLogger(name).disabled = False  # Hydra's set-up of the log switches off those that it does not know
    yield
    if sys.platform == "linux":
        real_time = (os.SCHED_FIFO, os.SCHED_RR)
        assert os.sched_getscheduler(0) not in real_time, "a library made the tests real-time: all else stands still"
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real faces and networks beside the checkout, or a skip."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "lfw" / "images").is_dir():
        pytest.skip(f"{NO_SHARED}: real faces and networks are not there: {folder}")
    return folder


@pytest.fixture(scope="session")
def crops(tmp_path_factory) -> Iterator[Path]:
    """Prepared 32-px crops of 30 rendered persons with 4 photos each, with their true attributes."""
    from simswap.data.aligning import CropSettings
    from simswap.data.landmarks import LandmarkTable
    from simswap.data.manifest import ATTRIBUTES_FILE
    from simswap.data.preparing import copy_table, prepare_folder
    from simswap.rendered.dataset import write_dataset

    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("crops")
    write_dataset(str(raw), persons=30, images=4, size=64, seed=3)
    settings = CropSettings("arcface", 32, "png", 95, 0)
    record = {"template": "arcface", "size": 32}
    prepare_folder(raw, out, settings, record, LandmarkTable([raw / "loose_landmark.csv"]), None, 0)
    copy_table(out, raw / "attributes.csv", ATTRIBUTES_FILE)
    made = sorted(out.rglob("*"))
    yield out
    assert sorted(out.rglob("*")) == made, "a test wrote into the crops that all tests share: copy them"


@pytest.fixture
def door(monkeypatch, capsys):
    """Run a front door in this process: ``door(main, "key=value", …)`` gives (exit code, output, errors)."""

    def run(main, *arguments: str) -> tuple[int, str, str]:
        from hydra.core.global_hydra import GlobalHydra

        monkeypatch.setattr("sys.argv", ["simswap", *arguments])
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as left:
                main()
        finally:
            GlobalHydra.instance().clear()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run
