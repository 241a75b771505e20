"""The results of an evaluation, as ``evaluation.json`` and as a printed table of 80 columns."""

import csv
import json
import math
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from simswap.evaluation.instrument_words import chance_words, floor_words, is_known, judge_words, network_words
from simswap.evaluation.overlap import unchecked
from simswap.files import atomic_write
from simswap.measuring.window import PHOTO
from simswap.metrics.figures import FIGURES, Figure, required
from simswap.metrics.intervals import approximate
from simswap.tracking.evaluation_format import FORMAT

WIDTH = 80
KINDS = ("trained", "shipped", "control", "other")
CONTROLS = ("do_nothing", "copy_source")
# In evaluations of every version.
PROTOCOL_KEYS = (
    "name",
    "pairs",
    "gallery_images",
    "gallery_persons",
    "gallery_rule",
    "chance",
    "recognizer",
    "judge",
    "pose",
    "data",
    "split",
    "seed",
    "image_size",
    "template",
)
INTERVAL_KEYS = ("value", "low", "high")


ACROSS = 5
"""Columns of a printed table."""
OF_JUDGES = tuple(
    FIGURES[name]
    for name in ("id_retrieval", "id_retrieval_without_source", "identity_share", "judges_agree", "judges_kappa")
)
"""The columns of a further judge's table. No raw cosines: they mean something else for each recognizer."""


def write_evaluation(path: Path, protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write format, protocol and results as JSON, atomically; a number that is not finite becomes null.

    Raises:
        ValueError: If a protocol key, a control, or a swapper's kind or figure is missing.
        InputError: If the path cannot be written.
    """
    check_evaluation(protocol, results)
    content = {"format": FORMAT, "protocol": protocol, "results": results}
    text = json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def check_evaluation(protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError if something is missing or contradictory."""
    _need(protocol, PROTOCOL_KEYS, "protocol")
    for network, keys in (("recognizer", ()), ("judge", ("same_network",)), ("pose", ("noise_floor_deg",))):
        if network != "recognizer" or protocol[network] is not None:  # precomputed swaps have none
            _need(protocol[network], ("name", "sha256", *keys), f"protocol.{network}")
    judges = {"judge": protocol["judge"], **{f"judges.{one['key']}": one for one in protocol.get("judges", ())}}
    for where, judge in judges.items():
        _need(judge, ("name", "sha256", "same_network"), f"protocol.{where}")
        same = judge["sha256"] == (protocol["recognizer"] or {}).get("sha256")
        same = same or bool(judge.get("in_loss"))
        if same and not judge["same_network"]:  # one set of weights may have several hashes, with a center or without
            raise ValueError(f"protocol.{where}.same_network is False, but the hashes say True")
    _need(results, CONTROLS, "results")
    for name, result in results.items():
        if result.get("kind") not in KINDS:
            raise ValueError(f"results.{name}.kind is {result.get('kind')!r}: one of {', '.join(KINDS)} needed")
        _need(result.get("judges", {}), [one["key"] for one in protocol.get("judges", ())], f"results.{name}.judges")
        parts = {"": result, **{f".slices.{key}": part for key, part in result.get("slices", {}).items()}}
        for where, part in parts.items():
            _need(part, [figure.name for figure in required()], f"results.{name}{where}")
            for figure in required():
                _need(part[figure.name], INTERVAL_KEYS, f"results.{name}{where}.{figure.name}")
            if where:
                _need(part, ["pairs"], f"results.{name}{where}")


def keep_earlier(paths: Sequence[Path]) -> None:
    """Rename the files of an earlier evaluation, with the time of the latest one, so that they are not overwritten."""
    there = [path for path in paths if path.is_file()]
    if there:
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(max(path.stat().st_mtime for path in there)))
        for path in there:
            path.rename(path.with_name(f"{path.stem}_{stamp}{path.suffix}"))


