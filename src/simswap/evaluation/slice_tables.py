"""The slices by what was measured, as printed tables: one per swapper and quantity, one row per slice."""

from collections.abc import Mapping
from typing import Any

from simswap.evaluation.report import figure_table, wrapped
from simswap.metrics.figures import required


def slice_text(protocol: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables, in at most 80 columns; empty without such slices.

    The controls are left out: evaluation.json has them. Takes what `evaluation.report.write_evaluation` writes.
    """
    lines = []
    for found in (protocol.get("slices") or {}).values():
        lines += [*_head(found), ""]
        for name, result in results.items():
            parts = {part: result["slices"][part] for part in found["slices"] if part in result.get("slices", {})}
            if parts and result["kind"] != "control":
                rows = {
                    part.removeprefix(f"{found['label']} "): {**figures, "kind": f"{figures['pairs']:,} pairs"}
                    for part, figures in parts.items()
                }
                lines += [f"{name} by {found['label']}", *figure_table(rows, required(), "slice"), ""]
    return "\n".join(lines).rstrip("\n")


def _head(found: Mapping[str, Any]) -> list[str]:
    """What the quantity is, where it is cut, and what is left out."""
    edges = " and ".join(f"{edge:.3g}" for edge in found["edges"])
    text = f"by the {found['definition']}; {found['rule']}" + (f" ({edges})" if edges else "")
    text += f"; not known for {found['unknown']:,} pairs" if found["unknown"] else ""
    few = [f"{name} ({found['slices'][name]['pairs']:,})" for name in found["left_out"]]
    text += f"; left out, because they have few pairs: {', '.join(few)}" if few else ""
    return wrapped("slices", text)
