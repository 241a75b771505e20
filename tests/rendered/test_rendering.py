"""Rendered faces: what a pose does to the landmarks, what the pixels show there, what is written."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from simswap.errors import InputError
from simswap.rendered import paint as rendered_paint
from simswap.rendered.brush import TEXTURE_COLUMNS, TEXTURE_ROWS, ellipse, fill
from simswap.rendered.dataset import contact_sheet, draw_photo, person_seed, write_dataset
from simswap.rendered.head import NAMES, Identity
from simswap.rendered.rendering import Attributes, draw_attributes, render, render_person
from simswap.rendered.shape import shape_of
from simswap.rendered.skin import skin_of
from simswap.rendered.view import project, rotation

FRONT = Attributes()


def landmarks_of(identity: Identity, attributes: Attributes, size: int) -> np.ndarray:
    return render(identity, attributes, size).landmarks


def with_values(identity: Identity, **changes: float) -> Identity:
    values = identity.as_dict() | changes
    return Identity(identity.seed, tuple(values[name] for name in NAMES))


def nose_beside_eyes(attributes: Attributes) -> np.ndarray:
    points = landmarks_of(render_person(5), attributes, 128)
    return points[2] - points[:2].mean(axis=0)


def test_same_arguments_give_the_same_photo_and_seeds_differ():
    first, again = (render(render_person(3), replace(FRONT, yaw=20.0), 96).image for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    other = render(render_person(4), replace(FRONT, yaw=20.0), 96).image
    assert np.abs(first.astype(int) - other).mean() > 5


def test_rotation_sends_the_face_where_the_angles_say():
    forward = rotation(30.0, 0.0, 0.0) @ [0, 0, 1]
    np.testing.assert_allclose(forward, [0.5, 0, np.sqrt(0.75)], atol=1e-12)  # to the image's right
    np.testing.assert_allclose(rotation(0.0, 30.0, 0.0) @ [0, 0, 1], [0, -0.5, np.sqrt(0.75)], atol=1e-12)  # up
    np.testing.assert_allclose(rotation(0.0, 0.0, 90.0) @ [1, 0, 0], [0, 1, 0], atol=1e-12)  # clockwise, y is down
    turn = rotation(25.0, -13.0, 9.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_landmarks_follow_the_pose():
    assert abs(nose_beside_eyes(FRONT)[0]) < 1e-6  # the head is symmetric
    assert nose_beside_eyes(replace(FRONT, yaw=25.0))[0] > 5
    assert nose_beside_eyes(replace(FRONT, yaw=-25.0))[0] < -5
    assert nose_beside_eyes(replace(FRONT, pitch=20.0))[1] < nose_beside_eyes(FRONT)[1] - 4
    left, right = landmarks_of(render_person(5), replace(FRONT, roll=15.0), 128)[:2]
    assert np.rad2deg(np.arctan2(*(right - left)[::-1])) == pytest.approx(15.0, abs=1e-6)
    closed, opened = (landmarks_of(render_person(5), replace(FRONT, mouth_open=m), 128) for m in (0.0, 1.0))
    assert opened[3:, 1].mean() > closed[3:, 1].mean() + 0.5


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (-20, 15, 10), (10, -15, -15)])
def test_pixels_show_the_pupils_at_the_eye_landmarks(pose):
    person = with_values(render_person(8), skin_tone=0.1, hair_style=2.0, eye_open=5.0)
    yaw, pitch, roll = pose
    picture = render(person, replace(FRONT, yaw=yaw, pitch=pitch, roll=roll), 256)
    gray = cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY)
    for x, y in np.round(picture.landmarks[:2]).astype(int):
        near = gray[y - 3 : y + 4, x - 3 : x + 4].min()
        assert near < 70
        assert near < 0.5 * np.median(gray[y + 16 : y + 24, x - 4 : x + 5])  # the cheek below


def test_attributes_change_no_identity_and_identity_no_attributes():
    rng = np.random.default_rng(0)
    drawn = [draw_attributes(rng) for _ in range(400)]
    assert 0.18 < np.mean([a.glasses for a in drawn]) < 0.32
    for name, limit in (("yaw", 45), ("pitch", 25), ("roll", 20)):
        values = np.array([getattr(a, name) for a in drawn])
        assert np.abs(values).max() <= limit
        assert values.std() > limit / 5
    person = render_person(11)
    before = person.values
    render(person, drawn[0], 64)
    assert person.values == before
    assert len({person_seed(s, i) for s in range(20) for i in range(200)}) == 4000


def test_glasses_change_the_eyes_alone():
    person = render_person(2)
    bare, worn = (render(person, replace(FRONT, glasses=g, glasses_dark=1.0), 128) for g in (0, 1))
    change = np.abs(bare.image.astype(int) - worn.image).sum(axis=2)
    rows = np.flatnonzero(change.max(axis=1) > 60)
    eyes = bare.landmarks[:2, 1].mean()
    assert len(rows) > 3
    assert np.abs(rows - eyes).max() < 16
    assert np.array_equal(bare.landmarks, worn.landmarks)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_data_set_is_the_same_for_any_workers_and_resumes(tmp_path):
    write_dataset(tmp_path / "a", 3, 2, 64, seed=7, workers=0)
    write_dataset(tmp_path / "b", 3, 2, 64, seed=7, workers=2)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert [str(f) for f in files if f.suffix == ".jpg"][:3] == [
        "n000000/0000_01.jpg",
        "n000000/0001_01.jpg",
        "n000001/0000_01.jpg",
    ]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

    points, truth, people = (read(tmp_path / "a" / f"{n}.csv") for n in ("loose_landmark", "attributes", "identities"))
    assert list(points[0]) == ["NAME_ID", "P1X", "P1Y", "P2X", "P2Y", "P3X", "P3Y", "P4X", "P4Y", "P5X", "P5Y"]
    assert [row["NAME_ID"] for row in points] == [row["NAME_ID"] for row in truth]
    assert len(points) == 6
    assert [row["person"] for row in people] == ["n000000", "n000001", "n000002"]
    person, attributes = draw_photo(7, 1, 1)
    assert float(people[1]["nose_width"]) == pytest.approx(person["nose_width"], rel=1e-5)
    assert float(truth[3]["yaw"]) == pytest.approx(attributes.yaw, rel=1e-5)
    assert float(points[3]["P3X"]) == pytest.approx(landmarks_of(person, attributes, 64)[2, 0], abs=1e-3)

    kept, lost = tmp_path / "a" / "n000000" / "0001_01.jpg", tmp_path / "a" / "n000001" / "0001_01.jpg"
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    write_dataset(tmp_path / "a", 3, 2, 64, seed=7)
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == content
    assert not list((tmp_path / "a").rglob("*.part"))


def test_bad_requests_say_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"origin\.persons=0"):
        write_dataset(tmp_path, 0, 1, 64, seed=0)
    write_dataset(tmp_path / "a", 1, 1, 64, seed=1)
    with pytest.raises(InputError, match="holds rendered faces with other settings"):
        write_dataset(tmp_path / "a", 1, 1, 64, seed=2)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_dataset(tmp_path / "file", 1, 1, 64, seed=0)
    with pytest.raises(ValueError, match="between 32 and 1024"):
        render(render_person(0), FRONT, 8)


def test_contact_sheet_has_a_row_a_person():
    sheet = contact_sheet(persons=2, images=3, size=64, seed=5)
    assert sheet.shape == (128, 192, 3)
    identity, attributes = draw_photo(5, 1, 2)
    assert np.array_equal(sheet[64:, 128:], render(identity, attributes, 64).image)


def test_a_person_is_made_once_and_a_photo_paints_little(monkeypatch):
    """What the speed rests on, counted: benchmarks/renderer.py measures it."""
    strokes = []
    real = rendered_paint.fill
    monkeypatch.setattr(rendered_paint, "fill", lambda *args, **kwargs: strokes.append(1) or real(*args, **kwargs))
    rng = np.random.default_rng(0)
    made = [part.cache_info().misses for part in (shape_of, skin_of)]
    for count in range(1, 9):
        render(render_person(987654321), draw_attributes(rng), 64)
        assert len(strokes) <= 16 * count
    assert [part.cache_info().misses for part in (shape_of, skin_of)] == [before + 1 for before in made]


@pytest.mark.parametrize("pose", [(0, 0, 0), (40, -20, 15)])
def test_the_box_holds_the_head_and_little_more(pose):
    maps = shape_of(render_person(3)).maps(0.5, 0.5)
    small, turn = project(maps, rotation(*pose), (64.0, 64.0), 36.0, 128), rotation(*pose)
    whole = project(maps, turn, (128.0, 128.0), 36.0, 256).coverage.sum()  # the same head with room around
    assert small.coverage.sum() == pytest.approx(whole, rel=5e-3)
    rows, columns = small.box
    assert small.coverage.shape == (rows.stop - rows.start, columns.stop - columns.start)
    assert small.coverage.mean() > 0.6
    for edge in (small.coverage[0], small.coverage[-1], small.coverage[:, 0], small.coverage[:, -1]):
        assert not edge.any()
    away = project(maps, turn, (-400.0, 64.0), 36.0, 128)
    assert away.coverage.sum() == 0


def test_two_polygons_in_one_fill_are_two_fills():
    pair = np.stack([ellipse(-20, -12, 4, 3), ellipse(20, -10, 4, 3)])
    once, twice = (np.full((3, TEXTURE_ROWS, TEXTURE_COLUMNS), 100.0, np.float32) for _ in range(2))
    fill(once, pair, (200.0, 0.0, 50.0), 0.5, blur=0.4)
    for polygon in pair:
        fill(twice, polygon, (200.0, 0.0, 50.0), 0.5, blur=0.4)
    np.testing.assert_allclose(once, twice, atol=1e-4)
    column, row = 192 + round(20 / 0.625), 128 - round(10 / 0.625)
    np.testing.assert_allclose(once[:, row, column], [150, 50, 75], atol=0.1)  # half of the way to the color
