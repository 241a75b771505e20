"""The tab where a swap is tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simswap.app.examples import Example
from simswap.app.jobs import CANCELLED, Jobs
from simswap.app.library import gradio
from simswap.app.lines import line, told, without_own_folder
from simswap.app.parts import swapped_html
from simswap.app.photo_work import numbered, photo_faces, swap_photo
from simswap.app.state import AppState
from simswap.app.video_work import swap_uploaded_video, video_html
from simswap.errors import InputError
from simswap.faces.paste import COLORS, PasteSettings

PHOTO, VIDEO = "photo", "video"
NETWORKS = "networks"
"""Handlers of this name wait for each other, so that a user sees the place in the queue."""
PAIRS = ((0, 1), (1, 2), (2, 0), (4, 3), (5, 3), (4, 5))
"""Source and target of the example pairs, as places among the examples; those that are not there are left out."""


@dataclass(frozen=True)
class Side:
    """The components of one side of the swap: the photo, its faces with numbers, and which of them."""

    photo: Any
    faces: Any
    chosen: Any


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    jobs = Jobs()
    gr.Markdown(_opening(state))
    pairs = example_pairs(state.examples)
    with gr.Row():
        example = gr.Dropdown(["", *pairs], value="", label="Example pair", scale=3)
    with gr.Row():
        with gr.Column(min_width=260):
            source = _side("source", "Source: a photo of the person to put in", gr.Radio)
        with gr.Column(min_width=260):
            kind = gr.Radio([PHOTO, VIDEO], value=PHOTO, label="The target is a")
            with gr.Column(visible=True) as photo_part:
                target = _side("target", "Target: the photo whose faces are replaced", gr.CheckboxGroup)
            with gr.Column(visible=False) as video_part:
                film = gr.Video(
                    label=f"Target: a video, of which the first {state.video_s:g} s are used",
                    sources=["upload", "webcam"],
                    buttons=[],
                    elem_id="target-video",
                    height=300,
                )
                film.preprocess = uploaded_path
                every = gr.Checkbox(False, label="Replace all faces of the video, not the main one alone")
    paste = _paste_settings(state.networks.settings.paste)
    with gr.Row():
        swap = gr.Button("Swap", variant="primary", elem_id="swap")
        cancel = gr.Button("Cancel", elem_id="cancel")
    said = gr.HTML(line(""), elem_id="line")
    result = gr.HTML("", elem_id="result")

    def show(what: str) -> tuple[Any, ...]:
        return gr.update(visible=what == PHOTO), gr.update(visible=what == VIDEO)

    def choose(name: str) -> tuple[Any, ...]:
        if not name:
            return gr.skip(), gr.skip(), gr.skip()
        return (PHOTO, *(str(one.path) for one in pairs[name]))

    def work(
        request: gr.Request,  # type: ignore[valid-type, name-defined]
        progress: Any = gr.Progress(),  # noqa: B008
        source_path: str | None = None,
        source_face: str | None = None,
        target_path: str | None = None,
        target_faces: Sequence[str] = (),
        what: str = PHOTO,
        film_path: str | None = None,
        every_face: bool = False,
        *settings: Any,
    ) -> tuple[str, str]:
        opened = state.networks.main
        with jobs.begun(request.session_hash) as job:
            if what == VIDEO:
                made = swap_uploaded_video(
                    state, opened, source_path, film_path, every_face, PasteSettings(*settings), job, progress
                )
                return video_html(made), line(made.words)
            done = swap_photo(
                state.networks,
                opened,
                state.shelf,
                (source_path, int(source_face or 1)),
                (target_path, [int(number) for number in target_faces]),
                PasteSettings(*settings),
                job.step(progress),
            )
        return swapped_html(done, opened.judge_name, opened.independent), line("swapped")

    def stop(request: gr.Request) -> str:  # type: ignore[valid-type, name-defined]
        return line(CANCELLED if jobs.cancel(request.session_hash) else "nothing is at work")

    for side, what in ((source, "source"), (target, "target")):
        side.photo.change(
            told(_looker(state, what), 2),
            [side.photo],
            [side.faces, side.chosen, said],
            concurrency_id=NETWORKS,
            concurrency_limit=1,
            show_progress="minimal",
        )
    kind.change(show, [kind], [photo_part, video_part], show_progress="hidden")
    example.change(choose, [example], [kind, source.photo, target.photo], show_progress="hidden")
    given = [source.photo, source.chosen, target.photo, target.chosen, kind, film, every, *paste]
    started = swap.click(
        told(work, 1), given, [result, said], concurrency_id=NETWORKS, concurrency_limit=1, show_progress_on=result
    )
    cancel.click(stop, outputs=[said], cancels=[started], concurrency_limit=None)


def example_pairs(examples: Sequence[Example]) -> dict[str, tuple[Example, Example]]:
    """Source and target of each example pair, by its name."""
    there = [(examples[a], examples[b]) for a, b in PAIRS if max(a, b) < len(examples)]
    return {f"{source.name} → {target.name}": (source, target) for source, target in there}


def photo_input(name: str, label: str) -> Any:
    """A photo to upload, to take with the camera or to paste; handlers get its path.

    Args:
        name: Of its element on the page.
        label: What it is.
    """
    photo = gradio().Image(
        label=label,
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        buttons=[],
        elem_id=name,
        height=300,
    )
    photo.preprocess = uploaded_path  # the file itself: the page says what is wrong with it
    return photo


def _side(what: str, label: str, choice: Any) -> Side:
    gr = gradio()
    photo = photo_input(f"{what}-photo", label)
    faces = gr.Image(
        label=f"Faces found in the {what}", interactive=False, visible=False, buttons=[], elem_id=f"{what}-faces"
    )
    several = choice is gr.CheckboxGroup
    chosen = choice(
        ["1"],
        value=["1"] if several else "1",
        visible=False,
        label=f"Which {'faces' if several else 'face'} of the {what}",
        elem_id=f"{what}-chosen",
    )
    return Side(photo, faces, chosen)


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


def _looker(state: AppState, what: str) -> Any:
    gr = gradio()

    def look(path: str | None) -> tuple[Any, Any, str]:
        hidden = gr.update(value=None, visible=False)
        first = gr.update(choices=["1"], value=["1"] if what == "target" else "1", visible=False)
        if not path:
            return hidden, first, line("")
        try:
            photo, faces = photo_faces(state.networks, state.networks.main, path, what)
        except InputError as error:
            return hidden, first, line(without_own_folder(str(error)), bad=True)
        if len(faces) == 1:
            return hidden, first, line(f"the {what} shows one face")
        numbers = [str(number) for number in range(1, len(faces) + 1)]
        choice = gr.update(choices=numbers, value=["1"] if what == "target" else "1", visible=True)
        picture = gr.update(value=numbered(photo, faces), visible=True)
        return picture, choice, line(f"the {what} shows {len(faces)} faces; 1 is the main one")

    return look


def _paste_settings(start: PasteSettings) -> list[Any]:
    """Sliders for the fields of `PasteSettings`, in their order."""
    gr = gradio()
    with gr.Accordion("Paste settings", open=False), gr.Row():
        extent = gr.Slider(0.3, 2, start.extent, step=0.05, label="Extent: size of the mask")
        feather = gr.Slider(0.05, 1, start.feather, step=0.05, label="Feather: width of its soft edge")
        color = gr.Dropdown(list(COLORS), value=start.color, label="Color: match adopts the target's")
        detail = gr.Slider(0, 1, start.detail, step=0.05, label="Detail: of the photo that is kept")
    return [extent, feather, color, detail]


def _opening(state: AppState) -> str:
    trained = state.networks.main.trained
    step = f", iteration {trained.iteration:,}" if trained.iteration is not None else ""
    return (
        f"Checkpoint `{trained.path.name}`{step}, {trained.image_size} px. Photos stay on this machine; uploads are "
        "deleted when the page ends, or earlier. Results are synthetic, and carry a mark that says so. Swap only faces "
        "of people who agree."
    )
