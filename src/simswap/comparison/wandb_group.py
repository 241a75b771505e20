"""``python -m simswap.comparison.wandb_group ENTITY/PROJECT GROUP``: finish in W&B what offline runs cannot do there.

When the runs of a group are on the server, it links the artifacts that they used, deletes old checkpoint versions, and
makes a workspace and a report. Running it again changes nothing that is done already, but makes another report.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from simswap.comparison.wandb_runs import group_of, is_in, open_api
from simswap.comparison.wandb_workspace import build_group_report, build_workspace, varied_settings
from simswap.errors import InputError
from simswap.settings.wandb_environment import settled_mode, tidied
from simswap.tracking.wandb_artifacts import DATASET, MODEL, USED, Uploads, checkpoint_name, prune
from simswap.tracking.wandb_evaluation import JOB
from simswap.wandb_files import SCHEME, parsed

JOBS = ("train", JOB)


def runs_of(api: Any, project: str, group: str) -> list[Any]:
    """The training and evaluation runs of a group.

    Args:
        api: wandb.Api.
        project: ``entity/project``.
        group: An experiment's name, or a sweep's group.

    Raises:
        InputError: There is none.
    """
    found = [
        run for run in api.runs(project, filters={"jobType": {"$in": list(JOBS)}}, lazy=False) if is_in(run, group)
    ]
    if not any(run.job_type == "train" for run in found):
        raise InputError(f"{project} has no training run in the group {group}: upload offline runs first (wandb sync)")
    return found


def checkpoints_of(api: Any, project: str, runs: Sequence[Any]) -> dict[str, Any]:
    """The checkpoint artifacts of runs, by the SHA-256 of their file and of the file that they were made of."""
    found: dict[str, Any] = {}
    for run in runs:
        name = f"{project}/{checkpoint_name(run.id)}"
        if run.job_type == "train" and api.artifact_collection_exists(name, MODEL):
            for version in api.artifacts(MODEL, name):
                found |= {version.metadata[key]: version for key in ("of", "sha256") if version.metadata.get(key)}
    return found


def inputs_of(api: Any, project: str, run: Any, checkpoints: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """What a run used, according to its config: the artifacts, and one line for each that the server does not have."""
    used = dict(run.config).get(USED) or {}
    found, missing = [], []
    data = used.get("data")
    if data is not None:
        name = f"{project}/{data['artifact']}"
        if api.artifact_collection_exists(name, DATASET):
            found.append(api.artifact(f"{name}:latest", type=DATASET))
        else:
            missing.append(f"{run.name}: there is no {data['artifact']}")
    for kind in ("start_from", "checkpoint"):
        one = used.get(kind)
        if one is None:
            continue
        if one["sha256"] in checkpoints:
            found.append(checkpoints[one["sha256"]])
        elif str(one.get("path", "")).startswith(SCHEME):
            found.append(api.artifact(parsed(one["path"]).address))
        else:
            missing.append(f"{run.name}: no artifact has the {kind} with SHA-256 {one['sha256'][:12]}…")
    return found, missing


def link(api: Any, project: str, runs: Sequence[Any]) -> tuple[int, list[str]]:
    """Link the artifacts that runs used and that are not linked yet.

    Returns:
        How many links were added, and one line for each artifact that the server does not have.
    """
    checkpoints = checkpoints_of(api, project, runs)
    added, missing = 0, []
    for run in runs:
        found, absent = inputs_of(api, project, run, checkpoints)
        missing += absent
        linked = {artifact.id for artifact in run.used_artifacts()} if found else set()
        for artifact in found:
            if artifact.id not in linked:
                run.use_artifact(artifact)
                added += 1
    return added, missing


def finish_group(
    api: Any, project: str, group: str, keep: int, workspace: bool = True, report: bool = True
) -> list[str]:
    """Link, prune, and make workspace and report; returns what was done, in lines.

    Raises:
        InputError: There is no such group.
    """
    runs = runs_of(api, project, group)
    added, missing = link(api, project, runs)
    trained = [run for run in runs if run.job_type == "train"]
    gone = [name for run in trained for name in prune(api, project, run.id, keep)]
    lines = [f"{len(trained)} training runs and {len(runs) - len(trained)} evaluations of {group}",
             f"linked {added} artifacts to the runs that used them", *missing,
             f"deleted {len(gone)} checkpoint versions" + (f": {', '.join(gone)}" if gone else "")]  # fmt: skip
    entity, _, name = project.partition("/")
    arguments = entity, name, group, [group_of(run) for run in trained], varied_settings([r.config for r in trained])
    if workspace:
        lines.append(f"workspace: {build_workspace(*arguments).save().url}")
    if report:
        lines.append(f"report: {build_group_report(*arguments).save().url}")
    return lines


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simswap.comparison.wandb_group",
        description="Link lineage, prune checkpoints, and make a workspace and a report of a group of runs in W&B.",
    )
    parser.add_argument("project", metavar="ENTITY/PROJECT")
    parser.add_argument("group", metavar="GROUP", help="an experiment's name, or a sweep's '<name> <its folder>'")
    parser.add_argument(
        "--keep", type=int, default=Uploads().keep, help="checkpoint versions of each run (%(default)s)"
    )
    parser.add_argument("--no-workspace", action="store_true", help="make no workspace")
    parser.add_argument("--no-report", action="store_true", help="make no report")
    given = parser.parse_args()
    try:
        for line in _finished(given):
            print(line)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")


def _finished(given: argparse.Namespace) -> list[str]:
    if given.project.count("/") != 1 or given.keep < 1:
        raise InputError(f"{given.project}, --keep {given.keep}: give ENTITY/PROJECT, and at least 1 version to keep")
    if (mode := settled_mode("auto")) != "online":
        raise InputError(f"this needs W&B's server, but its variables in the environment say {mode}: unset them")
    views = not (given.no_workspace and given.no_report)
    try:
        if views:
            import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise InputError("workspace and report need wandb-workspaces: pip install 'simswap[reports]'") from error
    api = open_api()
    try:
        with tidied():
            return finish_group(
                api, given.project, given.group, given.keep, not given.no_workspace, not given.no_report
            )
    except InputError:
        raise
    except Exception as error:  # the workspaces package raises bare Exceptions
        reason = " ".join(str(error).split()) or repr(error)
        raise InputError(f"{given.project}: {reason.rstrip('.')}; check the name, the login and the server") from error


if __name__ == "__main__":
    main()
