"""The work behind the page's videos."""

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from simswap.app.jobs import CANCELLED, Job
from simswap.app.networks import Opened
from simswap.app.parts import download
from simswap.app.state import AppState
from simswap.errors import InputError
from simswap.faces.paste import PasteSettings
from simswap.inference.video.settings import Cast, VideoSettings
from simswap.inference.video_job import swap_video
from simswap.video.reader import video_info

SUFFIX = ".mp4"


@dataclass(frozen=True)
class SwappedVideo:
    """A video's swap, on the page's shelf.

    Attributes:
        before: Address of the target.
        after: Address of the result.
        words: How many frames were swapped, and whether the rest was left out.
    """

    before: str
    after: str
    words: str


def swap_uploaded_video(
    state: AppState,
    opened: Opened,
    source: str | None,
    target: str | None,
    every_face: bool,
    paste: PasteSettings,
    job: Job,
    show: Callable[..., object],
) -> SwappedVideo:
    """Swap the faces of a short video.

    Args:
        state: The page's; its networks wait meanwhile.
        opened: The checkpoint.
        source: A photo; its main face is the source.
        target: The video.
        every_face: Swap all faces, not only the main one.
        paste: How results get into the frames.
        job: The user's work.
        show: gradio's progress.

    Raises:
        InputError: The photo or the video cannot be used, or the user has cancelled.
    """
    if not source or not target:
        raise InputError(f"there is no {'source photo' if not source else 'target video'}: choose one")
    film, shelf, step = Path(target), state.shelf, job.step(show)
    cut = video_info(film).duration > state.video_s
    settings = VideoSettings(faces="all" if every_face else "largest", end=state.video_s if cut else None)
    swapper = copy.copy(opened.swapper)
    swapper.settings = paste
    step(0.0, "looking for the source's face")

    def frames(done: int, of: int) -> None:  # each frame counts once in each pass
        show(min(done / max(of, 1), 1.0), desc="finding faces" if 2 * done <= of else "swapping")

    with tempfile.TemporaryDirectory(dir=shelf.folder) as work, state.networks.work:
        out = Path(work) / f"result{SUFFIX}"
        cast = Cast([Path(source)], source_face="largest")
        done = swap_video(swapper, cast, film, out, settings, frames, job.cancelled)
        if not done.finished or done.path is None:
            raise InputError(CANCELLED)
        address, path = shelf.new_file(f"{film.stem}_swapped{SUFFIX}")
        shutil.move(done.path, path)
    before, own = shelf.new_file(f"target{film.suffix.lower()}")
    shutil.copyfile(film, own)
    words = f"{done.swapped} of {done.frames} frames swapped"
    return SwappedVideo(before, address, words + (f"; the first {state.video_s:g} s were used" if cut else ""))


def video_html(done: SwappedVideo) -> str:
    """A finished video beside its target; one button plays both."""
    play = (
        "const all = [...this.closest('.videos').querySelectorAll('video')]; const go = all[0].paused; "
        "all.forEach((one) => { if (go) { one.currentTime = all[0].currentTime; one.play(); } else { one.pause(); } })"
    )
    films = "".join(
        f'<figure><video src="{address}" controls playsinline preload="auto"{muted} aria-label="{name}"></video>'
        f"<figcaption>{name}</figcaption></figure>"
        for name, address, muted in (("target", done.before, " muted"), ("result", done.after, ""))
    )
    return (
        f'<div class="videos"><div class="both">{films}</div>'
        f'<p><button type="button" onclick="{escape(play)}">Play or pause both</button></p></div>'
        + download(done.after, "Download the result (marked as synthetic)")
    )
