"""A run's artifacts in W&B: its checkpoints, its data by hash (no pictures), and what it used, in its config.

Artifacts of a run have names of their own, ``checkpoint-<run id>``, so that their aliases belong to that run; data is
named by its hash, so that runs with the same data share one artifact.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from simswap.compat.wandb import add_hashed_reference
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.settings.wandb_environment import say
from simswap.tracking.metrics_rows import STEP, read_rows

FORMS = ("slim", "full", "none")
MODEL, DATASET, EVALUATION = "model", "dataset", "evaluation"
"""Types of artifacts, by W&B's usual words."""
ITERATION = "iteration-"
"""Begins the alias of a checkpoint that names its iteration."""
KEPT = ("best", "last")
"""Aliases of checkpoints, named like their files, that are never pruned."""
ANSWER = 20.0
"""Seconds to wait for the server when a run states what it uses."""
USED = "used"
"""The key of a run's config in W&B that names, with hashes, what the run used."""


class Uploads(NamedTuple):
    """What a run sends beside its metrics; the settings of ``conf/logger/wandb.yaml``."""

    checkpoints: str = "none"
    keep: int = 3
    lineage: bool = False
    code: bool = False
    watch: int | None = None

    def check(self) -> None:
        """Raise InputError for an unknown form of checkpoints."""
        if self.checkpoints not in FORMS:
            raise InputError(f"logger.checkpoints is {self.checkpoints!r}: choose one of {', '.join(FORMS)}")


class DataFacts(NamedTuple):
    """What identifies prepared data: the manifest's hash and what it describes."""

    sha256: str
    crops: int
    persons: int
    template: str
    size: int

    @property
    def artifact(self) -> str:
        """The artifact's name."""
        return f"data-{self.sha256[:12]}"


def checkpoint_name(run_id: str) -> str:
    """The name of the artifact with a run's checkpoints."""
    return f"checkpoint-{run_id}"


def evaluation_name(run_id: str, name: str | None) -> str:
    """The name of the artifact with an evaluation of a run; name: the evaluation's own, None for the first."""
    return f"evaluation-{run_id}" if name is None else f"evaluation-{run_id}-{name}"


def log_used(experiment: Any, data: DataFacts, networks: Mapping[str, Any]) -> None:
    """Put what the run used into its config, and its data into the lineage.

    An online run uses the data's artifact. An offline run cannot use one; it records the artifact as an output, and
    `simswap.comparison.wandb_group` links it when the run is on the server.

    Args:
        experiment: W&B's run object.
        data: The run's data.
        networks: Names and hashes of the networks, and the checkpoint from which the run started.
    """
    facts = data._asdict() | {"artifact": data.artifact}
    experiment.config.update({USED: {"data": facts, **networks}}, allow_val_change=True)
    artifact = _artifact(data.artifact, DATASET, "prepared crops, by the hash of their manifest", facts)
    add_hashed_reference(artifact, "manifest", f"simswap-data://sha256/{data.sha256}", data.sha256)
    if experiment.offline:
        experiment.log_artifact(artifact)
    else:
        within(ANSWER, lambda: experiment.use_artifact(artifact))


