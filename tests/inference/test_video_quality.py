"""What encoding costs frames without a face, beside encoding the untouched video again."""

import av
import numpy as np

from simswap.inference.video.settings import VideoSettings
from simswap.inference.video_job import swap_video
from simswap.video.colors import planes
from simswap.video.containers import CODECS, options_of
from simswap.video.pyav import decoded, open_video
from simswap.video.reader import read_video
from tests.inference.clips import RATE, swapper_for, write_clip, write_photo_of


def test_frames_without_a_face_lose_no_more_than_by_encoding_the_original_again(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 24)
    half = 12
    for frame in read_video(clip.path, start=half / RATE):
        clip.detector.tell(frame.pixels, [])
    source = write_photo_of("eve", tmp_path / "eve.png", clip.detector)
    out, plain = tmp_path / "b.mp4", tmp_path / "plain.mp4"
    done = swap_video(swapper_for(clip.detector), source, clip.path, out, VideoSettings(faces="all"))
    assert done.swapped == half
    encode_again(clip.path, plain)
    before, after, again = (lumas(path) for path in (clip.path, out, plain))
    assert psnr(before[:half], after[:half]) < 35  # the mark and the faces
    assert 40 < psnr(before[half:], again[half:]) < 60
    # The encoder gets the same samples, but spreads its bits over what comes before and after; here that is the noise
    # of a network that never learned, and costs 0.8 dB.
    assert psnr(before[half:], after[half:]) > psnr(before[half:], again[half:]) - 1


def lumas(path):
    """The samples of brightness [N, H, W] that the file has."""
    return np.stack([planes(frame.stored.frame)[0].astype(float) for frame in read_video(path)])


def psnr(one, other):
    return 10 * np.log10(255**2 / ((one - other) ** 2).mean())


def encode_again(path, out):
    """The decoded pictures given to the same encoder, with nothing of ours between."""
    with open_video(path) as (source, stream), av.open(str(out), "w") as container:
        video = container.add_stream(CODECS["h264"].encoder, rate=RATE, options=options_of("h264", 75))
        video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
        for frame in decoded(source, stream):
            frame.pict_type = 0
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
