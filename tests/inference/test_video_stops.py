"""A signal to a process that swaps a video: what stays is playable, and the same command resumes."""

import numpy as np
from PIL import Image

from simswap.rendered.rendering import Attributes, render, render_person
from simswap.video.reader import read_video, video_info
from tests.inference.stopping_swap import finish
from tests.test_swap import checkpoint
from tests.video.made import packets, write

__all__ = ["checkpoint"]  # a fixture
FRAMES, RATE = 24, 10


def test_a_signal_in_either_pass_leaves_what_is_finished_and_the_same_command_gives_the_same_video(
    checkpoint, tmp_path
):
    lights = [Attributes(light_x=10 * np.sin(k / 4)) for k in range(FRAMES)]
    clip = write(tmp_path / "clip.mp4", [render(render_person(3), each, 64).image for each in lights], rate=RATE,
                 sound="aac")  # fmt: skip
    Image.fromarray(render(render_person(21), Attributes(), 64).image).save(tmp_path / "source.png")
    outs = tmp_path / "outs"
    out, part, whole, said = outs / "b.mp4", outs / "b.part.mp4", tmp_path / "whole.mp4", tmp_path / "said"
    job = [f"checkpoint={checkpoint}", f"source={tmp_path / 'source.png'}", f"target={clip}", "device=cpu",
           "threads=1", "batch_size=3"]  # fmt: skip
    assert finish([*job, f"out={whole}"], said) == 0, said.read_text()

    assert finish([*job, f"out={out}"], said, "finding SIGTERM") == 2
    assert said.read_text() == "error: interrupted; what was finished is kept, run the same command again to resume\n"
    assert [path.name for path in outs.iterdir()] == [".b.mp4.swap"]
    found = outs / ".b.mp4.swap" / "found-000000.npz"
    written = found.stat().st_mtime_ns

    assert finish([*job, f"out={out}"], said, "swapping SIGINT") == 2
    words = f"error: interrupted; what was finished is kept, {part} holds the first 12 frames; run the same command"
    assert said.read_text().startswith(words)
    assert said.read_text().count("\n") == 1
    assert found.stat().st_mtime_ns == written
    begun, heard = list(read_video(part)), packets(part, "audio")
    assert [frame.time * RATE for frame in begun] == list(range(12))
    assert float(video_info(part).duration) == 1.2
    assert heard == packets(clip, "audio")[: len(heard)]
    assert 1.15 < heard[-1][0] < 1.2

    assert finish([*job, f"out={out}"], said) == 0, said.read_text()
    assert [path.name for path in outs.iterdir()] == ["b.mp4"]
    assert packets(out, "video") == packets(whole, "video")
    assert packets(out, "audio") == packets(clip, "audio")
    assert len(list(read_video(out))) == FRAMES
