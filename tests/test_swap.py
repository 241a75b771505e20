"""``simswap-swap`` through its command line, on rendered photos with a table of landmarks."""

import numpy as np
import pytest
import torch
from PIL import Image

from simswap.checkpoint import GENERATOR_PREFIX, KEY, describe
from simswap.faces.rendered_dataset import write_dataset
from simswap.inference.swapper import most_alike
from simswap.models import builtin
from simswap.models.generator import Generator
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
    description = describe(generator, "arcface", SIZE, builtin.recogniser(), {})
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
        code, _, errors = swap(f"source={photo(faces, person, 0)}", f"target={photo(faces, 1, 0)}",
                               f"out={tmp_path / str(person)}.png")  # fmt: skip
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
    code, _, errors = swap(f"source={photo(faces, 0, 0)}", f"target={folder}", f"out={tmp_path / 'out'}")
    assert code == 2
    assert "nothing is written over" in errors


def test_only_and_mapping_choose_by_likeness(swap, faces, tmp_path):
    arguments = [f"source={photo(faces, 0, 0)}", f"target={photo(faces, 1, 0)}"]
    code, _, errors = swap(*arguments, f"only={photo(faces, 1, 1)}", f"out={tmp_path / 'a.png'}")
    assert code == 0, errors
    code, _, errors = swap(*arguments, f"only={photo(faces, 2, 0)}", "threshold=0.6", f"out={tmp_path / 'b.png'}")
    assert code == 2
    assert "nobody there is like the given person" in errors
    assert not (tmp_path / "b.png").exists()
    table = tmp_path / "pairs.csv"
    table.write_text(f"person,source\n{photo(faces, 1, 1)},{photo(faces, 0, 0)}\n{photo(faces, 2, 1)},"
                     f"{photo(faces, 0, 1)}\n")  # fmt: skip
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
    "grid": (["source={0}", "target={1}", "out={out}.jpg", "grid=true"], "a grid is written as .png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(swap, faces, tmp_path, case):
    arguments, complaint = BAD[case]
    out = tmp_path / "out"
    filled = [a.format(photo(faces, 0, 0), photo(faces, 1, 0), out=out) for a in arguments]
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


def test_most_alike_gives_each_reference_once():
    references = torch.eye(3)[:2]
    faces = torch.tensor([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 0.9]])
    chosen, best = most_alike(faces, references, 0.15)
    assert chosen == [None, 0, 1]
    assert best == 1.0
    assert most_alike(faces, references, 0.5)[0] == [None, 0, None]
