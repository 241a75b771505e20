"""What more than one tab has: photos, example pairs, and the button that cancels long work."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simswap.app.examples import Example
from simswap.app.jobs import CANCELLED, Jobs
from simswap.app.library import gradio
from simswap.app.lines import line
from simswap.errors import InputError

NETWORKS = "networks"
"""Handlers of this name wait for each other, so that a user sees the place in the queue."""
WIDE = 260
"""Width in px that a control with long words needs: on a phone it has a row of its own."""
OWN_PHOTOS = "none: photos of your own"
"""The choice of no example pair."""
PAIRS = ((0, 1), (1, 2), (2, 0), (4, 3), (5, 3), (4, 5))
"""Source and target of the example pairs, as places among the examples; those that are not there are left out."""


def example_pairs(examples: Sequence[Example]) -> dict[str, tuple[Example, Example]]:
    """Source and target of each example pair, by its name."""
    there = [(examples[a], examples[b]) for a, b in PAIRS if max(a, b) < len(examples)]
    return {f"{source.name} → {target.name}": (source, target) for source, target in there}


def pair_input(pairs: Mapping[str, tuple[Example, Example]], label: str, **more: Any) -> Any:
    """A choice among the example pairs, and of none of them; more: of its element on the page."""
    return gradio().Dropdown([OWN_PHOTOS, *pairs], value=OWN_PHOTOS, label=label, min_width=WIDE, **more)


def fills(example: Any, pairs: Mapping[str, tuple[Example, Example]], source: Any, target: Any) -> None:
    """Let a choice of `pair_input` fill in both photos; a photo of the user's own takes the choice back."""
    gr = gradio()

    def choose(name: str) -> tuple[Any, Any]:
        pair = pairs.get(name)
        return (str(pair[0].path), str(pair[1].path)) if pair else (gr.skip(), gr.skip())

    example.input(choose, [example], [source, target], show_progress="hidden")
    for photo in (source, target):
        photo.input(lambda: OWN_PHOTOS, outputs=[example], show_progress="hidden")


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
