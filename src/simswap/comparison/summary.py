"""Sentences on a comparison: its main results, and how its figures were measured."""

import math
from collections.abc import Mapping
from typing import Any

from simswap.comparison.comparison import Comparison
from simswap.comparison.judges import judges_among
from simswap.comparison.tables import clear
from simswap.comparison.variants import Variant
from simswap.metrics.figures import FIGURES
from simswap.metrics.intervals import approximate


def at_a_glance(comparison: Comparison) -> list[str]:
    """The best variants, the Pareto front, and the variants that differ from the baseline."""
    sentences = []
    known = [v for v in comparison.variants if v.spread("id_retrieval").n and v.spread("pose_error_deg").n]
    if len(known) > 1:
        top = max(known, key=lambda v: v.spread("id_retrieval").mean)
        near = min(known, key=lambda v: v.spread("pose_error_deg").mean)
        sentences.append(
            f"Highest ID retrieval: {top.label}, {_with_sd(top, 'id_retrieval')}. Lowest pose error: "
            f"{near.label}, {_with_sd(near, 'pose_error_deg')}."
        )
        rest = len(comparison.front)
        sentences.append(
            f"On the Pareto front of both ({rest} of {len(comparison.variants)}): {'; '.join(comparison.front)}."
        )
    for name in ("id_retrieval", "pose_error_deg"):
        sentences += _against_baseline(comparison, name)
    return sentences


def _against_baseline(comparison: Comparison, name: str) -> list[str]:
    found = {label: figures[name] for label, figures in comparison.differences.items() if name in figures}
    told = {label: d for label, d in found.items() if not math.isnan(d.over_seeds.low)}
    if not told:
        return []
    up = [label for label, d in told.items() if clear(d) and d.over_seeds.value > 0]
    down = [label for label, d in told.items() if clear(d) and d.over_seeds.value < 0]
    open_ = len(told) - len(up) - len(down)
    parts = [
        f"higher for {'; '.join(up)}" if up else "",
        f"lower for {'; '.join(down)}" if down else "",
        f"not told apart for {'all ' if open_ == len(told) else ''}{open_} variant{'s' if open_ > 1 else ''}"
        if open_
        else "",
    ]
    label = FIGURES[name].label[0].upper() + FIGURES[name].label[1:]
    return [
        f"{label} against {comparison.baseline.label}, by intervals over seeds and, where they are known, pairs: "
        f"{', '.join(part for part in parts if part)}."
    ]


def _with_sd(variant: Variant, name: str) -> str:
    figure, found = FIGURES[name], variant.spread(name)
    unit = f" {figure.unit}" if figure.unit == "%" else figure.unit
    sd = f" ± {figure.shown(found.sd)}" if found.n > 1 else ""
    return f"{figure.shown(found.mean)}{sd}{unit}"


def protocol_words(comparison: Comparison) -> list[tuple[str, str]]:
    """How the figures were measured: (topic, text)."""
    protocol = comparison.protocol
    groups = protocol.get("groups", "persons")
    gallery = f"{_count(protocol.get('gallery_images'))} images of {_count(protocol.get('gallery_persons'))} {groups}"
    if protocol.get("gallery_rule"):
        gallery += f": {protocol['gallery_rule']}"
    words = [
        (
            "protocol",
            f"{protocol.get('name')}: {_count(protocol.get('pairs'))} swaps, "
            + ("all persons" if protocol.get("split") == "all" else f"split {protocol.get('split', 'not known')}")
            + f" of {protocol.get('data')}",
        ),
        ("gallery", gallery),
    ]
    if name := comparison.runs[0].evaluation:
        words.insert(0, ("evaluation", name))
    chance = protocol.get("chance")
    if isinstance(chance, int | float) and not math.isnan(chance):
        words.append(("chance", f"{100 * chance:.2g} % retrieval by a blind draw from the gallery"))
    judge, pose = protocol.get("judge") or {}, protocol.get("pose") or {}
    floor = pose.get("noise_floor_deg")
    words += [
        ("judge", _judge(judge)),
        *((f"judges.{name}", _judge(one)) for name, (_, one) in judges_among(comparison.runs).items()),
        (
            "pose estimator",
            _network(pose)
            + (
                f"; noise floor {floor:.1f}°, the error of a single reading: means over many swaps "
                f"are told apart by their "
                "intervals, also below it"
                if floor
                else "; noise floor not known"
            ),
        ),
    ]
    few = approximate(protocol)
    if any(figure.low == figure.low for run in comparison.runs for figure in run.figures.values()):
        words.append(
            (
                "intervals",
                f"95 %; over {groups}: clustered by {groups} as sources and as targets" + (f" ({few})" if few else ""),
            )
        )
    if protocol.get("targets"):
        words.append(("self-reconstruction", f"over {_count(protocol['targets'])} distinct targets, each counted once"))
    return words


def _judge(judge: Mapping[str, Any]) -> str:
    same = " (the network trained with: identity figures are flattering)" if judge.get("same_network") else ""
    return _network(judge) + same


def _network(network: Mapping[str, Any]) -> str:
    if "name" not in network:
        return ", ".join(str(value) for value in network.values()) or "not known"
    sha256 = network.get("sha256")
    return f"{network['name']} (sha256 {sha256[:8]})" if sha256 else f"{network['name']} (no file)"


def _count(number: object) -> str:
    return f"{number:,}" if isinstance(number, int) else "not known"
