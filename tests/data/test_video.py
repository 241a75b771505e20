"""Videos and folders of frames, read frame by frame."""

import cv2
import numpy as np
import pytest
from tests.evaluation.lookalike import write_video

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
