"""Two real networks as judges, from photographs to the comparison page."""

import csv
import json
import shutil

import pytest

from simswap import compare, evaluate, prepare
from simswap.inference.demo_photos import PHOTO_CHECKPOINT


@pytest.mark.real
def test_two_networks_judge_from_photos_to_the_comparison(shared, tmp_path, door):
    """One checkpoint evaluated in two runs: both judges' figures are compared, and all differences are exactly 0."""
    photos = shared / "lfw250"
    for person in sorted(path.name for path in (photos / "images").iterdir())[:120:10]:
        shutil.copytree(photos / "images" / person, tmp_path / "faces" / person)
    code, _, errors = door(
        prepare.main, f"raw={tmp_path}/faces", f"out={tmp_path}/crops", "size=112", "template=arcface",
        f"landmarks={photos}/loose_landmark.csv", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert code == 0, errors
    for run in ("first", "second"):
        code, _, errors = door(
            evaluate.main, f"checkpoint={PHOTO_CHECKPOINT}", f"data.root={tmp_path}/crops", "protocol.split=all",
            "judge=onnx", f"judge.path={shared}/models/lite/mobilefacenet.onnx", "judges.dlib=dlib", "pose=dlib68",
            "protocol.pairs=8", "protocol.persons=4", "protocol.images_per_person=2", "slices.by=[]", "grid_faces=2",
            f"hydra.run.dir={tmp_path}/runs/{run}",
        )  # fmt: skip
        assert code == 0, errors
    protocol = json.loads((tmp_path / "runs" / "first" / "evaluation.json").read_text())["protocol"]
    assert protocol["judge"]["name"] == "mobilefacenet"
    assert protocol["judges"][0]["same_network"]
    code, out, errors = door(compare.main, f"runs={tmp_path}/runs", f"out={tmp_path}/cmp", f"hydra.run.dir={tmp_path}")
    assert code == 0, errors
    assert "judges.dlib is the network trained with: its figures are flattering." in out + errors
    with open(tmp_path / "cmp" / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for name in ("id_similarity", "judges.dlib.id_similarity", "judges.dlib.id_retrieval"):
        assert rows[0][name] == rows[1][name] != "", name
    assert rows[0]["id_similarity"] != rows[0]["judges.dlib.id_similarity"]
    page = (tmp_path / "cmp" / "comparison.html").read_text()
    assert "mobilefacenet" in page
    assert "colgroup" in page