def write_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """List what was left out, and why, as CSV; without anything left out there is no file."""
    path.unlink(missing_ok=True)
    if skipped:
        with atomic_write(path) as part, open(part, "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("what", "reason"), *skipped])


def print_table(
    protocol: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    file: TextIO | None = None,
    stem: str = "evaluation",
) -> None:
    """Print :func:`table_text` to ``file`` (standard output by default)."""
    print(table_text(protocol, results, stem), file=file or sys.stdout)


def table_text(protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]], stem: str = "evaluation") -> str:
    """The protocol, one row per swapper, and the slices by attributes, in at most 80 columns.

    Takes what :func:`write_evaluation` does, and raises the same ValueError; ``stem``: how the files' names begin.
    """
    check_evaluation(protocol, results)
    lines = [*protocol_lines(protocol), "", *figure_table(results, required()), ""]
    more = [
        figure
        for figure in FIGURES.values()
        if figure.printed and not figure.required and any(_is_there(result, figure) for result in results.values())
    ]
    for start in range(0, len(more), ACROSS):
        lines += [*figure_table(results, more[start : start + ACROSS]), ""]
    for judge in protocol.get("judges", ()):
        lines += [f"by judges.{judge['key']}", *figure_table(_by_judge(results, judge["key"]), OF_JUDGES), ""]
    for name, result in results.items():
        if result.get("missed_results"):
            lines += wrapped(
                "no result",
                f"{name}: {result['missed_results']:,} of {protocol['pairs']:,} pairs have "
                "none that can be used (missing, no finite numbers, or not to be embedded by the "
                "judge); its figures are over the others",
            )
        for judge, found in result.get("judges", {}).items():
            if found.get("missed_results", 0) > result.get("missed_results", 0):
                lines += wrapped(
                    "no result",
                    f"{name}: judges.{judge} can measure {protocol['pairs'] - found['missed_results']:,} of "
                    f"{protocol['pairs']:,} pairs; its figures are over these",
                )
        if result.get("missed_poses"):
            lines += wrapped(
                "no pose",
                f"{name}: no face found in {result['missed_poses']:,} of {protocol['pairs']:,} pairs; "
                "its pose error is over the others",
            )
    if protocol.get("skipped"):
        lines += wrapped(
            "left out", f"{protocol['skipped']:,} entries could not be used, and are listed in {stem}_skipped.csv"
        )
    measured = {name for found in (protocol.get("slices") or {}).values() for name in found["slices"]}
    for part in dict.fromkeys(key for result in results.values() for key in result.get("slices", {})):
        if part in measured:  # `slice_tables.slice_text` shows them
            continue
        sliced = {name: r["slices"][part] for name, r in results.items() if part in r.get("slices", {})}
        counts = {"groups": protocol.get("groups", "persons"), **next(iter(sliced.values()))}
        few = approximate(counts)
        kinds = {name: {**figures, "kind": results[name]["kind"]} for name, figures in sliced.items()}
        lines += [
            f"targets with {part}: {counts['pairs']:,} pairs",
            *([f"intervals {few}"] if few else []),
            *figure_table(kinds, required()),
            "",
        ]
    return "\n".join(lines).rstrip("\n")


