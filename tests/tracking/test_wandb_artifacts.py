"""A run's checkpoints, data and code as W&B has them: one offline training, read back from its records."""

import hashlib
import json
import re
import shutil
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image
from pyarrow import parquet
from tests.training.runs import SMALL, finish
from tests.wandb_records import Recorded, fragments, recorded

from simswap import checkpoint
from simswap.data.manifest import Manifest
from simswap.errors import InputError
from simswap.evaluate import main as evaluate
from simswap.tracking.logger import build_loggers
from simswap.tracking.wandb_artifacts import DataFacts, Uploads, log_checkpoints, log_used, prune, within
from simswap.tracking.wandb_code import uncommitted
from simswap.version import git_commit


@pytest.fixture(scope="module")
def run(crops, tmp_path_factory) -> Path:
    """The folder of a finished run of 6 iterations that logged offline, with histograms every 3 iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    arguments = [*SMALL, "logger.mode=offline", "logger.watch=3", f"data.root={crops}", f"hydra.run.dir={folder}"]
    output = folder.parent / "output.txt"
    assert finish(arguments, output) == 0, output.read_text()
    return folder


@pytest.fixture(scope="module")
def start(run) -> Recorded:
    (file,) = fragments(run)
    return recorded(file)


def test_best_and_last_are_slim_versions_of_one_artifact(run, start):
    models = start.of_type("model")
    assert {one.name for one in models} == {f"checkpoint-{start.names['id']}"}
    saved = {
        alias: int(torch.load(run / "checkpoints" / f"{alias}.ckpt", weights_only=True)["global_step"])
        for alias in ("best", "last")
    }
    aliases = [alias for one in models for alias in one.aliases if not alias.startswith("iteration-")]
    assert sorted({*aliases} - {"latest"}) == ["best", "last"]  # W&B adds latest by itself
    for one in models:
        for alias in {*one.aliases} & {"best", "last"}:
            assert f"iteration-{saved[alias]}" in one.aliases
        ((digest, size, local),) = one.files.values()
        file = Path(local)
        assert run in file.parents  # nothing lies in the home folder until it is uploaded
        assert file.stat().st_size == size < (run / "checkpoints" / "last.ckpt").stat().st_size / 4
        assert hashlib.sha256(file.read_bytes()).hexdigest() == one.metadata["sha256"]
        assert digest
        assert checkpoint.load(file).iteration == one.metadata["iteration"]
        assert 0 <= one.metadata["val/id_retrieval"] <= 1
    assert "last" in max(models, key=lambda one: one.metadata["iteration"]).aliases


def test_data_is_a_reference_by_hash_without_pictures(crops, start):
    (data,) = start.of_type("dataset")
    manifest = Manifest.open(crops)
    sha256 = manifest.rows_sha256()
    assert data.name == f"data-{sha256[:12]}"
    assert data.files == {"manifest": (sha256, 0, f"simswap-data://sha256/{sha256}")}
    assert data.metadata == {"artifact": data.name, "sha256": sha256, "crops": 120, "persons": 30,
                             "template": "arcface", "size": 32}  # fmt: skip


def test_what_the_run_used_is_in_its_config(run, start):
    used = start.config["used"]
    hashes = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["RunFingerprint"]["hashes"]
    assert used["data"]["sha256"] == hashes["data"]
    assert {group: one["sha256"] for group, one in used.items() if group != "data"} == {
        group: hashes[group] for group in ("recognition", "judge", "pose")
    }
    assert start.config["code"]["commit"] == git_commit()
    assert "requirements.txt" in {path.name for path in (start.folder / "files").iterdir()}


def test_histograms_of_gradients_are_part_of_the_rows_of_their_iterations(start):
    rows = {row["trainer/global_step"]: row for row in start.rows}
    keys = {step: {key for key in row if key.startswith("gradients/")} for step, row in rows.items()}
    assert sorted(step for step, found in keys.items() if found) == [2, 5]
    blocks = {"generator.first", "generator.id_blocks.0", "generator.last", "discriminators.scales.1.logits",
              "discriminators.scales.0.layers.0"}  # fmt: skip
    assert {f"gradients/{block}/_type" for block in blocks} <= keys[2]
    counts, edges = (rows[2][f"gradients/generator.last/{part}"] for part in ("values", "bins"))
    assert sum(counts) % (3 * 7 * 7) == 3  # weights of the last convolution: 3 x width x 7 x 7, and 3 biases
    assert (len(counts), len(edges)) == (64, 65)
    assert edges[0] == -edges[-1]
    assert "train/identity" in rows[2]


def test_an_evaluation_is_a_table_of_pairs_and_an_artifact(run, start, door):
    arguments = ["protocol.persons=6", "protocol.images_per_person=3", "protocol.pairs=12", "grid_faces=2"]
    last = run / "checkpoints" / "last.ckpt"
    code, _, errors = door(evaluate, f"checkpoint={last}", *arguments, "upload.pairs=4", "upload.worst=2")
    assert code == 0, errors
    own, added = map(recorded, fragments(run)[1:])
    identity = start.names["id"]
    assert (own.names["job_type"], own.names["group"]) == ("evaluate", start.names["group"])
    assert own.names["id"] != identity == added.names["id"]
    used = own.config["used"]["checkpoint"]
    assert (used["run"], used["artifact"], used["iteration"]) == (identity, f"checkpoint-{identity}", 6)
    assert used["sha256"] in {one.metadata["of"] for one in start.of_type("model")}  # so that it can be linked
    (artifact,) = own.of_type("evaluation")
    assert (artifact.name, set(artifact.files)) == (f"evaluation-{identity}", {"evaluation.json", "pairs.parquet"})
    size = {name: entry[1] for name, entry in artifact.files.items()}
    assert size["evaluation.json"] == (run / "evaluation.json").stat().st_size

    assert added.summary["evaluation/pairs"]["_type"] == "table-file"
    (logged,) = added.of_type("run_table")
    files = {name: Path(entry[2]) for name, entry in logged.files.items()}
    table = json.loads(files["evaluation/pairs.table.json"].read_text())
    assert all(run / "wandb" in file.parents for file in files.values())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    figures = parquet.read_table(run / "evaluation_pairs.parquet").to_pylist()[:12]  # trained comes first
    by_pair = {f"{one['target']} < {one['source']}": one for one in figures}
    assert [row["pair"] for row in rows if "sample" in row["chosen"]] == [list(by_pair)[k] for k in (0, 4, 7, 11)]
    assert sum("worst by pose" in row["chosen"] for row in rows) == 2
    assert sum("worst by identity" in row["chosen"] for row in rows) == 2
    for row in rows:
        one = by_pair[row["pair"]]
        assert row["target_person"] == one["target_person"]
        for name in ("id_retrieval", "pose_error_deg", "id_similarity", "self_reconstruction_l1"):
            assert row[name] == one[name] or (row[name] in (None, "NaN") and one[name] != one[name])
        with Image.open(files[row["result"]["path"]]) as result:
            assert result.size == (32, 32)
            assert checkpoint.load(last).sha256 in str(result.info["xmp"])  # the results say that they are synthetic
            assert "synthetic face swap" in str(result.info["xmp"])
        assert b"ns.adobe.com" not in files[row["target"]["path"]].read_bytes()

    keys = keys_of_workspace()
    assert keys["history"] <= {key for row in start.rows for key in row}
    for kind, tree in (("summary", added.summary), ("config", start.config)):
        for key in keys[kind]:
            assert found_in(tree, key.replace(".value", "", 1) if kind == "config" else key), (kind, key)
    assert keys["media"] <= {*added.summary} | {key.removesuffix("/_type") for row in start.rows for key in row}


def keys_of_workspace() -> dict[str, set[str]]:
    """The keys that the workspace's panels and columns show."""
    pytest.importorskip("wandb_workspaces", reason="the extra 'reports' is not installed")
    from simswap.comparison.wandb_workspace import RANGE, build_workspace

    model = build_workspace("me", "p", "demo", ["demo"], {key: [0, 1] for key in RANGE})._to_model()
    text = json.dumps(model.model_dump(by_alias=True, mode="json"))
    found = {kind: set(re.findall(rf"\"{kind}:([\w./]+)\"", text)) for kind in ("summary", "config")}
    found["history"] = set(re.findall(r'"((?:val|train|watch|trainer)/\w+)"', text))
    found["media"] = {
        name for names in re.findall(r'"mediaKeys": \[([^\]]*)\]', text) for name in json.loads(f"[{names}]")
    }
    assert min(map(len, found.values())) >= 3
    return found


