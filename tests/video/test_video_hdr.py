"""PQ and HLG to BT.709: published points of the curves, and whole pictures."""

import numpy as np
import pytest
from tests.video.made import flat, write

from simswap.video.hdr import compressed, gamut, hlg_to_scene, light_to_pq, pq_to_light, tone_map
from simswap.video.reader import read_video, video_info


@pytest.mark.parametrize(
    ("code", "light"),
    # ITU-R BT.2408, table 1 (58 % PQ: 203 cd/m²); SMPTE ST 2084: 0.5081 → 100, 0.7518 → 1,000, 1 → 10,000 cd/m²
    [(0, 0), (0.5081, 100), (0.5807, 203), (0.7518, 1000), (0.9026, 4000), (1, 10_000)],
)
def test_points_of_pq(code, light):
    assert pq_to_light(np.float64(code)) == pytest.approx(light, rel=2e-3)
    assert light_to_pq(np.float64(light)) == pytest.approx(code, abs=2e-4)


def test_points_of_hlg():
    # ITU-R BT.2100, table 5: 1/2 → 1/12, 1 → 1; BT.2408: 75 % → 203 cd/m² on a display of 1,000 cd/m²
    found = hlg_to_scene(np.array([0, 0.5, 0.75, 1]))
    assert found == pytest.approx([0, 1 / 12, 0.2650, 1], abs=2e-4)
    assert 1000 * found[2] ** 1.2 == pytest.approx(203, rel=2e-3)


def test_tone_mapping_keeps_the_dark_and_brings_the_peak_to_white():
    # peak 1,000 → 203: in PQ 0.7518 and 0.5807, so the knee is at 1.5 · 0.7724 − 0.5 = 0.6586 of 0.7518: 87.9 cd/m²
    light = np.array([0, 1, 50, 87])
    assert compressed(light, 1000) == pytest.approx(light, rel=1e-9, abs=1e-9)
    # at 203: T = 1/3, P = 20/27 · 0.6586 + 4/27 · 0.3414 + 7/27 · 0.7724 = 0.7387, times 0.7518 = 0.5553 → 158.7
    assert compressed(np.array([203.0]), 1000)[0] == pytest.approx(158.7, rel=3e-3)
    assert compressed(np.array([1000.0, 4000.0]), 1000) == pytest.approx([203, 203], rel=1e-4)
    rising = compressed(np.linspace(0, 1000, 500), 1000)
    assert (np.diff(rising) > 0).all()
    assert compressed(np.array([90.0, 300.0]), 150) == pytest.approx([90, 203])  # a peak below white


def test_primaries():
    # ITU-R BT.2087, table 2 inverted: BT.2020 → BT.709
    wanted = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert gamut(9) == pytest.approx(np.array(wanted), abs=2e-4)
    assert gamut(1) == pytest.approx(np.eye(3), abs=1e-9)


@pytest.mark.parametrize("curve", ["pq", "hlg"])
def test_grays_of_a_picture(curve):
    codes = np.array([0, 0.5081 if curve == "pq" else 0.5, 0.5807 if curve == "pq" else 0.75, 1])
    picture = np.repeat(np.rint(codes * 65535).astype(np.uint16), 3).reshape(1, 4, 3)
    found = tone_map(picture, curve, 9)[0]
    assert (found == found[:, :1]).all()  # gray stays gray
    # HLG 1/2 is 1000 / 12^1.2 = 50.7 cd/m²; PQ 0.5081 is 100: 99.2 by the spline
    second = 99.2 if curve == "pq" else 50.7
    wanted = [255 * (light / 203) ** (1 / 2.4) for light in (0, second, 158.7, 203)]
    assert found[:, 0].tolist() == pytest.approx(wanted, abs=1)
    with pytest.raises(ValueError, match="no curve"):
        tone_map(picture, "log", 9)


@pytest.mark.parametrize(("transfer", "hdr"), [(16, "pq"), (18, "hlg")])
def test_a_file_is_read_in_bt709(tmp_path, transfer, hdr):
    # limited 10-bit luma of reference white: PQ 64 + 876 · 0.5807 = 573, HLG 64 + 876 · 0.75 = 721
    y = 573 if hdr == "pq" else 721
    path = write(tmp_path / "a.mkv", [flat(y, 512, 512)], codec="ffv1", form="yuv420p10le", tags=(9, transfer, 9, 1))
    info = video_info(path)
    assert (info.hdr, info.bits) == (hdr, 10)
    (frame,) = read_video(path)
    white = 255 * (158.7 / 203) ** (1 / 2.4)
    assert frame.pixels[3, 3].tolist() == pytest.approx([white] * 3, abs=2)
    written = info.color.written()
    assert (written.primaries, written.transfer, written.matrix, written.range) == (1, 1, 1, 1)


def test_the_peak_is_that_of_the_mastering_display(tmp_path):
    # x265's master-display: luminance in units of 0.0001 cd/m²; with B frames it gives a single frame no decoding time
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
    options = {"x265-params": f"log-level=none:bframes=0:hdr10=1:repeat-headers=1:master-display={display}"}
    settings = {"codec": "libx265", "form": "yuv420p10le", "tags": (9, 16, 9, 1)}
    bright = write(tmp_path / "a.mkv", [flat(700, 512, 512, 64, 64)], options=options, **settings)
    plain = {"x265-params": "log-level=none:bframes=0"}
    dark = write(tmp_path / "b.mkv", [flat(700, 512, 512, 64, 64)], options=plain, **settings)
    assert (video_info(bright).peak, video_info(dark).peak) == (4000, 1000)
    # the same code is darker where the brightest white is brighter
    first, second = (float(next(read_video(path)).pixels.mean()) for path in (bright, dark))
    assert first < second - 5