def protocol_lines(protocol: Mapping[str, Any]) -> list[str]:
    """The description of the protocol above the table."""
    recognizer, pose = protocol["recognizer"], protocol["pose"]
    judges = [
        f"judges.{one['key']}: {judge_words(one, recognizer)}; chance {chance_words(one['chance'])}"
        for one in protocol.get("judges", ())
    ]
    floor = pose["noise_floor_deg"]
    noise = "noise floor not known" if not is_known(floor) else floor_words(floor)
    split = {"": "", "all": "all persons of "}.get(protocol["split"], f"split {protocol['split']} of ")
    groups, few, targets = protocol.get("groups", "persons"), approximate(protocol), protocol.get("targets")
    more = []
    if protocol.get("gaze"):
        more = wrapped(
            "gaze",
            f"{network_words(protocol['gaze'])} against the true gaze; "
            f"{floor_words(protocol['gaze']['noise_floor_deg'])}",
        )
    if protocol.get("fid"):
        more += wrapped("FID", f"of results against targets, by {network_words(protocol['fid'])}")
    if protocol.get("lpips"):
        more += wrapped("LPIPS", f"by {network_words(protocol['lpips'])}")
    if names := unchecked(protocol):
        more += wrapped("overlap", f"not checked in full whether training had persons of the data: {', '.join(names)}")
    return [
        *wrapped(
            "protocol",
            f"{protocol['name']}: {protocol['pairs']:,} swaps, {split}"
            f"{protocol['data']}, {protocol['image_size']} px {protocol['template']} {measured_on(protocol)}"
            + ("" if protocol["seed"] is None else f", seed {protocol['seed']}"),
        ),
        *wrapped(
            "gallery",
            f"{protocol['gallery_images']:,} images of {protocol['gallery_persons']:,} {groups}: "
            f"{protocol['gallery_rule']}",
        ),
        *wrapped(
            "chance",
            "not known"
            if not is_known(protocol["chance"])
            else f"{chance_words(protocol['chance'])} retrieval by a blind draw from the gallery",
        ),
        *wrapped("trained by", network_words(recognizer) if recognizer else "not known: no checkpoint of ours"),
        *(
            line
            for judged in (judge_words(protocol["judge"], recognizer), *judges)
            for line in wrapped("judge", judged)
        ),
        *wrapped("pose", f"{network_words(pose)}; {noise}"),
        *more,
        *wrapped("intervals", f"95 %, clustered by {groups} as sources and as targets{few and f'; {few}'}"),
        *([] if targets is None else wrapped("self-recon", f"over {targets:,} distinct targets, each counted once")),
    ]


def measured_on(protocol: Mapping[str, Any]) -> str:
    """What the instruments saw, in words: crops, or windows of the photos."""
    window = protocol.get("window") or {}
    if window.get("name") != PHOTO:
        return "crops"
    kept = {key: value for key, value in window["settings"].items() if key != "kind"}
    return f"windows of the photos, results pasted in ({', '.join(f'{key} {value}' for key, value in kept.items())})"


def _by_judge(results: Mapping[str, Mapping[str, Any]], judge: str) -> dict[str, dict[str, Any]]:
    """The results as a further judge sees them."""
    return {name: {**result["judges"][judge], "kind": result["kind"]} for name, result in results.items()}


def figure_table(
    results: Mapping[str, Mapping[str, Any]], figures: Sequence[Figure], row: str = "swapper"
) -> list[str]:
    """Two lines per row: its name and values, then its kind and their intervals. row: what a row stands for."""
    columns = [(figure, figure.printed) for figure in figures if figure.printed]
    rows = [["", *(heading.first for _, heading in columns)], [row, *(heading.second for _, heading in columns)]]
    nothing = dict.fromkeys(INTERVAL_KEYS)
    for name, result in results.items():
        cells = [_cell(result.get(f.name, nothing), f.factor, heading.decimals) for f, heading in columns]
        rows.append([name if len(name) <= 12 else f"{name[:10]}..", *(value for value, _ in cells)])
        rows.append([f" ({result['kind']})", *(interval for _, interval in cells)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return [line.rstrip() for line in [*lines[:2], "-" * len(lines[0]), *lines[2:]]]


def _is_there(result: Mapping[str, Any], figure: Figure) -> bool:
    return is_known((result.get(figure.name) or {}).get("value"))


def _cell(interval: Mapping[str, float | None], factor: float, decimals: int) -> tuple[str, str]:
    """("58.3", "55.1..61.4"), with "-" for an unknown number."""
    value, low, high = (_shown(interval[key], factor, decimals) for key in INTERVAL_KEYS)
    return value, "-" if low == "-" or high == "-" else f"{low}..{high}"


def _shown(number: float | None, factor: float, decimals: int) -> str:
    return "-" if number is None or not is_known(number) else f"{factor * number:.{decimals}f}"


def wrapped(label: str, text: str) -> list[str]:
    """The text behind its label, in lines of at most 80 columns."""
    return textwrap.wrap(text, WIDTH, initial_indent=f"{label:<11}", subsequent_indent=" " * 11)


def _need(mapping: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    missing = [key for key in keys if key not in mapping]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")


def _finite(value: Any) -> Any:
    """The same containers, with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(content) for content in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
