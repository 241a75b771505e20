"""The further judges of the compared evaluations, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from simswap.comparison.run import Run
from simswap.metrics.figures import judge_of


def judges_in(protocol: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """An evaluation's further judges as its protocol describes them, by name; entries without a name are left out."""
    listed = protocol.get("judges")
    entries = listed if isinstance(listed, Sequence) else ()
    return {str(one["key"]): one for one in entries if isinstance(one, Mapping) and "key" in one}


def judges_among(runs: Sequence[Run]) -> dict[str, tuple[Run, Mapping[str, Any]]]:
    """Every further judge by name, as the first run that has it describes it."""
    found: dict[str, tuple[Run, Mapping[str, Any]]] = {}
    for run in runs:
        for name, described in judges_in(run.protocol).items():
            found.setdefault(name, (run, described))
    return found


def judging(figures: Mapping[str, Any]) -> list[str]:
    """The names of the further judges that these figures, by name, belong to."""
    return list(dict.fromkeys(judge for name in figures if (judge := judge_of(name)[0])))


def judge_notes(runs: Sequence[Run]) -> list[str]:
    """Notes on further judges: those trained with, runs that lack one, and pairs that one cannot measure."""
    notes = []
    for name in judges_among(runs):
        key = f"judges.{name}"
        own = [found[name] for run in runs if name in (found := judges_in(run.protocol))]
        if any(one.get("same_network") for one in own):
            notes.append(f"{key} is the network trained with: its figures are flattering.")
        lacking = [run.name for run in runs if name not in judges_in(run.protocol)]
        if lacking:
            notes.append(f"Not judged by {key}: {', '.join(lacking)}.")
    return notes
