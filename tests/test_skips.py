"""A suite in which nothing may be missing fails at a skip, but not where a GPU, the shared files or a browser are."""

import os
import sys

import pytest

from tests.leftovers import REPOSITORY
from tests.skips import NO_BROWSER, NO_GPU, NO_SHARED, is_allowed
from tests.waiting import finished

CONFTEST = """
from tests.skips import AllThere

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(AllThere())
"""


def suite(tmp_path, contents, *more):
    """A suite with the check and a file for each of these; no other plugins are loaded: they take long."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "conftest.py").write_text(CONFTEST)
    for name, content in contents.items():
        (tmp_path / "suite" / f"test_{name}.py").write_text(f"import pytest\n{content}\n")
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", tmp_path / "suite",
               "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}", *more, tmp_path / "suite"]  # fmt: skip
    return finished(
        *command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


SKIPS = {
    "one": ("def test_one(): pytest.importorskip('no_such', reason='no extra x')", "no extra x"),
    "all": ("pytest.importorskip('no_such', reason='all of the extra y')", "all of the extra y"),
    "mark": ("@pytest.mark.skip\ndef test_mark(): pass", "unconditional skip"),
    "fixture": ("@pytest.fixture\ndef gpu(): pytest.skip('needs two')\ndef test_fixture(gpu): pass", "needs two"),
}


@pytest.mark.parametrize("more", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["alone", "workers"])
def test_a_skip_fails_it_and_is_told(tmp_path, more):
    done = suite(tmp_path, {name: content for name, (content, _) in SKIPS.items()}, *more)
    assert done.returncode == 1, done.stdout
    section = done.stdout.partition("skipped for a reason that is not allowed here")[2]
    for name, (_, words) in SKIPS.items():
        assert [line for line in section.splitlines() if f"test_{name}.py" in line and words in line], section


def test_what_may_be_missing_and_expected_failures_do_not(tmp_path):
    lines = [
        f"@pytest.mark.skip(reason='{reason}: it is not here')\ndef test_{k}(): pass"
        for k, reason in enumerate((NO_GPU, NO_SHARED, NO_BROWSER))
    ]
    done = suite(tmp_path, {"it": "\n".join([*lines, "@pytest.mark.xfail\ndef test_x(): assert False"])})
    assert done.returncode == 0, done.stdout
    assert "3 skipped, 1 xfailed" in done.stdout
    assert not is_allowed("needs no GPU")


def test_the_mark_gpu_alone_asks_for_a_gpu():
    """A condition of a test's own would come with a reason of its own, which a suite with nothing missing refuses."""
    own = [
        str(path.relative_to(REPOSITORY))
        for path in sorted((REPOSITORY / "tests").rglob("test_*.py"))
        if "skipif(not torch." + "cuda" in path.read_text()
    ]
    assert own == []


@pytest.mark.gpu
def test_the_mark_gpu_skips_only_where_there_is_none():
    import torch

    assert torch.cuda.is_available()
