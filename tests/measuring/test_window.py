"""Results in their photos, measured on one window."""

import numpy as np
import pytest
import torch

from simswap.errors import InputError
from simswap.evaluation.classical import CLASSICAL
from simswap.faces.alignment import TEMPLATES, align, apply, scale_of, template_points
from simswap.faces.paste import PasteSettings, face_mask
from simswap.faces.photo_part import PhotoPart, cut_part
from simswap.measuring.swappers import COPY_SOURCE, Faces, Swapper
from simswap.measuring.window import Window, faces_of_photos

CPU = torch.device("cpu")
ONE_LEVEL = 1 / 255


def window(template="arcface", size=112, crops=("arcface", 112), **paste) -> Window:
    return Window(template, size, PasteSettings(**paste), crops)


def face_on(photo: np.ndarray, turn: float = 0.2, scale: float = 1.7) -> PhotoPart:
    """A face in the middle of a photo, its crop enlarged by ``scale``."""
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (template_points("arcface", 112) - 56) @ linear.T + np.array(photo.shape[1::-1]) / 2
    return cut_part(photo, points)


def ramps(seed: int = 0, shape=(320, 360)) -> np.ndarray:
    """A photo whose channels change evenly along x and y: linear interpolation loses nothing of it."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    slopes = np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 2))
    return np.rint(128 + np.stack([a * (x - 180) + b * (y - 160) for a, b in slopes], -1)).astype(np.uint8)


def noise(seed: int = 0, shape=(320, 360)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def batch(photos, of: Window) -> Faces:
    return faces_of_photos(photos, of.template, of.size, CPU, keep=True)


SAME = Swapper("same", "other", lambda target, source: target)


def brighter(levels: float) -> Swapper:
    """Adds gray levels to the target's crop."""
    return Swapper("brighter", "other", lambda target, source: target._replace(images=target.images + levels / 255))


def test_nothing_changed_gives_back_the_targets_window_to_the_bit():
    """With all of the photo's detail kept, the paste adds the network's change to the photo: here, nothing."""
    for template, size in (("arcface", 112), ("ffhq", 200), ("simswap", 64)):
        of = window("arcface", 224)
        target = batch([face_on(noise(k)) for k in range(2)], of)
        result = of.around(SAME, (template, size)).swap(target, target)
        assert torch.equal(result.images, target.images)


def test_the_network_s_picture_alone_costs_its_resampling():
    """Without the photo's own detail an even photo comes back within two gray levels.

    Linear interpolation is exact on it, so what is lost is rounding: half a level in the crop, which the cubic
    interpolation back may enlarge by a quarter; half a level in the photo; half a level in either window.
    """
    of = window("arcface", 112, detail=0.0)
    target = batch([face_on(ramps(k)) for k in range(3)], of)
    for template in TEMPLATES:
        lost = of.around(SAME, (template, 160)).swap(target, target).images - target.images
        assert 0 < lost.abs().max() <= 2 * ONE_LEVEL + 1e-6, template
    # A photo of noise is another matter: a crop of half its resolution cannot hold it.
    rough = batch([face_on(noise())], of)
    assert (of.around(SAME).swap(rough, rough).images - rough.images).abs().max() > 20 * ONE_LEVEL


def test_a_change_arrives_in_the_window_as_the_mask_lets_it_through():
    of, levels = window("ffhq", 256, extent=1.0), 40
    photo = face_on(np.full((400, 400, 3), 100, np.uint8), turn=0.0, scale=1.0)
    target = batch([photo], of)
    changed = of.around(brighter(levels)).swap(target, target).images[0, 0] * 255 - 100
    # The crop has the photo's scale here, so the mask of the crop is the mask in the photo, and the window enlarges it.
    into_crop = align(photo.landmarks, "arcface", 112).matrix
    assert scale_of(into_crop) == pytest.approx(1)
    into_window = align(photo.landmarks, "ffhq", 256).matrix
    mask = face_mask(apply(into_crop, photo.landmarks), 112, 1.0, 0.35)
    for place in ((56, 66), (56, 40), (30, 70), (90, 60)):  # nose, brow, cheek, and the soft rim
        there = apply(into_window, (np.array(place) - into_crop[:, 2]) @ np.linalg.inv(into_crop[:, :2]).T)
        x, y = np.rint(there).astype(int)
        assert changed[y, x] == pytest.approx(levels * mask[place[1], place[0]], abs=3.5), place
    assert changed[0].abs().max() == changed[:, 0].abs().max() == 0  # nothing around the face


