"""Checks that all runs were measured alike; otherwise they cannot be in one table."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from simswap.comparison.judges import judge_notes, judges_among, judges_in
from simswap.comparison.run import Run
from simswap.errors import InputError
from simswap.measuring.window import OF_CROPS
from simswap.metrics.figures import FIGURES, of_judge

SAME_RULER = (
    ("window", "measuring windows"),
    ("judge", "judges"), ("pose", "pose estimators"), ("gallery_persons", "gallery sizes"),
    ("gallery_images", "gallery sizes"), ("name", "protocols"), ("pairs", "numbers of pairs"),
    ("image_size", "picture sizes"), ("template", "crop templates"), ("split", "splits"), ("precision", "precisions"),
)  # fmt: skip
"""What the runs of one table must have in common, and its name in errors."""

SAME_ON_SAME_PAIRS = (("faces", "ways of finding faces"), ("gallery_sha256", "galleries"))
"""The same for runs with the same pairs; with other pairs these always differ, and a note says so."""

NEWER = ("template", "precision", "faces", "gallery_sha256")
"""Not in every older evaluation: compared only if both sides have it."""

OPTIONAL_INSTRUMENTS = {
    "recognizer": "recognizers",
    "gaze": "gaze estimators",
    "fid": "feature networks",
    "lpips": "LPIPS networks",
}
"""Instruments that decide single figures: if they differ, those figures are left out and the others stay."""

KEPT_NAMES = ("last.ckpt", "best.ckpt", "previous.ckpt")


def check_one_ruler(runs: Sequence[Run]) -> None:
    """Raise InputError, naming two runs and what differs, unless all were measured alike."""
    first = runs[0]
    for run in runs[1:]:
        same_pairs = run.protocol.get("pairs_sha256") and run.protocol.get("pairs_sha256") == first.protocol.get(
            "pairs_sha256"
        )
        for key, called in (*SAME_RULER, *(SAME_ON_SAME_PAIRS if same_pairs else ())):
            default = OF_CROPS if key == "window" else None  # earlier evaluations measured crops
            ours, theirs = (one.protocol.get(key, default) for one in (first, run))
            if differ(ours, theirs) and not (key in NEWER and (ours is None or theirs is None)):
                raise _refusal(first, run, f"measured with different {called}", *_told_apart(ours, theirs))
        ours, theirs = first.protocol.get("faces"), run.protocol.get("faces")
        if ours and theirs and _how(ours) != _how(theirs):
            raise _refusal(first, run, "measured with different ways of finding faces", *_told_apart(ours, theirs))
        if not same_pairs and first.protocol.get("data") != run.protocol.get("data"):
            raise _refusal(
                first, run, "measured on different data", first.protocol.get("data"), run.protocol.get("data")
            )
    _check_judges(runs)
    _check_checkpoints(runs)


def differ(ours: Any, theirs: Any) -> bool:
    """Whether two entries of a protocol differ; instruments are compared by their digests."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return bool(ours != theirs)
    if "digest" in ours and "digest" in theirs:
        return bool(ours["digest"] != theirs["digest"])
    if ours.get("sha256") and theirs.get("sha256"):  # older evaluations have no settings, but names that include some
        return (ours.get("name"), ours["sha256"]) != (theirs.get("name"), theirs["sha256"])
    unsettled = ({k: v for k, v in each.items() if k != "same_network"} for each in (ours, theirs))
    return next(unsettled) != next(unsettled)


def mixed_figures(runs: Sequence[Run]) -> dict[str, str]:
    """Figures measured by different instruments, each with a note; they must not be in one table."""
    found = {}
    for figure, key in [(figure.name, figure.instrument) for figure in FIGURES.values()]:
        if key not in OPTIONAL_INSTRUMENTS:
            continue
        measured = [run for run in runs if figure in run.figures and run.protocol.get(key)]
        for run in measured[1:]:
            ours, theirs = measured[0].protocol[key], run.protocol[key]
            if differ(ours, theirs):
                one, other = _told_apart(ours, theirs)
                found[figure] = (
                    f"{figure} is left out: {measured[0].name} and {run.name} were measured with "
                    f"different {OPTIONAL_INSTRUMENTS[key]} ({one} and {other})."
                )
                break
    return found