def within(seconds: float, call: Callable[[], Any]) -> None:
    """Call a function that may wait for the server without end.

    Raises:
        TimeoutError: It is not done in time; it is left behind in its thread.
        Exception: What the call raised.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # the caller's thread raises it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="W&B")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {seconds:g} s")
    if errors:
        raise errors[0]


def log_checkpoints(experiment: Any, run: Path, form: str, keep: int) -> list[str]:
    """Log the run's best and last checkpoints as versions of one artifact.

    ``best`` and ``last`` of one iteration are one version with both aliases. With ``keep=1`` it is the best one alone.

    Args:
        experiment: W&B's run object.
        run: The run folder.
        form: ``slim`` (description and EMA generator in half precision), ``full`` (from which a run can also be
            resumed or started), or ``none``.
        keep: The largest number of versions.

    Returns:
        The aliases of each version, as ``best, iteration-200``.
    """
    versions: dict[str, tuple[Path, list[str], dict[str, Any]]] = {}
    for alias in KEPT if form != "none" else ():
        file = run / "checkpoints" / f"{alias}.ckpt"
        if not file.is_file():
            continue
        try:
            made, facts = _made(file, run / "wandb" / "artifacts", form)
        except InputError as error:
            say(f"W&B: the checkpoint {alias} is no artifact ({error})")
            continue
        named = f"{ITERATION}{facts['iteration']}"
        if named in versions:
            versions[named][1].insert(0, alias)
        elif len(versions) < keep:
            versions[named] = made, [alias, named], facts
    for file, aliases, facts in versions.values():
        facts |= _figures_at(run, facts["iteration"])
        artifact = _artifact(checkpoint_name(experiment.id), MODEL, f"a {form} checkpoint", facts)
        artifact.add_file(str(file), name="checkpoint.ckpt", policy="immutable", skip_cache=True)
        experiment.log_artifact(artifact, aliases=aliases)
    return [", ".join(aliases) for _, aliases, _ in versions.values()]


def _made(source: Path, folder: Path, form: str) -> tuple[Path, dict[str, Any]]:
    """A checkpoint's file as it is uploaded, which stays in the run folder until then, and what describes it."""
    from simswap import checkpoint  # simswap-compare reads names from this module, and should not wait for torch

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{source.stem}.part.ckpt"
    if form == "slim":
        checkpoint.write_slim(source, part)
    else:
        shutil.copyfile(source, part)
    content = checkpoint.read(part)
    described = content[checkpoint.KEY]
    iteration = int(described.get("iterations") or content.get("global_step") or 0)
    file = folder / f"{form}-{iteration}.ckpt"
    os.replace(part, file)
    facts = {name: described.get(name) for name in ("image_size", "template", "recognizer", "package_version")}
    return file, facts | {"iteration": iteration, "form": form, "sha256": sha256_of(file), "of": sha256_of(source)}


def _figures_at(run: Path, iteration: int) -> dict[str, float]:
    """The figures of the last validation up to an iteration, from metrics.csv, whose steps begin at 0."""
    found: dict[str, float] = {}
    for row in read_rows(run / "metrics.csv"):
        if int(row[STEP]) < iteration:
            found |= {name: float(text) for name, text in row.items() if text and name.startswith("val/")}
    return {name: value for name, value in found.items() if name.count("/") == 1}


def _artifact(name: str, kind: str, description: str, metadata: Mapping[str, Any]) -> Any:
    import wandb

    return wandb.Artifact(name, type=kind, description=description, metadata=dict(metadata))


def log_files(experiment: Any, name: str, kind: str, files: Mapping[str, Path], metadata: Mapping[str, Any]) -> None:
    """Log files as an artifact.

    Args:
        experiment: W&B's run object.
        name: The artifact's name.
        kind: Its type.
        files: The files by their names in the artifact.
        metadata: What describes it.
    """
    artifact = _artifact(name, kind, "", metadata)
    for called, file in files.items():
        artifact.add_file(str(file), name=called)
    experiment.log_artifact(artifact)


@contextmanager
def staged_in(run: Path) -> Iterator[None]:
    """Let W&B keep copies of what is to be uploaded in the run folder, not in the home folder.

    A WANDB_DATA_DIR of the user's own stays.
    """
    if os.environ.get("WANDB_DATA_DIR", "").strip():
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str((run / "wandb" / "data").absolute())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def prune(api: Any, project: str, run_id: str, keep: int) -> list[str]:
    """Delete a run's oldest checkpoint versions beyond ``keep``.

    Versions with an alias other than ``iteration-N`` stay: the best, the last, and those that a user named.

    Args:
        api: wandb.Api.
        project: ``entity/project``.
        run_id: The run's id in W&B.
        keep: The largest number of versions.

    Returns:
        The deleted versions, as ``checkpoint-abc:v0``.
    """
    name = f"{project}/{checkpoint_name(run_id)}"
    if not api.artifact_collection_exists(name, MODEL):
        return []
    versions = sorted(api.artifacts(MODEL, name), key=lambda one: int(one.version.removeprefix("v")), reverse=True)
    named = [one for one in versions if any(not _is_own(alias) for alias in one.aliases)]
    others = [one for one in versions if one not in named]
    gone = others[max(0, keep - len(named)) :]
    for one in gone:
        one.delete(delete_aliases=True)
    return [f"{checkpoint_name(run_id)}:{one.version}" for one in reversed(gone)]


def _is_own(alias: str) -> bool:
    """Whether an alias protects nothing: our names of iterations, W&B's ``latest`` and ``v3``."""
    return alias.startswith(ITERATION) or alias == "latest" or (alias[:1] == "v" and alias[1:].isdigit())
