"""``protocol.split=all``: every person takes part, and data of whose persons one was trained on is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.comparison.made import made_run
from tests.test_train import one_line

from simswap.checkpoint import KEY, SwapCheckpoint, load, write_slim
from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.data.datamodule import SwapDataModule
from simswap.data.manifest import Manifest
from simswap.errors import InputError
from simswap.evaluate import main
from simswap.evaluation.overlap import check_overlap, unchecked
from simswap.evaluation.persons import Persons, held_out
from simswap.models.builtin import WEIGHTS

FRACTIONS = {"train": 0.5, "val": 0.25, "test": 0.25}


def renamed(crops: Path, out: Path, prefix: str, keep: int = 0) -> Path:
    """A copy of prepared data whose persons have other names, but for the first ``keep`` that sort last."""
    shutil.copytree(crops, out)
    text = (out / "manifest.csv").read_text()
    for person in Manifest.open(crops).person_names[keep:]:
        (out / "crops" / person).rename(out / "crops" / f"{prefix}{person}")
        text = text.replace(f",{person},", f",{prefix}{person},").replace(
            f"crops/{person}/", f"crops/{prefix}{person}/"
        )
    (out / "manifest.csv").write_text(text)
    return out


def trained_on(root: Path | None, rows: str | None = None, path: str = "a.ckpt", **more) -> tuple[str, SwapCheckpoint]:
    """A checkpoint that records this training data, and the hash of its rows."""
    data = {"data": {"root": str(root), "fractions": FRACTIONS}} if root else {}
    description = {"config": data, "data_rows_sha256": rows, **more}
    return "trained", SwapCheckpoint(Path(path), "0" * 64, description, torch.nn.Identity())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def others(crops, tmp_path_factory) -> Path:
    """The crops under other names."""
    return renamed(crops, tmp_path_factory.mktemp("others") / "crops", "x")


def test_all_persons_take_part_where_a_split_leaves_most_out(crops, others):
    data = held_out({"data": {"root": str(crops), "fractions": FRACTIONS}}, str(others), "all")
    assert len(data.rows("all")) == 30 * 4
    assert len(data.persons("all")) == 30
    assert len(held_out({"data": {"fractions": FRACTIONS}}, str(others), "test").persons("test")) < 15
    with pytest.raises(InputError, match=r"data.fractions of the training has such a split"):
        held_out({"data": {"fractions": {"train": 0.5, "all": 0.5}}}, str(others), "all")


def test_other_names_pass_and_what_was_checked_is_recorded(crops, others, caplog):
    rows = Manifest.open(crops).rows_sha256()
    manifest = Manifest.open(others)
    entry = {"checkpoint": "trained", "data": str(crops), "checked": "names", "shared_names": 0, "reason": None}
    assert check_overlap(manifest, [trained_on(crops, rows)], False) == [entry]
    assert check_overlap(manifest, [trained_on(crops)], False) == [entry]
    assert check_overlap(manifest, [], False) == []
    assert not caplog.records
    # The folder holds other data than it did: its names say little, and that is said.
    (changed,) = check_overlap(manifest, [trained_on(crops, "0" * 64)], False)
    assert (changed["checked"], changed["shared_names"]) == ("names", 0)
    assert f"the training data {crops} has changed since" in caplog.messages[0]


def test_the_training_data_and_copies_of_it_are_refused_whatever_the_names(crops, tmp_path):
    (tmp_path / "link").symlink_to(crops)
    for namesakes in (False, True):
        for root in (crops, tmp_path / "link"):
            with pytest.raises(InputError, match=r"is the data that a.ckpt was trained on; measure persons that train"):
                check_overlap(Manifest.open(root), [trained_on(crops)], namesakes)
    copy = shutil.copytree(crops, tmp_path / "copy")
    with pytest.raises(InputError, match=f"is a copy of the data that a.ckpt was trained on, {crops}; "):
        check_overlap(Manifest.open(copy), [trained_on(crops)], True)


def test_names_of_persons_trained_on_are_refused_and_those_held_out_are_not(crops, tmp_path):
    data = SwapDataModule(crops, batch_size=1, fractions=FRACTIONS)
    first = [data.manifest.person_names[k] for k in data.persons("train") if k < 10]
    manifest = Manifest.open(renamed(crops, tmp_path / "ten", "x", keep=10))
    with pytest.raises(InputError) as refused:
        check_overlap(manifest, [trained_on(crops)], False)
    assert 0 < len(first) < 10
    assert f"has {len(first)} of 30 persons with names that a.ckpt was trained on, the first is {first[0]};" in str(
        refused.value
    )
    assert "protocol.namesakes=true if they are other people" in str(refused.value)
    (entry,) = check_overlap(manifest, [trained_on(crops)], True)
    assert (entry["checked"], entry["shared_names"], entry["reason"]) == ("names", len(first), None)
    # A second checkpoint of the table counts as much.
    others = [trained_on(manifest.root.parent / "gone"), trained_on(crops)]
    with pytest.raises(InputError, match=r"names that a.ckpt was trained on"):
        check_overlap(manifest, others, False)


def test_a_training_folder_that_is_gone_is_noted_but_for_the_same_rows(crops, others, tmp_path, caplog):
    manifest, gone = Manifest.open(others), tmp_path / "gone"
    entries = check_overlap(manifest, [trained_on(gone, "0" * 64), trained_on(None)], False)
    assert [(one["checked"], one["shared_names"], one["data"]) for one in entries] == [
        ("no", None, str(gone)), ("no", None, None)
    ]  # fmt: skip
    assert f"the training data {gone} cannot be read" in caplog.messages[0]
    assert "a.ckpt does not say what it was trained on" in caplog.messages[1]
    assert unchecked({"overlap": entries}) == ["trained"]
    with pytest.raises(InputError, match=r"the same persons, with as many images each, as the data that a.ckpt was"):
        check_overlap(manifest, [trained_on(gone, manifest.rows_sha256())], False)
    assert check_overlap(manifest, [trained_on(gone, manifest.rows_sha256())], True)[0]["checked"] == "no"


def test_what_training_started_from_counts_too(crops, others, tmp_path):
    content = torch.load(WEIGHTS / "demo.ckpt", weights_only=True)
    content[KEY]["config"]["data"].update(root=str(others), fractions=FRACTIONS)
    content["callbacks"] = {"RunFingerprint": {"hashes": {"data": "1" * 64}}}
    torch.save(content | {"global_step": 7}, origin := tmp_path / "origin.ckpt")
    assert load(origin).description["data_rows_sha256"] == "1" * 64
    write_slim(origin, tmp_path / "slim.ckpt")
    assert load(tmp_path / "slim.ckpt").description["data_rows_sha256"] == "1" * 64
    started = trained_on(crops, started_from={"path": str(origin)})
    with pytest.raises(InputError, match=r"is the data that .*origin.ckpt was trained on"):
        check_overlap(Manifest.open(others), [started], False)
    started = trained_on(crops, started_from={"path": str(tmp_path / "moved.ckpt")})
    first, second = check_overlap(Manifest.open(others), [started], False)
    assert (first["reason"], second["checked"]) == (None, "no")
    assert "moved.ckpt, from which training started, cannot be read" in second["reason"]


def test_namesakes_is_for_all_persons_only():
    with pytest.raises(InputError, match=r"protocol.namesakes=true is for protocol.split=all, and the split is test"):
        Persons("test", 2, 2, 2, 0, 2, {}, namesakes=True)


def test_by_the_command_line_all_persons_are_in_the_gallery(crops, others, tmp_path, door):
    few = ["protocol.split=all", "protocol.images_per_person=1", "protocol.pairs=6", "judge=builtin", "pose=builtin"]
    code, out, errors = door(main, "checkpoint=null", f"data.root={others}", f"out={tmp_path / 'null'}", *few)
    assert code == 0, errors
    protocol = json.loads((tmp_path / "null" / "evaluation.json").read_text())["protocol"]
    assert (protocol["split"], protocol["gallery_persons"], protocol["overlap"]) == ("all", 30, [])
    assert "6 swaps, all persons of" in " ".join(out.split())
    content = torch.load(WEIGHTS / "demo.ckpt", weights_only=True)
    content[KEY].update(image_size=32)
    content[KEY]["config"]["data"].update(root=str(crops))
    torch.save(content, tmp_path / "a.ckpt")
    given = [f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}", *few]
    code, _, errors = door(main, *given)
    assert code == 2
    assert f"protocol.split=all: {crops} is the data that" in one_line(errors)
    assert not list((tmp_path / "out").glob("evaluation*"))


def test_all_persons_and_a_split_are_not_compared_and_doubt_is_noted(tmp_path):
    def compared():
        runs, _ = load_local(str(tmp_path), "evaluation", [], lambda config: True)
        return compare_runs(runs, title="made")

    checked = {"checkpoint": "trained", "data": "d", "checked": "names", "shared_names": 0, "reason": None}
    doubt = checked | {"checked": "no", "shared_names": None, "reason": "gone"}
    made_run(tmp_path / "a", protocol={"split": "all", "overlap": [checked]})
    made_run(tmp_path / "b", seed=1, protocol={"split": "all", "overlap": [doubt]})
    assert "Not checked in full whether training had persons of the data: b." in compared().notes
    made_run(tmp_path / "c", seed=2, protocol={"split": "test"})
    with pytest.raises(InputError, match=r"a and c were measured with different splits \(all and test\)"):
        compared()