def ruler_notes(runs: Sequence[Run]) -> list[str]:
    """Notes on how the runs of one table were measured."""
    notes = []
    at = {run.name: run.iteration for run in runs if run.iteration is not None}
    if len(set(at.values())) > 1:
        notes.append(f"Measured after different numbers of iterations: {named_counts(at)}.")
    judged = [run for run in runs if "sha256" in (run.protocol.get("pose") or {})]
    unknown = [run.name for run in judged if "digest" not in run.protocol["pose"]]
    if unknown and len(unknown) < len(judged):
        notes.append(
            "The settings of the instruments are not known for evaluations of older versions (their files "
            f"agree): {', '.join(unknown)}."
        )
    unsure = [run.name for run in runs if any(one["reason"] for one in run.protocol.get("overlap", ()))]
    if unsure:
        notes.append(f"Not checked in full whether training had persons of the data: {', '.join(unsure)}.")
    notes += judge_notes(runs)
    missed = [("missed_results", "Pairs without a usable result"), ("missed_poses", "Pairs without a pose")]
    for name in judges_among(runs):
        missed.append((of_judge(name, "missed_results"), f"Pairs that judges.{name} cannot measure"))
    for key, what in missed:
        counts = {run.name: run.missed[key] for run in runs if run.missed.get(key)}
        for run in runs:
            for other in run.others:
                if other.missed.get(key):
                    counts.setdefault(other.name, other.missed[key])
        if counts:
            notes.append(
                f"{what}, of {runs[0].protocol.get('pairs')}: {named_counts(counts)}. Their figures are over "
                "the other pairs."
            )
    return notes


def named_counts(counts: Mapping[str, int], most: int = 12) -> str:
    """``a 3, b 5``; for many, the range too."""
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:most])
    rest = len(counts) - most
    return (
        shown
        if rest <= 0
        else (f"{min(counts.values()):,} to {max(counts.values()):,} in {len(counts)} cases, among them {shown}")
    )


def _check_judges(runs: Sequence[Run]) -> None:
    """Refuse different networks under one judge's name; a run that lacks the judge differs from none."""
    firsts = judges_among(runs)
    for run in runs:
        for name, theirs in judges_in(run.protocol).items():
            first, ours = firsts[name]
            if differ(ours, theirs):
                what = f"measured with different networks as judges.{name}"
                raise _refusal(first, run, what, *_told_apart(ours, theirs))


def _check_checkpoints(runs: Sequence[Run]) -> None:
    """Refuse to mix kinds of checkpoints: ``best.ckpt`` was chosen by its validation, ``last.ckpt`` was not."""
    kept = [(run, name) for run in runs if (name := PurePath(run.checkpoint).name) in KEPT_NAMES]
    for run, name in kept[1:]:
        if name != kept[0][1]:
            raise _refusal(kept[0][0], run, "measured by different checkpoints", kept[0][1], name)


def _refusal(first: Run, run: Run, what: str, ours: Any, theirs: Any) -> InputError:
    return InputError(
        f"{first.name} and {run.name} were {what} ({ours} and {theirs}), so their figures cannot be "
        "in one table: evaluate one again like the other, or compare runs of one kind"
    )


def _how(faces: Mapping[str, Any]) -> Any:
    """How faces were found, without the hash of prepared crops, which depends on the pairs."""
    return faces.get("name"), faces.get("settings")


def _told_apart(ours: Any, theirs: Any) -> tuple[str, str]:
    """Describe two different entries: by names and hashes if these differ, otherwise by the settings that do."""
    words = _in_words(ours), _in_words(theirs)
    if words[0] != words[1] or not isinstance(ours, Mapping):
        return words
    one, other = ours.get("settings") or {}, theirs.get("settings") or {}
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return tuple(
        f"{words[0]}, " + ", ".join(f"{key}={each.get(key)}" for key in keys)  # type: ignore[return-value]
        for each in (one, other)
    )


def _in_words(value: Any) -> str:
    """A network's name and the beginning of its file's hash; any other value as text."""
    if isinstance(value, Mapping) and "name" in value:
        sha256 = value.get("sha256")
        return f"{value['name']}, sha256 {sha256[:8]}" if sha256 else str(value["name"])
    return str(value)
