"""The tab where a swap is tried."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from simswap.app.inputs import (
    NETWORKS,
    WIDE,
    cancels,
    example_pairs,
    fills,
    pair_input,
    photo_input,
    uploaded_path,
)
from simswap.app.jobs import Jobs
from simswap.app.library import gradio
from simswap.app.lines import line, told, without_own_folder
from simswap.app.parts import swapped_html
from simswap.app.photo_work import numbered, photo_faces, swap_photo
from simswap.app.state import AppState
from simswap.app.video_work import swap_uploaded_video, video_html
from simswap.errors import InputError
from simswap.faces.paste import COLORS, PasteSettings

PHOTO, VIDEO = "photo", "video"
PASTE_FIELDS = ("extent", "feather", "color", "detail")
"""The fields of `PasteSettings` that the page has a control for."""


@dataclass(frozen=True)
class Side:
    """The components of one side of the swap: the photo, its faces with numbers, and which of them."""

    photo: Any
    faces: Any
    chosen: Any


@dataclass(frozen=True)
class Target:
    """The components of the target: the photo's side, the video, and whether all its faces count."""

    side: Side
    film: Any
    every: Any


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    jobs = Jobs()
    gr.Markdown(_opening(state))
    pairs = example_pairs(state.examples)
    with gr.Row():
        example = pair_input(pairs, "Example pair", scale=2)
        kind = gr.Radio([PHOTO, VIDEO], value=PHOTO, label="The target is a", min_width=WIDE)
    with gr.Row():
        with gr.Column(min_width=WIDE):
            source = _side("source", "Source: a photo of the person to put in", gr.Radio)
        with gr.Column(min_width=WIDE):
            target = _target(kind, state.video_s)
    paste = _paste_settings(state.networks.settings.paste)
    with gr.Row():
        swap = gr.Button("Swap", variant="primary", elem_id="swap", scale=3)
        cancel = gr.Button("Cancel", elem_id="cancel")
    said = gr.HTML(line(""), elem_id="line")
    result = gr.HTML("", elem_id="result")

    for side, what in ((source, "source"), (target.side, "target")):
        side.photo.change(
            told(_looker(state, what), 2),
            [side.photo],
            [side.faces, side.chosen, said],
            concurrency_id=NETWORKS,
            concurrency_limit=1,
            show_progress="minimal",
        )
    fills(example, pairs, source.photo, target.side.photo)
    example.input(lambda: PHOTO, outputs=[kind], show_progress="hidden")
    given = [source.photo, source.chosen, target.side.photo, target.side.chosen, kind, target.film, target.every]
    started = swap.click(
        told(_worker(state, jobs), 1),
        [*given, *paste],
        [result, said],
        concurrency_id=NETWORKS,
        concurrency_limit=1,
        show_progress_on=result,
    )
    cancels(cancel, jobs, started, said)


def _worker(state: AppState, jobs: Jobs) -> Any:
    gr = gradio()

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
        opened, paste = state.networks.main, pasted(state.networks.settings.paste, settings)
        with jobs.begun(request.session_hash) as job:
            if what == VIDEO:
                made = swap_uploaded_video(
                    state,
                    opened,
                    source_path,
                    film_path,
                    every_face,
                    paste,
                    job,
                    progress,
                )
                return video_html(made), line(made.words)
            done = swap_photo(
                state.networks,
                opened,
                state.shelf,
                (source_path, int(source_face or 1)),
                (target_path, [int(number) for number in target_faces]),
                paste,
                job.step(progress),
            )
        return swapped_html(done, opened.judge_name, opened.independent), line("swapped")

    return work


def _side(what: str, label: str, choice: Any) -> Side:
    gr = gradio()
    photo = photo_input(f"{what}-photo", label)
    faces = gr.Image(
        label=f"Faces found in the {what}",
        interactive=False,
        visible=False,
        buttons=[],
        elem_id=f"{what}-faces",
        height=360,
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


def _target(kind: Any, video_s: float) -> Target:
    gr = gradio()
    with gr.Column(visible=True) as photo_part:
        side = _side("target", "Target: the photo whose faces are replaced", gr.CheckboxGroup)
    with gr.Column(visible=False) as video_part:
        film = gr.Video(
            label=f"Target: a video, of which the first {video_s:g} s are used",
            sources=["upload", "webcam"],
            buttons=[],
            elem_id="target-video",
            height=300,
        )
        film.preprocess = uploaded_path
        every = gr.Checkbox(False, label="Replace all faces of the video, not the main one alone")

    def show(what: str) -> tuple[Any, ...]:
        return gr.update(visible=what == PHOTO), gr.update(visible=what == VIDEO)

    kind.change(show, [kind], [photo_part, video_part], show_progress="hidden")
    return Target(side, film, every)


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
    """Controls for the settings of `PASTE_FIELDS`, in their order."""
    gr = gradio()
    with gr.Accordion("Paste settings", open=False), gr.Row():
        extent = gr.Slider(0.3, 2, start.extent, step=0.05, label="Extent: size of the mask")
        feather = gr.Slider(0.05, 1, start.feather, step=0.05, label="Feather: width of its soft edge")
        color = gr.Dropdown(list(COLORS), value=start.color, label="Color: match adopts the target's")
        detail = gr.Slider(0, 1, start.detail, step=0.05, label="Detail: of the photo that is kept")
    return [extent, feather, color, detail]


def pasted(start: PasteSettings, given: Sequence[Any]) -> PasteSettings:
    """The settings of the page's controls; those without a control stay as the page was started.

    Args:
        start: The settings of the start.
        given: The controls' values, in the order of `PASTE_FIELDS`.

    Raises:
        InputError: A value out of its range.
    """
    return replace(start, **dict(zip(PASTE_FIELDS, given, strict=True)))


def _opening(state: AppState) -> str:
    trained = state.networks.main.trained
    step = f", iteration {trained.iteration:,}" if trained.iteration is not None else ""
    return (
        f"Checkpoint `{trained.path.name}`{step}, {trained.image_size} px. Photos stay on this machine; uploads are "
        "deleted when the page ends, or earlier. Results are synthetic, and carry a mark that says so. Swap only faces "
        "of people who agree."
    )
