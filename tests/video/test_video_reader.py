"""Frames with exact numbers and times, upright, in the right colors; bad files in one line."""

import logging
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.video.made import SIDE, add_sound, flat, gray, levels, set_matrix, write

from simswap.errors import InputError
from simswap.video.reader import read_video, video_info

F = Fraction


def level(frame) -> int:
    """The number of a picture of `levels`."""
    return round((float(frame.pixels.mean()) - 16) / 8)


def test_numbers_and_times_of_a_variable_rate_with_pictures_out_of_order(tmp_path):
    times = [F(k * k, 400) for k in range(1, 13)]
    path = write(tmp_path / "a.mp4", levels(12), times, base=F(1, 400), options={"bf": "3", "b-adapt": "0"})
    frames = list(read_video(path))
    assert [frame.number for frame in frames] == list(range(12)) == [level(frame) for frame in frames]
    assert [frame.time for frame in frames] == [time - times[0] for time in times]
    info = video_info(path)
    assert (info.frames, info.codec, info.bits, info.has_sound, info.hdr) == (12, "h264", 8, False, None)
    assert (info.width, info.height, info.rotation, info.pixel_aspect) == (SIDE, SIDE, 0, 1)


def test_start_end_and_every(tmp_path):
    path = write(tmp_path / "a.mp4", levels(20))
    wanted = read_video(path, start=0.2, end=0.6, every=3)
    assert [(frame.number, level(frame), frame.time) for frame in wanted] == [
        (5, 5, F(1, 5)), (8, 8, F(8, 25)), (11, 11, F(11, 25)), (14, 14, F(14, 25)),
    ]  # fmt: skip
    assert list(read_video(path, start=5)) == []
    with pytest.raises(ValueError, match="every=0"):
        next(read_video(path, every=0))


# a picture with a white, a light gray, a dark gray and a black corner (from the top left, by rows), turned
@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored", "corners"),
    [
        ((1, 0, 0, 1), 0, False, (3, 2, 1, 0)),
        ((0, 1, -1, 0), 90, False, (1, 3, 0, 2)),
        ((-1, 0, 0, -1), 180, False, (0, 1, 2, 3)),
        ((0, -1, 1, 0), 270, False, (2, 0, 3, 1)),
        ((-1, 0, 0, 1), 0, True, (2, 3, 0, 1)),
        ((1, 0, 0, -1), 180, True, (1, 0, 3, 2)),
        ((0, 1, 1, 0), 270, True, (3, 1, 2, 0)),
        ((0, -1, -1, 0), 90, True, (0, 2, 1, 3)),
    ],
)
def test_each_display_matrix_turns_upright(tmp_path, matrix, rotation, mirrored, corners):
    picture = np.zeros((48, 64, 3), np.uint8)
    for k, (rows, columns) in enumerate([(0, 0), (0, 32), (24, 0), (24, 32)]):
        picture[rows : rows + 24, columns : columns + 32] = 60 * (3 - k)
    plain = write(tmp_path / "a.mp4", [picture], aspect=F(4, 3))
    path = set_matrix(plain, tmp_path / "b.mp4", matrix)
    info = video_info(path)
    assert (info.rotation, info.mirrored, info.coded_width, info.coded_height) == (rotation, mirrored, 64, 48)
    (frame,) = read_video(path)
    height, width = frame.pixels.shape[:2]
    assert (width, height) == (info.width, info.height) == ((48, 64) if rotation % 180 else (64, 48))
    assert info.pixel_aspect == (F(3, 4) if rotation % 180 else F(4, 3))
    found = [frame.pixels[y, x, 0] / 60 for y in (5, height - 5) for x in (5, width - 5)]
    assert found == pytest.approx(corners, abs=0.1)


def test_a_matrix_that_turns_by_another_angle_is_refused(tmp_path):
    path = set_matrix(write(tmp_path / "a.mp4", [gray(9)]), tmp_path / "b.mp4", (1, 1, -1, 1))
    with pytest.raises(InputError, match="no multiple of 90"):
        video_info(path)


# Y'CbCr of R'G'B' = (1, 0, 0) and of (0.2, 0.4, 0.8), by H.273's formulas, 8 bits
@pytest.mark.parametrize(
    ("matrix", "span", "code", "rgb"),
    [
        (6, 1, (81, 90, 240), (255, 0, 0)),
        (1, 1, (63, 102, 240), (255, 0, 0)),
        (9, 1, (74, 97, 240), (255, 0, 0)),
        (2, 1, (81, 90, 240), (255, 0, 0)),  # unspecified is taken for BT.601
        (6, 2, (76, 85, 255), (255, 0, 0)),
        (1, 2, (54, 99, 255), (255, 0, 0)),
        (1, 1, (101, 178, 101), (51, 102, 204)),
        (5, 1, (100, 180, 98), (51, 102, 204)),
        (6, 0, (100, 180, 98), (51, 102, 204)),  # unspecified is taken for limited
    ],
)
def test_colors_by_matrix_and_range(tmp_path, matrix, span, code, rgb):
    path = write(tmp_path / "a.mkv", [flat(*code)], codec="ffv1", tags=(1, 1, matrix, span))
    (frame,) = read_video(path)
    assert frame.pixels.reshape(-1, 3).std(0).max() == 0
    assert frame.pixels[0, 0].tolist() == pytest.approx(rgb, abs=3)
    color = video_info(path).color
    assert (color.matrix, color.full) == (matrix, span == 2)


