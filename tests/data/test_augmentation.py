"""Augmentation: what a flip does to the view, what color may change, and that its words decide everything."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from simswap.data.augmentation import PairAugmentation
from simswap.data.pairs import AUGMENTATION_PURPOSE, random_words
from simswap.errors import InputError
from simswap.faces.alignment import template_points
from simswap.settings.words import CONF_DIR

ROBUST = yaml.safe_load((Path(CONF_DIR) / "augmentation" / "robust.yaml").read_text())["transforms"]
NOISE = {"_target_": "albumentations.GaussNoise", "std_range": [0.1, 0.2], "p": 1.0}
LOW, HIGH = np.uint64(0), np.uint64((1 << 64) - 1)  # a unit draw of 0 and of nearly 1
FACE = np.random.default_rng(0).integers(40, 200, (12, 12, 3)).astype(np.uint8)
OTHER = np.random.default_rng(1).integers(40, 200, (12, 12, 3)).astype(np.uint8)


def words(first: np.uint64, second: np.uint64) -> np.ndarray:
    return np.array([first, second, 11, 22], dtype=np.uint64)


def test_flip_mirrors_image_and_view_of_the_image_drawn():
    augment = PairAugmentation(flip=0.5, view_count=5)
    target, source, target_view, source_view = augment(FACE, OTHER, 0, 3, True, words(LOW, HIGH))
    assert np.array_equal(target, FACE[:, ::-1])
    assert np.array_equal(source, OTHER)
    assert (target_view, source_view) == (4, 3)
    target, source, target_view, source_view = augment(FACE, OTHER, 2, 3, False, words(HIGH, LOW))
    assert np.array_equal(target, FACE)
    assert np.array_equal(source, OTHER[:, ::-1])
    assert (target_view, source_view) == (2, 1)


def test_a_mirrored_crop_stays_on_the_mirrored_view():
    """The eyes and mouth corners trade places; 1.6 px at 112 is the templates' asymmetry plus the pixel convention."""
    for template, views in (("simswap", 5), ("arcface", 1), ("ffhq", 1)):
        for view in range(views):
            points = template_points(template, 112, view)
            mirrored = np.stack([111 - points[:, 0], points[:, 1]], axis=1)[[1, 0, 2, 4, 3]]
            expected = template_points(template, 112, views - 1 - view)
            assert np.abs(mirrored - expected).max() < 1.6, (template, view)


def test_flip_happens_as_often_as_asked():
    augment = PairAugmentation(flip=0.3, view_count=5)
    drawn = random_words(0, AUGMENTATION_PURPOSE, 0, 0, 4000)
    views = np.array([augment(FACE, FACE, 0, 0, True, row)[2:] for row in drawn])
    assert np.allclose((views == 4).mean(axis=0), 0.3, atol=0.03)
    assert abs(((views[:, 0] == 4) & (views[:, 1] == 4)).mean() - 0.09) < 0.02  # independent of each other


def test_color_is_shared_by_a_same_person_pair_only():
    augment = PairAugmentation(color=0.2)
    target, source, *_ = augment(FACE, FACE, 0, 0, True, words(LOW, LOW))
    assert np.array_equal(target, source)
    assert not np.array_equal(target, FACE)
    target, source, *_ = augment(FACE, FACE, 0, 0, False, words(LOW, LOW))
    assert not np.array_equal(target, source)


def test_color_changes_light_and_not_hue():
    """Every channel goes through one rising curve: equal values stay equal, brighter ones stay brighter."""
    augment = PairAugmentation(color=0.3)
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for row in random_words(1, AUGMENTATION_PURPOSE, 0, 0, 50):
        relit, *_ = augment(ramp, ramp, 0, 0, True, row)
        assert relit.dtype == np.uint8
        assert np.array_equal(relit[..., 0], relit[..., 1])
        assert np.array_equal(relit[..., 0], relit[..., 2])
        assert np.all(np.diff(relit[..., 0].ravel().astype(int)) >= 0)


