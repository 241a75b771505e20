"""A run's summary in W&B, which is a row of its table of runs: training's best and last values, and the evaluation."""

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
"""Each swapper's plain values, by its name."""
KEPT_FACTS = ("checkpoint", "sha256", "iteration", "missed_results", "missed_poses")
KINDS, PROTOCOL, GRID = PREFIX + "kinds", PREFIX + "protocol", PREFIX + "grid"
FORMAT_KEY = PREFIX + "format"


def best_goals(run: Path) -> dict[str, str]:
    """The series whose best value stands beside the last one: name in this run → ``max`` or ``min``."""
    recorded = recorded_names(run / "metrics.csv")
    return {recorded.get(name, name): figure.goal for name, figure in validated().items() if figure.best}


def training_summary(run: Path) -> dict[str, Any]:
    """What W&B would have of metrics.csv: every metric's last value, and of some the best one too.

    A fragment of a run (see `wandb_history`) begins with an empty summary, and the last one stands.
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
    """An evaluation.json as the summary's values: ``evaluation/<figure>`` of the trained network, each with its
    interval, ``evaluation/<swapper>/<figure>`` of the others, and by which protocol."""
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
    """The reverse of `evaluation_summary`: ``format``, ``protocol`` and ``results``, of an older format as `as_current`
    says; None where a summary holds no evaluation. Raises InputError for one of a newer version."""
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
    run: Path, protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]], grid: Path | None, mode: str
) -> None:
    """Put an evaluation that lies in a run's folder into the run's summary in W&B, where training has logged there.

    A run that is on a server stays there: where it does not answer, the evaluation is left out, which is said; so it
    is of a run that is still going, which holds its W&B run. An offline run gets one more fragment.

    Args:
        protocol, results: as in evaluation.json.
        grid: a picture of its swaps.
        mode: see `settled_mode`.
    """
    called, mode = known_as(run), settled_mode(mode)
    if called is None or mode == "disabled":
        return
    state = current_state(run)
    if state == RUNNING:
        say(f"W&B has not got the evaluation ({run} is still going): run simswap-evaluate again when it has ended")
        return
    try:
        import wandb

        experiment, reason = go_on(run, called, mode)
    except Exception as error:  # whatever W&B stumbles over on this machine: the evaluation is in its own file
        experiment, reason = None, reason_of(error)
    if experiment is None:
        say(f"W&B has not got the evaluation ({reason}): run simswap-evaluate again when its server answers")
        return
    summary = training_summary(run) | evaluation_summary(protocol, results)
    if grid is not None:
        summary[GRID] = wandb.Image(str(grid))
    experiment.summary.update(summary)
    where = f"to upload: wandb sync {folder_of(experiment)}" if experiment.offline else experiment.url
    end(experiment, failed=state not in (FINISHED, None))
    say(f"W&B: the evaluation is in the run's summary; {where}")


def _place(swapper: str) -> str:
    return PREFIX if swapper == "trained" else f"{PREFIX}{swapper}/"
