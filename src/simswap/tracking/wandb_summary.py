"""A run's summary in W&B, its row in the table of runs: best and last values of training, and the evaluation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simswap.errors import InputError
from simswap.metrics.figures import validated
from simswap.settings.wandb_environment import say, settled_mode
from simswap.tracking.evaluation_format import FORMAT, as_current
from simswap.tracking.evaluation_names import names_in, stem_in
from simswap.tracking.metrics_rows import STEP, STEP_METRIC, read_rows, recorded_names
from simswap.tracking.runs import evaluation_file, read_evaluation
from simswap.tracking.status import FINISHED, RUNNING, current_state
from simswap.tracking.wandb_artifacts import staged_in
from simswap.tracking.wandb_evaluation import PAIRS, PairsTable, remember_tables, table_of, tables_in
from simswap.tracking.wandb_run import end, folder_of, go_on, known_as, reason_of

FACTS = "facts"
"""Each swapper's values that are not figures, by its name."""
KEPT_FACTS = ("checkpoint", "sha256", "iteration", "missed_results", "missed_poses")
WORST = "worst"
"""The picture of a swapper's worst pairs, behind its place."""
KINDS, PROTOCOL, GRID, FORMAT_KEY = "kinds", "protocol", "grid", "format"
JUDGES = "judges/"
"""Begins a further judge's figures behind their swapper's place, ``judges/<judge>/<figure>``. In a name with dots, W&B
would look for nested values."""


def prefix_of(name: str | None) -> str:
    """Begins the keys of an evaluation: ``evaluation/``, or ``evaluations/<name>/`` for a named one."""
    return "evaluation/" if name is None else f"evaluations/{name}/"


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


def evaluation_summary(
    protocol: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    name: str | None = None,
    number: int = FORMAT,
) -> dict[str, Any]:
    """Convert an evaluation to values of the summary.

    They are ``evaluation/<figure>`` of the trained network, each with its interval, ``evaluation/<swapper>/<figure>``
    of the others, ``judges/<judge>/<figure>`` in the figure's place for a further judge, and the protocol. A named
    evaluation has ``evaluations/<name>/`` in place of ``evaluation/``.

    Args:
        protocol: As in evaluation.json.
        results: As in evaluation.json.
        name: The evaluation's name; None for the first.
        number: The evaluation's format.
    """
    prefix = prefix_of(name)
    kinds = {key: entry["kind"] for key, entry in results.items()}
    summary: dict[str, Any] = {prefix + FORMAT_KEY: number, prefix + PROTOCOL: dict(protocol), prefix + KINDS: kinds}
    summary[prefix + FACTS] = {key: _facts(entry) for key, entry in results.items()}
    for key, entry in results.items():
        summary |= _figures(_place(prefix, key), entry)
        for judge, found in entry.get("judges", {}).items():
            summary |= _figures(f"{_place(prefix, key)}{JUDGES}{judge}/", found)
    return summary


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a swapper's results hold beside figures; of a further judge, the pairs that it misses."""
    facts = {name: entry[name] for name in KEPT_FACTS if name in entry}
    judges = {judge: _facts(found) for judge, found in entry.get("judges", {}).items()}
    return facts | ({"judges": judges} if judges else {})


def _figures(place: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        place + name: {part: figure[part] for part in ("value", "low", "high", "n") if part in figure}
        for name, figure in entry.items()
        if isinstance(figure, Mapping) and "value" in figure
    }


def evaluation_in(
    summary: Mapping[str, Any], where: str = "the run's summary in W&B", name: str | None = None
) -> dict[str, Any] | None:
    """The reverse of `evaluation_summary`: ``format``, ``protocol`` and ``results``, converted by `as_current`.

    Args:
        summary: The run's summary.
        where: Its address, for errors.
        name: The evaluation's name; None for the first.

    Returns:
        The evaluation; None if the summary has none.

    Raises:
        InputError: If it is of a newer version.
    """
    prefix = prefix_of(name)
    own = {key.removeprefix(prefix): value for key, value in summary.items() if key.startswith(prefix)}
    kinds, facts = own.get(KINDS), own.get(FACTS)
    if not isinstance(kinds, Mapping) or not isinstance(own.get(PROTOCOL), Mapping):
        return None
    facts = facts if isinstance(facts, Mapping) else {}
    results = {key: {"kind": kind, **_entry(own, _place("", key), facts.get(key, {}))} for key, kind in kinds.items()}
    content = {"format": own.get(FORMAT_KEY, 1), "protocol": own[PROTOCOL], "results": results}
    return as_current(content, where)


