"""The tab that shows the layer range of weak feature matching on one pair."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simswap.app.inputs import NETWORKS, WIDE, example_pairs, fills, pair_input, photo_input
from simswap.app.layer_view import Compared, Range, compare, range_html
from simswap.app.library import gradio
from simswap.app.lines import line, told
from simswap.app.state import AppState
from simswap.checkpoint import load_discriminators
from simswap.errors import InputError
from simswap.inference.layer_pictures import LAYERS_CHECKPOINT

OPENING = (
    "The discriminators compare a swap with its target layer by layer. Weak feature matching trains with the distances "
    "of layers **m to M** alone: early layers, which hold the target's appearance in detail, are left out so that "
    "identity may change. Choose a pair, compare, then move m and M."
)
REDUCTIONS = {"sum over layers (the paper)": "sum", "mean over layers": "mean"}
QUICK = {"show_progress": "hidden", "trigger_mode": "always_last", "concurrency_limit": None}
ALIKE, OWN = "one color scale for all layers", "each layer its own"
PACKAGED = f"{LAYERS_CHECKPOINT.name} (comes with the package, rendered faces)"


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    gr.Markdown(OPENING)
    pairs, fixed = example_pairs(state.examples), checkpoints(state)
    begun = load_discriminators(next(iter(fixed.values())))

    def known() -> dict[str, Path]:  # runs may come and go
        return fixed | (state.runs.checkpoints() if state.runs else {})

    with gr.Row():
        path = gr.Dropdown(
            list(known()),
            value=next(iter(fixed)),
            label="Checkpoint with discriminators",
            elem_id="layers-checkpoint",
            min_width=WIDE,
        )
        example = pair_input(pairs, "Example pair for layers", elem_id="layers-example")
    with gr.Row():
        source = photo_input("layers-source", "Source: a photo of the person to put in", 240)
        target = photo_input("layers-target", "Target: the photo whose face is replaced", 240)
    button = gr.Button("Compare layers", variant="primary", elem_id="layers-compare")
    with gr.Row():
        first = _layer("m: the first layer that counts", begun.first_layer, begun.layers, "layers-first")
        last = _layer("M: the last layer that counts", begun.last_layer, begun.layers, "layers-last")
    with gr.Row():
        names = {value: name for name, value in REDUCTIONS.items()}
        reduction = gr.Radio(
            list(REDUCTIONS),
            value=names[begun.layer_reduction],
            label="Adding up",
            elem_id="layers-reduction",
            min_width=WIDE,
        )
        scale = gr.Radio([ALIKE, OWN], value=ALIKE, label="Colors", elem_id="layers-colors", min_width=WIDE)
    said, result, kept = gr.HTML(line(""), elem_id="layers-line"), gr.HTML("", elem_id="layers-result"), gr.State(None)

    _live(kept, (first, last), (reduction, scale), [result, said])
    path.focus(lambda: gr.update(choices=list(known())), outputs=[path], **QUICK)
    fills(example, pairs, source, target)
    button.click(
        told(_comparer(state, known, names), 5),
        [path, source, target, scale],
        [kept, first, last, reduction, result, said],
        concurrency_id=NETWORKS,
        concurrency_limit=1,
        show_progress_on=result,
    )


def _comparer(state: AppState, known: Callable[[], Mapping[str, Path]], names: Mapping[str, str]) -> Any:
    gr = gradio()

    def work(name: str, source_path: str | None, target_path: str | None, colors: str) -> tuple[Any, ...]:
        chosen = known().get(name)
        if chosen is None:
            raise InputError("this checkpoint is no longer there: choose another")
        pair = compare(state.networks, chosen, source_path, target_path)
        begins, most = pair.trained, pair.maps.layers - 1
        return (
            pair,
            gr.update(maximum=most, value=begins.first_layer),
            gr.update(maximum=most, value=begins.last_layer),
            names[begins.layer_reduction],
            range_html(pair, begins, colors == OWN),
            line("compared; m, M and the colors now work without the networks"),
        )

    return work


def _live(kept: Any, ends: tuple[Any, Any], choices: tuple[Any, Any], shown: list[Any]) -> None:
    """Draw again when m, M, the reduction or the colors change, without the networks."""
    gr = gradio()
    first, last = ends

    def show(pair: Compared | None, begin: float, end: float, how: str, colors: str) -> tuple[str, str]:
        if pair is None:
            return "", line("choose a pair and compare first")
        return range_html(pair, Range(int(begin), int(end), REDUCTIONS[how]), colors == OWN), line("")

    # A slider that passes the other one takes it along: m is never above M.
    def move_first(pair: Compared | None, begin: float, end: float, *more: Any) -> tuple[Any, str, str]:
        return gr.skip() if begin <= end else begin, *show(pair, begin, max(begin, end), *more)

    def move_last(pair: Compared | None, begin: float, end: float, *more: Any) -> tuple[Any, str, str]:
        return gr.skip() if begin <= end else end, *show(pair, min(begin, end), end, *more)

    given = [kept, first, last, *choices]
    first.input(told(move_first, 2), given, [last, *shown], **QUICK)
    last.input(told(move_last, 2), given, [first, *shown], **QUICK)
    for choice in choices:
        choice.input(told(show, 1), given, shown, **QUICK)


def checkpoints(state: AppState) -> dict[str, Path]:
    """Checkpoints with discriminators, apart from those of runs: the page's own if it has them, and the package's."""
    own = state.networks.main.trained.path
    found = {PACKAGED: LAYERS_CHECKPOINT}
    try:
        load_discriminators(own)
    except InputError:  # most files that are made to be shared have none
        return found
    return {f"{own.name} (of this page)": own} | found


def _layer(label: str, value: int, layers: int, name: str) -> Any:
    return gradio().Slider(0, layers - 1, value, step=1, label=label, elem_id=name, min_width=WIDE)
