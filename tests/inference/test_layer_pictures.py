"""The sheet of layers: its colors, frames and scale, and the command that draws it with the package's checkpoint."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from simswap import checkpoint
from simswap.inference import layer_pictures
from simswap.inference.layer_maps import LayerMaps
from simswap.inference.layer_pictures import (
    COLORS,
    FRAME,
    GAP,
    LAYERS_CHECKPOINT,
    LINE,
    OPACITY,
    SIDE,
    color_bar,
    colored,
    over_gray,
    sheet,
)
from simswap.models.discriminator import Cells
from simswap.pictures import write_png


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["layer_pictures", *map(str, arguments)])
    layer_pictures.main()
    return capsys.readouterr().out


def test_colors_begin_at_0_end_at_the_ceiling_and_get_lighter():
    values = np.array([[-1, 0, 0.5, 1, 2, 9]], np.float32)
    found = colored(values, 2.0)[0]
    assert [tuple(one) for one in found[[0, 1, 3, 4, 5]]] == [COLORS[0], COLORS[0], COLORS[2], COLORS[4], COLORS[4]]
    assert (colored(np.zeros((2, 2), np.float32), 0.0) == COLORS[0]).all()  # result and target alike
    light = [np.dot(one, (0.299, 0.587, 0.114)) for one in colored(np.linspace(0, 1, 50, dtype=np.float32)[None], 1)[0]]
    assert (np.diff(light) > -0.6).all()  # up to rounding
    assert light[-1] > light[0] + 150


def test_a_map_lies_over_the_gray_face_with_cells_that_keep_their_edges():
    face = np.full((8, 8, 3), (200, 100, 0), np.uint8)
    values = np.zeros((8, 8), np.float32)
    values[:, 4:] = 1
    gray = np.asarray(Image.fromarray(face).convert("L"))[0, 0]
    found = over_gray(face, values, 1.0, side=16)
    for column, color in ((0, COLORS[0]), (7, COLORS[0]), (8, COLORS[-1]), (15, COLORS[-1])):
        expected = (1 - OPACITY) * gray + OPACITY * np.array(color)
        assert np.abs(found[5, column].astype(float) - expected).max() <= 1


def test_the_scale_has_the_colors_that_show_over_middle_gray():
    found = color_bar(100, 4)
    middle = np.full((4, 4, 3), 128, np.uint8)
    for column, value in ((0, 0.0), (-1, 1.0)):
        expected = over_gray(middle, np.full((4, 4), value, np.float32), 1.0, side=4)[0, 0]
        assert np.abs(found[0, column].astype(int) - expected).max() <= 1


def test_the_sheet_frames_the_layers_of_the_range():
    maps = [[np.full((4, 4), value, np.float32) for value in scale] for scale in ((1, 2, 4), (8, 16, 32))]
    found = LayerMaps(maps, torch.tensor([[1.0, 2, 4], [8, 16, 32]]), [[Cells(0.5, 2)] * 3] * 2, 8)
    faces = {name: np.full((8, 8, 3), 99, np.uint8) for name in ("source", "target", "result")}
    picture = sheet(faces, found, 1, 2)
    framed = []
    for row in (1, 2):
        for column in range(4):
            left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + LINE + GAP)
            framed.append(tuple(picture[top - 2, left + 5]) == FRAME)
            # 32 is the end of the scale of layers, and the full range of D2, 56, that of the last column
            value = [*maps[row - 1], maps[row - 1][1] + maps[row - 1][2]][column][0, 0] / (56 if column == 3 else 32)
            expected = over_gray(faces["target"], np.full((8, 8), value, np.float32), 1.0)[50, 50]
            assert (picture[top + 50, left + 50] == expected).all()
    assert framed == [False, True, True, False] * 2


def test_the_package_brings_a_small_checkpoint_that_keeps_its_discriminators():
    assert LAYERS_CHECKPOINT.stat().st_size < 4_000_000
    found, trained = checkpoint.load_discriminators(LAYERS_CHECKPOINT), checkpoint.load(LAYERS_CHECKPOINT)
    assert "simswap-train experiment=demo" in trained.description["notes"]["made with"]
    assert (found.first_layer, found.last_layer, found.layers) == (2, 3, 4)
    stored = checkpoint.read(LAYERS_CHECKPOINT)["state_dict"]
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}


def test_the_command_draws_two_rendered_faces(tmp_path, monkeypatch, capsys):
    said = run(monkeypatch, capsys, "--out", tmp_path / "a.png")
    assert said.startswith("feature matching of layers 2..3 (sum): ")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Description"] == "synthetic face swap"
        assert picture.size == (5 * (SIDE + GAP) + GAP, 3 * (SIDE + LINE + GAP) + 2 * LINE + 3 * GAP)
        first = np.asarray(picture)
    wider = run(monkeypatch, capsys, "--out", tmp_path / "b.png", "--first-layer", "0", "--layer-reduction", "mean")
    assert wider.startswith("feature matching of layers 0..3 (mean): ")
    value, mean = (float(text.split("): ")[1].split(";")[0]) for text in (said, wider))
    assert 0 < mean < value
    second = np.asarray(Image.open(tmp_path / "b.png"))
    top = GAP + SIDE
    assert (first[:top] == second[:top]).all()  # the faces do not depend on the range


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--first-layer", "4"], "is not a range of the discriminators' layers 0..3"),
        (["--first-layer", "3", "--last-layer", "1"], "is not a range of the discriminators' layers 0..3"),
        (["--checkpoint", layer_pictures.WEIGHTS / "demo.ckpt"], "holds no discriminators"),
        (["--target", "large.png"], "takes aligned crops of 64 px"),
        (["--source", "none.png"], "none.png"),
    ],
)
def test_bad_input_is_one_line_and_no_picture(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "large.png", np.zeros((80, 64, 3), np.uint8))
    with pytest.raises(SystemExit) as left:
        run(monkeypatch, capsys, "--out", tmp_path / "a.png", *arguments)
    assert left.value.code == 2
    errors = capsys.readouterr().err.strip()
    assert words in errors
    assert "\n" not in errors
    assert not (tmp_path / "a.png").exists()
