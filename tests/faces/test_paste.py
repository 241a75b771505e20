import cv2
import numpy as np
import pytest

from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES, align, warp
from simswap.faces.paste import PasteSettings, face_mask, kept_detail, paste, paste_swap, region, transfer_color, unwarp

FRONTAL = np.array(TEMPLATES["arcface"][0])  # [5, 2] at 112


def test_mask_covers_the_face_and_no_border():
    mask = face_mask(FRONTAL, 112, extent=1.0, feather=0.35)
    assert mask.shape == (112, 112)
    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()
    for x, y in FRONTAL:
        assert mask[round(y), round(x)] > 0.6
    assert mask[round((FRONTAL[0, 1] + FRONTAL[3, 1]) / 2), 56] == 1.0
    steps = np.abs(np.diff(mask, axis=0)).max()
    assert steps < 0.12  # no edge that shows
    assert face_mask(FRONTAL, 112, 0.6, 0.35).sum() < 0.5 * mask.sum()


def test_mask_turns_with_the_face():
    quarter = np.array([[0, -1], [1, 0]])
    turned = (FRONTAL - 55.5) @ quarter.T + 55.5
    upright, lying = (face_mask(points, 112, 1.0, 0.35) for points in (FRONTAL, turned))
    np.testing.assert_allclose(np.rot90(upright, -1), lying, atol=1e-5)


def photo_and_crop(scale: float, size: int = 112):
    """A noisy photo with a face of `scale` times the template's size at (150, 120), and its crop."""
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (300, 340, 3), dtype=np.uint8)
    landmarks = (FRONTAL - 56) * scale + (150, 120)
    alignment = align(landmarks, "arcface", size)
    return photo, landmarks, alignment.matrix, warp(photo, alignment.matrix, size)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_what_the_network_does_not_change_stays(scale):
    photo, _, matrix, crop = photo_and_crop(scale)
    rows, columns = region(matrix, 112, photo.shape)
    mask = face_mask(FRONTAL, 112, 1.0, 0.35)
    np.testing.assert_array_equal(paste(photo, crop, crop, mask, matrix, 1.0), photo[rows, columns])


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_a_change_lands_where_the_face_is(scale):
    photo, landmarks, matrix, crop = photo_and_crop(scale)
    photo[:] = 100
    crop[:] = 100
    result = np.full_like(crop, 180)
    rows, columns = region(matrix, 112, photo.shape)
    for detail in (0.0, 1.0):
        part = paste(photo, result, crop, face_mask(FRONTAL, 112, 1.0, 0.35), matrix, detail)
        x, y = (landmarks[:2].mean(0) + landmarks[3:].mean(0)) / 2 - (columns.start, rows.start)
        assert (part[round(y), round(x)] == 180).all()
        assert (part[0] == 100).all()
        assert (part[:, 0] == 100).all()


