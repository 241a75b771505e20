"""A part of a real video: sound, frame times and size are the original's, and the face is followed on every frame."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simswap.faces.detection import InsightFaceDetector
from simswap.faces.paste import PasteSettings
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.swapper import PhotoSwapper
from simswap.inference.video.settings import VideoSettings
from simswap.inference.video_job import swap_video
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.models.recognition import onnx_recognizer
from simswap.video.pyav import open_video
from simswap.video.reader import read_video, video_info

END = 0.4


def sound_of(path):
    """Time in seconds and content of each packet of sound that begins before the end of the part."""
    with open_video(path) as (container, _):
        packets = [packet for packet in container.demux(container.streams.audio) if packet.size]
        return [(float(one.pts * one.time_base), bytes(one)) for one in packets if one.pts * one.time_base < END]


@pytest.mark.real
def test_sound_times_and_size_stay(shared, tmp_path):
    pack, original, out = shared / "models" / "lite", shared / "videos" / "d18.mp4", tmp_path / "b.mp4"
    torch.manual_seed(0)
    generator = Generator(width=8, stages=3, blocks=1, identity_size=128, max_width=32).eval()
    recognizer = onnx_recognizer(str(pack / "mobilefacenet.onnx"))
    swapper = PhotoSwapper(
        SimpleNamespace(generator=generator, template="arcface", image_size=112, sha256="3" * 64),
        Embedder(recognizer, "arcface", 112),
        PhotoFaceFinder(InsightFaceDetector(str(pack), size=256)),
        PasteSettings(), 24, 8, torch.device("cpu"),
    )  # fmt: skip
    done = swap_video(swapper, shared / "photos" / "img12.jpg", original, out, VideoSettings(end=END))
    before, after = list(read_video(original, end=Fraction(2, 5))), list(read_video(out))
    assert done.swapped == done.frames == len(before) == len(after) == 12
    assert [frame.time for frame in after] == [frame.time for frame in before]
    assert (video_info(out).width, video_info(out).height) == (480, 480)
    wanted, heard = sound_of(original), sound_of(out)
    assert [content for _, content in heard] == [content for _, content in wanted]
    np.testing.assert_allclose([time for time, _ in heard], [time for time, _ in wanted], atol=0.03)