def test_words_decide_and_images_are_left_alone():
    augment, again = (PairAugmentation(flip=0.5, color=0.3, view_count=5) for _ in range(2))
    face, other = FACE.copy(), OTHER.copy()
    face.setflags(write=False)
    rows = random_words(2, AUGMENTATION_PURPOSE, 7, 0, 6)
    first = [augment(face, other, 1, 2, bool(k % 2), row) for k, row in enumerate(rows)]
    for k in reversed(range(6)):  # in another order, from another object
        second = again(face, other, 1, 2, bool(k % 2), rows[k])
        assert np.array_equal(first[k][0], second[0])
        assert np.array_equal(first[k][1], second[1])
        assert first[k][2:] == second[2:]
    assert np.array_equal(other, OTHER)
    assert not np.array_equal(first[0][0], first[2][0])


def test_off_is_the_identity():
    augment = PairAugmentation()
    assert not augment.active
    target, source, *views = augment(FACE, OTHER, 1, 2, True, words(LOW, LOW))
    assert target is FACE
    assert source is OTHER
    assert views == [1, 2]


@pytest.mark.parametrize(("key", "value"), [("flip", 1.1), ("flip", -0.1), ("color", 0.6), ("color", float("nan"))])
def test_settings_out_of_range_are_named(key, value):
    with pytest.raises(InputError, match=key):
        PairAugmentation(**{key: value})


def test_sources_can_be_left_as_they_are_and_the_targets_stay_what_they_were():
    both = PairAugmentation(flip=0.5, color=0.2, view_count=5)
    targets_alone = PairAugmentation(flip=0.5, color=0.2, view_count=5, sources=False)
    for same in (True, False):
        for first in (LOW, HIGH):
            target, _, target_view, _ = both(FACE, OTHER, 0, 3, same, words(first, LOW))
            alone, source, alone_view, source_view = targets_alone(FACE, OTHER, 0, 3, same, words(first, LOW))
            assert np.array_equal(alone, target)
            assert alone_view == target_view
            assert source is OTHER
            assert source_view == 3


def test_transforms_are_alike_on_both_faces_of_one_person_and_differ_between_two():
    augment = PairAugmentation(transforms=[NOISE, *({**one, "p": 1.0} for one in ROBUST)])
    assert augment.active
    target, source, *views = augment(FACE, FACE, 0, 0, True, words(LOW, LOW))
    assert np.array_equal(target, source)
    assert not np.array_equal(target, FACE)
    assert target.dtype == np.uint8
    assert target.shape == FACE.shape
    assert views == [0, 0]
    target, source, *_ = augment(FACE, FACE, 0, 0, False, words(LOW, LOW))
    assert not np.array_equal(target, source)


def test_transforms_depend_on_the_words_alone_and_leave_the_other_draws_as_they_were():
    settings = {"flip": 0.5, "color": 0.2, "view_count": 5}
    first, again = (PairAugmentation(**settings, transforms=ROBUST) for _ in range(2))
    before = PairAugmentation(**settings, transforms=[{**NOISE, "p": 0.0}])
    plain = PairAugmentation(**settings)
    rows = random_words(5, AUGMENTATION_PURPOSE, 9, 0, 40)
    expected = [first(FACE, OTHER, 1, 2, bool(k % 2), row) for k, row in enumerate(rows)]
    changed = 0
    for k in reversed(range(len(rows))):
        target, source, *views = again(FACE, OTHER, 1, 2, bool(k % 2), rows[k])
        assert np.array_equal(target, expected[k][0])
        assert np.array_equal(source, expected[k][1])
        without = plain(FACE, OTHER, 1, 2, bool(k % 2), rows[k])
        assert views == list(without[2:])
        changed += not np.array_equal(target, without[0])
        never = before(FACE, OTHER, 1, 2, bool(k % 2), rows[k])
        assert np.array_equal(never[0], without[0])
        assert np.array_equal(never[1], without[1])
    assert 15 < changed < 40  # 69 % of the faces are damaged: 1 - 0.7 * 0.8 * 0.8 * 0.7


