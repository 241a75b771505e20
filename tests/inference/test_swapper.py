"""Photos through a generator that changes nothing, and through a random one: on real photos with a real detector."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES
from simswap.faces.detection import Face, InsightFaceDetector
from simswap.faces.paste import PasteSettings
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.photos import Photo, read_photo
from simswap.inference.swapper import PhotoSwapper
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.models.recognition import onnx_recognizer


class Unchanged(torch.nn.Module):
    """A generator whose result is the target."""

    pixel_range = "unit"

    def forward(self, target, identity):
        return target


@pytest.fixture(scope="module")
def tools(shared):
    pack = shared / "models" / "lite"
    return PhotoFaceFinder(InsightFaceDetector(str(pack), size=640)), onnx_recognizer(str(pack / "mobilefacenet.onnx"))


def swapper_of(generator, tools, template, size, min_face=24.0):
    find, recognizer = tools
    checkpoint = SimpleNamespace(generator=generator.eval(), template=template, image_size=size)
    embedder = Embedder(recognizer, template, size)
    return PhotoSwapper(checkpoint, embedder, find, PasteSettings(), min_face, 8, torch.device("cpu"))


def swapped(swapper, path):
    photo = read_photo(path)
    faces = swapper.find(photo)
    done = swapper.paste(photo, faces, swapper.swap_crops(faces, [faces[0]] * len(faces)))
    return photo, faces, done


@pytest.mark.real
@pytest.mark.parametrize(("template", "size"), [("arcface", 112), ("simswap", 224), ("ffhq", 512)])
def test_every_photo_comes_back_from_a_generator_that_changes_nothing(shared, tools, template, size):
    swapper = swapper_of(Unchanged(), tools, template, size)
    for path in sorted((shared / "photos").iterdir()):
        photo, _, done = swapped(swapper, path)
        np.testing.assert_array_equal(done, photo.pixels, path.name)


@pytest.mark.real
def test_pixels_outside_the_faces_are_bit_for_bit_the_same(shared, tools):
    torch.manual_seed(0)
    small = Generator(width=8, stages=3, blocks=2, identity_size=128, max_width=32)
    swapper = swapper_of(small, tools, "arcface", 112)
    photo, faces, done = swapped(swapper, shared / "photos" / "selfie-many-people.jpg")
    assert len(faces) >= 3
    changed = (done != photo.pixels).any(-1)
    y, x = np.nonzero(changed)
    near = np.zeros(len(x), bool)
    for found in faces:
        middle, side = (found.face.box[:2] + found.face.box[2:]) / 2, max(found.face.box[2:] - found.face.box[:2])
        near |= np.hypot(x - middle[0], y - middle[1]) < 1.2 * side
        assert changed[round(middle[1]), round(middle[0])]
    assert near.all()


@pytest.mark.real
def test_six_faces_take_under_five_seconds(shared, tools, tmp_path):
    with Image.open(shared / "photos" / "img2.jpg") as one:
        tile = one.convert("RGB").resize((500, 500))
    picture = Image.new("RGB", (1500, 1000))
    for k in range(6):
        picture.paste(tile, (500 * (k % 3), 500 * (k // 3)))
    picture.save(tmp_path / "six.png")
    small = Generator(width=16, stages=3, blocks=4, identity_size=128, max_width=128)
    swapper = swapper_of(small, tools, "arcface", 112)
    start = time.process_time()
    _, faces, _ = swapped(swapper, tmp_path / "six.png")
    assert len(faces) == 6
    assert time.process_time() - start < 5.0


@pytest.mark.real
def test_hard_photos_are_swapped_or_refused_in_one_line(shared, tools, tmp_path):
    swapper = swapper_of(Unchanged(), tools, "arcface", 112)
    with Image.open(shared / "photos" / "img2.jpg") as image:
        face = image.convert("RGB")
    face.rotate(180).save(tmp_path / "upside_down.png")
    face.resize((60, round(60 * face.height / face.width))).save(tmp_path / "tiny.png")
    Image.new("RGB", (300, 200), (90, 120, 150)).save(tmp_path / "sky.png")
    with pytest.raises(InputError, match=r"sky\.png: no face found; turn it upright"):
        swapper.find(read_photo(tmp_path / "sky.png"))
    with pytest.raises(InputError, match=r"tiny\.png: .*(no face found|less than min_face=24)"):
        swapper.find(read_photo(tmp_path / "tiny.png"))
    # a detector may know such a face or not: then it is refused
    lying = read_photo(tmp_path / "upside_down.png")
    if not swapper.find_faces(lying, lying.pixels):
        with pytest.raises(InputError, match="no face found; turn it upright"):
            swapper.find(lying)
    with pytest.raises(InputError, match="faces, and one must say whose identity is meant"):
        swapper.only_face(read_photo(shared / "photos" / "couple.jpg"))


@pytest.mark.real
def test_fifty_megapixels_go_through(shared, tools):
    swapper = swapper_of(Unchanged(), tools, "arcface", 112)
    with Image.open(shared / "photos" / "img2.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((8300, round(8300 * image.height / image.width))))
    assert pixels.shape[0] * pixels.shape[1] > 50e6
    photo = Photo(Path("large.png"), pixels, None, None, b"")
    faces = swapper.find(photo)
    done = swapper.paste(photo, faces, swapper.swap_crops(faces, faces))
    np.testing.assert_array_equal(done, pixels)


def test_a_face_at_the_border_is_swapped_without_an_edge(tmp_path):
    """Half of the face lies outside; a generator that brightens changes only what is inside, softly."""

    class Brighter(torch.nn.Module):
        pixel_range = "unit"

        def forward(self, target, identity):
            return target + 0.2

    from simswap.models import builtin

    landmarks = np.array(TEMPLATES["arcface"][0]) + np.array([-50.0, 20.0])
    face = Face(np.array([-30.0, 20.0, 60.0, 130.0]), landmarks, 1.0)
    Image.new("RGB", (160, 160), (100, 100, 100)).save(tmp_path / "gray.png")
    checkpoint = SimpleNamespace(generator=Brighter(), template="arcface", image_size=112)
    swapper = PhotoSwapper(
        checkpoint,
        Embedder(builtin.recognizer(), "arcface", 112),
        lambda photo, seen: [face],
        PasteSettings(),
        24.0,
        8,
        torch.device("cpu"),
    )
    _, _, done = swapped(swapper, tmp_path / "gray.png")
    values = done[..., 0].astype(int)
    assert values.max() == 151
    assert values.min() == 100
    assert np.abs(np.diff(values, axis=0)).max() < 10
    assert np.abs(np.diff(values, axis=1)).max() < 10
