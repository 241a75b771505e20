"""``make photos``: the package's checkpoint on photographs that installed packages bring."""

import csv
import importlib.util

import numpy as np
import pytest
from PIL import Image

from simswap.errors import InputError
from simswap.inference import demo_photos
from simswap.inference.demo_photos import PHOTOS, SWAPS, main, photo_file
from simswap.inference.photos import read_photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("photos") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["demo_photos", "--out", str(out)])
        main()
    return out


def test_it_writes_every_swap_and_its_figures(folder):
    pictures = {f"{source}_on_{target}{end}.png" for source, target in SWAPS for end in ("", "_before_after")}
    assert {file.name for file in folder.iterdir()} == {"figures.csv", *pictures}
    for name in pictures:
        assert Image.open(folder / name).text["Description"] == "synthetic face swap"


def test_identity_moves_to_the_source_and_the_rest_of_the_photo_stays(folder):
    rows = list(csv.DictReader((folder / "figures.csv").open()))
    assert [sum(row["target"] == name for row in rows) for name in PHOTOS] == [12, 1, 1]  # six faces, swapped twice
    assert np.median([float(row["share"]) for row in rows]) > 0.25  # doing nothing has 0, the source itself 1
    assert np.median([float(row["pose_error_deg"]) for row in rows]) < 10
    photo, done = (
        read_photo(photo_file("astronaut")).pixels,
        np.asarray(Image.open(folder / "portrait_on_astronaut.png")),
    )
    changed = (photo != done).any(-1)
    changed[480:, 400:] = False  # the visible mark
    rows_, columns = np.nonzero(changed)
    assert rows_.max() < 200  # the face lies in rows 70 to 180 and columns 175 to 270
    assert columns.min() > 150
    assert columns.max() < 300


def test_a_missing_package_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"photograph 'group': the package insightface is not installed"):
        photo_file("group")
    monkeypatch.setattr(demo_photos, "swap_all", lambda out: photo_file("astronaut"))
    monkeypatch.setattr("sys.argv", ["demo_photos", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.startswith("error: photograph 'astronaut'")
    assert not (tmp_path / "out").exists()
