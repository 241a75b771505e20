"""What more than one tab has: photos, example pairs, and the button that cancels long work."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simswap.app.examples import Example
from simswap.app.jobs import CANCELLED, Jobs
from simswap.app.library import gradio
from simswap.app.lines import line
from simswap.errors import InputError

NETWORKS = "networks"
"""Handlers of this name wait for each other, so that a user sees the place in the queue."""
PAIRS = ((0, 1), (1, 2), (2, 0), (4, 3), (5, 3), (4, 5))
"""Source and target of the example pairs, as places among the examples; those that are not there are left out."""


def example_pairs(examples: Sequence[Example]) -> dict[str, tuple[Example, Example]]:
    """Source and target of each example pair, by its name."""
    there = [(examples[a], examples[b]) for a, b in PAIRS if max(a, b) < len(examples)]
    return {f"{source.name} → {target.name}": (source, target) for source, target in there}


def pair_chooser(pairs: Mapping[str, tuple[Example, Example]]) -> Callable[[str], tuple[Any, Any]]:
    """A handler that gives the photos of the example pair of a name; without a name, both photos stay."""
    gr = gradio()

    def choose(name: str) -> tuple[Any, Any]:
        if not name:
            return gr.skip(), gr.skip()
        source, target = pairs[name]
        return str(source.path), str(target.path)

    return choose


def photo_input(name: str, label: str, height: int = 300) -> Any:
    """A photo to upload, to take with the camera or to paste; handlers get its path.

    Args:
        name: Of its element on the page.
        label: What it is.
        height: On the page, px.
    """
    photo = gradio().Image(
        label=label,
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        buttons=[],
        elem_id=name,
        height=height,
    )
    photo.preprocess = uploaded_path  # the file itself: the page says what is wrong with it
    return photo


def uploaded_path(payload: Any) -> str | None:
    """The path of an upload, without a look into the file.

    Raises:
        InputError: The picture was sent in another way than as an upload.
    """
    if payload is None:
        return None
    if not payload.path or not Path(payload.path).is_file():
        raise InputError("the upload is no longer held: choose the file again")
    return str(payload.path)


def cancels(button: Any, jobs: Jobs, started: Any, said: Any) -> None:
    """Let a button cancel the user's own work.

    Args:
        button: The button.
        jobs: The work of the tab's users.
        started: The event that begins the work.
        said: The line that says what was done.
    """
    gr = gradio()

    def stop(request: gr.Request) -> str:  # type: ignore[valid-type, name-defined]
        return line(CANCELLED if jobs.cancel(request.session_hash) else "nothing is at work")

    button.click(stop, outputs=[said], cancels=[started], concurrency_limit=None)
