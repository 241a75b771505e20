"""``simswap-compare``: put runs side by side on one page."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from simswap.comparison.collected import SOURCES, load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.output import WORK, check_folder, write_all
from simswap.comparison.run import Run
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from simswap.comparison.wandb_report import check_report, publish
from simswap.comparison.wandb_runs import load_wandb, open_api
from simswap.errors import InputError
from simswap.launching.claims import claimed
from simswap.launching.folders import TIME, new_folder
from simswap.launching.front_door import front_door
from simswap.tracking.evaluation_names import check_name


def compare(cfg: DictConfig) -> None:
    """Compare with a checked config: the page, Markdown, CSV files and PNG figures."""
    with tempfile.TemporaryDirectory() as pictures:  # W&B's, until they are in the page
        page_of(cfg, Path(pictures))


def page_of(cfg: DictConfig, pictures: Path) -> None:
    """The runs, their comparison, its files, and the W&B report if one is wanted."""
    if cfg.out is not None:
        check_folder(Path(cfg.out))
    if cfg.report:
        check_report(cfg.report)
    runs, left_out = collect(cfg, pictures)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    which = "" if cfg.evaluation is None else f", evaluation {cfg.evaluation}"
    comparison = compare_runs(
        runs,
        title=cfg.title or f"Comparison of {named(cfg.runs or cfg.wandb)}{which}",
        baseline=cfg.baseline,
        columns=None if cfg.columns is None else list(cfg.columns),
        left_out=left_out,
    )
    sections = sections_of(
        comparison, published=cfg.published, curves=list(cfg.curves), pictures=cfg.pictures, most=cfg.worst
    )
    # Created only when there is something to write; two processes at the same moment get two folders.
    out = new_folder(Path("outputs") / "compare" / time.strftime(TIME)) if cfg.out is None else Path(cfg.out)
    with claimed(out, WORK):
        page = write_all(out, comparison, sections, time.strftime("%Y-%m-%d %H:%M"))
    for line in comparison.notes:
        print(f"note: {line}")
    print(f"{len(comparison.runs)} runs in {len(comparison.variants)} variants: {page}")
    if cfg.report:
        print(f"report: {publish(comparison, sections, out, cfg.report)}")


def collect(cfg: DictConfig, pictures: Path) -> tuple[list[Run], list[str]]:
    """The runs on the command line, and a line for each that was left out."""
    if (cfg.runs is None) == (cfg.wandb is None):
        raise InputError("say which runs: runs=outputs/<name> (folders, globs or a list), or wandb=entity/project")
    if cfg.figures not in SOURCES:
        raise InputError(f"figures={cfg.figures}: choose one of {', '.join(SOURCES)}")
    asked = None if cfg.evaluation is None else str(cfg.evaluation)
    if asked is not None:
        check_name(asked, "evaluation")
        if cfg.figures != "evaluation":
            raise InputError(f"evaluation={asked} and figures={cfg.figures}: leave out one of them")
    where = keep_where(OmegaConf.to_container(cfg.where) if cfg.where else None)  # type: ignore[arg-type]
    if cfg.wandb:
        return load_wandb(
            open_api(),
            cfg.wandb,
            cfg.figures,
            list(cfg.curves),
            where,
            pictures,
            group=cfg.group,
            tags=list(cfg.tags),
            asked=asked,
        )
    given = cfg.runs if isinstance(cfg.runs, str) else list(cfg.runs)
    return load_local(given, cfg.figures, list(cfg.curves), where, asked)


def named(runs: str | Sequence[str]) -> str:
    """What the command line compares, in a few words."""
    names = [Path(str(run)).name or str(run) for run in ([runs] if isinstance(runs, str) else runs)]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def main() -> None:
    """The entry point of ``simswap-compare``."""
    front_door(compare, "compare")


if __name__ == "__main__":
    main()