def test_detail_0_shows_the_network_alone():
    photo, _, matrix, crop = photo_and_crop(2.0)
    result = np.full_like(crop, 128)
    part = paste(photo, result, crop, face_mask(FRONTAL, 112, 1.0, 0.35), matrix, 0.0)
    kept = paste(photo, result, crop, face_mask(FRONTAL, 112, 1.0, 0.35), matrix, 1.0)
    middle = (slice(part.shape[0] // 2 - 5, part.shape[0] // 2 + 5),) * 2
    assert (part[middle] == 128).all()
    assert kept[middle].std() > 10  # the photo's own noise


def test_an_even_change_keeps_all_detail_and_new_features_keep_none():
    """A step of 120 gray levels along a line: 60 on either side of its mean near the line, and e^-(60 / 12)^2 = 0."""
    target = np.full((112, 112, 3), 60, np.uint8)
    np.testing.assert_allclose(kept_detail(np.full_like(target, 160), target, 12.0), 1.0, atol=1e-6)
    lined = target.copy()
    lined[:, 56:] = 180
    kept = kept_detail(lined, target, 12.0)
    assert kept[:, 54:58].max() < 1e-3
    assert kept[:, [10, 100]].min() > 0.999
    # A ripple of 12 gray levels' root mean square that is all fine: exactly 1 / e.
    x = np.arange(112)
    ripple = 100 + np.rint(12 * np.sqrt(2) * np.sin(2 * np.pi * x / 4 + np.pi / 4))  # 112 and 88 by turns of two
    rippled = np.repeat(np.repeat(ripple[None, :, None], 112, 0), 3, 2).astype(np.uint8)
    kept = kept_detail(rippled, np.full_like(target, 100), 12.0)
    assert kept[56, 40:70].mean() == pytest.approx(np.exp(-1), rel=0.02)
    assert kept_detail(rippled, np.full_like(target, 100), 24.0)[56, 56] == pytest.approx(np.exp(-0.25), rel=0.02)


def test_old_lines_fade_where_the_network_drew_others_and_stay_elsewhere():
    photo, _, matrix, crop = photo_and_crop(3.0)
    photo[:] = 100
    photo[:, 150:152] = 40  # a thin dark line through the middle of the face, finer than the crop's pixels
    photo[:, 60:62] = 40  # one on the cheek
    crop = warp(photo, matrix, 112)
    result = crop.copy()
    result[30:80, 50:62] = 220  # the network draws something else in the middle
    rows, columns = region(matrix, 112, photo.shape)
    mask = np.ones((112, 112), np.float32)
    fading, everywhere = (paste(photo, result, crop, mask, matrix, 1.0, fade).astype(int) for fade in (12.0, None))
    row, middle, cheek = 120 - rows.start, slice(150 - columns.start, 152 - columns.start), 60 - columns.start
    assert np.abs(fading[row, middle] - 220).max() < 6
    assert np.abs(everywhere[row, middle] - 220).max() > 12
    assert np.abs(fading[row, cheek] - photo[120, 60].astype(int)).max() <= 3


def test_a_network_that_changes_nothing_returns_the_photo_with_the_default_settings():
    photo, _, matrix, crop = photo_and_crop(1.7)
    rows, columns = region(matrix, 112, photo.shape)
    same = paste_swap(photo, crop, crop, FRONTAL, matrix, PasteSettings())
    np.testing.assert_array_equal(same, photo[rows, columns])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_fade_that_is_not_above_zero_is_refused(wrong):
    with pytest.raises(InputError, match=r"paste.detail_fade=.* is above 0, or null"):
        PasteSettings(detail_fade=wrong)


def test_color_transfer_gives_the_targets_mean():
    rng = np.random.default_rng(0)
    target = np.clip(rng.normal((180, 120, 90), 12, (40, 40, 3)), 0, 255).astype(np.uint8)
    result = np.clip(rng.normal((120, 130, 140), 12, (40, 40, 3)), 0, 255).astype(np.uint8)
    mask = np.ones((40, 40), np.float32)
    moved = transfer_color(result, target, mask, "match")
    lab = [cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3) for p in (moved, target)]
    np.testing.assert_allclose(lab[0].mean(0), lab[1].mean(0), atol=0.5)
    np.testing.assert_allclose(lab[0].std(0), lab[1].std(0), rtol=0.1)
    assert np.abs(transfer_color(target, target, mask, "match").astype(int) - target).max() <= 1
    assert transfer_color(result, target, mask, "none") is result
    with pytest.raises(InputError, match="choose one of none, match"):
        transfer_color(result, target, mask, "hue")


@pytest.mark.parametrize("detail", [0.0, 1.0])
@pytest.mark.parametrize("times", [2, 3.3, 4, 7])
@pytest.mark.parametrize("degrees", [0, 20])
def test_a_small_face_gets_the_mean_of_fine_patterns(times, degrees, detail):
    """A checkerboard of 0 and 200 on a gray photo: shrunk, it is 100 everywhere (bilinear reading gave 0 to 200)."""
    photo = np.full((120, 120, 3), 60, np.uint8)
    turn = np.deg2rad(degrees)
    linear = times * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([linear, np.array([111.5, 111.5]) - linear @ [60.0, 60.0]])
    y, x = np.mgrid[:224, :224]
    board = np.repeat(((x + y) % 2 * 200).astype(np.uint8)[..., None], 3, 2)
    part = paste(photo, board, np.full_like(board, 60), np.ones((224, 224), np.float32), matrix, detail)
    middle = slice(part.shape[0] // 2 - 4, part.shape[0] // 2 + 5)
    assert np.abs(part[middle, middle].astype(int) - 100).max() <= (1 if degrees == 0 and times in (2, 4) else 10)


def test_shrinking_weighs_every_pixel_of_the_crop_alike():
    """One bright pixel keeps its light wherever it lies: 256 at a quarter of the size is a sum of 16."""
    matrix = np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5]])
    for place in [(32, 32), (33, 32), (34, 35)]:
        crop = np.zeros((64, 64), np.float32)
        crop[place] = 256
        small = unwarp(crop, matrix, (16, 16), cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        assert abs(small.sum() - 16) < 0.2


def test_color_transfer_measures_what_a_small_face_shows():
    """Grain of one pixel, gone in the photo: the spread that counts is that of the slope beneath it."""
    rng = np.random.default_rng(0)
    slope = np.repeat(np.linspace(60, 180, 64)[None], 64, 0)[..., None].repeat(3, 2)
    grain = rng.choice([-60, 60], (64, 64, 1))
    target, result = slope.astype(np.uint8), (slope + grain).astype(np.uint8)
    mask = np.ones((64, 64), np.float32)

    def shown(crop):
        return cv2.resize(crop.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA).std()

    assert shown(transfer_color(result, target, mask, "match", 8.0)) == pytest.approx(shown(target), rel=0.12)
    assert shown(transfer_color(result, target, mask, "match")) < 0.8 * shown(target)
