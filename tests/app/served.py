"""The real command in a process of its own, and a browser for it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from simswap.app.photo_work import as_jpeg
from simswap.models.builtin import WEIGHTS
from simswap.rendered.rendering import Attributes, render, render_person
from tests.comparison.made import made_run, write_grid
from tests.skips import NO_BROWSER

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # fmt: skip
PATIENCE_MS = 60_000  # for one step in the browser, on a busy machine


@dataclass(frozen=True)
class Site:
    """A served page: its address, its temporary folder's parent, and the process."""

    url: str
    temporary: Path
    process: subprocess.Popen

    @property
    def folder(self) -> Path:
        """The page's own folder."""
        (found,) = self.temporary.glob("simswap-app-*")
        return found


@contextmanager
def served(folder: Path, *settings: str, checkpoint: Path = WEIGHTS / "demo.ckpt") -> Iterator[Site]:
    """Start ``simswap-app``, and end it as Ctrl-C does; it must leave nothing and end well."""
    temporary, work = folder / "temporary", folder / "work"
    temporary.mkdir()
    work.mkdir()
    command = [sys.executable, "-m", "simswap.serve_app", f"checkpoint={checkpoint}", "port=0", *settings]
    process = subprocess.Popen(
        command, cwd=work, env=os.environ | {"TMPDIR": str(temporary)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = process.stdout.readline()  # a warning may come first
            assert line, said  # it has ended
            said += line
        yield Site(found[0], temporary, process)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest, rest
    finally:
        process.kill()
        process.communicate()
    assert list(temporary.glob("simswap-app-*")) == []
    assert list(work.iterdir()) == []  # neither gradio nor this project writes where it was started


@contextmanager
def opened_browser(folder: Path) -> Iterator[object]:
    """Chromium under playwright, whose own files go to a folder, and whose camera sees a rendered face.

    Skips where the system has none.
    """
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"{NO_BROWSER}: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    camera = folder / "camera.mjpeg"
    camera.write_bytes(as_jpeg(rendered_face()) * 5)  # a film of equal pictures
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=found, args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"], env=os.environ | home
        )
        try:
            yield browser
        finally:
            browser.close()


def rendered_face(person: int = 8, side: int = 320, **attributes: float) -> np.ndarray:
    """A photo with a face that dlib finds, uint8 [side, side, 3]."""
    return render(render_person(person), Attributes(scene=5, **attributes), side).image


def make_runs(root: Path) -> None:
    """A sweep of two runs with sample grids and a checkpoint each, and a single run without."""
    for k, retrieval in enumerate((0.9, 0.1)):
        run = made_run(
            root / "sweep" / str(k), {"objective.weights.identity": 10 * k}, figures={"id_retrieval": retrieval}
        )
        for folder in ("checkpoints", "samples"):
            (run / folder).mkdir(exist_ok=True)
        shutil.copy(WEIGHTS / "demo.ckpt", run / "checkpoints" / "last.ckpt")
        for iteration in (10, 20):
            write_grid(run / "samples" / f"{iteration:07d}.png", 0.02 * iteration)
    made_run(root / "single", figures={"id_retrieval": 0.5})