def _entry(own: Mapping[str, Any], place: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A swapper's results: the figures at its place, its further judges' ones, and its facts."""
    judges: dict[str, dict[str, Any]] = {judge: dict(found) for judge, found in facts.get("judges", {}).items()}
    entry: dict[str, Any] = {}
    for key, value in own.items():
        parts = key.removeprefix(place).split("/")
        if key.startswith(place) and len(parts) == 1:
            entry[parts[0]] = value
        elif key.startswith(place + JUDGES) and len(parts) == 3:
            judges.setdefault(parts[1], {})[parts[2]] = value
    return {**entry, **facts, **({"judges": judges} if judges else {})}


def put_evaluation(
    run: Path,
    protocol: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    grid: Path | None,
    mode: str,
    worst: Mapping[str, Path] | None = None,
    name: str | None = None,
    pairs: PairsTable | None = None,
) -> None:
    """Add an evaluation to the run's summary in W&B, if its training logged there.

    If the server does not answer, or the run is still running and so holds its W&B run, the evaluation is left out with
    a line that says so. An offline run gets one more fragment. The other evaluations in the run's folder are added too,
    because the newest fragment's summary is the run's.

    Args:
        run: The run folder.
        protocol: As in evaluation.json.
        results: As in evaluation.json.
        grid: A grid of its swaps; None without one.
        mode: See `settled_mode`.
        worst: Pictures of the worst pairs, by the swapper's name.
        name: The evaluation's name; None for the first.
        pairs: The table of pairs, for ``evaluation/pairs``; None without one.
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
    summary, pictures = _others(run, name)
    rows = read_rows(run / "metrics.csv")
    steps = {STEP_METRIC: int(rows[-1][STEP])} if rows else {}
    summary = training_summary(run) | steps | summary | evaluation_summary(protocol, results, name)
    pictures |= {prefix_of(name) + GRID: grid} if grid is not None else {}
    pictures |= {_place(prefix_of(name), swapper) + WORST: picture for swapper, picture in (worst or {}).items()}
    own = prefix_of(name) + PAIRS
    summary |= {key: entry for key, entry in tables_in(run).items() if key != own}
    summary |= {key: wandb.Image(str(picture)) for key, picture in pictures.items()}
    with staged_in(run):
        experiment.summary.update(summary | ({own: table_of(pairs)} if pairs is not None else {}))
    if pairs is not None:
        remember_tables(run, {own: experiment.summary._as_dict()[own]})
    where = f"to upload: wandb sync {folder_of(experiment)}" if experiment.offline else experiment.url
    end(experiment, failed=state not in (FINISHED, None))
    say(f"W&B: the evaluation is in the run's summary; {where}")


def _others(run: Path, name: str | None) -> tuple[dict[str, Any], dict[str, Path]]:
    """The summary of a run's evaluations except the one of this name, and their pictures by key."""
    summary: dict[str, Any] = {}
    pictures: dict[str, Path] = {}
    for other in names_in(run):
        if other == name:
            continue
        try:
            content = read_evaluation(run, other)
            found = evaluation_summary(content["protocol"], content["results"], other, content["format"])
        except (InputError, AttributeError, KeyError, TypeError) as error:
            say(f"{evaluation_file(run, other)} is not in W&B ({error})")
            continue
        summary |= found
        prefix, stem = prefix_of(other), stem_in(run, other)
        there = {prefix + GRID: Path(f"{stem}.png")}
        for key in content["results"]:
            end = WORST if key == "trained" else f"{WORST}_{key}"
            there[_place(prefix, key) + WORST] = Path(f"{stem}_{end}.png")
        pictures |= {key: path for key, path in there.items() if path.is_file()}
    return summary, pictures


def _place(prefix: str, swapper: str) -> str:
    return prefix if swapper == "trained" else f"{prefix}{swapper}/"
