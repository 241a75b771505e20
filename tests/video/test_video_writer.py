"""What is written: times, size, colors, samples that did not change; whole or not at all."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.video.made import flat, gray, levels, noise, set_matrix, write

from simswap.errors import InputError
from simswap.video.containers import CODECS, check_container, options_of
from simswap.video.joining import read_metadata
from simswap.video.reader import Frame, read_video, video_info
from simswap.video.writer import VideoWriter

F = Fraction


def copied(source, out, change=lambda frame: frame, **settings):
    with VideoWriter(out, video_info(source), **settings) as writer:
        for frame in read_video(source):
            writer.write(change(frame))
    return out


def planes_of(path) -> list[list[np.ndarray]]:
    """The planes of each decoded frame."""
    from simswap.video.colors import planes

    with av.open(str(path)) as container:
        return [[plane.copy() for plane in planes(frame)] for frame in container.decode(video=0)]


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (5, 6, 6, 1), (9, 14, 9, 1), (2, 2, 2, 0), (1, 1, 1, 2)])
def test_pixels_that_do_not_change_keep_their_samples(tmp_path, tags):
    source = write(tmp_path / "a.mkv", noise(), codec="ffv1", tags=tags)
    same = copied(source, tmp_path / "b.mkv", codec="ffv1")
    for before, after in zip(planes_of(source), planes_of(same), strict=True):
        assert all((a == b).all() for a, b in zip(before, after, strict=True))
    info = video_info(same)
    assert info.color == video_info(source).color

    def spot(frame):
        pixels = frame.pixels.copy()
        pixels[8:16, 8:16] = (200, 40, 90)
        return replace(frame, pixels=pixels)

    changed = copied(source, tmp_path / "c.mkv", spot, codec="ffv1")
    for before, after in zip(planes_of(source), planes_of(changed), strict=True):
        assert (before[0] != after[0])[8:16, 8:16].any()
        outside = before[0] == after[0]
        outside[8:16, 8:16] = True
        assert outside.all()
        # a chroma sample belongs to 2 x 2 pixels
        assert all(
            (b[:4] == a[:4]).all() and (b[8:] == a[8:]).all() for b, a in zip(before[1:], after[1:], strict=True)
        )
    new = next(read_video(changed)).pixels[8:16, 8:16].astype(int)
    assert abs(new.reshape(-1, 3).mean(0) - (200, 40, 90)).max() < 6


def test_new_pictures_have_the_right_colors(tmp_path):
    info = replace(video_info(write(tmp_path / "a.mp4", levels(1), tags=(1, 1, 1, 1))), rate=F(30))
    with VideoWriter(tmp_path / "b.mkv", info, codec="ffv1") as writer:
        writer.write(Frame(0, F(0), np.full((64, 64, 3), (51, 102, 204), np.uint8)))
    ((y, cb, cr),) = planes_of(tmp_path / "b.mkv")
    assert [int(plane[9, 9]) for plane in (y, cb, cr)] == pytest.approx([101, 178, 101], abs=1)  # BT.709, limited
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.video[0].average_rate == 30


def test_times_pixel_aspect_and_metadata_are_kept(tmp_path):
    times = [F(0), F(1, 30), F(1, 12), F(1, 4), F(7, 20), F(2, 5)]
    source = write(
        tmp_path / "a.mp4", levels(6), times, base=F(1, 600), aspect=F(4, 3), tags=(5, 6, 5, 1), options={"bf": "2"}
    )
    words = {"comment": "a synthetic face swap", "simswap_target": "sha256:0"}
    for name in ("b.mp4", "b.mov", "b.mkv"):
        out = copied(source, tmp_path / name, metadata=words)
        frames = list(read_video(out))
        tolerance = 0 if name != "b.mkv" else 0.001  # Matroska counts milliseconds
        assert [float(frame.time) for frame in frames] == pytest.approx([float(time) for time in times], abs=tolerance)
        before, after = video_info(source), video_info(out)
        assert (after.pixel_aspect, after.color) == (before.pixel_aspect, before.color)
        assert words.items() <= read_metadata(out).items()
        if name != "b.mkv":
            assert frames[-1].duration == list(read_video(source))[-1].duration
            assert after.duration == times[-1] + frames[-1].duration
    # a part begins at 0, and its metadata says where it was
    with VideoWriter(tmp_path / "part.mp4", video_info(source)) as writer:
        for frame in list(read_video(source))[2:]:
            writer.write(frame)
    assert [frame.time for frame in read_video(tmp_path / "part.mp4")] == [time - F(1, 12) for time in times[2:]]
    assert read_metadata(tmp_path / "part.mp4")["simswap_start"] == "1/12"


@pytest.mark.parametrize("codec", list(CODECS))
def test_each_codec_writes_odd_sizes(tmp_path, codec):
    suffix = CODECS[codec].containers[0]
    source = write(tmp_path / "a.webm", [gray(90, 67, 85), gray(120, 67, 85)], codec="libvpx-vp9")
    out = copied(source, tmp_path / f"b{suffix}", codec=codec, quality=90)
    frames = list(read_video(out))
    assert [frame.pixels.shape for frame in frames] == [(85, 67, 3)] * 2
    assert [float(frame.pixels.mean()) for frame in frames] == pytest.approx([90, 120], abs=3)
    assert video_info(out).codec == codec


@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_files_have_decoding_times(tmp_path, codec, count):
    source = write(tmp_path / "a.mkv", levels(count), codec="ffv1")
    for attempt in range(4):  # x265 gives one and two frames whatever lies in its memory
        out = copied(source, tmp_path / f"{attempt}{CODECS[codec].containers[0]}", codec=codec)
        with av.open(str(out)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        times = [packet.dts for packet in packets]
        assert times == sorted(set(times))
        assert all(packet.dts <= packet.pts for packet in packets)
        assert [frame.time for frame in read_video(out)] == [F(k, 25) for k in range(count)]
        assert video_info(out).duration == F(count, 25)


def test_turned_videos_are_written_upright(tmp_path):
    picture = gray(30, 64, 48)
    picture[:24] = 220
    source = set_matrix(write(tmp_path / "a.mp4", [picture] * 2), tmp_path / "b.mp4", (0, 1, -1, 0))
    out = copied(source, tmp_path / "c.mp4")
    info = video_info(out)
    assert (info.width, info.height, info.rotation) == (48, 64, 0)
    for before, after in zip(read_video(source), read_video(out), strict=True):
        assert abs(before.pixels.astype(int) - after.pixels).max() <= 6


def test_high_dynamic_range_and_rgb_are_written_as_bt709(tmp_path):
    hdr = write(tmp_path / "a.mkv", [flat(573, 512, 512)], codec="ffv1", form="yuv420p10le", tags=(9, 16, 9, 1))
    out = copied(hdr, tmp_path / "b.mp4")
    info = video_info(out)
    assert (info.color.primaries, info.color.transfer, info.color.matrix, info.bits) == (1, 1, 1, 8)
    assert abs(next(read_video(hdr)).pixels.astype(int) - next(read_video(out)).pixels).max() <= 3
    rgb = write(tmp_path / "c.mkv", [gray(40), gray(200)], codec="ffv1", form="bgr0")
    out = copied(rgb, tmp_path / "d.mp4")
    assert (video_info(rgb).color.matrix, video_info(out).color.matrix) == (0, 1)
    assert [float(frame.pixels.mean()) for frame in read_video(out)] == pytest.approx([40, 200], abs=2)


def test_quality_is_a_scale_of_crf(tmp_path):
    assert options_of("h264", 75)["crf"] == "18.0"
    assert options_of("h264", 0)["crf"] == "48.0"
    assert options_of("av1", 100)["crf"] == "11"
    assert "crf" not in options_of("ffv1", 50)
    source = write(tmp_path / "a.mkv", noise(4, 64), codec="ffv1")
    sizes = [
        copied(source, tmp_path / f"{quality}.mp4", quality=quality).stat().st_size for quality in (10, 50, 75, 100)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[-1]


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path):
    source = write(tmp_path / "a.mp4", levels(3))
    info = video_info(source)
    out = tmp_path / "out" / "b.mp4"
    first = next(read_video(source))

    def written(frames, error=None):
        with VideoWriter(out, info) as writer:
            for frame in frames:
                writer.write(frame)
            if error is not None:
                raise error

    for error in (RuntimeError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            written([first], error)
        assert list(out.parent.iterdir()) == []
    with pytest.raises(InputError, match="no frame to write"):
        written([])
    with pytest.raises(ValueError, match="not after the one before"):
        written([first, first])
    with pytest.raises(ValueError, match="and not uint8"):
        written([Frame(0, F(0), gray(3, 8, 8))])
    assert list(out.parent.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path):
    source = write(tmp_path / "a.mp4", levels(2), sound="aac")
    for path, codec, sound, words in (
        ("b.avi", "h264", None, "videos are written as .mp4, .mov, .mkv, .webm"),
        ("b.mp4", "h265", None, "codec=h265: there are h264, hevc"),
        ("b.webm", "h264", None, "h264 is written as .mp4"),
        ("b.webm", "vp9", source, ".webm does not hold its sound .aac.; write it as .mp4, .mkv"),
    ):
        with pytest.raises(InputError, match=words):
            check_container(tmp_path / path, codec, sound)
    check_container(tmp_path / "b.mkv", "vp9", source)
    with pytest.raises(InputError, match="quality=101"):
        VideoWriter(tmp_path / "b.mp4", video_info(source), quality=101)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    source = write(tmp_path / "a.mp4", levels(3))
    monkeypatch.setattr("simswap.video.writer.open_output", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(InputError, match=r"cannot be written .No space"):
        copied(source, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
