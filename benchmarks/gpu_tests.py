"""Runs the tests marked ``gpu`` for the GPU report, in a process of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from gpu_page import Page

REPOSITORY = Path(__file__).resolve().parents[1]
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:benchmark")  # they write into the checkout
COMMAND = ("-m", "pytest", "-m", "gpu", *PLUGINS, "-n", "4", "--dist", "load", "-rfE", "--tb=short")
AT_MOST = 200.0
MARKED = "pytest.mark.gpu"


def marked_files() -> list[str]:
    """The test files that hold such tests: the others may need what is not installed where the GPU is."""
    files = sorted((REPOSITORY / "tests").rglob("test_*.py"))
    return [str(file.relative_to(REPOSITORY)) for file in files if MARKED in file.read_text(encoding="utf-8")]


def run_tests(page: Page, until: float) -> list[str]:
    """Run the tests for at most `AT_MOST` seconds; their last lines go to the page. Returns what failed."""
    limit = min(AT_MOST, max(10.0, until - time.monotonic()))
    source = f"{REPOSITORY / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    try:
        made = subprocess.run(
            [sys.executable, *COMMAND, *marked_files()],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": source},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        return _told(page, said, f"the gpu tests did not end in {limit:.0f} s")
    passed = made.returncode == 0
    return _told(page, made.stdout + made.stderr, "" if passed else f"gpu tests: exit code {made.returncode}")


def _told(page: Page, output: str, fault: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.strip()][-1 if not fault else -40 :]
    page.put("Tests", [f"`python {' '.join(COMMAND)}`", "", "```", *lines, *([fault] if fault else []), "```"])
    return [fault] if fault else []