def found_in(tree, key: str) -> bool:
    """Whether a summary or config has a key, whose dots may be those of nested values."""
    if key in tree:
        return True
    first, _, rest = key.partition(".")
    return bool(rest) and isinstance(tree.get(first), dict) and found_in(tree[first], rest)


def test_keep_1_is_the_best_alone(run, tmp_path):
    class Experiment:
        id, offline = "abc", True

        def __init__(self):
            self.logged = []

        def log_artifact(self, artifact, aliases):
            self.logged.append((artifact.name, aliases, artifact.metadata["form"]))

    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes((run / "checkpoints" / "previous.ckpt").read_bytes())
    experiment = Experiment()
    assert log_checkpoints(experiment, tmp_path, "full", 1) == ["best, iteration-4"]
    assert experiment.logged == [("checkpoint-abc", ["best", "iteration-4"], "full")]
    log_checkpoints(experiment, tmp_path, "slim", 3)
    assert [aliases for _, aliases, _ in experiment.logged[1:]] == [["best", "iteration-4"], ["last", "iteration-6"]]
    log_checkpoints(experiment, tmp_path, "none", 3)
    assert len(experiment.logged) == 3
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"cut off")
    assert log_checkpoints(experiment, tmp_path, "slim", 3) == ["best, iteration-4"]