def test_two_crops_of_one_photo_are_measured_on_one_window():
    """Swappers of different templates and sizes see their own crops, and return the same window."""
    of, seen = window("arcface", 128), []

    def note(target: Faces, source: Faces) -> Faces:
        seen.append((tuple(target.images.shape), tuple(source.images.shape), target.view.tolist()))
        assert target.landmarks is not None
        return target._replace(images=1 - target.images)

    target, source = batch([face_on(ramps())], of), batch([face_on(ramps(1), scale=0.9)], of)
    inverted = Swapper("inverted", "trained", note, key="k")
    results = [of.around(inverted, crops) for crops in (("arcface", 64), ("simswap", 224), ("ffhq", 512))]
    made = [each.swap(target, source).images for each in results]
    assert seen == [((1, 3, s, s), (1, 3, s, s), [v]) for s, v in ((64, 0), (224, 2), (512, 0))]
    assert {image.shape for image in made} == {(1, 3, 128, 128)}
    for image in made[1:]:  # the paste's mask is of the face, not of the crop: the same inner face is inverted
        assert (image - made[0])[..., 55:85, 50:80].abs().max() <= 6 * ONE_LEVEL
    assert len({each.key for each in results}) == 3
    assert [each.crop for each in results] == ["64 px arcface", "224 px simswap", "512 px ffhq"]
    assert all(each.landmarks for each in results)


def test_a_failed_swap_stays_a_failed_swap():
    def fail(target: Faces, source: Faces) -> Faces:
        images = target.images.clone()
        images[1, 0, 3, 4] = torch.nan
        return target._replace(images=images)

    of = window()
    target = batch([face_on(ramps(k)) for k in range(3)], of)
    result = of.around(Swapper("fails", "other", fail)).swap(target, target).images
    assert result.isnan().flatten(1).all(1).tolist() == [False, True, False]
    assert torch.equal(result[0], target.images[0])


def test_the_controls_and_the_classical_baseline():
    of = window("arcface", 96, crops=("ffhq", 128))
    target, source = batch([face_on(ramps())], of), batch([face_on(noise(2), scale=1.2)], of)
    nothing, copied = of.controls()
    assert (nothing.name, copied) == ("do_nothing", COPY_SOURCE)
    assert nothing.crop == "128 px ffhq"
    assert torch.equal(nothing.swap(target, source).images, target.images)
    assert torch.equal(copied.swap(target, source).images, source.images)  # the source's own window, not pasted
    swapped = of.around(CLASSICAL).swap(target, source).images
    assert (swapped - target.images)[..., 40:60, 40:60].abs().max() > 20 * ONE_LEVEL
    assert torch.equal(swapped[..., :4, :], target.images[..., :4, :])


def test_the_settings_tell_windows_apart():
    assert window().described["digest"] != window(feather=0.5).described["digest"]
    assert window().around(SAME).key != window(feather=0.5).around(SAME).key
    assert window().around(SAME).key != window(size=128).around(SAME).key
    with pytest.raises(InputError, match=r"measure\.template=mine: choose one of arcface, simswap, ffhq"):
        window("mine")
    with pytest.raises(ValueError, match="without their photos"):
        window().around(SAME).swap(*[batch([face_on(ramps())], window())._replace(photos=None)] * 2)


def test_faces_are_taken_by_their_places():
    of = window()
    faces = batch([face_on(ramps(k)) for k in range(3)], of)
    chosen = faces.at([2, 0, 2])
    assert torch.equal(chosen.images, faces.images[[2, 0, 2]])
    assert torch.equal(chosen.landmarks, faces.landmarks[[2, 0, 2]])
    assert chosen.photos == (faces.photos[2], faces.photos[0], faces.photos[2])
    bare = Faces(faces.images, faces.view).at(range(1, 3))
    assert (len(bare.images), bare.landmarks, bare.photos) == (2, None, None)