def test_a_matrix_that_is_not_converted_is_refused(tmp_path):
    path = write(tmp_path / "a.mkv", [flat(99, 128, 128)], codec="ffv1", tags=(9, 1, 10, 1))
    with pytest.raises(InputError, match="matrix 10 of ITU-T"):
        video_info(path)


def test_ten_bits_odd_sizes_one_frame_and_full_rgb(tmp_path):
    deep = write(tmp_path / "deep.mkv", [flat(252, 712, 400)], codec="ffv1", form="yuv420p10le", tags=(1, 1, 1, 1))
    # BT.709, limited: 64 to 940 for luma, 512 ± 448 for chroma
    (frame,) = read_video(deep)
    assert video_info(deep).bits == 10
    y, cb, cr = (252 - 64) / 876, (712 - 512) / 896, (400 - 512) / 896
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    assert frame.pixels[5, 5].tolist() == pytest.approx([255 * v for v in (max(red, 0), green, blue)], abs=3)
    odd = write(tmp_path / "odd.webm", [gray(90, 35, 21)], codec="libvpx-vp9")
    (frame,) = read_video(odd)
    assert frame.pixels.shape == (21, 35, 3)
    assert abs(float(frame.pixels.mean()) - 90) < 3


def test_a_gif_is_read_with_its_times_and_on_white_where_it_is_transparent(tmp_path):
    from PIL import Image

    first = np.zeros((20, 20, 4), np.uint8)
    first[:10] = (200, 30, 40, 255)
    second = first.copy()
    second[:5] = (20, 30, 240, 255)
    pictures = [Image.fromarray(each) for each in (first, second)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[70, 200], disposal=2)
    frames = list(read_video(tmp_path / "a.gif"))
    assert [frame.time for frame in frames] == [0, F(7, 100)]
    assert frames[0].pixels[2, 2].tolist() == pytest.approx([200, 30, 40], abs=8)
    assert frames[1].pixels[2, 2].tolist() == pytest.approx([20, 30, 240], abs=8)
    assert frames[1].pixels[15, 2].tolist() == [255, 255, 255]


def test_bad_files_are_named_in_one_line(tmp_path):
    plain = write(tmp_path / "plain.mp4", levels(10), options={"g": "2"}, sound="aac")
    data = plain.read_bytes()
    write(tmp_path / "whole.mkv", levels(10))
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    contents = {
        "empty.mp4": (b"", "is an empty file"),
        "pointer.mp4": (pointer, "is a Git LFS pointer"),
        "page.mp4": (b"<!doctype html><title>Sign in</title>", "is a web page"),
        "zeros.mp4": (bytes(5000), "is a file of zeros"),
        "words.mp4": (b"some words\n" * 40, "cannot be opened as a video"),
        "cut.mp4": (data[: data.index(b"moov")], "cannot be opened as a video"),
        "list.mp4": (b"#EXTM3U\n#EXTINF:1,\n" + str(plain).encode() + b"\n#EXT-X-ENDLIST\n", "cannot be opened"),
        "head.mkv": ((tmp_path / "whole.mkv").read_bytes()[:700], "no frame of its video can be decoded"),
    }
    for name, (content, words) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words) as error:
            video_info(tmp_path / name)
        assert "\n" not in str(error.value), name
        with pytest.raises(InputError, match=words):
            list(read_video(tmp_path / name))
    for path, words in ((tmp_path / "none.mp4", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=words):
            video_info(path)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        add_sound(container, container.add_stream("aac", rate=44_100), F(1, 5))
    with pytest.raises(InputError, match="only sound and no video"):
        video_info(tmp_path / "a.m4a")


def test_a_cut_off_file_gives_the_frames_that_are_there(tmp_path, caplog):
    options = {"g": "1", "bf": "0", "crf": "1"}
    whole = write(tmp_path / "a.mp4", levels(20), options=options, container_options={"movflags": "faststart"})
    with av.open(str(whole)) as container:
        middle = [packet.pos for packet in container.demux(video=0) if packet.size][12]
    cut = tmp_path / "cut.mp4"  # the index is in front, as in files for the web
    cut.write_bytes(whole.read_bytes()[: middle + 9])
    with caplog.at_level(logging.WARNING):
        frames = list(read_video(cut))
    assert len(frames) == 12
    assert [level(frame) for frame in frames] == list(range(len(frames)))
    assert "20 as its header says: it is cut off" in caplog.text


def test_names_with_colons_and_percents(tmp_path):
    path = write(tmp_path / "a.mp4", levels(2)).rename(tmp_path / "concat:50%03d.mp4")
    assert len(list(read_video(path))) == 2


def test_a_picture_of_4k(tmp_path):
    path = write(tmp_path / "a.mp4", [gray(77, 3840, 2160)], options={"preset": "ultrafast"})
    frames = list(read_video(path))
    assert [frame.pixels.shape for frame in frames] == [(2160, 3840, 3)]
    assert abs(int(frames[0].pixels[1000, 1000, 0]) - 77) <= 2


def test_without_pyav_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"needs PyAV.*setup.cfg's extra video"):
        video_info(tmp_path / "a.mp4")


def test_times_that_jump_back_are_one_line(tmp_path):
    once = write(tmp_path / "once.ts", levels(20), rate=10)
    twice = tmp_path / "twice.ts"
    twice.write_bytes(2 * once.read_bytes())
    assert len(list(read_video(once))) == 20
    with pytest.raises(InputError, match=r"twice\.ts: its times jump back from 1\.90 to 0\.00 s"):
        list(read_video(twice))
