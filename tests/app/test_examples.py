"""Photos to try, and the detector that knows the rendered ones."""

import shutil

import pytest

from simswap.app.examples import RENDERED, ExampleFinder, photo_examples, rendered_examples
from simswap.errors import InputError
from simswap.inference.demo_photos import PHOTOS
from simswap.inference.photos import read_photo


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return rendered_examples(tmp_path_factory.mktemp("examples"))


def test_a_rendered_face_is_known_wherever_its_file_is(examples, tmp_path):
    assert [one.name for one in examples] == list(RENDERED)
    copy = tmp_path / "upload.png"
    shutil.copy(examples[1].path, copy)
    photo = read_photo(copy)
    (face,) = ExampleFinder(examples, None)(photo, photo.seen())
    assert face is examples[1].face
    left, top, right, bottom = face.box
    assert (face.landmarks > (left, top)).all()
    assert (face.landmarks < (right, bottom)).all()


def test_other_photos_are_for_the_detector(examples, tmp_path):
    (name, *_), (path, *_) = zip(*((one.name, one.path) for one in photo_examples(tmp_path)), strict=True)
    assert name == f"photograph, {next(iter(PHOTOS))}"
    photo = read_photo(path)
    assert ExampleFinder(examples, lambda photo, seen: ["a face"])(photo, photo.seen()) == ["a face"]
    with pytest.raises(InputError, match=r"started without a detector.* start it with detector=dlib"):
        ExampleFinder(examples, None)(photo, photo.seen())