def test_transforms_leave_sources_as_they_are_where_that_is_asked_for():
    both, targets_alone = (PairAugmentation(transforms=[NOISE], sources=sources) for sources in (True, False))
    target, *_ = both(FACE, OTHER, 0, 0, False, words(LOW, LOW))
    alone, source, *_ = targets_alone(FACE, OTHER, 0, 0, False, words(LOW, LOW))
    assert np.array_equal(alone, target)
    assert source is OTHER


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (
            {"_target_": "albumentations.HorizontalFlip"},
            r"transforms\[0\].*HorizontalFlip may move .*augmentation\.flip",
        ),
        ({"_target_": "albumentations.Affine"}, "may move or remove pixels"),
        ({"_target_": "albumentations.CoarseDropout"}, "may move or remove pixels"),
        ({"_target_": "albumentations.OneOf", "transforms": []}, "not on the list"),
        ({"_target_": "albumentations.GlassBlur"}, "moves pixels: it exchanges"),
        ({"_target_": "albumentations.MotionBlur", "allow_shifted": False}, r"direction_range: \[0, 0\]"),
        ({"_target_": "albumentations.Downscale"}, "interpolation_pair"),
        ({"_target_": "albumentations.ChannelDropout"}, "refused: it removes a color channel"),
        ({"_target_": "albumentations.FDA"}, "refused: it needs other pictures"),
        ({"_target_": "albumentations.ImageOnlyTransform"}, "may move"),
        ({"_target_": "albumentations.ToFloat"}, "makes float32 .*stay uint8"),
        ({"_target_": "albumentations.ToGray", "num_output_channels": 1}, r"makes uint8 \[64, 64.*stay uint8 RGB"),
        ({"_target_": "albumentations.GaussNoise", "std": 0.1}, r"transforms\[0\]\.std: unknown; .*std_range"),
        ({"_target_": "albumentations.GaussNoise", "std_range": [3, 4]}, r"transforms\[0\]: .*GaussNoise: "),
        ({"_target_": "albumentations.NoSuch"}, "not on the list .*as in albumentations.GaussNoise"),
        ({"_target_": "albumentations.core.composition.Compose"}, "not on the list"),
        ({"_target_": "os.system", "command": "x"}, "not on the list"),
        ({"std_range": [0.1, 0.2]}, "a mapping with _target_"),
        ("albumentations.GaussNoise", "a mapping with _target_"),
    ],
)
def test_transforms_that_move_pixels_or_cannot_be_used_are_refused_with_the_reason(transform, reason):
    with pytest.raises(InputError, match=reason):
        PairAugmentation(transforms=[transform])


def test_transforms_that_keep_pixels_in_place_by_their_settings_are_taken():
    """MotionBlur and Downscale by name: a bright dot's center of brightness stays where it is."""
    transforms = [
        {"_target_": "albumentations.MotionBlur", "allow_shifted": False, "direction_range": [0, 0], "p": 1.0},
        {
            "_target_": "albumentations.Downscale",
            "scale_range": [0.25, 0.25],
            "interpolation_pair": {"downscale": 3, "upscale": 1},
            "p": 1.0,
        },
    ]
    y, x = np.mgrid[:64, :64]
    dot = np.repeat((200 * np.exp(-((x - 44) ** 2 + (y - 20) ** 2) / 40))[..., None], 3, axis=2).astype(np.uint8)
    for transform in transforms:
        augment = PairAugmentation(transforms=[transform])
        for row in random_words(1, AUGMENTATION_PURPOSE, 0, 0, 10):
            changed, *_ = augment(dot, dot, 0, 0, True, row)
            assert not np.array_equal(changed, dot)
            weight = changed[..., 0].astype(float)
            center = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
            assert np.hypot(center[0] - 44, center[1] - 20) < 0.25
