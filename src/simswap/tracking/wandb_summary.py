"""A run's summary in W&B, its row in the table of runs: best and last values of training, and the evaluation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simswap.metrics.figures import validated
from simswap.tracking.evaluation_format import FORMAT, as_current
from simswap.tracking.metrics_rows import STEP, read_rows, recorded_names
from simswap.tracking.status import FINISHED, RUNNING, current_state
from simswap.tracking.wandb_environment import say, settled_mode
from simswap.tracking.wandb_run import end, folder_of, go_on, known_as, reason_of

PREFIX = "evaluation/"
FACTS = PREFIX + "facts"
"""Each swapper's values that are not figures, by its name."""
KEPT_FACTS = ("checkpoint", "sha256", "iteration", "missed_results", "missed_poses")
WORST = "worst"
"""The picture of a swapper's worst pairs, behind its place."""
KINDS, PROTOCOL, GRID = PREFIX + "kinds", PREFIX + "protocol", PREFIX + "grid"
FORMAT_KEY = PREFIX + "format"


def best_goals(run: Path) -> dict[str, str]:
    """The series whose best value the summary has beside the last one: name in this run → ``max`` or ``min``."""
    recorded = recorded_names(run / "metrics.csv")
    return {recorded.get(name, name): figure.goal for name, figure in validated().items() if figure.best}


def training_summary(run: Path) -> dict[str, Any]:
    """The summary of metrics.csv: every metric's last value, and for some the best one too.

    It is needed because each fragment of a run (see `wandb_history`) begins with an empty summary, and the last
    fragment's summary counts.
    """
    values: dict[str, list[float]] = {}
    for row in read_rows(run / "metrics.csv"):
        for name, text in row.items():
            if text and name != STEP:
                values.setdefault(name, []).append(float(text))
    summary: dict[str, Any] = {name: numbers[-1] for name, numbers in values.items()}
    for name, best in best_goals(run).items():
        numbers = [number for number in values.get(name, []) if not math.isnan(number)]
        if numbers:
            summary[name] = {best: max(numbers) if best == "max" else min(numbers), "last": values[name][-1]}
    return summary


def evaluation_summary(protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Convert an evaluation to values of the summary.

    They are ``evaluation/<figure>`` of the trained network, each with its interval, ``evaluation/<swapper>/<figure>``
    of the others, and the protocol.
    """
    kinds = {key: entry["kind"] for key, entry in results.items()}
    summary: dict[str, Any] = {FORMAT_KEY: FORMAT, PROTOCOL: dict(protocol), KINDS: kinds}
    summary[FACTS] = {
        key: {name: entry[name] for name in KEPT_FACTS if name in entry} for key, entry in results.items()
    }
    for key, entry in results.items():
        for name, figure in entry.items():
            if isinstance(figure, Mapping) and "value" in figure:
                summary[_place(key) + name] = {
                    part: figure[part] for part in ("value", "low", "high", "n") if part in figure
                }
    return summary


def evaluation_in(summary: Mapping[str, Any], where: str = "the run's summary in W&B") -> dict[str, Any] | None:
    """The reverse of `evaluation_summary`: ``format``, ``protocol`` and ``results``, converted by `as_current`.

    Args:
        summary: The run's summary.
        where: Its address, for errors.

    Returns:
        The evaluation; None if the summary has none.

    Raises:
        InputError: If it is of a newer version.
    """
    if not isinstance(summary.get(KINDS), Mapping) or not isinstance(summary.get(PROTOCOL), Mapping):
        return None
    results = {}
    for key, kind in summary[KINDS].items():
        place = _place(key)
        figures = {
            name.removeprefix(place): value
            for name, value in summary.items()
            if name.startswith(place) and "/" not in name.removeprefix(place)
        }
        facts = summary.get(FACTS)
        results[key] = {"kind": kind, **figures, **(facts.get(key, {}) if isinstance(facts, Mapping) else {})}
    content = {"format": summary.get(FORMAT_KEY, 1), "protocol": summary[PROTOCOL], "results": results}
    return as_current(content, where)


def put_evaluation(
    run: Path,
    protocol: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    grid: Path | None,
    mode: str,
    worst: Mapping[str, Path] | None = None,
) -> None:
    """Add an evaluation to the run's summary in W&B, if its training logged there.

    If the server does not answer, or the run is still running and so holds its W&B run, the evaluation is left out with
    a line that says so. An offline run gets one more fragment.

    Args:
        run: The run folder.
        protocol: As in evaluation.json.
        results: As in evaluation.json.
        grid: A grid of its swaps; None without one.
        mode: See `settled_mode`.
        worst: Pictures of the worst pairs, by the swapper's name.
    """
    called, mode = known_as(run), settled_mode(mode)
    if called is None or mode == "disabled":
        return
    state = current_state(run)
    if state == RUNNING:
        say(f"the evaluation is not in W&B ({run} is still running): run simswap-evaluate again when it has ended")
        return
    try:
        import wandb

        experiment, reason = go_on(run, called, mode)
    except Exception as error:  # W&B may fail in any way; the evaluation is safe in its own file
        experiment, reason = None, reason_of(error)
    if experiment is None:
        say(f"the evaluation is not in W&B ({reason}): run simswap-evaluate again when its server answers")
        return
    summary = training_summary(run) | evaluation_summary(protocol, results)
    if grid is not None:
        summary[GRID] = wandb.Image(str(grid))
    for swapper, picture in (worst or {}).items():
        summary[_place(swapper) + WORST] = wandb.Image(str(picture))
    experiment.summary.update(summary)
    where = f"to upload: wandb sync {folder_of(experiment)}" if experiment.offline else experiment.url
    end(experiment, failed=state not in (FINISHED, None))
    say(f"W&B: the evaluation is in the run's summary; {where}")


def _place(swapper: str) -> str:
    return PREFIX if swapper == "trained" else f"{PREFIX}{swapper}/"
