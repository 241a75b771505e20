"""Videos and folders of frames, read frame by frame."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from tests.evaluation.lookalike import write_video
from tests.video.made import set_matrix, write

from simswap.data.video import count_frames, read_frames


def test_rotated_and_variable_videos_are_read_upright_by_frame_number(tmp_path):
    pictures = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(6)]
    for picture in pictures:
        picture[:8] = 255  # a white bar at the top
    write_video(tmp_path / "plain.mp4", pictures)
    data = bytearray((tmp_path / "plain.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    quarter = [0, 1, 0, -1 & 0xFFFFFFFF, 0, 0, 48, 0, 0x40000000]  # 90 degrees clockwise, 16.16 fixed point
    values = [v << 16 if i not in (8,) and v == 1 else v for i, v in enumerate(quarter)]
    values[3], values[6] = (-1 << 16) & 0xFFFFFFFF, 48 << 16
    data[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big") for v in values)
    (tmp_path / "rotated.mp4").write_bytes(data)
    assert count_frames(tmp_path / "rotated.mp4") == 6
    ((number, frame),) = read_frames(tmp_path / "rotated.mp4", [4])
    assert (number, frame.shape) == (4, (64, 48, 3))
    assert frame[32, -4].min() > 200  # the bar has come to the right
    assert abs(int(frame[32, 10, 0]) - 80) < 12
    # Another time scale for each frame changes no number: stretch the first entry of the time table.
    table = data.index(b"stts")
    data[table + 12 : table + 16] = (99999).to_bytes(4, "big")
    (tmp_path / "variable.mp4").write_bytes(data)
    found = {n: int(f[32, 10, 0]) for n, f in read_frames(tmp_path / "variable.mp4", [1, 5]) if f is not None}
    assert found[1] == pytest.approx(20, abs=12)
    assert found[5] == pytest.approx(100, abs=12)
    assert count_frames(tmp_path / "none.mp4") == 0
    (tmp_path / "cut.mp4").write_bytes(bytes(data[:100]))
    assert count_frames(tmp_path / "cut.mp4") == 0
    assert [f for _, f in read_frames(tmp_path / "cut.mp4", [0, 1])] == [None, None]


def test_folders_of_frames_are_videos_too(tmp_path):
    (tmp_path / "000").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "000" / f"{k:04d}.png"), np.full((20, 20, 3), 10 * k, np.uint8))
    assert count_frames(tmp_path / "000") == 3
    found = list(read_frames(tmp_path / "000", [2, 7, 0]))
    assert [number for number, _ in found] == [0, 2, 7]
    assert found[1][1][0, 0].tolist() == [20, 20, 20]
    assert found[2][1] is None


def test_frames_without_zeros_in_front_come_in_the_order_of_their_numbers(tmp_path):
    for name, form in (("padded", "{:04d}.png"), ("plain", "{}.png"), ("words", "frame {}.jpg")):
        (tmp_path / name).mkdir()
        for k in range(1, 13):
            cv2.imwrite(str(tmp_path / name / form.format(k)), np.full((16, 16, 3), 20 * k, np.uint8))
        (tmp_path / name / "._1.png").write_bytes(b"of a Mac")
        (tmp_path / name / "@eaDir").mkdir()
        frames = read_frames(tmp_path / name, range(count_frames(tmp_path / name)))
        found = [int(frame.mean().round()) for _, frame in frames if frame is not None]
        assert found == [20 * k for k in range(1, 13)]


def by_both(path, monkeypatch, numbers=range(100)):
    """(count, frames) by PyAV and by OpenCV."""
    found = []
    for installed in (True, False):
        monkeypatch.setattr("simswap.data.video._has_pyav", lambda installed=installed: installed)
        found.append((count_frames(path), list(read_frames(path, numbers))))
    return found


# OpenCV 4.12 and older take every file for BT.601, limited; 4.14 and newer follow the tags.
FOLLOWS_TAGS = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 14)


def assert_alike(first, second, name, tagged):
    assert first[0] == second[0], name
    assert [number for number, _ in first[1]] == [number for number, _ in second[1]]
    for (_, one), (_, other) in zip(first[1], second[1], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == other.shape
            if tagged and not FOLLOWS_TAGS:
                continue
            assert abs(one.astype(int) - other).max() <= 1, name


def test_both_readers_give_the_same_frames(tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    start = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    pictures = [np.kron(np.roll(start, k, 1), np.ones((8, 8, 1), np.uint8)) for k in range(12)]
    times = [Fraction(k * k, 100) for k in range(12)]
    made = {
        "b_frames.mp4": {"options": {"bf": "3", "b-adapt": "0"}, "tags": (1, 1, 1, 1)},
        "variable.mp4": {"times": times, "base": Fraction(1, 100), "tags": (6, 6, 6, 1)},
        "full.mp4": {"form": "yuvj420p", "tags": (1, 1, 1, 2)},
        "plain.mkv": {},
        "plain.webm": {"codec": "libvpx-vp9"},
        "deep.mp4": {"codec": "libx265", "form": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
        "wide.mp4": {"form": "yuv444p", "tags": (1, 1, 1, 1)},
        "half.mp4": {"form": "yuv422p"},
        "rgb.mkv": {"codec": "ffv1", "form": "bgr0"},
        "old.avi": {"codec": "mpeg4", "base": Fraction(1, 25)},
    }
    for name, settings in made.items():
        write(tmp_path / name, pictures, **settings)
    set_matrix(tmp_path / "b_frames.mp4", tmp_path / "turned.mp4", (0, -1, 1, 0))
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = (tmp_path / "plain.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    for name in (*made, "turned.mp4", "empty.mp4", "cut.mkv"):
        by_av, by_cv = by_both(tmp_path / name, monkeypatch)
        tags = made.get(name, {}).get("tags", (2, 2, 2, 0))
        assert_alike(by_av, by_cv, name, tags[2] == 1 or name in ("turned.mp4", "deep.mp4", "rgb.mkv"))
        assert name in ("empty.mp4", "cut.mkv") or by_av[0] == 12, name


@pytest.mark.real
def test_both_readers_give_the_same_frames_of_real_videos(shared, monkeypatch):
    paths = sorted((shared / "videos").glob("*.mp4"))
    assert len(paths) == 10
    for path in paths:
        assert_alike(*by_both(path, monkeypatch, [0, 7, 40, 41]), path.name, tagged=True)
