"""What an offline start of W&B holds, read from its records."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from simswap.compat.wandb import history_rows, parsed_records
from tests.waiting import until


class LoggedArtifact(NamedTuple):
    """An artifact as it is recorded. files: name → (digest, size, the local file or the address)."""

    name: str
    type: str
    aliases: tuple[str, ...]
    metadata: dict[str, Any]
    files: dict[str, tuple[str, int, str]]
    user: bool


class Recorded(NamedTuple):
    """A fragment: the run's names, its config, history rows, summary, artifacts, and files that are uploaded."""

    names: dict[str, str]
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    artifacts: list[LoggedArtifact]
    saved: list[str]
    folder: Path

    def of_type(self, kind: str) -> list[LoggedArtifact]:
        return [one for one in self.artifacts if one.type == kind]


def fragments(folder: Path) -> list[Path]:
    """The files of a folder's offline starts, the earliest first."""
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime_ns)


def recorded(file: Path) -> Recorded:
    """A fragment, as soon as W&B's own process, which outlives the end of the run, has written its end."""

    def look() -> list[Any]:
        found = list(parsed_records(file))
        return found if any(one.WhichOneof("record_type") == "exit" for one in found) else []

    names: dict[str, str] = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    artifacts, saved = [], []
    for record in until(look, f"the end of the run in {file}"):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            names = {"name": record.run.display_name, "group": record.run.run_group, "job_type": record.run.job_type,
                     "id": record.run.run_id, "project": record.run.project}  # fmt: skip
        for item in record.run.config.update if kind == "run" else record.config.update:
            config["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        saved += [one.path for one in record.files.files]
        if kind == "artifact":
            artifacts.append(_artifact(record.artifact))
    rows = [{key: json.loads(value) for key, value in row.items()} for row in history_rows(file)]
    return Recorded(names, config, rows, summary, artifacts, saved, file.parent)


def _artifact(record: Any) -> LoggedArtifact:
    files = {one.path: (one.digest, one.size, one.local_path or one.ref) for one in record.manifest.contents}
    metadata = json.loads(record.metadata) if record.metadata else {}
    return LoggedArtifact(record.name, record.type, tuple(record.aliases), metadata, files, record.user_created)
