"""The check at the end of a suite, in suites of its own: what is left behind fails it, and nobody else's does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import REPOSITORY
from tests.waiting import finished, is_alive, started

CONFTEST = """
from pathlib import Path
from tests.leftovers import Leftovers

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        plugin = Leftovers(Path({checkout!r}), grace=2)
        plugin.begin()
        config.pluginmanager.register(plugin)
"""
TOP = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
CHECKOUT = Path({checkout!r})
"""
SLEEPER = "import time; time.sleep(3600)"
ORPHAN = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}, 'orphan'], start_new_session=1)"

# What a test does, and how it is told.
LEFT = {
    "a child": (f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])", r"process \d+: \S+ -c .*\(of .*test_0 "),
    "an orphan in another session": (f"subprocess.run([sys.executable, '-c', {ORPHAN!r}])", r"process .* orphan \(of"),
    "a fork": ("os.fork() or time.sleep(3600)", r"process \d+: "),
    "a temporary file": ("tempfile.mkstemp(suffix='.one')", r"file .*/suite-\w+/tmp/\w+\.one"),
    "an empty temporary folder": ("tempfile.mkdtemp(suffix='.two')", r"file .*/suite-\w+/tmp/\w+\.two"),
    "a file in the home": ("(Path.home() / '.netrc').write_text('')", r"file .*/home/\.netrc"),
    "a cache": ("Path('~/.cache/wandb').expanduser().mkdir(parents=True)", r"file .*/home/\.cache/wandb"),
    "a run in the checkout": ("(CHECKOUT / 'outputs').mkdir()", r"file .*/checkout/outputs"),
    "a table among the sources": ("(CHECKOUT / 'src/metrics.csv').write_text('')", r"file .*/src/metrics\.csv"),
    "shared memory": (
        "Path(f'/dev/shm/torch_{os.getpid()}_left').write_text(str(CHECKOUT))",
        r"file /dev/shm/torch_\d+_left",
    ),
}


def suite(tmp_path: Path, lines: list[str], *more: str) -> subprocess.CompletedProcess:
    """A suite with the check, each of whose tests does one of these things; no other plugins: they are slow."""
    folder, checkout = tmp_path / "suite", tmp_path / "checkout"
    folder.mkdir()
    (checkout / "src").mkdir(parents=True)
    (folder / "conftest.py").write_text(CONFTEST.format(checkout=str(checkout)))
    tests = [
        f"def test_{k}(tmp_path):\n    (tmp_path / 'file').write_text('')\n    {line}\n" for k, line in enumerate(lines)
    ]
    (folder / "test_it.py").write_text("\n".join([TOP.format(checkout=str(checkout)), *tests]))
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider",
               f"--basetemp={tmp_path / 'base'}", *more, folder]  # fmt: skip
    return finished(
        *command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def left(done: subprocess.CompletedProcess) -> list[str]:
    return [line for line in done.stdout.splitlines() if re.match(r"(process \d+|file /)", line)]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")
@pytest.mark.parametrize("more", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["alone", "workers"])
def test_what_is_left_behind_fails_the_suite(tmp_path, more):
    # A forked worker of pytest-xdist would keep its connection open, and pytest wait for its end.
    kinds = {kind: each for kind, each in LEFT.items() if not more or kind != "a fork"}
    done = suite(tmp_path, [line for line, _ in kinds.values()], *more)
    told = left(done)
    for file in Path("/dev/shm").glob("torch_*_left"):
        if file.read_text() == str(tmp_path / "checkout"):
            file.unlink()
    assert f"{len(kinds)} passed" in done.stdout
    assert done.returncode == 1
    for kind, (_, words) in kinds.items():
        assert [line for line in told if re.match(words, line)], (kind, told)
    assert len(told) == len(kinds)
    assert not [line for line in told if line.startswith("process") and is_alive(int(re.findall(r"\d+", line)[0]))]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")
@pytest.mark.parametrize("kind", ["a child", "a temporary file"])
def test_one_thing_is_enough(tmp_path, kind):
    done = suite(tmp_path, [LEFT[kind][0]])
    assert len(left(done)) == 1
    assert done.returncode == 1


def test_nobody_elses_is_taken_for_the_suites(tmp_path):
    others = [
        f"Path({str(tmp_path / 'made_by_another')!r}).write_text('')",
        "(CHECKOUT / 'src/new.py').write_text('')",  # somebody works there
        "Path('~/.cache/matplotlib').expanduser().mkdir(parents=True)",
        "Path('/dev/shm/torch_1_another').write_text('')",
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.5)'])",  # about to end: it is waited for
    ]
    try:
        with started(sys.executable, "-c", SLEEPER) as another:
            done = suite(tmp_path, others)
            assert is_alive(another.pid)
    finally:
        Path("/dev/shm/torch_1_another").unlink(missing_ok=True)
    assert left(done) == []
    assert done.returncode == 0, done.stdout
