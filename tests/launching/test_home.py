"""Users without a home folder or a name, as in ``docker run -u 12345``: what libraries need is made for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simswap.launching import home
from simswap.launching.home import CACHES, settle_home

REPOSITORY = Path(__file__).resolve().parents[1]
AS_NOBODY = """
import json, os, pwd, sys
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = getpwuid
import getpass, pathlib
import simswap
from simswap.tracking.logger import build_loggers, finish
loggers = build_loggers(pathlib.Path(sys.argv[1]), mode="offline")
for logger in loggers:
    logger.log_metrics({"val/id_retrieval": 0.5}, step=1)
finish(loggers)
import matplotlib
print(json.dumps([simswap.NO_HOME, getpass.getuser(), str(pathlib.Path.home()), matplotlib.get_cachedir()]))
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"simswap-home-{os.getuid()}"


def test_a_home_that_can_be_written_is_left_alone(tmp_path, temporary):
    environ = {"HOME": str(tmp_path), "USER": "me"}
    assert settle_home(environ) is None
    assert environ == {"HOME": str(tmp_path), "USER": "me"}


def test_no_home_at_all(temporary, monkeypatch):
    monkeypatch.setattr(home, "_home_of_user", lambda: "")
    environ = {"USER": "me"}
    assert settle_home(environ) == f"no home folder that can be written (none at all): caches go to {temporary}"
    assert environ["HOME"] == str(temporary)
    assert {environ[name] for name in CACHES} == {str(temporary / below) for below in CACHES.values()}
    assert "(/not/there): caches go to" in settle_home({"HOME": "/not/there", "USER": "me"})


def test_a_home_that_can_only_be_read_keeps_its_settings(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    environ = {"HOME": str(tmp_path), "USER": "me", "MPLCONFIGDIR": "/mine"}
    assert settle_home(environ) is not None
    assert environ["HOME"] == str(tmp_path)
    assert environ["MPLCONFIGDIR"] == "/mine"
    assert environ["XDG_CACHE_HOME"] == str(temporary / "cache")


def test_a_folder_that_somebody_else_made_is_not_used(tmp_path, temporary):
    (tmp_path / "theirs").mkdir()
    temporary.symlink_to(tmp_path / "theirs")
    environ = {"HOME": "/not/there", "USER": "me"}
    settle_home(environ)
    assert environ["HOME"] != str(temporary)
    os.rmdir(environ["HOME"])


def test_a_number_without_a_name(monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    environ = {"HOME": os.path.expanduser("~")}
    settle_home(environ)
    assert environ["LOGNAME"] == f"user{os.getuid()}"


def test_w_and_b_matplotlib_and_torch_work_without_home_and_name(tmp_path):
    run, temporary = tmp_path / "run", tmp_path / "tmp"
    for folder in (run, temporary):
        folder.mkdir()
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME") and not name.startswith("WANDB_")
    }
    environ |= {"TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(run)], env=environ, cwd=run, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    own = temporary / f"simswap-home-{os.getuid()}"
    line, name, folder, cache = json.loads(done.stdout.splitlines()[-1])
    assert line == f"no home folder that can be written (none at all): caches go to {own}"
    assert name == f"user{os.getuid()}"
    assert folder == str(own)
    assert cache.startswith(folder)
    assert (run / "metrics.csv").read_text() == "step,val/id_retrieval\n1,0.5\n"
