"""``simswap-swap`` through its command line, on rendered photos with a table of landmarks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simswap.checkpoint import GENERATOR_PREFIX, KEY, describe
from simswap.inference.folder_job import result_names
from simswap.inference.swapper import most_alike
from simswap.models import builtin
from simswap.models.generator import Generator
from simswap.rendered.dataset import write_dataset
from simswap.swap import main

SIZE = 32


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Folder of rendered photos: 3 persons with 2 photos each of 96 px, and their table of landmarks."""
    root = tmp_path_factory.mktemp("faces")
    write_dataset(str(root), persons=3, images=2, size=96, seed=8)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file with a small random generator that describes itself."""
    torch.manual_seed(0)
    generator = Generator(width=4, stages=2, blocks=1, identity_size=64, max_width=8)
    description = describe(generator, "arcface", SIZE, builtin.recognizer(), {})
    path = tmp_path_factory.mktemp("checkpoint") / "small.ckpt"
    weights = {f"{GENERATOR_PREFIX}{name}": value for name, value in generator.state_dict().items()}
    torch.save({KEY: description, "state_dict": weights}, path)
    return path


@pytest.fixture
def swap(door, faces, checkpoint):
    """Run the door on the photos of `faces`."""

    def run(*arguments):
        return door(main, f"checkpoint={checkpoint}", f"landmarks={faces / 'loose_landmark.csv'}", *arguments)

    return run


def photo(faces, person, image):
    return faces / f"n{person:06d}" / f"{image:04d}_01.jpg"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_photo_is_swapped_where_the_face_is_and_nowhere_else(swap, faces, tmp_path):
    out = tmp_path / "c.png"
    arguments = [f"source={photo(faces, 0, 0)}", f"target={photo(faces, 1, 0)}", f"out={out}", "mark=false"]
    code, said, errors = swap(*arguments)
    assert (code, errors) == (0, "")
    assert str(out) in said
    before, after = pixels(photo(faces, 1, 0)), pixels(out)
    changed = (before != after).any(-1)
    assert 0.05 < changed.mean() < 0.6
    assert not changed[0].any()
    assert not changed[-1].any()
    with Image.open(out) as written:
        assert written.text["Description"] == "synthetic face swap"
        assert written.text["Checkpoint"].startswith("sha256:")


def test_the_mark_is_on_by_default_and_only_in_its_corner(swap, faces, tmp_path):
    arguments = [f"source={photo(faces, 0, 0)}", f"target={photo(faces, 1, 0)}"]
    for name, more in {"marked": [], "plain": ["mark=false"]}.items():
        assert swap(*arguments, f"out={tmp_path / name}.png", *more)[0] == 0
    changed = (pixels(tmp_path / "marked.png") != pixels(tmp_path / "plain.png")).any(-1)
    assert changed.any()
    assert not changed[:80].any()


def test_another_source_gives_another_picture(swap, faces, tmp_path):
    for person in (0, 2):
        code, _, errors = swap(
            f"source={photo(faces, person, 0)}", f"target={photo(faces, 1, 0)}", f"out={tmp_path / str(person)}.png"
        )
        assert code == 0, errors
    assert (pixels(tmp_path / "0.png") != pixels(tmp_path / "2.png")).any()


def test_a_folder_goes_on_past_a_bad_photo(swap, faces, tmp_path):
    folder = tmp_path / "n000001"
    folder.mkdir()
    for image in range(2):
        (folder / photo(faces, 1, image).name).write_bytes(photo(faces, 1, image).read_bytes())
    (folder / "broken.jpg").write_bytes(b"no photo")
    code, said, errors = swap(f"source={photo(faces, 0, 0)}", f"target={folder}", f"out={tmp_path / 'out'}")
    assert code == 0, errors
    assert "swapped 2 of 3 photos" in said
    assert "broken.jpg: no picture of a known kind" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000_01.png", "0001_01.png"]


@pytest.fixture
def folder(faces, tmp_path):
    """Two photos of person 1, under the names that the table of landmarks has."""
    folder = tmp_path / "n000001"
    folder.mkdir()
    for image in range(2):
        (folder / photo(faces, 1, image).name).write_bytes(photo(faces, 1, image).read_bytes())
    return folder


def test_a_folder_is_resumed(swap, faces, tmp_path, folder):
    out = tmp_path / "out"
    arguments = [f"source={photo(faces, 0, 0)}", f"target={folder}", f"out={out}", "batch_size=2"]
    assert swap(*arguments)[0] == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "0001_01.png").unlink()
    (out / "0000_01.png").touch()
    stamp = (out / "0000_01.png").stat().st_mtime_ns
    code, said, errors = swap(*arguments, "batch_size=1")  # speed is no setting of the picture
    assert code == 0, errors
    assert "swapped 2 of 2 photos (1 of them earlier)" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert (out / "0000_01.png").stat().st_mtime_ns == stamp
    code, said, _ = swap(*arguments)
    assert (code, "all 2 photos are done already" in said) == (0, True)


@pytest.mark.parametrize("change", ["source", "setting", "paste", "target", "cut", "foreign", "folder"])
def test_results_of_another_swap_are_refused_before_the_work(swap, faces, tmp_path, folder, change):
    out = tmp_path / "out"
    arguments = {"source": photo(faces, 0, 0), "target": folder, "out": out}
    assert swap(*(f"{key}={value}" for key, value in arguments.items()))[0] == 0
    result = out / "0000_01.png"
    (out / "0001_01.png").unlink()
    if change == "source":
        arguments["source"] = photo(faces, 2, 0)
    elif change == "setting":
        arguments["mark"] = "false"
    elif change == "paste":
        arguments["paste.extent"] = "0.9"
    elif change == "target":
        (folder / "0000_01.jpg").write_bytes(photo(faces, 2, 0).read_bytes())
    elif change == "cut":
        result.write_bytes(result.read_bytes()[:-20])
    elif change == "foreign":
        Image.new("RGB", (4, 4)).save(result)
    else:
        result.unlink()
        result.mkdir()
    code, _, errors = swap(*(f"{key}={value}" for key, value in arguments.items()))
    assert code == 2
    assert "0000_01.png already exists and was not made by this command" in errors
    assert errors.count("\n") == 1
    assert not (out / "0001_01.png").exists()


def test_equal_stems_and_system_files_stop_nothing(swap, faces, tmp_path, folder):
    with Image.open(folder / "0000_01.jpg") as image:
        image.save(folder / "0000_01.webp")
    for name in ("._0001_01.jpg", ".hidden.png", "Thumbs.db", "IMG_1.HEIC"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "@eaDir").mkdir()
    out = tmp_path / "out"
    code, said, errors = swap(f"source={photo(faces, 0, 0)}", f"target={folder}", f"out={out}")
    assert code == 0, errors
    assert sorted(path.name for path in out.iterdir()) == ["0000_01.jpg.png", "0000_01.webp.png", "0001_01.png"]
    assert "1 HEIC photo (save as JPEG or PNG to use)" in said
    assert "3 system files" in said


def test_names_of_results_are_never_alike():
    names = result_names([Path(name) for name in ("a.jpg", "A.png", "b.jpg", "x/b.jpg", "c.jpg", "a.jpg.webp")])
    assert names == ["a.jpg.png", "A.png.png", "b.jpg.png", "b.jpg~2.png", "c.png", "a.jpg.webp.png"]
    assert len({name.lower() for name in names}) == 6


def test_formats_limits_are_known_before_the_work(swap, faces, tmp_path):
    wide = tmp_path / "n000001" / "0000_01.png"
    wide.parent.mkdir()
    Image.new("RGB", (16_384, 96)).save(wide)
    code, _, errors = swap(
        "checkpoint=nowhere.ckpt", f"source={photo(faces, 0, 0)}", f"target={wide}", f"out={tmp_path / 'c.webp'}"
    )
    assert code == 2
    assert "WEBP holds at most 16383 pixels along a side, and the photo has 16384 x 96" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["n000001"]


def test_only_and_mapping_choose_by_likeness(swap, faces, tmp_path):
    arguments = [f"source={photo(faces, 0, 0)}", f"target={photo(faces, 1, 0)}"]
    code, _, errors = swap(*arguments, f"only={photo(faces, 1, 1)}", f"out={tmp_path / 'a.png'}")
    assert code == 0, errors
    code, _, errors = swap(*arguments, f"only={photo(faces, 2, 0)}", "threshold=0.6", f"out={tmp_path / 'b.png'}")
    assert code == 2
    assert "nobody there is like the given person" in errors
    assert not (tmp_path / "b.png").exists()
    table = tmp_path / "pairs.csv"
    table.write_text(
        f"person,source\n{photo(faces, 1, 1)},{photo(faces, 0, 0)}\n{photo(faces, 2, 1)},{photo(faces, 0, 1)}\n"
    )
    code, _, errors = swap(f"mapping={table}", f"target={photo(faces, 1, 0)}", f"out={tmp_path / 'c.png'}")
    assert code == 0, errors
    assert (pixels(tmp_path / "c.png") == pixels(tmp_path / "a.png")).all()


def test_grid_shows_targets_and_sources(swap, faces, tmp_path):
    sources, targets = f"[{photo(faces, 0, 0)},{photo(faces, 2, 0)}]", f"[{photo(faces, 1, 0)}]"
    code, _, errors = swap(f"source={sources}", f"target={targets}", "grid=true", f"out={tmp_path / 'g.png'}")
    assert code == 0, errors
    assert pixels(tmp_path / "g.png").shape == (2 * SIZE + 4, 3 * SIZE + 8, 3)


BAD = {
    "both": (["source={0}", "mapping={0}", "target={1}", "out={out}.png"], "either source=<photo> or mapping="),
    "itself": (["source={1}", "target={1}", "out={out}.png"], "is source and target alike"),
    "kind": (["source={0}", "target={1}", "out={out}.gif"], "pictures are written as"),
    "missing": (["source={0}", "target={1}x", "out={out}.png"], "there is no such photo"),
    "faces": (["source={0}", "target={1}", "out={out}.png", "faces=some"], "choose largest or all"),
    "small": (["source={0}", "target={1}", "out={out}.png", "min_face=90"], "less than min_face=90"),
    "paste": (["source={0}", "target={1}", "out={out}.png", "paste.feather=0"], "paste.feather=0"),
    "several": (["source=[{0},{1}]", "target={1}", "out={out}.png"], "say with mapping= whom each replaces"),
    "mapping": (["mapping={0}", "target={1}", "out={out}.png"], "columns person,source"),
    "into itself": (["source={0}", "target={folder}", "out={folder}"], "is the folder of the targets"),
    "no checkpoint": (["checkpoint=no.ckpt", "source={0}", "target={1}", "out={out}.png"], "no.ckpt: there is no such"),
    "grid": (["source={0}", "target={1}", "out={out}.jpg", "grid=true"], "a grid is written as .png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(swap, faces, tmp_path, case):
    arguments, complaint = BAD[case]
    out = tmp_path / "out"
    target = photo(faces, 1, 0)
    filled = [a.format(photo(faces, 0, 0), target, out=out, folder=target.parent) for a in arguments]
    code, _, errors = swap(*filled)
    assert code == 2
    assert complaint in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_photo_outside_the_table_has_no_face(swap, faces, tmp_path):
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(photo(faces, 1, 0).read_bytes())
    code, _, errors = swap(f"source={photo(faces, 0, 0)}", f"target={stranger}", f"out={tmp_path / 'c.png'}")
    assert code == 2
    assert "stranger.jpg: no face found" in errors


WRONG_ROWS = {
    "unit": (lambda points: points / 96, "points must be in pixels of the photo; perhaps the points are normalized"),
    "axes": (lambda points: points[:, ::-1], "perhaps x and y are exchanged"),
    "size": (lambda points: points * 5, "of 5 points lie outside the image of 96 x 96; perhaps the points belong to"),
    "order": (lambda points: points[[1, 0, 2, 3, 4]], "the eyes are on exchanged sides; perhaps the eyes are"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_landmarks_that_are_no_face_of_the_photo_are_one_line(door, checkpoint, faces, tmp_path, case):
    wrong, complaint = WRONG_ROWS[case]
    header, *rows = (faces / "loose_landmark.csv").read_text().splitlines()
    table = tmp_path / "wrong.csv"
    lines = []
    for row in rows:
        name, *numbers = row.split(",")
        points = np.array([float(number) for number in numbers]).reshape(5, 2)
        points = wrong(points) if name == "n000001/0000_01" else points
        lines.append(",".join([name, *(f"{value:.3f}" for value in points.flatten())]))
    table.write_text("\n".join([header, *lines]) + "\n")
    code, _, errors = door(
        main,
        f"checkpoint={checkpoint}",
        f"landmarks={table}",
        f"source={photo(faces, 0, 0)}",
        f"target={photo(faces, 1, 0)}",
        f"out={tmp_path / 'c.png'}",
    )
    assert code == 2
    assert complaint in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "c.png").exists()


def test_most_alike_gives_each_reference_once():
    references = torch.eye(3)[:2]
    faces = torch.tensor([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 0.9]])
    chosen, best = most_alike(faces, references, 0.15)
    assert chosen == [None, 0, 1]
    assert best == 1.0
    assert most_alike(faces, references, 0.5)[0] == [None, 0, None]