def test_an_unknown_form_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"logger\.checkpoints is 'fat': choose one of slim, full, none"):
        build_loggers(tmp_path, checkpoints="fat")
    Uploads("full").check()


def test_an_online_run_uses_its_data_and_waits_no_longer_than_it_is_told():
    class Experiment:
        offline, used = False, []

        class config:
            given: dict = {}  # noqa: RUF012

            @classmethod
            def update(cls, values, allow_val_change):
                cls.given |= values

        def use_artifact(self, artifact):
            self.used.append((artifact.name, artifact.type))

    log_used(Experiment(), DataFacts("f" * 64, 5, 2, "arcface", 32), {"judge": {"name": "j", "sha256": "1"}})
    assert Experiment.used == [(f"data-{'f' * 12}", "dataset")]
    assert Experiment.config.given["used"]["judge"] == {"name": "j", "sha256": "1"}
    held = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.01 s"):
        within(0.01, held.wait)
    held.set()
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


def test_all_ranks_of_a_run_are_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr("simswap.launching.ranks.is_first", lambda: False)
    assert [type(one).__name__ for one in build_loggers(tmp_path, mode="offline")] == ["MetricsCsvLogger"]
    assert not (tmp_path / "wandb").exists()


class Version:
    def __init__(self, number, *aliases):
        self.version, self.aliases, self.deleted = f"v{number}", list(aliases), None

    def delete(self, delete_aliases):
        self.deleted = delete_aliases


class Api:
    def __init__(self, *versions):
        self.versions, self.asked = versions, []

    def artifact_collection_exists(self, name, type):
        self.asked.append(name)
        return bool(self.versions)

    def artifacts(self, type_name, name):
        assert (type_name, name) == ("model", "me/p/checkpoint-abc")
        return self.versions


@pytest.mark.parametrize(("keep", "gone"), [(1, [0, 2, 10]), (3, [0, 2, 10]), (4, [0, 2]), (5, [0]), (6, []), (9, [])])
def test_the_oldest_versions_without_a_name_are_pruned(keep, gone):
    versions = [
        Version(10, "iteration-900"), Version(0, "iteration-100"), Version(2, "iteration-400"),
        Version(1, "iteration-200", "best"), Version(11, "iteration-950", "last", "latest"), Version(3, "mine"),
    ]  # fmt: skip
    assert prune(Api(*versions), "me/p", "abc", keep) == [f"checkpoint-abc:v{number}" for number in gone]
    assert {one.version for one in versions if one.deleted} == {f"v{number}" for number in gone}


def test_a_run_without_checkpoints_has_nothing_to_prune():
    assert prune(Api(), "me/p", "abc", 1) == []


def test_uncommitted_changes_are_what_git_apply_takes(tmp_path):
    import subprocess

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    assert uncommitted(tmp_path) == b""
    git("init")
    (tmp_path / "a").write_text("1\n")
    git("add", "a")
    git("commit", "-m", "a")
    assert uncommitted(tmp_path) == b""
    (tmp_path / "a").write_text("2\n")
    (tmp_path / "below").mkdir()
    found = uncommitted(tmp_path / "below")  # the complete checkout, from any of its folders
    assert b"-1\n+2\n" in found
    git("checkout", "a")
    subprocess.run(["git", "-C", str(tmp_path), "apply"], input=found, check=True)
    assert (tmp_path / "a").read_text() == "2\n"


def test_metadata_is_json(start):
    json.dumps([one.metadata for one in start.artifacts], allow_nan=True)
