"""Writing a video leaves the process's threads scheduled as they were: SVT-AV1 would make them real-time for root."""

import os
import sys

import pytest
from tests.video.made import noise, write

from simswap.video.containers import CODECS
from simswap.video.reader import read_video, video_info
from simswap.video.writer import VideoWriter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux schedules threads one by one")


def schedulings() -> set[int]:
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


@pytest.mark.parametrize("codec", CODECS)
def test_encoders_leave_threads_as_they_were(codec, tmp_path):
    source = write(tmp_path / "a.mkv", noise(side=64), codec="ffv1")
    assert schedulings() == {os.SCHED_OTHER}
    with VideoWriter(tmp_path / "b.mkv", video_info(source), codec=codec) as writer:
        for frame in read_video(source):
            writer.write(frame)
            assert schedulings() == {os.SCHED_OTHER}
    assert schedulings() == {os.SCHED_OTHER}
    assert len(list(read_video(tmp_path / "b.mkv"))) == 3
