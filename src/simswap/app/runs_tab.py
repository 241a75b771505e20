"""The tab that shows runs: the comparison page, sample grids, curves, and two checkpoints on the same pair."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from simswap.app.inputs import NETWORKS, WIDE, cancels, example_pairs, fills, pair_input, photo_input
from simswap.app.jobs import Jobs
from simswap.app.library import gradio
from simswap.app.lines import line, told
from simswap.app.parts import figures_table, slider
from simswap.app.photo_work import swap_photo
from simswap.app.run_folders import RunFolders
from simswap.app.run_pages import CURVES, comparison_html, curves_html, grid_html, metric_names
from simswap.app.state import AppState

DRAWING = "drawing"
"""Handlers of this name wait for each other: matplotlib's settings are the process's."""
OWN = "the page's own checkpoint"
Lists = dict[Any, Callable[[RunFolders], list[str]]]
"""Dropdowns, and what their choices are now: runs come and go."""


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    if state.runs is None:
        gr.Markdown("The page was started without runs. Start it with `runs=<folder>` to see those below that folder.")
        return
    runs = state.runs
    with gr.Row():
        view = gr.Radio([*OF_CHOSEN, *OF_ONE], value="Compare", label="Show", scale=4)  # tabs are too wide for a phone
        again = gr.Button("Look for new runs", scale=1)
    chosen = gr.Dropdown(_choices(runs), multiselect=True, label="Runs, or folders of them")
    parts: list[Any] = []
    lists: Lists = {chosen: _choices}
    for name, build_view in (OF_CHOSEN | OF_ONE).items():
        with gr.Column(visible=name == "Compare") as part:
            lists |= build_view(state, runs, chosen)
        parts.append(part)
    view.change(
        lambda shown: (
            [gr.update(visible=name == shown) for name in (*OF_CHOSEN, *OF_ONE)]
            + [gr.update(visible=shown in OF_CHOSEN)]
        ),
        [view],
        [*parts, chosen],
        show_progress="hidden",
    )
    again.click(lambda: [gr.update(choices=find(runs)) for find in lists.values()], outputs=list(lists))


def _choices(runs: RunFolders) -> list[str]:
    return [*runs.groups(), *runs.names()]


def _comparison(state: AppState, runs: RunFolders, chosen: Any) -> Lists:
    gr = gradio()
    figures = gr.Radio(
        [("final evaluation", "evaluation"), ("last validation of the training", "validation")],
        value="evaluation",
        label="Figures",
    )
    compare = gr.Button("Compare", variant="primary", elem_id="compare")
    said = gr.HTML(line(""), elem_id="compare-line")
    page = gr.HTML("", elem_id="comparison")

    def show(choices: Sequence[str], source: str) -> tuple[str, str]:
        html, words = comparison_html(runs, state.shelf, choices or (), source)
        return html, line(words)

    compare.click(told(show, 1), [chosen, figures], [page, said], concurrency_id=DRAWING, concurrency_limit=1)
    return {}


def _curves(state: AppState, runs: RunFolders, chosen: Any) -> Lists:
    gr = gradio()
    metrics = gr.Dropdown(list(CURVES), value=list(CURVES), multiselect=True, label="Metrics", allow_custom_value=False)
    draw = gr.Button("Draw", variant="primary", elem_id="draw")
    said = gr.HTML(line(""), elem_id="curves-line")
    chart = gr.HTML("", elem_id="curves")

    def known(choices: Sequence[str]) -> Any:
        names = metric_names(runs, choices or ())
        return gr.update(choices=names or list(CURVES), value=[name for name in CURVES if name in names] or names[:4])

    def show(choices: Sequence[str], names: Sequence[str]) -> tuple[str, str]:
        return curves_html(runs, state.shelf, choices or (), names or ()), line("drawn")

    chosen.change(known, [chosen], [metrics])
    draw.click(told(show, 1), [chosen, metrics], [chart, said], concurrency_id=DRAWING, concurrency_limit=1)
    return {}


def _grids(state: AppState, runs: RunFolders, _: Any) -> Lists:
    gr = gradio()
    run = gr.Dropdown(runs.names(), value=None, label="Run")
    place = gr.Slider(1, 2, 1, step=1, label="Which of its sample grids, the first to the last", visible=False)
    said = gr.HTML(line(""), elem_id="grids-line")
    grid = gr.HTML("", elem_id="grid")

    def choose(name: str | None) -> tuple[Any, str, str]:
        found = list(runs.grids(name)) if name else []
        if not name or not found:
            words = f"{name} has no sample grids: samples.every draws them in training" if name else ""
            return gr.update(visible=False), "", line(words)
        last = len(found)
        update = gr.update(minimum=1, maximum=max(last, 2), value=last, visible=last > 1)
        words = f"{last} sample grids, of iterations {found[0]:,} to {found[-1]:,}"
        return update, grid_html(runs, state.shelf, name, found[-1]), line(words)

    def show(name: str | None, number: int) -> tuple[str, str]:
        found = list(runs.grids(name)) if name else []
        if not name or not found:
            return "", line("")
        iteration = found[min(max(int(number), 1), len(found)) - 1]
        return grid_html(runs, state.shelf, name, iteration), line(f"iteration {iteration:,}")

    run.change(told(choose, 2), [run], [place, grid, said])
    place.release(told(show, 1), [run, place], [grid, said], show_progress="hidden")
    return {run: RunFolders.names}


def _two(state: AppState, runs: RunFolders, _: Any) -> Lists:
    gr = gradio()
    jobs = Jobs()
    names = _checkpoints(runs)
    with gr.Row():
        first = gr.Dropdown(names, value=OWN, label="First checkpoint", min_width=WIDE)
        second = gr.Dropdown(names, value=names[-1], label="Second checkpoint", min_width=WIDE)
    pairs = example_pairs(state.examples)
    example = pair_input(pairs, "Example pair for both")
    with gr.Row():
        source = photo_input("both-source", "Source for both: a photo of the person to put in")
        target = photo_input("both-target", "Target for both: its main face is replaced")
    with gr.Row():
        swap = gr.Button("Swap with both", variant="primary", elem_id="swap-both", scale=3)
        cancel = gr.Button("Cancel", elem_id="cancel-both")
    said = gr.HTML(line(""), elem_id="both-line")
    result = gr.HTML("", elem_id="both-result")

    def work(
        request: gr.Request,  # type: ignore[valid-type, name-defined]
        progress: Any = gr.Progress(),  # noqa: B008
        one: str = "",
        other: str = "",
        source_path: str | None = None,
        target_path: str | None = None,
    ) -> tuple[str, str]:
        with jobs.begun(request.session_hash) as job:
            done = both_html(state, runs, (one, other), source_path, target_path, job.step(progress))
        return done, line("swapped")

    fills(example, pairs, source, target)
    started = swap.click(
        told(work, 1),
        [first, second, source, target],
        [result, said],
        concurrency_id=NETWORKS,
        concurrency_limit=1,
        show_progress_on=result,
    )
    cancels(cancel, jobs, started, said)
    return {first: _checkpoints, second: _checkpoints}


def _checkpoints(runs: RunFolders) -> list[str]:
    return [OWN, *runs.checkpoints()]


OF_CHOSEN = {"Compare": _comparison, "Curves": _curves}
"""What the tab shows of the chosen runs: name → builder."""
OF_ONE = {"Grids": _grids, "Swap both": _two}
"""What has a choice of its own."""


def both_html(
    state: AppState,
    runs: RunFolders,
    checkpoints: tuple[str, str],
    source: str | None,
    target: str | None,
    step: Any,
) -> str:
    """The same pair, swapped with two checkpoints, under a slider, with the figures of both.

    Raises:
        InputError: A checkpoint or a photo cannot be used, or the user has cancelled.
    """
    networks, names = state.networks, list(checkpoints)
    done, judges = [], []
    for number, name in enumerate(checkpoints):
        step(0.5 * number, f"opening {names[number]}")
        opened = networks.main if name == OWN else networks.open(runs.inside(runs.root / name))
        done.append(
            swap_photo(
                networks,
                opened,
                state.shelf,
                (source, 1),
                (target, [1]),
                networks.settings.paste,
                partial(_half, step, number, names[number]),
            )
        )
        judges.append((opened.judge_name, opened.independent))
    labels = names if names[0] != names[1] else [f"{names[0]} ({place})" for place in ("first", "second")]
    rows = {label: one.figures[1] for label, one in zip(labels, done, strict=True)}
    tables = (
        figures_table(rows, *judges[0])
        if judges[0] == judges[1]
        else "".join(figures_table({label: rows[label]}, *judge) for label, judge in zip(labels, judges, strict=True))
    )
    return slider(done[0].after, done[1].after, done[0].size, (labels[0], labels[1])) + tables


def _half(step: Any, number: int, name: str, share: float, words: str) -> None:
    """Report the progress of one of two jobs as the progress of both."""
    step((number + share) / 2, f"{name}: {words}")
