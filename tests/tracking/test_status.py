"""status.json: what a run says of itself, and what is true of a run that says running."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simswap import __version__
from simswap.errors import Diverged, InputError
from simswap.tracking.status import Status, current_state, is_alive, read_status, write_status
from simswap.training.callbacks.reporting import StatusReport


def changed(run: Path, **values: object) -> Status:
    path = run / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    status = read_status(run)
    assert status is not None
    return status


def test_what_is_written_is_read(tmp_path):
    assert read_status(tmp_path) is None
    assert current_state(tmp_path) is None
    write_status(tmp_path, "failed", 12, "two\nlines")
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.iteration, status.message) == ("failed", 12, "two lines")
    assert (status.pid, status.package_version) == (os.getpid(), __version__)
    assert current_state(tmp_path) == "failed"
    with pytest.raises(ValueError, match="no state of a run"):
        write_status(tmp_path, "runing", 1)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": "running"}'])
def test_something_else_under_the_name_is_no_status(tmp_path, content):
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None


def test_a_running_run_whose_process_is_gone_has_crashed(tmp_path):
    write_status(tmp_path, "running", 3)
    assert current_state(tmp_path) == "running"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child_status = changed(tmp_path, pid=child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet collected
    assert not is_alive(child_status)
    child.wait()
    assert not is_alive(child_status)
    assert current_state(tmp_path) == "crashed"
    assert is_alive(changed(tmp_path, host="another"))


def test_a_process_that_inherited_the_number_is_not_the_run(tmp_path):
    write_status(tmp_path, "running", 3)
    assert is_alive(changed(tmp_path, pid=os.getpid()))
    assert not is_alive(changed(tmp_path, updated="2020-01-01T00:00:00+00:00"))


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt("go on"), "interrupted", "go on"),
        (Diverged("loss is not finite"), "diverged", "loss is not finite"),
        (InputError("no such root"), "failed", "no such root"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
    ],
)
def test_the_status_tells_what_ended_the_run(tmp_path, error, state, message):
    def end() -> None:
        with StatusReport(tmp_path):
            assert current_state(tmp_path) == "running"
            raise error

    with pytest.raises(type(error)):
        end()
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.message) == (state, message)


def test_a_block_that_ends_well_is_a_finished_run(tmp_path):
    write_status(tmp_path, "interrupted", 7)
    with StatusReport(tmp_path):
        assert read_status(tmp_path).iteration == 7  # type: ignore[union-attr]
    assert current_state(tmp_path) == "finished"
