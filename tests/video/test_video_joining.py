"""Segments and sound in one file: every packet, every time."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest
from tests.video.made import levels, packets, write

from simswap.errors import InputError
from simswap.video.joining import _ascending, join_segments, read_metadata
from simswap.video.reader import read_video, video_info
from simswap.video.writer import VideoWriter

F = Fraction


def segments_of(source, folder, lengths, start=None, suffix=".mp4", **settings):
    """The frames of a video in segments of these lengths."""
    frames, made = read_video(source, start=start), []
    for k, length in enumerate(lengths):
        made.append(folder / f"{k:03d}{suffix}")
        with VideoWriter(made[-1], video_info(source), **settings) as writer:
            for _ in range(length):
                writer.write(next(frames))
    return made


def variable(path, count=18, **settings):
    """A video of a variable rate, with sound."""
    times = [F(k, 25) + (F(1, 50) if k % 3 else 0) + (F(1, 5) if k > 9 else 0) for k in range(count)]
    return times, write(path, levels(count), times, base=F(1, 600), options={"bf": "3"}, **settings)


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([0, 10, 500, 20, 30], [0, 10, 20, 30]),  # one wrong time, far ahead
        ([0, 10, 10, 20, 5, 30], [0, 10, 20, 30]),  # twice the same; one behind
        ([400, 500, 0, 10, 510], [400, 510]),
        ([7], [7]),
    ],
)
def test_sound_with_wrong_times_loses_those_packets_alone(times, kept):
    def packets_of(number):
        return [SimpleNamespace(dts=time, pts=time, size=1, time_base=F(1, 100), stream_index=number) for time in times]

    both = [packet for pair in zip(packets_of(1), packets_of(2), strict=True) for packet in pair]
    for number in (1, 2):
        assert [one.dts for one in _ascending(iter(both)) if one.stream_index == number] == kept


def tone(path) -> np.ndarray:
    """The decoded sound."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".mov", "aac"), (".mkv", "aac"), (".mkv", "flac")])
def test_a_whole_video_has_all_frames_times_and_the_very_sound(tmp_path, suffix, sound):
    times, source = variable(tmp_path / f"a{suffix}", sound=sound)
    parts = segments_of(source, tmp_path, [7, 1, 6, 4], suffix=suffix)
    join_segments(parts, tmp_path / f"b{suffix}", source, metadata={"simswap_checkpoint": "sha256:1"})
    out = tmp_path / f"b{suffix}"
    frames = list(read_video(out))
    tolerance = 0.0011 if suffix == ".mkv" else 0  # milliseconds
    assert [float(frame.time) for frame in frames] == pytest.approx([float(time) for time in times], abs=tolerance)
    assert [round((float(frame.pixels.mean()) - 16) / 8) for frame in frames] == list(range(18))
    assert read_metadata(out)["simswap_checkpoint"] == "sha256:1"
    assert "simswap_start" not in read_metadata(out)
    before, after = packets(source, "audio"), packets(out, "audio")
    assert [content for _, content in after] == [content for _, content in before]
    # between sound and pictures, nothing moves
    apart = [float(p[0][0] - video_info(path).start) for p, path in ((before, source), (after, out))]
    assert apart[0] == pytest.approx(apart[1], abs=tolerance)
    assert (tone(out) == tone(source)).all()
    if suffix != ".mkv":
        assert video_info(out).duration == times[-1] + list(read_video(source))[-1].duration
        assert video_info(out).rate == pytest.approx(float(video_info(source).rate), rel=0.1)
    # the packets of the pictures are those of the segments
    written = [content for part in parts for _, content in packets(part, "video")]
    assert [content for _, content in packets(out, "video")] == written


def test_decoding_times_rise_and_never_pass_the_display(tmp_path):
    _, source = variable(tmp_path / "a.mp4")
    join_segments(segments_of(source, tmp_path, [9, 9]), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        found = [(packet.dts, packet.pts) for packet in container.demux(video=0) if packet.size]
    assert all(earlier[0] < later[0] for earlier, later in pairwise(found))
    assert all(dts <= pts for dts, pts in found)
    assert not video_info(tmp_path / "b.mp4").has_sound


def test_a_trimmed_video_has_the_sound_of_its_time(tmp_path):
    times, source = variable(tmp_path / "a.mp4", sound="aac")
    begin = times[6]
    parts = segments_of(source, tmp_path, [3, 3], start=begin)
    out = tmp_path / "b.mp4"
    join_segments(parts, out, source, start=begin, end=times[12])
    assert [frame.time for frame in read_video(out)] == [time - begin for time in times[6:12]]
    contents = [content for _, content in packets(source, "audio")]
    kept = packets(out, "audio")
    first = contents.index(kept[0][1])
    assert [content for _, content in kept] == contents[first : first + len(kept)]
    length = F(1024, 44_100)
    source_times = [time for time, _ in packets(source, "audio")]
    assert source_times[first] <= begin < source_times[first] + length
    assert source_times[first + len(kept) - 1] < times[12] <= source_times[first + len(kept) - 1] + length
    # the sound sits where it was, to a sample
    assert kept[1][0] + begin - source_times[first + 1] == pytest.approx(0, abs=1 / 44_100)


def test_sound_that_begins_before_the_pictures_stays_so(tmp_path):
    late = [F(k, 25) + F(1, 2) for k in range(5)]
    source = write(tmp_path / "a.mp4", levels(5), late, sound="aac")
    join_segments(segments_of(source, tmp_path, [3, 2]), tmp_path / "b.mp4", source)
    assert video_info(source).start == video_info(tmp_path / "b.mp4").start == F(1, 2)
    assert packets(source, "audio") == packets(tmp_path / "b.mp4", "audio")


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path):
    _, source = variable(tmp_path / "a.mp4", sound="aac")
    parts = segments_of(source, tmp_path, [4, 4])
    other = tmp_path / "other.mp4"
    with VideoWriter(other, replace(video_info(source), width=32, height=32)) as writer:
        for frame in read_video(source, end=0.1):
            writer.write(replace(frame, pixels=frame.pixels[:32, :32].copy(), stored=None))
    out = tmp_path / "out" / "b.mp4"
    cases = [
        ([], None, "no segment to join"),
        ([*parts, other], None, "written with other settings"),
        ([source], None, "no segment of this program"),
        ([tmp_path / "none.mp4"], None, "no such file"),
    ]
    for given, sound, words in cases:
        with pytest.raises(InputError, match=words):
            join_segments(given, out, sound)
    webm = segments_of(source, tmp_path, [2], suffix=".webm", codec="vp9")
    with pytest.raises(InputError, match=r"does not hold the original's sound .aac."):
        join_segments(webm, out.with_suffix(".webm"), source)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


@pytest.mark.real
def test_the_sound_of_real_videos_is_copied_untouched(shared, tmp_path):
    paths = sorted((shared / "videos").glob("*.mp4"))
    assert len(paths) == 10
    for path in paths:
        (tmp_path / path.stem).mkdir()
        out = tmp_path / f"{path.stem}.mp4"
        join_segments(segments_of(path, tmp_path / path.stem, [1, 1]), out, path)
        assert packets(out, "audio") == packets(path, "audio"), path.name
        assert (tone(out) == tone(path)).all(), path.name
